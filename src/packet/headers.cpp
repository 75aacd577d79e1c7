// SPDX-License-Identifier: BSD-2-Clause
#include "packet/headers.h"

#include <algorithm>

namespace weir::packet {

namespace {

// The parser promises that the address at `offset` is inside the frame where a family is set.
Address address_at(std::span<const std::uint8_t> frame, const Headers& headers,
                   std::uint16_t offset) noexcept {
  if (headers.family == 4) {
    std::uint32_t raw = 0;
    std::memcpy(&raw, frame.data() + offset, sizeof raw);
    return Address::v4(be32::from_wire(raw));
  }
  return headers.family == 6 ? Address::v6(frame.data() + offset) : Address{};
}

}  // namespace

Headers parse(std::span<const std::uint8_t> frame) noexcept {
  Headers headers{};
  headers.kind = WEIR_KIND_malformed;
  if (frame.empty()) return headers;  // there is no pointer to compute with
  weir_parse(frame.data(), frame.data() + frame.size(), &headers);
  cut_payload(headers, frame.size());
  return headers;
}

void cut_payload(Headers& headers, std::size_t frame_bytes) noexcept {
  if (headers.kind != WEIR_KIND_udp) return;
  const std::size_t present = frame_bytes - headers.payload_offset;
  headers.payload_length =
      static_cast<std::uint16_t>(std::min<std::size_t>(headers.payload_length, present));
}

Address source(std::span<const std::uint8_t> frame, const Headers& headers) noexcept {
  return address_at(frame, headers, headers.source_offset);
}

Address destination(std::span<const std::uint8_t> frame, const Headers& headers) noexcept {
  return address_at(frame, headers, headers.destination_offset);
}

std::span<const std::uint8_t> payload(std::span<const std::uint8_t> frame,
                                      const Headers& headers) noexcept {
  if (headers.kind != WEIR_KIND_udp) return {};
  return frame.subspan(headers.payload_offset, headers.payload_length);
}

bool header_features(std::span<const std::uint8_t> frame, const Headers& headers,
                     weir_reading reading, HeaderFeatures& features) noexcept {
  if (frame.empty()) {
    features = {};
    return false;
  }
  return weir_read_header_features(frame.data(), frame.data() + frame.size(), &headers, reading,
                                   &features) != 0;
}

}  // namespace weir::packet
