// SPDX-License-Identifier: BSD-2-Clause
#include "cases.h"

namespace weir::test {

namespace {

using datapath::Config;
using datapath::Outcome;

constexpr const char* kFar = "203.0.113.9";
constexpr const char* kNear = "192.0.2.1";
constexpr const char* kFar6 = "2001:db8::9";
constexpr const char* kMapped = "::ffff:203.0.113.9";  // kFar's bytes, as an IPv6 address
constexpr const char* kNear6 = "2001:db8:1::1";
constexpr const char* kSearch = "M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\n\r\n";
constexpr const char* kReply = "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n";

PacketBuilder udp(std::uint16_t from, std::uint16_t to) {
  return PacketBuilder().ip4(kFar, kNear).udp(from, to);
}
PacketBuilder later_fragment() {
  return PacketBuilder().ip4(kFar, kNear, {.fragment_offset = 185}).protocol(17).payload("rest");
}
PacketBuilder extensions(int count) {
  PacketBuilder b;
  b.ip6(kFar6, kNear6);
  for (int i = 0; i < count; ++i) b.extension(60);
  return b;
}
void closed(Config& c) { c.fail_closed = true; }
void drop_fragments(Config& c) { c.drop_fragments = true; }
void blocked_fragments(Config& c) { c.blocked_fragments = true; }
void ports_only(Config& c) { c.ssdp_payload = false; }
void two_ports(Config& c) { c.udp_ports = {1900, 5353}; }

}  // namespace

std::vector<Case> cases() {
  return {
      // What the wire carries besides UDP
      {.description = "ARP passes",
       .frame = PacketBuilder().type(0x0806).payload(Bytes(28)),
       .outcome = Outcome::peer_not_ip},
      {.description = "spanning tree (an 802.3 length, no ethertype) passes",
       .frame = PacketBuilder().type(38).payload(Bytes(38)),
       .outcome = Outcome::peer_not_ip},
      {.description = "MPLS is not looked into",
       .frame = PacketBuilder().type(0x8847).payload(Bytes(40)),
       .outcome = Outcome::peer_not_ip},
      {.description = "PPPoE discovery passes",
       .frame = PacketBuilder().type(0x8863).payload(Bytes(20)),
       .outcome = Outcome::peer_not_ip},
      {.description = "PPP control inside a PPPoE session passes",
       .frame = PacketBuilder().pppoe().type(0xc021).payload(Bytes(10)),
       .outcome = Outcome::peer_not_ip},
      {.description = "a third VLAN tag is one more than is parsed",
       .frame = PacketBuilder().vlan(1).vlan(2).vlan(3).ip4(kFar, kNear).udp(9, 1900),
       .outcome = Outcome::peer_not_ip},
      {.description = "TCP on port 1900 is not SSDP",
       .frame = PacketBuilder().ip4(kFar, kNear).tcp(50'000, 1900),
       .outcome = Outcome::peer_not_udp},
      {.description = "a ping passes",
       .frame = PacketBuilder().ip4(kFar, kNear).icmp().payload("ping"),
       .outcome = Outcome::peer_not_udp},
      {.description = "neighbour discovery passes",
       .frame = PacketBuilder().ip6(kFar6, "ff02::1:ff00:1", {.hop_limit = 255}).icmp(),
       .outcome = Outcome::peer_not_udp},
      {.description = "IGMP with the router alert option passes",
       .frame = PacketBuilder().ip4(kNear, "224.0.0.22", {.options = {0x94, 4, 0, 0}}).protocol(2),
       .outcome = Outcome::peer_not_udp},
      {.description = "an ESP tunnel hides what it carries, and passes",
       .frame = PacketBuilder().ip6(kFar6, kNear6).protocol(50).payload(Bytes(40)),
       .outcome = Outcome::peer_not_udp},

      // Steering
      {.description = "DNS is not steered",
       .frame = udp(53, 40'000),
       .outcome = Outcome::peer_not_steered},
      {.description = "a search goes to the socket by its port",
       .frame = udp(50'000, 1900).payload(kSearch),
       .outcome = Outcome::socket_steered},
      {.description = "a reflected reply goes to the socket by its source port",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered},
      {.description = "a reply without port 1900 goes to the socket by its start line",
       .frame = udp(38'000, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered},
      {.description = "an announcement on other ports goes to the socket by its start line",
       .frame = udp(38'000, 40'000).payload("NOTIFY * HTTP/1.1\r\n"),
       .outcome = Outcome::socket_steered},
      {.description = "half a start line is none",
       .frame = udp(38'000, 40'000).payload("M-SEARCH"),
       .outcome = Outcome::peer_not_steered},
      {.description = "an HTTP error in a UDP payload is no start line",
       .frame = udp(38'000, 40'000).payload("HTTP/1.1 404 Not Found"),
       .outcome = Outcome::peer_not_steered},
      {.description = "a start line in Ethernet's padding is not in the payload",
       .frame = udp(9, 10).pad(40).patch(8, {'N', 'O', 'T', 'I', 'F', 'Y', ' ', '*'}),
       .outcome = Outcome::peer_not_steered},
      {.description = "with ssdp_payload off, start lines do not steer",
       .frame = udp(38'000, 40'000).payload(kReply),
       .outcome = Outcome::peer_not_steered,
       .configure = ports_only},
      {.description = "of two steered ports, the second steers too",
       .frame = udp(40'000, 5353),
       .outcome = Outcome::socket_steered,
       .configure = two_ports},
      {.description = "with two steered ports, others stay unsteered",
       .frame = udp(40'000, 5354),
       .outcome = Outcome::peer_not_steered,
       .configure = two_ports},
      {.description = "a search to the IPv6 group is steered",
       .frame = PacketBuilder().ip6(kFar6, "ff02::c").udp(50'000, 1900).payload(kSearch),
       .outcome = Outcome::socket_steered},
      {.description = "SSDP behind a VLAN tag is steered",
       .frame = PacketBuilder().vlan(4094).ip4(kFar, kNear).udp(9, 1900),
       .outcome = Outcome::socket_steered},
      {.description = "SSDP behind QinQ and PPPoE is steered",
       .frame = PacketBuilder().vlan(1, 0x88a8).vlan(2).pppoe().ip6(kFar6, kNear6).udp(9, 1900),
       .outcome = Outcome::socket_steered},
      {.description = "SSDP behind forty bytes of IPv4 options is steered",
       .frame = PacketBuilder().ip4(kFar, kNear, {.options = Bytes(40, 1)}).udp(9, 1900),
       .outcome = Outcome::socket_steered},
      {.description = "SSDP behind eight extension headers is steered",
       .frame = extensions(8).udp(9, 1900),
       .outcome = Outcome::socket_steered},
      {.description = "nine extension headers are one more than is parsed",
       .frame = extensions(9).udp(9, 1900),
       .outcome = Outcome::peer_too_deep},
      {.description = "a first fragment has its ports, and is steered",
       .frame = PacketBuilder().ip4(kFar, kNear, {.more_fragments = true}).udp(9, 1900),
       .outcome = Outcome::socket_steered},

      // Fragments after the first
      {.description = "a later fragment passes",
       .frame = later_fragment(),
       .outcome = Outcome::peer_fragment},
      {.description = "a later UDP fragment drops where fragments are to drop",
       .frame = later_fragment(),
       .outcome = Outcome::drop_fragment,
       .configure = drop_fragments},
      {.description = "a later TCP fragment passes even then",
       .frame = PacketBuilder().ip4(kFar, kNear, {.fragment_offset = 185}).protocol(6),
       .outcome = Outcome::peer_fragment,
       .configure = drop_fragments},
      {.description = "a later IPv6 fragment of UDP drops likewise",
       .frame = PacketBuilder().ip6(kFar6, kNear6).fragment6(185, false).payload("rest"),
       .outcome = Outcome::drop_fragment,
       .configure = drop_fragments},

      // Broken frames
      {.description = "a UDP length beyond the IP datagram is a contradiction",
       .frame = udp(9, 1900).payload("abcd").patch(4, {0, 13}),
       .outcome = Outcome::peer_malformed},
      {.description = "an IPv4 header shorter than 20 bytes is a contradiction",
       .frame = udp(9, 1900).patch(-20, {0x44}),
       .outcome = Outcome::peer_malformed},
      {.description = "IP that claims more than its PPPoE session carries is a contradiction",
       .frame = PacketBuilder().pppoe().ip4(kFar, kNear).udp(9, 1900).patch(-24, {0, 20}),
       .outcome = Outcome::peer_malformed},

      // Blocks
      {.description = "SSDP from a source that is blocked for SSDP drops",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "so does its reply on other ports",
       .frame = udp(38'000, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "its DNS passes",
       .frame = udp(53, 40'000),
       .outcome = Outcome::peer_not_steered,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "its later UDP fragments pass: they may be of any protocol",
       .frame = later_fragment(),
       .outcome = Outcome::peer_fragment,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "where it is wanted, its later UDP fragments drop with the rest",
       .frame = later_fragment(),
       .outcome = Outcome::drop_block_fragment,
       .configure = blocked_fragments,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "and so do those of its network",
       .frame = later_fragment(),
       .outcome = Outcome::drop_block_fragment,
       .configure = blocked_fragments,
       .networks = {"203.0.113.0"}},
      {.description = "its later TCP fragments pass",
       .frame = PacketBuilder().ip4(kFar, kNear, {.fragment_offset = 185}).protocol(6),
       .outcome = Outcome::peer_fragment,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}}},
      {.description = "a block holds for its source, not for its neighbour",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::socket_steered,
       .blocks = {{"203.0.113.8", WEIR_SCOPE_ssdp}}},
      {.description = "a block holds for a source, not for a destination",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::socket_steered,
       .blocks = {{kNear, WEIR_SCOPE_all}}},
      {.description = "an IPv6 source is blocked as well",
       .frame = PacketBuilder().ip6(kFar6, kNear6).udp(1900, 9),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kFar6, WEIR_SCOPE_ssdp}}},
      {.description = "an IPv4-mapped IPv6 source is blocked as the IPv6 address that it is",
       .frame = PacketBuilder().ip6(kMapped, kNear6).udp(1900, 9),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kMapped, WEIR_SCOPE_ssdp}}},
      {.description = "its block is not the IPv4 host's",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::socket_steered,
       .blocks = {{kMapped, WEIR_SCOPE_all}}},
      {.description = "nor the IPv4 host's block its",
       .frame = PacketBuilder().ip6(kMapped, kNear6).udp(1900, 9),
       .outcome = Outcome::socket_steered,
       .blocks = {{kFar, WEIR_SCOPE_all}}},
      {.description = "and allowing the IPv4 host does not allow it",
       .frame = PacketBuilder().ip6(kMapped, kNear6).udp(1900, 9),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kMapped, WEIR_SCOPE_ssdp}},
       .allowed = {"203.0.113.0/24"}},
      {.description = "scope all drops TCP too",
       .frame = PacketBuilder().ip4(kFar, kNear).tcp(50'000, 443),
       .outcome = Outcome::drop_block_all,
       .blocks = {{kFar, WEIR_SCOPE_all}}},
      {.description = "scope all drops what is malformed behind its addresses",
       .frame = udp(9, 10).patch(4, {0, 7}),
       .outcome = Outcome::drop_block_all,
       .blocks = {{kFar, WEIR_SCOPE_all}}},
      {.description = "scope all drops behind PPPoE too",
       .frame = PacketBuilder().pppoe().ip6(kFar6, kNear6).icmp(),
       .outcome = Outcome::drop_block_all,
       .blocks = {{kFar6, WEIR_SCOPE_all}}},
      {.description = "ARP has no source address that a block could hold for",
       .frame = PacketBuilder().type(0x0806).payload(Bytes(28)),
       .outcome = Outcome::peer_not_ip,
       .blocks = {{kFar, WEIR_SCOPE_all}}},
      {.description = "an expired block does nothing",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::socket_steered,
       .expired = {kFar}},
      {.description = "an allowed source is not dropped, blocked or not",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::socket_steered,
       .blocks = {{kFar, WEIR_SCOPE_all}},
       .allowed = {"203.0.113.0/24"}},
      {.description = "an allowed prefix covers no other",
       .frame = udp(1900, 40'000),
       .outcome = Outcome::drop_block_all,
       .blocks = {{kFar, WEIR_SCOPE_all}},
       .allowed = {"203.0.114.0/24", "2001:db8::/32"}},
      {.description = "blocks come before the fragments' configuration",
       .frame = later_fragment(),
       .outcome = Outcome::drop_block_all,
       .configure = drop_fragments,
       .blocks = {{kFar, WEIR_SCOPE_all}}},

      // Networks and victims
      {.description = "SSDP from a blocked /24 drops",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_network,
       .networks = {"203.0.113.0"}},
      {.description = "and nothing else of it",
       .frame = udp(53, 40'000),
       .outcome = Outcome::peer_not_steered,
       .networks = {"203.0.113.0"}},
      {.description = "the next /24 passes",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered,
       .networks = {"203.0.112.0"}},
      {.description = "a source's own block is named before its network's",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}},
       .networks = {"203.0.113.0"}},
      {.description = "a network of IPv6 is a /64",
       .frame = PacketBuilder().ip6("2001:db8:0:1::77", kNear6).udp(1900, 9),
       .outcome = Outcome::drop_block_network,
       .networks = {"2001:db8:0:1::"}},
      {.description = "an allowed source of a blocked network is not dropped",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered,
       .allowed = {std::string(kFar) + "/32"},
       .networks = {"203.0.113.0"}},
      {.description = "SSDP to a victim drops, whoever sends it",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_victim,
       .victims = {kNear}},
      {.description = "and from any port",
       .frame = udp(38'000, 40'000).payload(kReply),
       .outcome = Outcome::drop_block_victim,
       .victims = {kNear}},
      {.description = "but not to a port that the victim searched from",
       .frame = udp(1900, 50'000).payload(kReply),
       .outcome = Outcome::socket_steered,
       .victims = {kNear}},
      {.description = "what is no SSDP goes on to be judged, for it may be a flow of the victim",
       .frame = udp(443, 1900).payload("\xc3\x01"),
       .outcome = Outcome::socket_steered,
       .victims = {kNear}},
      {.description = "a victim's block holds for a destination, not for a source",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered,
       .victims = {kFar}},
      {.description = "an allowed source may talk to a victim",
       .frame = udp(1900, 40'000).payload(kReply),
       .outcome = Outcome::socket_steered,
       .allowed = {"203.0.113.0/24"},
       .victims = {kNear}},
      {.description = "an IPv6 victim",
       .frame = PacketBuilder().ip6(kFar6, kNear6).udp(1900, 9).payload(kReply),
       .outcome = Outcome::drop_block_victim,
       .victims = {kNear6}},

      // Sockets and their channel
      {.description = "without a socket, fail open passes",
       .frame = udp(9, 1900),
       .outcome = Outcome::peer_no_socket,
       .socket = false},
      {.description = "without a socket, fail closed drops",
       .frame = udp(9, 1900),
       .outcome = Outcome::drop_no_socket,
       .configure = closed,
       .socket = false},
      {.description = "with a stalled channel, fail open passes",
       .frame = udp(9, 1900),
       .outcome = Outcome::peer_stalled,
       .beating = false},
      {.description = "with a stalled channel, fail closed drops",
       .frame = udp(9, 1900),
       .outcome = Outcome::drop_stalled,
       .configure = closed,
       .beating = false},
      {.description = "fail closed drops nothing but what is steered",
       .frame = udp(53, 40'000),
       .outcome = Outcome::peer_not_steered,
       .configure = closed,
       .socket = false},
      {.description = "a block drops whether there is a socket or not",
       .frame = udp(9, 1900),
       .outcome = Outcome::drop_block_ssdp,
       .blocks = {{kFar, WEIR_SCOPE_ssdp}},
       .socket = false},
  };
}

datapath::Config config_of(const Case& given) {
  datapath::Config config;
  config.blocks_max = 16;  // the kernel allocates them all at each load
  if (given.configure != nullptr) given.configure(config);
  return config;
}

void fill(datapath::Datapath& datapath, const Case& given) {
  std::vector<datapath::Block> blocks;
  for (const auto& [source, scope] : given.blocks) {
    blocks.push_back({address(source), {}});
    blocks.back().value.scope = scope;
  }
  for (const std::string& source : given.expired) {
    blocks.push_back({address(source), {}});
    blocks.back().value.scope = WEIR_SCOPE_all;
    blocks.back().value.expires_ns = 1;
  }
  for (const std::string& network : given.networks)
    blocks.push_back({address(network), {}, WEIR_TARGET_network});
  for (const std::string& victim : given.victims) {
    blocks.push_back({address(victim), {}, WEIR_TARGET_victim});
    blocks.back().value.open_ports[3] = 50'000;
  }
  const auto added = datapath.add_blocks(blocks);
  WEIR_CHECK(blocks.empty() || (added && *added == blocks.size()));
  for (const std::string& prefix : given.allowed)
    WEIR_CHECK(datapath.add_allow(*Prefix::parse(prefix)).has_value());
}

}  // namespace weir::test
