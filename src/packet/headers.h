// SPDX-License-Identifier: BSD-2-Clause
/// What userspace knows of a frame's headers: the offsets of bpf/parse.h, and addresses and header
/// features read through them.
///
/// Source    bpf/parse.h and bpf/header_features.h, compiled natively: there is no second parser.
/// Errors    none: what cannot be parsed has a kind that says so.
/// Threads   pure functions.
#pragma once

#include <cstdint>
#include <span>

#include "../../bpf/header_features.h"
#include "../../bpf/parse.h"
#include "base/address.h"

namespace weir::packet {

using Headers = weir_headers;
using HeaderFeatures = weir_header_features;

/// Parses `frame` from its Ethernet header on.
Headers parse(std::span<const std::uint8_t> frame) noexcept;

/// Cuts `payload_length`, which the headers claim, to what a frame of `frame_bytes` holds: `parse`
/// does it itself; for who fills `Headers` through bpf/datapath.h.
void cut_payload(Headers& headers, std::size_t frame_bytes) noexcept;

/// Source and destination of a frame that `headers` was parsed from; the unspecified address where
/// it has none.
Address source(std::span<const std::uint8_t> frame, const Headers& headers) noexcept;
Address destination(std::span<const std::uint8_t> frame, const Headers& headers) noexcept;

/// The UDP payload inside this frame; empty where the kind is not UDP.
std::span<const std::uint8_t> payload(std::span<const std::uint8_t> frame,
                                      const Headers& headers) noexcept;

/// The header features of a frame that `headers` was parsed from; false, and all of them 0, where
/// `reading` has none of such a frame.
bool header_features(std::span<const std::uint8_t> frame, const Headers& headers,
                     weir_reading reading, HeaderFeatures& features) noexcept;

}  // namespace weir::packet
