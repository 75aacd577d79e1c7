// SPDX-License-Identifier: BSD-2-Clause
/// A small model over header features that says of steered packets which of them userspace need not
/// see: for the XDP program as functions that are linked in, for the native datapath to ask.
///
/// Asked     of what comes in by the WAN side and opens nothing (bpf/datapath.h has the rule), behind
///           the blocks.
/// Made by   kernel_model/screen.h. Both of its forms give the same verdict for each packet.
/// Owner     shared: a datapath that judges by it, and who may put another in its place.
/// Threads   immutable.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../../bpf/header_features.h"
#include "base/result.h"

namespace weir::datapath {

class Screen {
 public:
  virtual ~Screen() = default;
  /// 0: fine; 1: suspicious.
  [[nodiscard]] virtual int judge(const weir_header_features& features) const noexcept = 0;
  /// `program`, an ELF object with a weak function `weir_model`, with this model in its place.
  [[nodiscard]] virtual Result<std::vector<std::uint8_t>> link(
      std::span<const std::uint8_t> program) const = 0;
  /// Why the kernel refused what was linked, in a sentence that names the screen, from its verifier's
  /// log and an errno value.
  [[nodiscard]] virtual std::string explain(std::string_view log, int error) const = 0;
};

}  // namespace weir::datapath
