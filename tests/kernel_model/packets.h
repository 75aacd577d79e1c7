// SPDX-License-Identifier: BSD-2-Clause
/// Packets for a model: header fields where its comparisons decide, in the reading that it is of.
///
/// Shape     IPv4 and IPv6, TCP, UDP and others, with options, tags and fragments; a field's value
///           is, one time in three, a cut of the model or a number beside one. One in eight is of
///           `FrameGenerator`: every shape that the parser knows, and broken ones.
/// Order     the same seed and cuts give the same packets.
#pragma once

#include <array>
#include <random>
#include <vector>

#include "kernel_model/plan.h"
#include "support/frame_generator.h"

namespace weir::test {

/// What a packet's headers say; nothing where no model judges it.
inline std::optional<kernel_model::Values> read_values(const Bytes& frame,
                                                       weir_reading reading = WEIR_READING_exact) {
  weir_headers headers;
  weir_header_features features;
  weir_parse(frame.data(), frame.data() + frame.size(), &headers);
  if (weir_read_header_features(frame.data(), frame.data() + frame.size(), &headers, reading,
                                &features) == 0)
    return std::nullopt;
  kernel_model::Values values;
  std::copy_n(features.value, values.size(), values.begin());
  return values;
}

class PacketsAtCuts {
 public:
  /// `plan` may be none: then fields are drawn at random.
  PacketsAtCuts(std::uint64_t seed, const kernel_model::Plan* plan)
      : random_(seed), others_(seed + 1) {
    if (plan == nullptr) return;
    reading_ = plan->reading;
    for (const auto& function : plan->functions)
      for (const auto& node : function.nodes)
        if (node.feature >= 0) cuts_[static_cast<std::size_t>(node.feature)].push_back(node.cut);
  }

  /// The next packet that has features.
  const Bytes& next(kernel_model::Values& values) {
    for (;;) {
      frame_ = below(8) == 0 ? others_.next() : built();
      if (const auto read = read_values(frame_, reading_)) {
        values = *read;
        return frame_;
      }
    }
  }

 private:
  std::uint32_t below(std::uint32_t bound) { return static_cast<std::uint32_t>(random_() % bound); }

  /// A value for a field of so many bits.
  std::uint32_t field(int feature, unsigned bits) {
    const auto& cuts = cuts_[static_cast<std::size_t>(feature)];
    const std::uint32_t mask = bits == 32 ? 0xffffffffU : (1U << bits) - 1;
    if (!cuts.empty() && below(3) == 0)
      return (cuts[below(static_cast<std::uint32_t>(cuts.size()))] + below(3) - 1) & mask;
    const auto drawn = static_cast<std::uint32_t>(random_());
    return below(2) == 0 ? drawn & mask : (drawn & mask) >> below(bits);  // small ones as well
  }
  void put(std::size_t at, std::uint32_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
      frame_[at + i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
  }

  const Bytes& built() {
    const bool tagged = below(4) == 0, six = below(3) == 0;
    const std::size_t ip = tagged ? 18 : 14;
    const std::size_t ihl = six ? 10 : below(4) == 0 ? 5 + below(11) : 5;
    const std::uint32_t draw = below(8);
    const std::uint32_t protocol = draw < 4   ? 6
                                   : draw < 6 ? 17
                                              : field(WEIR_HEADER_FEATURE_ip_protocol, 8);
    frame_.assign(ip + 4 * ihl + 20 + below(20), 0);
    put(12, tagged ? 0x8100 : six ? 0x86dd : 0x0800, 2);
    if (tagged) put(16, six ? 0x86dd : 0x0800, 2);
    const std::uint32_t service = field(WEIR_HEADER_FEATURE_ip_dscp, 6) << 2U | below(4);
    const std::uint32_t ttl = field(WEIR_HEADER_FEATURE_ip_ttl, 8);
    const auto least = static_cast<std::uint32_t>(4 * ihl) + 20;
    const std::uint32_t total = std::max(least, field(WEIR_HEADER_FEATURE_ip_total_length, 16));
    const std::size_t l4 = ip + 4 * ihl;
    if (six) {
      put(ip, 0x60000000U | service << 20U, 4);
      put(ip + 4, total - 40, 2);
      put(ip + 6, protocol, 1);
      put(ip + 7, ttl, 1);
    } else {
      const std::uint32_t fragment =
          below(8) == 0 ? field(WEIR_HEADER_FEATURE_ip_frag_offset, 13) : 0;
      put(ip, 0x40U | static_cast<std::uint32_t>(ihl), 1);
      put(ip + 1, service, 1);
      put(ip + 2, total, 2);
      put(ip + 6, fragment | below(8) << 13U, 2);
      put(ip + 8, ttl, 1);
      put(ip + 9, protocol, 1);
    }
    put(l4, field(WEIR_HEADER_FEATURE_source_port, 16), 2);
    put(l4 + 2, field(WEIR_HEADER_FEATURE_dest_port, 16), 2);
    if (protocol == 17) {
      put(l4 + 4, 8 + below(8), 2);
      return frame_;
    }
    put(l4 + 4, field(WEIR_HEADER_FEATURE_tcp_sequence_num, 32), 4);
    put(l4 + 8, field(WEIR_HEADER_FEATURE_tcp_ack_num, 32), 4);
    put(l4 + 12, 0x50, 1);
    put(l4 + 13, below(2) == 0 ? below(256) : 0x10, 1);
    put(l4 + 14, field(WEIR_HEADER_FEATURE_tcp_window_size, 16), 2);
    put(l4 + 18, below(4) == 0 ? field(WEIR_HEADER_FEATURE_tcp_urgent_pointer, 16) : 0, 2);
    return frame_;
  }

  std::mt19937_64 random_;
  FrameGenerator others_;
  weir_reading reading_ = WEIR_READING_exact;
  std::array<std::vector<std::uint32_t>, WEIR_HEADER_SLOTS> cuts_;
  Bytes frame_;
};

}  // namespace weir::test
