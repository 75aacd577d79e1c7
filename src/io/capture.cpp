// SPDX-License-Identifier: BSD-2-Clause
#include "io/capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/capture_reader.h"
#include "io/unpack.h"

namespace weir::io {
namespace detail {

void Reader::reframe(CapturedPacket& packet, Framing framing) {
  const Network network = network_of(packet.bytes, framing);
  packet.bytes = reframed_.add(packet.bytes.subspan(network.header_bytes), network.ethertype);
  const std::uint64_t original =
      std::uint64_t{packet.original_length} - network.header_bytes + kEthernetHeader_bytes;
  packet.original_length =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(original, UINT32_MAX));
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
    Magic{{'B', 'Z', 'h', 0}, 3, "is compressed by bzip2"},
    Magic{{0xfd, '7', 'z', 'X'}, 4, "is compressed by xz"},
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

namespace {

/// Unpacks `file` first where it is compressed: into `unpacked`, which the reader is to keep.
Result<std::unique_ptr<detail::Reader>> open_packed(std::span<const std::uint8_t> file,
                                                    const std::string& name,
                                                    detail::Mapping& unpacked) {
  if (const auto packing = detail::packing_of(file); packing != detail::Packing::none) {
    auto mapping = detail::unpack(file, packing);
    if (!mapping) return fail(fmt::format("capture '{}' {}", name, mapping.error().message));
    unpacked = std::move(*mapping);
    file = unpacked.bytes();
  }
  return detail::tried(detail::open_any(file, name));
}

}  // namespace

Result<std::unique_ptr<CaptureReader>> CaptureReader::open(const std::string& path) {
  WEIR_ASSIGN(detail::Mapping mapping, detail::Mapping::of_file(path));
  detail::Mapping unpacked;
  WEIR_ASSIGN(auto reader, open_packed(mapping.bytes(), path, unpacked));
  reader->keep(std::move(unpacked.bytes().empty() ? mapping : unpacked));
  return reader;
}

Result<std::unique_ptr<CaptureReader>> CaptureReader::over(std::span<const std::uint8_t> bytes,
                                                           const std::string& name) {
  detail::Mapping unpacked;
  WEIR_ASSIGN(auto reader, open_packed(bytes, name, unpacked));
  reader->keep(std::move(unpacked));
  return reader;
}

}  // namespace weir::io
