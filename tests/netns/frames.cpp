// SPDX-License-Identifier: BSD-2-Clause
#include "frames.h"

#include <fmt/format.h>

namespace weir::test {

namespace {

bool six(Shape shape) { return shape == Shape::ip6; }

constexpr std::string_view kSearch =
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 2\r\n"
    "ST: urn:schemas-upnp-org:device:MediaRenderer:1\r\n\r\n";

std::string reply_text(std::string_view location, std::string_view uuid) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: {}\r\n"
      "SERVER: Linux/3.14 UPnP/1.0 MiniUPnPd/1.9\r\n"
      "ST: urn:schemas-upnp-org:device:MediaRenderer:1\r\n"
      "USN: uuid:{}::urn:schemas-upnp-org:device:MediaRenderer:1\r\n\r\n",
      location, uuid);
}

// An address that the namespaces' stacks do not have, so that no stack answers to what is made up.
Bytes far_mac() { return {0x02, 0x77, 0, 0, 0, 0x02}; }
Bytes near_mac() { return {0x02, 0x77, 0, 0, 0, 0x01}; }

Bytes raw(const Bytes& to, std::uint16_t ethertype, Bytes payload) {
  PacketBuilder builder;
  builder.ethernet(to, near_mac()).type(ethertype).payload(std::move(payload));
  return builder.build();
}

Bytes count_up(std::size_t bytes) {
  Bytes all(bytes);
  for (std::size_t i = 0; i < bytes; ++i) all[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return all;
}

}  // namespace

const char* name(Shape shape) {
  switch (shape) {
    case Shape::ip4:
      return "IPv4";
    case Shape::ip6:
      return "IPv6";
    case Shape::vlan:
      return "VLAN";
    case Shape::qinq:
      return "QinQ";
    case Shape::pppoe:
      return "PPPoE";
  }
  return "";
}

Address host(Shape shape, unsigned number) {
  return address(six(shape)
                     ? fmt::format("fd00:77::{:x}", 0x50 + number)
                     : fmt::format("10.77.{}.{}", static_cast<unsigned>(shape), 50 + number));
}

Address device(Shape shape, unsigned number) {
  return address(six(shape) ? fmt::format("2001:db8:d::{:x}", number + 1)
                            : fmt::format("192.0.2.{}", number + 1));
}

Address reflector(Shape shape, unsigned number) {
  return address(six(shape) ? fmt::format("2001:db8:bad::{:x}", number + 1)
                            : fmt::format("203.0.113.{}", number + 1));
}

Bytes udp_frame(Shape shape, const Address& source, const Address& destination,
                std::uint16_t source_port, std::uint16_t destination_port,
                std::string_view payload) {
  PacketBuilder builder;
  builder.ethernet(far_mac(), near_mac());
  if (shape == Shape::vlan) builder.vlan(77);
  if (shape == Shape::qinq) builder.vlan(7, 0x88a8).vlan(77);
  if (shape == Shape::pppoe) builder.pppoe(0x1234);
  if (six(shape))
    builder.ip6(source, destination);
  else
    builder.ip4(source, destination);
  builder.udp(source_port, destination_port).payload(payload);
  return builder.build();
}

Bytes search(Shape shape, unsigned host_number) {
  return udp_frame(shape, host(shape, host_number),
                   address(six(shape) ? "ff05::c" : "239.255.255.250"), 50001, 1900, kSearch);
}

Bytes reply(Shape shape, unsigned device_number, unsigned host_number) {
  return udp_frame(shape, device(shape, device_number), host(shape, host_number), 1900, 50001,
                   reply_text(fmt::format("http://192.0.2.{}:49152/desc.xml", device_number + 1),
                              fmt::format("{:08x}-0000-4000-8000-0123456789ab", device_number)));
}

Bytes reflection(Shape shape, unsigned number) {
  return udp_frame(
      shape, reflector(shape, number), host(shape), 1900, 80,
      reply_text("http://192.168.1.1:5000/rootDesc.xml", "4d696e69-444c-164e-9d41-b827eb54a2a7"));
}

Bytes background(Shape shape) {
  return udp_frame(shape, device(shape, 200), host(shape), 443, 51820, std::string(100, 'q'));
}

std::vector<WireFrame> every_kind(Side from) {
  const std::string_view here = from == Side::wan ? "192.0.2.9" : "10.77.0.9";
  const std::string_view there = from == Side::wan ? "10.77.0.50" : "192.0.2.1";
  const std::string_view here6 = from == Side::wan ? "2001:db8:d::9" : "fd00:77::9";
  const std::string_view there6 = from == Side::wan ? "fd00:77::50" : "2001:db8:d::1";
  const auto ip4 = [&] { return PacketBuilder().ethernet(far_mac(), near_mac()); };
  std::vector<WireFrame> all;
  const auto add = [&](std::string name, Bytes bytes) {
    all.push_back({std::move(name), std::move(bytes)});
  };
  add("ARP request", raw(Bytes(6, 0xff), 0x0806, count_up(28)));
  add("gratuitous ARP, padded", raw(Bytes(6, 0xff), 0x0806, count_up(46)));
  add("RARP", raw(Bytes(6, 0xff), 0x8035, count_up(28)));
  add("STP", raw({0x01, 0x80, 0xc2, 0, 0, 0}, 38, count_up(38)));
  add("pause frame", raw({0x01, 0x80, 0xc2, 0, 0, 1}, 0x8808, count_up(46)));
  add("LACP", raw({0x01, 0x80, 0xc2, 0, 0, 2}, 0x8809, count_up(110)));
  add("EAPOL", raw({0x01, 0x80, 0xc2, 0, 0, 3}, 0x888e, count_up(46)));
  add("LLDP", raw({0x01, 0x80, 0xc2, 0, 0, 0x0e}, 0x88cc, count_up(60)));
  add("PTP over Ethernet", raw({0x01, 0x1b, 0x19, 0, 0, 0}, 0x88f7, count_up(44)));
  add("MPLS", raw(far_mac(), 0x8847, count_up(80)));
  add("PPPoE discovery", raw(Bytes(6, 0xff), 0x8863, count_up(40)));
  add("unknown ethertype", raw(far_mac(), 0x9999, count_up(300)));
  add("unknown ethertype, full size", raw(far_mac(), 0x88b5, count_up(1500)));
  add("no payload at all", raw(far_mac(), 0x88b5, {}));
  add("ICMP", ip4().ip4(here, there).icmp().payload(count_up(56)).build());
  add("ICMPv6", ip4().ip6(here6, there6).icmp().payload(count_up(56)).build());
  add("IGMP, padded",
      ip4().ip4(here, "224.0.0.22").protocol(2).payload(count_up(16)).pad(10).build());
  add("TCP", ip4().ip4(here, there).tcp(40000, 443).payload(count_up(1000)).build());
  add("TCP over IPv6", ip4().ip6(here6, there6).tcp(40000, 443).payload(count_up(1000)).build());
  add("TCP with IP options",
      ip4().ip4(here, there, {.options = {0x94, 4, 0, 0}}).tcp(1, 2).payload("x").build());
  add("UDP of another port", ip4().ip4(here, there).udp(53, 5353).payload(count_up(200)).build());
  add("UDP without payload", ip4().ip4(here, there).udp(123, 123).build());
  add("UDP multicast", ip4().ip4(here, "239.1.2.3").udp(5004, 5004).payload(count_up(99)).build());
  add("UDP multicast over IPv6",
      ip4().ip6(here6, "ff05::77").udp(5004, 5004).payload(count_up(99)).build());
  add("PTP over UDP", ip4().ip4(here, "224.0.1.129").udp(319, 319).payload(count_up(44)).build());
  add("DHCP", ip4().ip4("0.0.0.0", "255.255.255.255").udp(68, 67).payload(count_up(300)).build());
  add("GRE", ip4().ip4(here, there).protocol(47).payload(count_up(90)).build());
  add("ESP over IPv6", ip4().ip6(here6, there6).protocol(50).payload(count_up(90)).build());
  add("later fragment",
      ip4().ip4(here, there, {.fragment_offset = 185}).protocol(17).payload(count_up(400)).build());
  add("later fragment of IPv6",
      ip4().ip6(here6, there6).fragment6(90, false).payload(count_up(400)).build());
  add("IPv6 with extension headers",
      ip4().ip6(here6, there6).extension(0).extension(60, 16).udp(9, 10).payload("e").build());
  for (const std::uint16_t id : {std::uint16_t{1}, std::uint16_t{4094}})
    add(fmt::format("VLAN {}", id),
        ip4().vlan(id).ip4(here, there).tcp(40000, 443).payload(count_up(100)).build());
  add("VLAN with priority",
      ip4().vlan(0xe123).ip6(here6, there6).udp(7, 8).payload(count_up(100)).build());
  add("QinQ", ip4().vlan(7, 0x88a8).vlan(9).ip4(here, there).udp(7, 8).payload("qq").build());
  add("three tags",
      ip4().vlan(7, 0x88a8).vlan(8).vlan(9).ip4(here, there).udp(7, 8).payload("qqq").build());
  add("PPPoE session", ip4().pppoe(77).ip4(here, there).tcp(40000, 443).payload("p").build());
  add("PPPoE session in a VLAN",
      ip4().vlan(7).pppoe(77).ip6(here6, there6).udp(7, 8).payload("p").build());
  add("full frame in a VLAN",
      ip4().vlan(7).ip4(here, there).udp(7, 8).payload(count_up(1472)).build());
  add("cut off in the IPv4 header", raw(far_mac(), 0x0800, {0x45, 0, 0, 99, 0, 0}));
  add("IPv4 that lies about its length",
      ip4().ip4(here, there).udp(7, 8).payload("lies").patch(-18, {0xff, 0xff}).build());
  return all;
}

}  // namespace weir::test
