// SPDX-License-Identifier: BSD-2-Clause
#include "packet/headers.h"

#include <algorithm>

namespace weir::packet {

namespace {

/// Cuts `payload_length`, which the headers claim, to what the frame holds.
void cut_payload(Headers& headers, std::size_t frame_bytes) noexcept {
  if (headers.kind != WEIR_KIND_udp) return;
  const std::size_t present = frame_bytes - headers.payload_offset;
  headers.payload_length =
      static_cast<std::uint16_t>(std::min<std::size_t>(headers.payload_length, present));
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
