// SPDX-License-Identifier: BSD-2-Clause
/// Captures built by hand, field by field and in either byte order, so that tests say what is in a
/// file without a writer of ours in between.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::io::test {

class Bytes {
 public:
  explicit Bytes(bool big_endian = false) : big_(big_endian) {}
  Bytes& u8(unsigned v) {
    data_.push_back(static_cast<std::uint8_t>(v));
    return *this;
  }
  Bytes& u16(std::uint32_t v) { return number(v, 2); }
  Bytes& u32(std::uint64_t v) { return number(v, 4); }
  Bytes& u64(std::uint64_t v) { return number(v, 8); }
  Bytes& text(std::string_view t) {
    data_.insert(data_.end(), t.begin(), t.end());
    return *this;
  }
  Bytes& raw(std::span<const std::uint8_t> b) {
    data_.insert(data_.end(), b.begin(), b.end());
    return *this;
  }
  Bytes& pad() {
    while (data_.size() % 4 != 0) data_.push_back(0);
    return *this;
  }
  [[nodiscard]] const std::vector<std::uint8_t>& get() const { return data_; }
  [[nodiscard]] std::size_t size() const { return data_.size(); }
  [[nodiscard]] bool big() const { return big_; }

  // Classic pcap.
  Bytes& pcap_header(std::uint32_t magic, std::uint32_t link) {
    return u32(magic).u16(2).u16(4).u32(0).u32(0).u32(262144).u32(link);
  }
  Bytes& pcap_packet(std::uint32_t s, std::uint32_t fraction, std::span<const std::uint8_t> packet,
                     std::uint32_t original = 0) {
    const auto size = static_cast<std::uint32_t>(packet.size());
    return u32(s).u32(fraction).u32(size).u32(original == 0 ? size : original).raw(packet);
  }

  // pcapng.
  Bytes& block(std::uint32_t type, const Bytes& body) {
    const auto length = static_cast<std::uint32_t>(12 + (body.size() + 3) / 4 * 4);
    return u32(type).u32(length).raw(body.get()).pad().u32(length);
  }
  Bytes& section() {
    return block(0x0a0d0d0a, Bytes(big_).u32(0x1a2b3c4d).u16(1).u16(0).u64(~0ULL));
  }
  Bytes& interface(std::uint32_t link, std::uint32_t snap, const Bytes& options) {
    return block(1, Bytes(big_).u16(link).u16(0).u32(snap).raw(options.get()));
  }
  Bytes& interface(std::uint32_t link = 1) { return interface(link, 0, Bytes(big_)); }
  Bytes& option(std::uint32_t code, std::string_view value) {
    return u16(code).u16(static_cast<std::uint32_t>(value.size())).text(value).pad();
  }
  Bytes& enhanced(std::uint32_t interface, std::uint64_t ticks,
                  std::span<const std::uint8_t> packet, const Bytes& options) {
    Bytes body(big_);
    const auto size = static_cast<std::uint32_t>(packet.size());
    body.u32(interface).u32(ticks >> 32U).u32(ticks & 0xffffffffU).u32(size).u32(size);
    return block(6, body.raw(packet).pad().raw(options.get()));
  }
  Bytes& enhanced(std::uint32_t interface, std::uint64_t ticks,
                  std::span<const std::uint8_t> packet) {
    return enhanced(interface, ticks, packet, Bytes(big_));
  }

 private:
  Bytes& number(std::uint64_t v, unsigned size) {
    for (unsigned i = 0; i < size; ++i) {
      u8(static_cast<unsigned>(v >> (8 * (big_ ? size - 1 - i : i))) & 0xffU);
    }
    return *this;
  }

  bool big_;
  std::vector<std::uint8_t> data_;
};

/// A packet of `size` bytes whose content follows from `seed`.
inline std::vector<std::uint8_t> packet_of(std::size_t size, unsigned seed = 1) {
  std::vector<std::uint8_t> packet(size);
  for (std::size_t i = 0; i < size; ++i) packet[i] = static_cast<std::uint8_t>(seed * 31 + i);
  return packet;
}

}  // namespace weir::io::test
