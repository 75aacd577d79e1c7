// SPDX-License-Identifier: BSD-2-Clause
/// Frames layer by layer, for tests: what is written is the order on the wire.
///
///   Bytes frame = PacketBuilder().vlan(7).ip4("203.0.113.9", "192.0.2.1").udp(1900, 40000)
///                     .payload("HTTP/1.1 200 OK\r\n\r\n").build();
///
/// Shape     one call a layer, outermost first; an Ethernet header is put in front by itself.
/// Filled in lengths, next-protocol numbers and checksums (IPv4, UDP, TCP, ICMP), unless a layer is
///           told otherwise: a wrong field is set with `patch`, after everything was computed.
/// Errors    an address that is none aborts the test program (`WEIR_CHECK`).
/// Threads   values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace weir::test {

using Bytes = std::vector<std::uint8_t>;

inline Address address(std::string_view text) {
  auto parsed = Address::parse(text);
  WEIR_CHECK(parsed.has_value());
  return *parsed;
}

/// Fields of an IPv4 header that a test may want to be special.
struct Ip4Fields {
  std::uint8_t ttl = 64;
  std::uint16_t identification = 1;
  std::uint16_t fragment_offset = 0;  ///< in units of 8 bytes
  bool more_fragments = false;
  Bytes options = {};  ///< padded with end-of-options to a multiple of 4
};

struct Ip6Fields {
  std::uint8_t hop_limit = 64;
};

class PacketBuilder {
 public:
  PacketBuilder() { ethernet(); }

  /// Replaces the Ethernet header: six bytes each, "to" first as on the wire.
  PacketBuilder& ethernet(const Bytes& to = {2, 0, 0, 0, 0, 2},
                          const Bytes& from = {2, 0, 0, 0, 0, 1}) {
    Bytes header = to;
    header.insert(header.end(), from.begin(), from.end());
    header.resize(14);
    if (layers_.empty()) layers_.push_back({Kind::ethernet, 0, {}});
    layers_[0].bytes = header;
    return *this;
  }
  /// An ethertype that nothing here builds (ARP 0x0806, MPLS 0x8847, ...): `payload` follows.
  PacketBuilder& type(std::uint16_t ethertype) {
    last_type_ = ethertype;
    return *this;
  }
  PacketBuilder& vlan(std::uint16_t id, std::uint16_t ethertype = 0x8100) {
    Layer layer{Kind::vlan, ethertype, Bytes(4)};
    put16(layer.bytes, 0, id);
    return add(std::move(layer));
  }
  PacketBuilder& pppoe(std::uint16_t session = 1) {
    Layer layer{Kind::pppoe, 0x8864, {0x11, 0, 0, 0, 0, 0, 0, 0}};
    put16(layer.bytes, 2, session);
    return add(std::move(layer));
  }
  PacketBuilder& ip4(std::string_view source, std::string_view destination,
                     const Ip4Fields& fields = {}) {
    return ip4(address(source), address(destination), fields);
  }
  PacketBuilder& ip4(const Address& source, const Address& destination,
                     const Ip4Fields& fields = {}) {
    const std::size_t options = (fields.options.size() + 3) / 4 * 4;
    Layer layer{Kind::ip4, 0x0800, Bytes(20)};
    Bytes& b = layer.bytes;
    b[0] = static_cast<std::uint8_t>(0x40 | (5 + options / 4));
    put16(b, 4, fields.identification);
    put16(
        b, 6,
        static_cast<std::uint16_t>(fields.fragment_offset | (fields.more_fragments ? 0x2000 : 0)));
    b[8] = fields.ttl;
    b[9] = 253;  // "for experiments" (RFC 3692), where no transport layer follows
    put_address4(b, 12, source);
    put_address4(b, 16, destination);
    b.insert(b.end(), fields.options.begin(), fields.options.end());
    b.resize(20 + options);
    return add(std::move(layer));
  }
  PacketBuilder& ip6(std::string_view source, std::string_view destination,
                     const Ip6Fields& fields = {}) {
    return ip6(address(source), address(destination), fields);
  }
  PacketBuilder& ip6(const Address& source, const Address& destination,
                     const Ip6Fields& fields = {}) {
    Layer layer{Kind::ip6, 0x86dd, Bytes(40)};
    layer.bytes[0] = 0x60;
    layer.bytes[6] = 59;  // no next header
    layer.bytes[7] = fields.hop_limit;
    std::copy_n(source.bytes().begin(), 16, layer.bytes.begin() + 8);
    std::copy_n(destination.bytes().begin(), 16, layer.bytes.begin() + 24);
    return add(std::move(layer));
  }
  /// An IPv6 extension header `number` (0 hop-by-hop, 43 routing, 60 destination options, 51
  /// authentication, ...) of `bytes` bytes, a multiple of 8 (of 4 for authentication).
  PacketBuilder& extension(std::uint8_t number, std::size_t bytes = 8) {
    Layer layer{Kind::extension, number, Bytes(bytes)};
    layer.bytes[0] = 59;
    layer.bytes[1] = static_cast<std::uint8_t>(number == 51 ? bytes / 4 - 2 : bytes / 8 - 1);
    if (number != 51 && bytes > 4) {
      layer.bytes[2] = 1;  // PadN over the rest
      layer.bytes[3] = static_cast<std::uint8_t>(bytes - 4);
    }
    return add(std::move(layer));
  }
  /// An IPv6 fragment header; `offset` in units of 8 bytes. Behind an offset, `protocol` is said
  /// here, for no transport header follows.
  PacketBuilder& fragment6(std::uint16_t offset, bool more, std::uint8_t protocol = 17) {
    Layer layer{Kind::extension, 44, Bytes(8)};
    layer.bytes[0] = protocol;
    put16(layer.bytes, 2, static_cast<std::uint16_t>(offset << 3U | (more ? 1U : 0U)));
    return add(std::move(layer));
  }
  /// The protocol number of an IP packet without a transport header: later fragments, GRE, ESP.
  PacketBuilder& protocol(std::uint8_t number) {
    Layer& ip = layers_.back();
    ip.bytes[ip.kind == Kind::ip4 ? 9 : ip.kind == Kind::ip6 ? 6 : 0] = number;
    return *this;
  }
  PacketBuilder& udp(std::uint16_t source_port, std::uint16_t destination_port) {
    Layer layer{Kind::udp, 17, Bytes(8)};
    put16(layer.bytes, 0, source_port);
    put16(layer.bytes, 2, destination_port);
    return add(std::move(layer));
  }
  PacketBuilder& tcp(std::uint16_t source_port, std::uint16_t destination_port) {
    Layer layer{Kind::tcp, 6, Bytes(20)};
    put16(layer.bytes, 0, source_port);
    put16(layer.bytes, 2, destination_port);
    layer.bytes[12] = 0x50;
    layer.bytes[13] = 0x10;  // ACK
    put16(layer.bytes, 14, 0xffff);
    return add(std::move(layer));
  }
  /// An echo request of the family of the IP header before it.
  PacketBuilder& icmp() {
    const bool six = !layers_.empty() && ip_family() == 6;
    Layer layer{Kind::icmp, static_cast<std::uint16_t>(six ? 58 : 1), Bytes(8)};
    layer.bytes[0] = six ? 128 : 8;
    return add(std::move(layer));
  }
  PacketBuilder& payload(std::string_view text) {
    payload_.assign(text.begin(), text.end());
    return *this;
  }
  PacketBuilder& payload(Bytes bytes) {
    payload_ = std::move(bytes);
    return *this;
  }
  /// Overwrites bytes of the finished frame, counted from the start of the innermost layer (its
  /// payload where there is no layer but Ethernet); a negative `at` reaches the layers before it.
  PacketBuilder& patch(int at, Bytes bytes) {
    patches_.emplace_back(at, std::move(bytes));
    return *this;
  }
  /// Zeros behind everything, as Ethernet pads to 60 bytes: outside the IP length. `patch` reaches
  /// them.
  PacketBuilder& pad(std::size_t bytes) {
    pad_bytes_ = bytes;
    return *this;
  }

  [[nodiscard]] Bytes build() const {
    std::vector<Layer> layers = layers_;
    Bytes tail = payload_;
    std::optional<std::uint16_t> next;
    for (std::size_t i = layers.size(); i-- > 0;) {
      finish(layers, i, next, tail);
      tail.insert(tail.begin(), layers[i].bytes.begin(), layers[i].bytes.end());
      next = layers[i].number;
    }
    const auto innermost = static_cast<int>(tail.size() - payload_.size() -
                                            (layers.size() > 1 ? layers.back().bytes.size() : 0));
    tail.resize(tail.size() + pad_bytes_);
    for (const auto& [at, bytes] : patches_)
      std::copy(bytes.begin(), bytes.end(), tail.begin() + innermost + at);
    return tail;
  }

 private:
  enum class Kind { ethernet, vlan, pppoe, ip4, ip6, extension, udp, tcp, icmp };
  struct Layer {
    Kind kind;
    std::uint16_t number;  ///< how the layer before calls this one; 0 for Ethernet
    Bytes bytes;
  };

  static void put16(Bytes& b, std::size_t at, std::uint16_t value) {
    b[at] = static_cast<std::uint8_t>(value >> 8U);
    b[at + 1] = static_cast<std::uint8_t>(value);
  }
  static void put_address4(Bytes& b, std::size_t at, const Address& a) {
    std::copy_n(a.bytes().begin() + 12, 4, b.begin() + static_cast<std::ptrdiff_t>(at));
  }
  static std::uint16_t ppp_protocol(std::uint16_t ethertype) {
    return ethertype == 0x0800 ? 0x0021 : ethertype == 0x86dd ? 0x0057 : ethertype;
  }
  static std::uint64_t sum(const std::uint8_t* p, std::size_t bytes) {
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < bytes; ++i) total += i % 2 == 0 ? p[i] << 8U : p[i];
    return total;
  }
  static std::uint16_t fold(std::uint64_t total) {
    while (total >> 16U != 0) total = (total & 0xffffU) + (total >> 16U);
    return static_cast<std::uint16_t>(~total);
  }
  int ip_family() const {
    for (std::size_t i = layers_.size(); i-- > 0;) {
      if (layers_[i].kind == Kind::ip4) return 4;
      if (layers_[i].kind == Kind::ip6) return 6;
    }
    return 0;
  }
  PacketBuilder& add(Layer layer) {
    layers_.push_back(std::move(layer));
    return *this;
  }

  /// Length, next-protocol number and checksum of layer `i`, in front of `tail`.
  void finish(std::vector<Layer>& layers, std::size_t i, std::optional<std::uint16_t> next,
              const Bytes& tail) const {
    Bytes& b = layers[i].bytes;
    const auto length = static_cast<std::uint16_t>(b.size() + tail.size());
    switch (layers[i].kind) {
      case Kind::ethernet:
        put16(b, 12, next.value_or(last_type_));
        break;
      case Kind::vlan:
        put16(b, 2, next.value_or(last_type_));
        break;
      case Kind::pppoe:
        put16(b, 4, static_cast<std::uint16_t>(length - 6));
        put16(b, 6, ppp_protocol(next.value_or(last_type_)));
        break;
      case Kind::ip4:
        put16(b, 2, length);
        if (next) b[9] = static_cast<std::uint8_t>(*next);
        put16(b, 10, 0);
        put16(b, 10, fold(sum(b.data(), b.size())));
        break;
      case Kind::ip6:
        put16(b, 4, static_cast<std::uint16_t>(tail.size()));
        if (next) b[6] = static_cast<std::uint8_t>(*next);
        break;
      case Kind::extension:
        if (next) b[0] = static_cast<std::uint8_t>(*next);
        break;
      case Kind::udp:
        put16(b, 4, length);
        checksum(layers, i, tail, 6);
        break;
      case Kind::tcp:
        checksum(layers, i, tail, 16);
        break;
      case Kind::icmp:
        checksum(layers, i, tail, 2);
        break;
    }
  }

  static void checksum(std::vector<Layer>& layers, std::size_t i, const Bytes& tail,
                       std::size_t at) {
    Bytes& b = layers[i].bytes;
    std::uint64_t total = sum(b.data(), b.size()) + sum(tail.data(), tail.size());
    for (std::size_t j = i; j-- > 0;) {
      const Bytes& ip = layers[j].bytes;
      if (layers[j].kind == Kind::ip4 && layers[i].kind != Kind::icmp) total += sum(&ip[12], 8);
      if (layers[j].kind == Kind::ip6) total += sum(&ip[8], 32);
      if (layers[j].kind == Kind::ip4 || layers[j].kind == Kind::ip6) break;
    }
    if (layers[i].number != 1) total += layers[i].number + b.size() + tail.size();
    const std::uint16_t folded = fold(total);
    put16(b, at, layers[i].kind == Kind::udp && folded == 0 ? 0xffff : folded);
  }

  std::vector<Layer> layers_;
  std::uint16_t last_type_ = 0;
  Bytes payload_;
  std::vector<std::pair<int, Bytes>> patches_;
  std::size_t pad_bytes_ = 0;
};

}  // namespace weir::test
