// SPDX-License-Identifier: BSD-2-Clause
/// What `parse_ssdp` made of texts that were there before: a device, and so a reflector of a flood,
/// says the same few things again and again.
///
/// Shape     sets of a few places, by the text's hash. A text is kept when it comes for the second
///           time, so that texts that are all different displace nothing and cost a hash each.
/// Exact     a text is compared whole: what is given is what `parse_ssdp` gives, whatever collides.
/// Bounds    `kPlaces` texts of up to `kText_bytes`; others are parsed each time. Memory, some
///           650 KiB, is asked for with the first text.
/// Threads   one owner at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "packet/ssdp.h"

namespace weir::packet {

class SsdpCache {
 public:
  static constexpr std::size_t kPlaces = 1024;
  static constexpr std::size_t kText_bytes = 512;

  SsdpCache() noexcept;
  ~SsdpCache();
  SsdpCache(const SsdpCache&) = delete;
  SsdpCache& operator=(const SsdpCache&) = delete;

  /// The same as `parse_ssdp(payload)`. Throws std::bad_alloc with the first text, or never.
  Ssdp parse(std::span<const std::uint8_t> payload);
  /// How often it had the text.
  [[nodiscard]] std::uint64_t hits() const noexcept { return hits_; }

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
  std::uint64_t hits_ = 0;
};

}  // namespace weir::packet
