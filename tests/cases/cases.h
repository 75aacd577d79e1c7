// SPDX-License-Identifier: BSD-2-Clause
/// The datapath's cases: what a frame is, what the tables hold, how it must end. Run against the
/// native build and against the kernel's program.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "datapath/datapath.h"
#include "support/packet_builder.h"

namespace weir::test {

struct Case {
  std::string description;
  PacketBuilder frame;
  datapath::Outcome outcome{};
  void (*configure)(datapath::Config&) = nullptr;               ///< changes the default
  std::vector<std::pair<std::string, weir_scope>> blocks = {};  ///< source, scope
  std::vector<std::string> expired = {};                        ///< scope all, but over
  std::vector<std::string> allowed = {};                        ///< prefixes
  std::vector<std::string> networks = {};                       ///< blocked, without host bits
  std::vector<std::string> victims = {};                        ///< port 50,000 stays open
  bool socket = true;                                           ///< on queue 0
  bool beating = true;                                          ///< channel 0 makes progress
};

std::vector<Case> cases();

datapath::Config config_of(const Case& given);

/// The blocks and prefixes of a case.
void fill(datapath::Datapath& datapath, const Case& given);

}  // namespace weir::test
