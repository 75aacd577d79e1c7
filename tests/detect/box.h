// SPDX-License-Identifier: BSD-2-Clause
/// An extractor that is fed packets as they are written, and gives features by name.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "../support/packet_builder.h"
#include "detect/extractor.h"

namespace weir::detect {

using std::chrono::milliseconds;
using std::chrono::seconds;

inline constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};
inline constexpr const char* kGroup = "239.255.255.250";
inline constexpr const char* kVictim = "192.168.1.10";
inline constexpr const char* kSearch =
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
    "ST: ssdp:all\r\n\r\n";
inline constexpr const char* kNotify =
    "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: a\r\nNTS: ssdp:alive\r\nUSN: b\r\n\r\n";
inline constexpr const char* kReply = "HTTP/1.1 200 OK\r\nST: ssdp:all\r\nUSN: uuid:1\r\n\r\n";
inline constexpr const char* kNoSsdp = "\xc3\x01\x02\x03";

struct Packet {
  Side side = Side::wan;
  std::string from, to;
  std::uint16_t from_port = 1900, to_port = 1900;
  std::string payload;
  bool tcp = false;
};

class Box {
 public:
  explicit Box(const TableConfig& config = small()) {
    for (const FeatureInfo& info : all_features()) names_.emplace_back(info.name);
    extractor_ = *Extractor::make(config, names_);
    values_.resize(names_.size());
    for (float& value : values_) columns_.push_back(&value);
  }
  static TableConfig small() {
    TableConfig config;
    config.sources_max = 32'768;  // so that no bucket overflows by chance
    config.destinations_max = 1'024;
    config.expectations_max = 1'024;
    config.flows_max = 1'024;
    return config;
  }

  Context see(Nanoseconds at, const Packet& p) {
    test::PacketBuilder builder;
    if (p.from.find(':') == std::string::npos) {
      builder.ip4(p.from, p.to);
    } else {
      builder.ip6(p.from, p.to);
    }
    if (p.tcp) {
      builder.tcp(p.from_port, p.to_port);
    } else {
      builder.udp(p.from_port, p.to_port);
    }
    const test::Bytes bytes = builder.payload(p.payload).build();
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.time = kBegin + at;
    frame.side = p.side;
    const packet::Headers headers = packet::parse(frame.bytes());
    const packet::Ssdp ssdp = packet::parse_ssdp(packet::payload(frame.bytes(), headers));
    return extractor_->extract_one(frame, headers, ssdp, columns_.data());
  }
  [[nodiscard]] float value(const std::string& feature) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == feature) return values_[i];
    }
    ADD_FAILURE() << feature;
    return 0;
  }
  [[nodiscard]] TableCounters counters() const { return extractor_->counters(); }

 private:
  std::vector<std::string> names_;
  std::unique_ptr<Extractor> extractor_;
  std::vector<float> values_;
  std::vector<float*> columns_;
};

inline Packet search(const char* to = kGroup, Side side = Side::lan, const char* from = kVictim) {
  return {side, from, to, 50'000, 1900, kSearch};
}
inline Packet reply(const std::string& from, std::uint16_t from_port = 1900,
                    std::uint16_t to_port = 50'000) {
  return {Side::wan, from, kVictim, from_port, to_port, kReply};
}
inline std::string stranger(int number) {
  return "203.0." + std::to_string(number / 250) + "." + std::to_string(1 + number % 250);
}

}  // namespace weir::detect
