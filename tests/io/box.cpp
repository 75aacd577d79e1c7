// SPDX-License-Identifier: BSD-2-Clause
#include "box.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/result.h"

namespace weir::io::test {

namespace {

constexpr std::size_t kNumberAt = 14;
/// Of each of the tests' frames, as PacketBuilder has them; the stack's own are others.
constexpr std::uint8_t kAddresses[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
/// IEEE 802, local experimental: nobody answers.
constexpr std::uint16_t kOurs = 0x88b5;

int bpf(int command, bpf_attr& attr) {
  return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr));
}

}  // namespace

std::vector<std::uint8_t> frame_of(std::size_t size, std::uint64_t number) {
  WEIR_CHECK(size >= kNumberAt + sizeof number);
  std::vector<std::uint8_t> frame(size);
  for (std::size_t i = 0; i < size; ++i) frame[i] = static_cast<std::uint8_t>(number * 7 + i);
  std::memcpy(frame.data(), kAddresses, sizeof kAddresses);
  frame[12] = kOurs >> 8U;
  frame[13] = kOurs & 0xffU;
  std::memcpy(frame.data() + kNumberAt, &number, sizeof number);
  return frame;
}

std::uint64_t number_of(std::span<const std::uint8_t> frame) {
  std::uint64_t number = 0;
  WEIR_CHECK(frame.size() >= kNumberAt + sizeof number);
  std::memcpy(&number, frame.data() + kNumberAt, sizeof number);
  return number;
}

PacketSocket::PacketSocket(const weir::test::Namespace& where, const char* interface) {
  const weir::test::Inside inside(where);
  fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  WEIR_CHECK(fd_ >= 0);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  WEIR_CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  // Frames come in whatever their address, and none of ours comes back.
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = address.sll_ifindex;
  promiscuous.mr_type = PACKET_MR_PROMISC;
  const int on = 1;
  const int room = 64 << 20U;
  WEIR_CHECK(setsockopt(fd_, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) ==
             0);
  WEIR_CHECK(setsockopt(fd_, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) == 0);
  WEIR_CHECK(setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) == 0);
}

PacketSocket::~PacketSocket() { close(fd_); }

void PacketSocket::send(std::span<const std::uint8_t> frame) const {
  while (::send(fd_, frame.data(), frame.size(), 0) < 0) {
    WEIR_CHECK(errno == ENOBUFS || errno == EAGAIN || errno == EINTR);
  }
}

void PacketSocket::send(const std::vector<std::vector<std::uint8_t>>& frames) const {
  std::vector<iovec> parts(frames.size());
  std::vector<mmsghdr> messages(frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    parts[i] = {const_cast<std::uint8_t*>(frames[i].data()), frames[i].size()};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (std::size_t done = 0; done < messages.size();) {
    const int n = sendmmsg(fd_, &messages[done], static_cast<unsigned>(messages.size() - done), 0);
    WEIR_CHECK(n >= 0 || errno == ENOBUFS || errno == EAGAIN || errno == EINTR);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
}

std::optional<std::vector<std::uint8_t>> PacketSocket::receive() const {
  std::vector<std::uint8_t> frame(9000);
  for (;;) {
    const ssize_t n = recv(fd_, frame.data(), frame.size(), MSG_DONTWAIT);
    if (n < 0) {
      WEIR_CHECK(errno == EAGAIN || errno == EINTR);
      return std::nullopt;
    }
    if (n < ETH_HLEN || std::memcmp(frame.data(), kAddresses, sizeof kAddresses) != 0) continue;
    frame.resize(static_cast<std::size_t>(n));
    return frame;
  }
}

Redirect::Redirect(const weir::test::Namespace& where, const char* interface) {
  const weir::test::Inside inside(where);
  bpf_attr attr{};
  attr.map_type = BPF_MAP_TYPE_XSKMAP;
  attr.key_size = 4;
  attr.value_size = 4;
  attr.max_entries = 8;
  map_ = bpf(BPF_MAP_CREATE, attr);
  WEIR_CHECK(map_ >= 0);

  constexpr std::uint8_t kLoadWord = BPF_LDX | BPF_MEM | BPF_W;
  constexpr std::uint8_t kMove = BPF_ALU64 | BPF_MOV | BPF_K;
  const bpf_insn program[] = {
      {kLoadWord, BPF_REG_2, BPF_REG_1, offsetof(xdp_md, rx_queue_index), 0},
      {BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_},
      {0, 0, 0, 0, 0},  // upper half of the map's pointer
      {kMove, BPF_REG_3, 0, 0, XDP_PASS},
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  attr = {};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = reinterpret_cast<std::uintptr_t>(program);
  attr.insn_cnt = std::size(program);
  attr.license = reinterpret_cast<std::uintptr_t>("Dual BSD/GPL");
  program_ = bpf(BPF_PROG_LOAD, attr);
  WEIR_CHECK(program_ >= 0);

  attr = {};
  attr.link_create.prog_fd = static_cast<std::uint32_t>(program_);
  attr.link_create.target_ifindex = if_nametoindex(interface);
  attr.link_create.attach_type = BPF_XDP;
  attr.link_create.flags = 1U << 2U;  // XDP_FLAGS_DRV_MODE
  link_ = bpf(BPF_LINK_CREATE, attr);
  WEIR_CHECK(link_ >= 0);
}

Redirect::~Redirect() {
  close(link_);
  close(program_);
  close(map_);
}

void Redirect::add(std::uint32_t queue, int socket_fd) const {
  bpf_attr attr{};
  attr.map_fd = static_cast<std::uint32_t>(map_);
  attr.key = reinterpret_cast<std::uintptr_t>(&queue);
  attr.value = reinterpret_cast<std::uintptr_t>(&socket_fd);
  WEIR_CHECK(bpf(BPF_MAP_UPDATE_ELEM, attr) == 0);
}

Box::Box(unsigned queues) : wire(queues) {
  ends[index(Side::wan)] = std::make_unique<PacketSocket>(wire.wan, "wan0");
  ends[index(Side::lan)] = std::make_unique<PacketSocket>(wire.lan, "lan0");
  redirects[index(Side::wan)] = std::make_unique<Redirect>(wire.box, "wan");
  redirects[index(Side::lan)] = std::make_unique<Redirect>(wire.box, "lan");
}

std::unique_ptr<Channel> Box::open(const AfXdpConfig& config, std::uint32_t channel,
                                   RedirectTx* redirect) {
  const weir::test::Inside inside(wire.box);
  AfXdpConfig ours = config;
  ours.interfaces = {"wan", "lan"};
  auto opened = open_af_xdp(ours, channel, redirect);
  if (!opened) {
    std::fprintf(stderr, "%s\n", opened.error().message.c_str());
    WEIR_CHECK(opened.has_value());
  }
  for (const Side side : {Side::wan, Side::lan}) {
    redirects[index(side)]->add(channel, (*opened)->socket_fd(side));
  }
  return std::move(*opened);
}

}  // namespace weir::io::test
