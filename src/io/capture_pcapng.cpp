// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>

#include "io/capture_reader.h"

namespace weir::io::detail {

namespace {

constexpr std::uint32_t kSectionHeader = 0x0a0d0d0a;
constexpr std::uint32_t kInterfaceDescription = 1;
constexpr std::uint32_t kPacket = 2;  // obsolete, still found
constexpr std::uint32_t kSimplePacket = 3;
constexpr std::uint32_t kEnhancedPacket = 6;

constexpr std::size_t kBlockFrame_bytes = 12;  // type, length; length again at the end

/// Ticks of an interface's clock to ns since 1970.
class Clock {
 public:
  /// if_tsresol: a negative power of 10, or of 2 where the top bit is set. Absent: us.
  void resolution(std::uint8_t value) noexcept {
    constexpr unsigned kNsDigits = 9;
    constexpr unsigned kU64Digits = 19;  // 10^19 is the last power of ten in 64 bits
    const unsigned exponent = value & 0x7fU;
    multiply_ = 1;
    divide_ = 1;
    shift_ = 0;
    if ((value & 0x80U) != 0) {
      multiply_ = 1'000'000'000;
      shift_ = exponent;
      return;
    }
    for (unsigned i = exponent; i < kNsDigits; ++i) multiply_ *= 10;
    if (exponent > kNsDigits + kU64Digits) {
      multiply_ = 0;  // all that 64 bits hold is less than a ns
      return;
    }
    for (unsigned i = kNsDigits; i < exponent; ++i) divide_ *= 10;
  }
  void offset(std::int64_t seconds) noexcept { offset_s_ = seconds; }

  /// Saturates at both ends of PacketTime.
  [[nodiscard]] PacketTime time(std::uint64_t ticks) const noexcept {
    if (shift_ == 0 && divide_ == 1 && offset_s_ == 0) [[likely]] {
      std::uint64_t ns = 0;
      return {__builtin_mul_overflow(ticks, multiply_, &ns) ? UINT64_MAX : ns};
    }
    const __int128 ns =
        static_cast<__int128>(((static_cast<unsigned __int128>(ticks) * multiply_) >> shift_) /
                              divide_) +
        static_cast<__int128>(offset_s_) * 1'000'000'000;
    if (ns < 0) return {0};
    return {ns > static_cast<__int128>(UINT64_MAX) ? UINT64_MAX : static_cast<std::uint64_t>(ns)};
  }

 private:
  std::uint64_t multiply_ = 1000;
  std::uint64_t divide_ = 1;
  unsigned shift_ = 0;
  std::int64_t offset_s_ = 0;
};

struct Interface {
  Clock clock;
  std::uint32_t link_type = 0;
  std::uint32_t snap_length = 0;  // 0: no limit
  std::optional<Framing> framing;
  std::string_view name;
};

constexpr std::uint64_t padded(std::uint64_t length) noexcept { return (length + 3) & ~3ULL; }

class PcapngReader final : public Reader {
 public:
  PcapngReader(std::span<const std::uint8_t> file, std::string name) noexcept
      : Reader(file, std::move(name)) {}

  Step next(CapturedPacket& packet) override {
    // Each turn takes a whole block, at least kBlockFrame_bytes: the loop ends.
    while (state_ == Step::packet) {
      std::uint32_t type = 0;
      std::uint32_t length = 0;
      if (open_block(type, length) != Step::packet) break;
      const std::size_t at = offset_;
      bool delivered = false;
      switch (type) {
        case kEnhancedPacket:
        case kPacket:
          delivered = packet_block(packet, type, length);
          break;
        case kSimplePacket:
          delivered = simple_packet_block(packet, length);
          break;
        case kSectionHeader:
          section_header(length);
          break;
        case kInterfaceDescription:
          interface_description(length);
          break;
        default:  // names, statistics, secrets, what is new: not ours
          break;
      }
      if (state_ != Step::packet) break;
      offset_ += length;
      if (!delivered) continue;
      if (packets_ == 1) first_ = {at, section_first_, interfaces_.size(), swapped_};
      return Step::packet;
    }
    return state_;
  }

  /// To the first packet, not to the first byte: the interfaces before it stay known.
  void rewind() noexcept override {
    offset_ = first_.offset;
    fetched_ = 0;
    section_first_ = first_.section_first;
    interfaces_.resize(std::min(first_.interfaces, interfaces_.size()));
    swapped_ = first_.swapped;
    last_time_ = {};
    packets_ = 0;
    state_ = Step::packet;
    reframed_.clear();
  }
  [[nodiscard]] std::size_t interfaces() const noexcept override { return interfaces_.size(); }
  [[nodiscard]] std::string_view interface_name(std::size_t number) const noexcept override {
    return number < interfaces_.size() ? interfaces_[number].name : std::string_view{};
  }

 private:
  /// Where the first packet's block is, and what was known in front of it.
  struct Mark {
    std::size_t offset = 0;
    std::size_t section_first = 0;
    std::size_t interfaces = 0;
    bool swapped = false;
  };

  /// Type and length of the block at `offset_`, all of which is in the file.
  Step open_block(std::uint32_t& type, std::uint32_t& length) {
    if (left() < kBlockFrame_bytes) [[unlikely]] {
      return left() == 0 ? state_ = Step::end : cut_off(kBlockFrame_bytes);
    }
    fetch_ahead();
    type = u32(here());
    if (type == kSectionHeader) [[unlikely]] {
      if (byte_order() != Step::packet) return state_;
    }
    length = u32(here() + 4);
    if (length < kBlockFrame_bytes || length % 4 != 0) [[unlikely]] {
      return damaged(
          fmt::format("a block gives its length as {}: at least {} and a multiple of 4 is expected",
                      length, kBlockFrame_bytes));
    }
    if (length > left()) [[unlikely]]
      return cut_off(length);
    const std::uint32_t again = u32(here() + length - 4);
    if (again != length) [[unlikely]] {
      return damaged(
          fmt::format("a block gives its length as {} and, at its end, as {}", length, again));
    }
    return Step::packet;
  }

  /// A section's byte order must be known before its header's length can be read.
  Step byte_order() {
    std::uint32_t magic = 0;
    std::memcpy(&magic, here() + 8, sizeof magic);
    if (magic != 0x1a2b3c4d && magic != 0x4d3c2b1a) {
      return damaged(fmt::format("a section header's byte-order magic is {:02x}{:02x}{:02x}{:02x}",
                                 here()[11], here()[10], here()[9], here()[8]));
    }
    swapped_ = magic == 0x4d3c2b1a;
    return Step::packet;
  }

  void section_header(std::uint32_t length) {
    constexpr std::uint32_t kLeast = 28;
    if (length < kLeast) {
      damaged(fmt::format("a section header has {} bytes of at least {}", length, kLeast));
      return;
    }
    const unsigned major = u16(here() + 12);
    const unsigned minor = u16(here() + 14);
    if (major != 1) {
      fail_with(fmt::format(
          "has in front of packet {} (offset {}) a section of pcapng version {}.{}: 1.x "
          "is expected; convert it with 'editcap'",
          packets_ + 1, offset_, major, minor));
      return;
    }
    section_first_ = interfaces_.size();
  }

  void interface_description(std::uint32_t length) {
    constexpr std::uint32_t kFixed = 16;  // up to the options
    if (length < kFixed + 4) {
      damaged(
          fmt::format("an interface description has {} bytes of at least {}", length, kFixed + 4));
      return;
    }
    Interface interface;
    interface.link_type = u16(here() + 8);
    interface.snap_length = u32(here() + 12);
    interface.framing = framing_of(interface.link_type);
    const bool whole =
        each_option(kFixed, length - 4, [&](unsigned code, const std::uint8_t* value, unsigned n) {
          constexpr unsigned kName = 2;
          constexpr unsigned kResolution = 9;
          constexpr unsigned kOffset = 14;
          if (code == kName) interface.name = {reinterpret_cast<const char*>(value), n};
          if (code == kResolution && n == 1) interface.clock.resolution(*value);
          if (code == kOffset && n == 8) {
            const std::uint64_t first = u32(value);
            const std::uint64_t second = u32(value + 4);
            interface.clock.offset(static_cast<std::int64_t>(big_endian() ? first << 32U | second
                                                                          : second << 32U | first));
          }
        });
    if (whole) interfaces_.push_back(interface);
  }

  /// An enhanced packet block, or the obsolete packet block, which differs in its first word.
  bool packet_block(CapturedPacket& packet, std::uint32_t type, std::uint32_t length) {
    constexpr std::uint32_t kFixed = 28;  // up to the packet
    const std::uint8_t* const block = here();
    if (length < kFixed + 4) [[unlikely]] {
      damaged(fmt::format("a packet block has {} bytes of at least {}", length, kFixed + 4));
      return false;
    }
    const std::uint32_t number = type == kPacket ? u16(block + 8) : u32(block + 8);
    const std::uint32_t captured = u32(block + 20);
    if (padded(captured) > length - kFixed - 4 || captured > kPacketMax_bytes) [[unlikely]] {
      too_long(captured, length);
      return false;
    }
    const Interface* const interface = described(number);
    if (interface == nullptr) [[unlikely]]
      return false;
    packet.comment = {};
    const auto options = static_cast<std::uint32_t>(kFixed + padded(captured));
    if (options != length - 4) [[unlikely]] {
      std::string_view comment;
      if (!find_comment(options, length - 4, comment)) return false;
      packet.comment = comment;
    }
    last_time_ = interface->clock.time(std::uint64_t{u32(block + 12)} << 32U | u32(block + 16));
    packet.time = last_time_;
    packet.interface = static_cast<std::uint32_t>(section_first_ + number);
    deliver(packet, block + kFixed, captured, u32(block + 24), *interface->framing);
    return true;
  }

  bool simple_packet_block(CapturedPacket& packet, std::uint32_t length) {
    constexpr std::uint32_t kFixed = 12;  // up to the packet
    if (length < kFixed + 4) {
      damaged(fmt::format("a packet block has {} bytes of at least {}", length, kFixed + 4));
      return false;
    }
    const Interface* const interface = described(0);
    if (interface == nullptr) return false;
    const std::uint32_t original = u32(here() + 8);
    const std::uint32_t captured =
        interface->snap_length == 0 ? original : std::min(original, interface->snap_length);
    if (padded(captured) > length - kFixed - 4 || captured > kPacketMax_bytes) {
      too_long(captured, length);
      return false;
    }
    packet.time = last_time_;
    packet.interface = static_cast<std::uint32_t>(section_first_);
    packet.comment = {};
    deliver(packet, here() + kFixed, captured, original, *interface->framing);
    return true;
  }

  /// The interface that a packet names; null, and the capture at its end, where it is none that
  /// weir can read from.
  const Interface* described(std::uint32_t number) {
    const std::size_t in_section = interfaces_.size() - section_first_;
    if (number >= in_section) [[unlikely]] {
      damaged(fmt::format("it is of interface {}, and the section describes {} so far", number,
                          in_section));
      return nullptr;
    }
    const Interface& interface = interfaces_[section_first_ + number];
    if (!interface.framing) [[unlikely]] {
      fail_with(fmt::format("has in packet {} (offset {}), of interface {} ('{}'), {}",
                            packets_ + 1, offset_, number, interface.name,
                            link_refused(interface.link_type)));
      return nullptr;
    }
    return &interface;
  }

  void too_long(std::uint32_t captured, std::uint32_t length) {
    damaged(
        fmt::format("its length is given as {} bytes, in a block of {}; no packet has more than {}",
                    captured, length, kPacketMax_bytes));
  }

  bool find_comment(std::uint32_t from, std::uint32_t to, std::string_view& comment) {
    return each_option(from, to, [&](unsigned code, const std::uint8_t* value, unsigned n) {
      constexpr unsigned kComment = 1;
      if (code == kComment && comment.data() == nullptr) {
        comment = {reinterpret_cast<const char*>(value), n};
      }
    });
  }

  /// Calls `use(code, value, length)` for each option between two offsets in the block. False, and
  /// the capture at its end, where one runs past the block.
  template <typename Use>
  bool each_option(std::uint32_t from, std::uint32_t to, Use use) {
    constexpr std::uint32_t kHeader = 4;
    while (to - from >= kHeader) {
      const std::uint8_t* const option = here() + from;
      const unsigned code = u16(option);
      const unsigned length = u16(option + 2);
      if (code == 0) return true;
      if (padded(length) > to - from - kHeader) {
        damaged(fmt::format("option {} gives its length as {}, and the block has {} bytes left",
                            code, length, to - from - kHeader));
        return false;
      }
      use(code, option + kHeader, length);
      from += kHeader + static_cast<std::uint32_t>(padded(length));
    }
    return true;
  }

  [[nodiscard]] bool big_endian() const noexcept {
    return (std::endian::native == std::endian::big) != swapped_;
  }

  std::vector<Interface> interfaces_;  // of all sections so far
  std::size_t section_first_ = 0;      // where this section's begin
  PacketTime last_time_;
  Mark first_;
};

}  // namespace

Result<std::unique_ptr<Reader>> open_pcapng(std::span<const std::uint8_t> file, std::string name) {
  return std::make_unique<PcapngReader>(file, std::move(name));
}

}  // namespace weir::io::detail
