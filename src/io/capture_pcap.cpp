// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/capture_reader.h"

namespace weir::io::detail {

namespace {

constexpr std::size_t kFileHeader_bytes = 24;
constexpr std::size_t kRecordHeader_bytes = 16;

class PcapReader final : public Reader {
 public:
  PcapReader(std::span<const std::uint8_t> file, std::string name) noexcept
      : Reader(file, std::move(name)) {}

  /// Reads the header of a file that begins here.
  Step start() {
    std::uint32_t magic = 0;
    std::memcpy(&magic, here(), sizeof magic);
    swapped_ = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
    fraction_ns_ = magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 ? 1000 : 1;
    if (left() < kFileHeader_bytes) {
      return fail_with(
          fmt::format("is cut off in its header: it has {} of {} bytes; copy or "
                      "capture it again",
                      left(), kFileHeader_bytes));
    }
    const unsigned major = u16(here() + 4);
    const unsigned minor = u16(here() + 6);
    if (major != 2 || minor != 4) {
      return fail_with(fmt::format(
          "is of pcap version {}.{}: 2.4 is expected; convert it with 'editcap'", major, minor));
    }
    // The upper bits tell of a frame check sequence: its bytes are a trailer like any other.
    const std::uint32_t link_type = u32(here() + 20) & 0xffffU;
    const auto framing = framing_of(link_type);
    if (!framing) return fail_with("has " + link_refused(link_type));
    framing_ = *framing;
    offset_ += kFileHeader_bytes;
    return Step::packet;
  }

  Step next(CapturedPacket& packet) override {
    if (state_ != Step::packet) [[unlikely]]
      return state_;
    Record record;
    for (;;) {
      if (left() < kRecordHeader_bytes) [[unlikely]]
        return left() == 0 ? state_ = Step::end : cut_off(kRecordHeader_bytes);
      record = record_here();
      if (record.captured != 0 || !is_file_header()) [[likely]]
        break;
      if (start() != Step::packet) return state_;
    }
    fetch_ahead();
    if (record.captured > left() - kRecordHeader_bytes || record.captured > kPacketMax_bytes)
        [[unlikely]]
      return bad_length(record.captured);
    packet.time = {std::uint64_t{record.seconds} * 1'000'000'000U +
                   std::uint64_t{record.fraction} * fraction_ns_};
    packet.interface = 0;
    packet.comment = {};
    deliver(packet, here() + kRecordHeader_bytes, record.captured, record.original, framing_);
    offset_ += kRecordHeader_bytes + record.captured;
    return Step::packet;
  }

  void rewind() noexcept override {
    offset_ = 0;
    fetched_ = 0;
    packets_ = 0;
    state_ = Step::packet;
    start();  // of the first file, where several stand one behind another
    reframed_.clear();
  }
  [[nodiscard]] std::size_t interfaces() const noexcept override { return 1; }
  [[nodiscard]] std::string_view interface_name(std::size_t /*number*/) const noexcept override {
    return {};
  }

 private:
  struct Record {
    std::uint32_t seconds, fraction, captured, original;
  };
  [[nodiscard]] Record record_here() const noexcept {
    Record r;
    static_assert(sizeof r == kRecordHeader_bytes);
    std::memcpy(&r, here(), sizeof r);
    if (swapped_) [[unlikely]]
      r = {__builtin_bswap32(r.seconds), __builtin_bswap32(r.fraction),
           __builtin_bswap32(r.captured), __builtin_bswap32(r.original)};
    return r;
  }
  /// Another capture begins here, as `cat a.pcap b.pcap` makes one: no record of a packet without a
  /// byte has such a time.
  [[nodiscard, gnu::noinline]] bool is_file_header() const noexcept {
    using Start = std::array<std::uint8_t, 8>;  // magic and version
    constexpr std::array<Start, 4> kStarts{
        Start{0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4}, Start{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0},
        Start{0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4}, Start{0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0}};
    return std::any_of(kStarts.begin(), kStarts.end(), [this](const Start& start) {
      return std::equal(start.begin(), start.end(), here());
    });
  }

  [[gnu::noinline]] Step bad_length(std::uint32_t captured) {
    if (captured <= kPacketMax_bytes) return cut_off(kRecordHeader_bytes + captured);
    return damaged(fmt::format("its length is given as {} bytes, and no packet has more than {}",
                               captured, kPacketMax_bytes));
  }

  std::uint32_t fraction_ns_ = 1;
  Framing framing_ = Framing::ethernet;
};

}  // namespace

Result<std::unique_ptr<Reader>> open_pcap(std::span<const std::uint8_t> file, std::string name) {
  auto reader = std::make_unique<PcapReader>(file, std::move(name));
  if (reader->start() == Step::error) return fail(reader->error().message);
  return reader;
}

}  // namespace weir::io::detail
