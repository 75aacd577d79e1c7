// SPDX-License-Identifier: BSD-2-Clause
#include "io/capture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "io/capture_reader.h"

namespace weir::io {
namespace detail {

namespace {

struct LinkType {
  std::uint32_t number;
  const char* name;
};

/// What captures of a network that carries SSDP may come as (tcpdump.org, "Link-layer header
/// types"), so that a refusal can name what it found.
constexpr std::array kOtherLinks = {
    LinkType{0, "BSD loopback"},
    LinkType{6, "Token Ring"},
    LinkType{8, "SLIP"},
    LinkType{9, "PPP"},
    LinkType{10, "FDDI"},
    LinkType{50, "PPP in HDLC"},
    LinkType{51, "PPPoE"},
    LinkType{104, "Cisco HDLC"},
    LinkType{105, "IEEE 802.11"},
    LinkType{107, "Frame Relay"},
    LinkType{108, "OpenBSD loopback"},
    LinkType{113, "Linux cooked"},
    LinkType{117, "OpenBSD pflog"},
    LinkType{119, "802.11 with Prism header"},
    LinkType{127, "802.11 with radiotap header"},
    LinkType{163, "802.11 with AVS header"},
    LinkType{187, "Bluetooth HCI"},
    LinkType{189, "USB, Linux header"},
    LinkType{192, "PPI"},
    LinkType{195, "IEEE 802.15.4"},
    LinkType{201, "Bluetooth HCI with direction"},
    LinkType{220, "USB, Linux header, padded"},
    LinkType{227, "CAN"},
    LinkType{239, "Linux netfilter log"},
    LinkType{249, "USBPcap"},
    LinkType{253, "Linux netlink"},
    LinkType{274, "Ethernet with mPackets"},
    LinkType{276, "Linux cooked, version 2"},
};

constexpr std::size_t kEthernetHeader_bytes = 14;
/// 1 MiB: one allocation for some thousand packets; smaller means more of them, larger more waste
/// in small captures.
constexpr std::size_t kReframedBlock_bytes = 1U << 20U;

std::uint16_t ethertype(std::span<const std::uint8_t> packet, Framing framing) noexcept {
  constexpr std::uint16_t kIp4 = 0x0800;
  constexpr std::uint16_t kIp6 = 0x86dd;
  if (framing == Framing::raw_ip4) return kIp4;
  if (framing == Framing::raw_ip6) return kIp6;
  switch (packet.empty() ? 0U : packet[0] >> 4U) {
    case 4:
      return kIp4;
    case 6:
      return kIp6;
    default:
      return 0xffff;  // reserved (RFC 9542, B.1): what it is, nobody knows
  }
}

}  // namespace

std::optional<Framing> framing_of(std::uint32_t link_type) noexcept {
  switch (link_type) {
    case 1:
      return Framing::ethernet;
    case 12:  // DLT_RAW, as libpcap wrote it before link types had numbers of their own
    case 101:
      return Framing::raw_ip;
    case 228:
      return Framing::raw_ip4;
    case 229:
      return Framing::raw_ip6;
    default:
      return std::nullopt;
  }
}

std::string link_refused(std::uint32_t link_type) {
  const auto* const known =
      std::find_if(kOtherLinks.begin(), kOtherLinks.end(),
                   [&](const LinkType& link) { return link.number == link_type; });
  return fmt::format(
      "link type {} ({}): Ethernet (1) or raw IP (101, 228, 229) is expected; capture on an "
      "Ethernet interface by its name",
      link_type, known == kOtherLinks.end() ? "unknown to weir" : known->name);
}

Result<Mapping> Mapping::of(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail_errno(fmt::format("capture '{}' cannot be opened", path), errno);
  struct stat status {};
  Mapping mapping;
  Status result;
  if (fstat(fd, &status) != 0) {
    result = fail_errno(fmt::format("capture '{}' cannot be read", path), errno);
  } else if (!S_ISREG(status.st_mode)) {
    result = fail(fmt::format(
        "capture '{}' is no regular file: it must be mapped; write it to a file first", path));
  } else if (status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* const at = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED) {
      result = fail_errno(fmt::format("capture '{}' cannot be mapped", path), errno);
    } else {
      // Read ahead, and let go behind: the advice may be refused, and nothing depends on it.
      madvise(at, size, MADV_SEQUENTIAL);
      mapping.bytes_ = {static_cast<std::uint8_t*>(at), size};
    }
  }
  ::close(fd);
  if (!result) return tl::unexpected<Error>(std::move(result).error());
  return mapping;
}

Mapping::~Mapping() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

std::span<const std::uint8_t> Reframed::add(std::span<const std::uint8_t> packet, Framing framing) {
  // The last block has at least room for the largest packet, or there is none.
  const std::size_t size = kEthernetHeader_bytes + packet.size();
  if (blocks_.empty() || kReframedBlock_bytes - used_ < size) {
    blocks_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(kReframedBlock_bytes));
    used_ = 0;
  }
  std::uint8_t* const at = blocks_.back().get() + used_;
  // Locally administered addresses; from 02:..:01 to 02:..:02.
  constexpr std::array<std::uint8_t, 12> kAddresses = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
  std::copy(kAddresses.begin(), kAddresses.end(), at);
  const std::uint16_t type = ethertype(packet, framing);
  at[12] = static_cast<std::uint8_t>(type >> 8U);
  at[13] = static_cast<std::uint8_t>(type & 0xffU);
  std::copy(packet.begin(), packet.end(), at + kEthernetHeader_bytes);
  used_ += size;
  return {at, size};
}

void Reframed::clear() noexcept {
  blocks_.clear();
  used_ = 0;
}

void Reader::reframe(CapturedPacket& packet, Framing framing) {
  static_assert(kPacketMax_bytes + kEthernetHeader_bytes <= kReframedBlock_bytes);
  packet.bytes = reframed_.add(packet.bytes, framing);
  constexpr std::uint32_t kMost = UINT32_MAX - kEthernetHeader_bytes;
  packet.original_length = std::min(packet.original_length, kMost) + kEthernetHeader_bytes;
}

Step Reader::fail_with(std::string what) {
  error_.message = fmt::format("capture '{}' {}", name_, what);
  return state_ = Step::error;
}

Step Reader::cut_off(std::uint64_t needed) {
  return fail_with(
      fmt::format("is cut off in packet {}: {} bytes are expected from offset {} on, and the file "
                  "ends at {}; copy or capture it again",
                  packets_ + 1, needed, offset_, file_.size()));
}

Step Reader::damaged(const std::string& what) {
  return fail_with(fmt::format("is damaged at packet {} (offset {}): {}; copy or capture it again",
                               packets_ + 1, offset_, what));
}

namespace {

/// What starts like this is a capture or a compressed file, but none that weir reads.
struct Magic {
  std::array<std::uint8_t, 4> bytes;
  std::size_t length;
  const char* found;
};

constexpr std::array kRefused = {
    Magic{{0x34, 0xcd, 0xb2, 0xa1}, 4, "is in 'modified' pcap format (Kuznetzov's)"},
    Magic{{0xa1, 0xb2, 0xcd, 0x34}, 4, "is in 'modified' pcap format (Kuznetzov's)"},
    Magic{{0x4d, 0x3c, 0x2b, 0xa1}, 4, "is in Navtel's pcap format"},
    Magic{{0xa1, 0x2b, 0x3c, 0x4d}, 4, "is in Navtel's pcap format"},
    Magic{{0xac, 0x01, 0x00, 0x1c}, 4, "is in IXIA's pcap format"},
    Magic{{0x1c, 0x00, 0x01, 0xac}, 4, "is in IXIA's pcap format"},
    Magic{{0xab, 0x01, 0x00, 0x1c}, 4, "is in IXIA's pcap format"},
    Magic{{0x1c, 0x00, 0x01, 0xab}, 4, "is in IXIA's pcap format"},
    Magic{{'s', 'n', 'o', 'o'}, 4, "is in snoop format"},
    Magic{{'G', 'M', 'B', 'U'}, 4, "is in Network Monitor format"},
    Magic{{'R', 'T', 'S', 'S'}, 4, "is in Network Monitor format"},
    Magic{{0x1f, 0x8b, 0, 0}, 2, "is compressed by gzip"},
    Magic{{'B', 'Z', 'h', 0}, 3, "is compressed by bzip2"},
    Magic{{0xfd, '7', 'z', 'X'}, 4, "is compressed by xz"},
    Magic{{0x28, 0xb5, 0x2f, 0xfd}, 4, "is compressed by zstd"},
    Magic{{0x04, 0x22, 0x4d, 0x18}, 4, "is compressed by lz4"},
    Magic{{'P', 'K', 0x03, 0x04}, 4, "is a zip archive"},
};

std::string not_a_capture(std::span<const std::uint8_t> file) {
  for (const Magic& magic : kRefused) {
    if (file.size() < magic.length ||
        !std::equal(magic.bytes.begin(), magic.bytes.begin() + magic.length, file.begin())) {
      continue;
    }
    const std::string_view found = magic.found;
    const bool packed = found.find("format") == std::string_view::npos;
    return fmt::format("{}: classic pcap or pcapng is expected; {}", found,
                       packed ? "unpack it first" : "convert it with 'editcap -F pcapng'");
  }
  if (file.size() < 4) {
    return fmt::format("is no capture: it has {} bytes; classic pcap or pcapng is expected",
                       file.size());
  }
  return fmt::format(
      "is no capture: it starts with {:02x} {:02x} {:02x} {:02x}; classic pcap or pcapng is "
      "expected",
      file[0], file[1], file[2], file[3]);
}

Result<std::unique_ptr<Reader>> open_any(std::span<const std::uint8_t> file,
                                         const std::string& name) {
  std::uint32_t magic = 0;
  if (file.size() >= sizeof magic) std::memcpy(&magic, file.data(), sizeof magic);
  switch (magic) {
    case 0xa1b2c3d4:  // us
    case 0xd4c3b2a1:
    case 0xa1b23c4d:  // ns
    case 0x4d3cb2a1:
      return open_pcap(file, name);
    case 0x0a0d0d0a:  // the same in both byte orders
      return open_pcapng(file, name);
    default:
      return fail(fmt::format("capture '{}' {}", name, not_a_capture(file)));
  }
}

/// Takes the first step, so that `open` reports what is wrong from the start.
Result<std::unique_ptr<Reader>> tried(Result<std::unique_ptr<Reader>> opened) {
  if (!opened) return opened;
  CapturedPacket first;
  const Step step = (*opened)->next(first);
  if (step == Step::error) return fail((*opened)->error().message);
  if (step == Step::packet) (*opened)->rewind();
  return opened;
}

}  // namespace
}  // namespace detail

Result<std::unique_ptr<CaptureReader>> CaptureReader::open(const std::string& path) {
  WEIR_ASSIGN(detail::Mapping mapping, detail::Mapping::of(path));
  WEIR_ASSIGN(auto reader, detail::tried(detail::open_any(mapping.bytes(), path)));
  reader->keep(std::move(mapping));
  return reader;
}

Result<std::unique_ptr<CaptureReader>> CaptureReader::over(std::span<const std::uint8_t> bytes,
                                                           const std::string& name) {
  WEIR_ASSIGN(auto reader, detail::tried(detail::open_any(bytes, name)));
  return reader;
}

}  // namespace weir::io
