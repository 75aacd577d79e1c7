// SPDX-License-Identifier: BSD-2-Clause
/// What userspace knows of a frame's headers: the offsets of bpf/parse.h, and addresses and header
/// features read through them.
///
/// Source    bpf/parse.h and bpf/header_features.h, compiled natively: there is no second parser.
/// Errors    none: what cannot be parsed has a kind that says so.
/// Threads   pure functions.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>

#include "../../bpf/header_features.h"
#include "../../bpf/parse.h"
#include "base/address.h"

namespace weir::packet {

using Headers = weir_headers;
using HeaderFeatures = weir_header_features;

/// Parses `frame` from its Ethernet header on.
Headers parse(std::span<const std::uint8_t> frame) noexcept;

/// The address of a family (4 or 6) at `offset`, which the parser promises to be inside the frame;
/// the unspecified one where the family is 0.
inline Address address_at(std::span<const std::uint8_t> frame, unsigned family,
                          std::uint16_t offset) noexcept {
  if (family == 4) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, frame.data() + offset, sizeof raw);
    return Address::v4(be32::from_wire(raw));
  }
  return family == 6 ? Address::v6(frame.data() + offset) : Address{};
}
/// Source and destination of a frame that `headers` was parsed from.
inline Address source(std::span<const std::uint8_t> frame, const Headers& headers) noexcept {
  return address_at(frame, headers.family, headers.source_offset);
}
inline Address destination(std::span<const std::uint8_t> frame, const Headers& headers) noexcept {
  return address_at(frame, headers.family, headers.destination_offset);
}

/// The UDP payload inside this frame; empty where the kind is not UDP.
std::span<const std::uint8_t> payload(std::span<const std::uint8_t> frame,
                                      const Headers& headers) noexcept;

/// The header features of a frame that `headers` was parsed from; false, and all of them 0, where
/// `reading` has none of such a frame.
bool header_features(std::span<const std::uint8_t> frame, const Headers& headers,
                     weir_reading reading, HeaderFeatures& features) noexcept;

}  // namespace weir::packet
