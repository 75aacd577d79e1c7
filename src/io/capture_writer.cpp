// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <vector>

#include "base/whole_file.h"
#include "io/capture.h"

namespace weir::io {

namespace {

/// 256 KiB: a system call for some hundred packets. 64 KiB to 1 MiB made no difference that shows.
constexpr std::size_t kBuffer_bytes = 256U << 10U;
constexpr std::uint16_t kEthernet = 1;

/// The buffer, the file behind it, and what a failure comes to, for both formats.
class Writer : public CaptureWriter {
 public:
  explicit Writer(WholeFile output) : output_(std::move(output)) { buffer_.reserve(kBuffer_bytes); }

  Status write(const CapturedPacket& packet) final {
    if (!failure_.message.empty()) return tl::unexpected<Error>(failure_);
    if (closed_) return fail(fmt::format("capture '{}' is closed already", output_.path()));
    if (packet.bytes.size() > kPacketMax_bytes) {
      return give_up(fmt::format("packet {} has {} bytes, and at most {} fit", packets_ + 1,
                                 packet.bytes.size(), kPacketMax_bytes));
    }
    WEIR_TRY(append(packet));
    ++packets_;
    return {};
  }

  Status close() final {
    if (!failure_.message.empty()) return tl::unexpected<Error>(failure_);
    if (closed_) return {};
    WEIR_TRY(flush());
    if (const int error = output_.finish(); error != 0) return failed(error);
    closed_ = true;
    return {};
  }

  /// The file's header: before the first packet.
  virtual Status start(std::span<const std::string> interfaces) = 0;

 protected:
  virtual Status append(const CapturedPacket& packet) = 0;

  /// Low byte first on every machine: the same packets give the same file.
  template <typename T>
  void put(T value) {
    std::array<std::uint8_t, sizeof value> bytes;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  }
  void put(const void* data, std::size_t size) {
    const auto* const p = static_cast<const std::uint8_t*>(data);
    buffer_.insert(buffer_.end(), p, p + size);
  }
  /// Zeros up to the next multiple of 4.
  void pad(std::size_t size) { buffer_.insert(buffer_.end(), (4 - size % 4) % 4, 0); }

  /// Makes room for `size` bytes, or for as many as the buffer has.
  Status room(std::size_t size) {
    return buffer_.size() + size > kBuffer_bytes ? flush() : Status{};
  }

  /// Drops the file: a capture is whole or it is not there.
  Status give_up(const std::string& why) {
    output_.discard();
    failure_.message = fmt::format("capture '{}' cannot be written: {}", output_.path(), why);
    return tl::unexpected<Error>(failure_);
  }
  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }

 private:
  Status failed(int error) {
    const char* const remedy = error == ENOSPC || error == EDQUOT || error == EFBIG
                                   ? "; make room there, or write to another place"
                                   : "";
    return give_up(fmt::format("{} after {} packets{}", std::strerror(error), packets_, remedy));
  }
  Status flush() {
    const int error = output_.write(buffer_.data(), buffer_.size());
    buffer_.clear();
    return error == 0 ? Status{} : failed(error);
  }

  WholeFile output_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t packets_ = 0;
  Error failure_;
  bool closed_ = false;
};

class PcapWriter final : public Writer {
 public:
  using Writer::Writer;
  Status start(std::span<const std::string> /*interfaces*/) override {
    put(std::uint32_t{0xa1b23c4d});  // ns
    put(std::uint16_t{2});
    put(std::uint16_t{4});
    put(std::uint64_t{0});  // time zone and accuracy, which nobody uses
    put(kPacketMax_bytes);
    put(std::uint32_t{kEthernet});
    return {};
  }

 protected:
  Status append(const CapturedPacket& packet) override {
    const std::uint64_t seconds = packet.time.ns / 1'000'000'000U;
    if (seconds > UINT32_MAX) {
      return give_up(fmt::format(
          "packet {} is of a time after 2106, which classic pcap cannot hold; write pcapng",
          packets() + 1));
    }
    const auto size = static_cast<std::uint32_t>(packet.bytes.size());
    WEIR_TRY(room(16 + size));
    put(static_cast<std::uint32_t>(seconds));
    put(static_cast<std::uint32_t>(packet.time.ns % 1'000'000'000U));
    put(size);
    put(std::max(size, packet.original_length));
    put(packet.bytes.data(), size);
    return {};
  }
};

class PcapngWriter final : public Writer {
 public:
  using Writer::Writer;
  Status start(std::span<const std::string> interfaces) override {
    put(std::uint32_t{0x0a0d0d0a});
    put(std::uint32_t{28});
    put(std::uint32_t{0x1a2b3c4d});
    put(std::uint16_t{1});
    put(std::uint16_t{0});
    put(~std::uint64_t{0});  // the section's length is not given
    put(std::uint32_t{28});
    const std::string nameless;
    if (interfaces.empty()) interfaces = {&nameless, 1};
    interfaces_ = interfaces.size();
    for (const std::string& name : interfaces) {
      if (name.size() > kText_bytes) return give_up("the name of an interface is too long");
      const std::size_t named = name.empty() ? 0 : 4 + padded(name.size());
      const auto length = static_cast<std::uint32_t>(20 + named + 8 + 4);
      WEIR_TRY(room(length));
      put(std::uint32_t{1});
      put(length);
      put(kEthernet);
      put(std::uint16_t{0});
      put(kPacketMax_bytes);
      if (!name.empty()) option(2, name);
      option(9, "\x09");  // if_tsresol: ns
      put(std::uint32_t{0});
      put(length);
    }
    return {};
  }

 protected:
  Status append(const CapturedPacket& packet) override {
    if (packet.interface >= interfaces_) {
      return give_up(fmt::format("packet {} is of interface {}, and there are {}", packets() + 1,
                                 packet.interface, interfaces_));
    }
    if (packet.comment.size() > kText_bytes) {
      return give_up(fmt::format("the comment of packet {} has {} bytes, and at most {} fit",
                                 packets() + 1, packet.comment.size(), kText_bytes));
    }
    const auto size = static_cast<std::uint32_t>(packet.bytes.size());
    const std::size_t commented =
        packet.comment.empty() ? 0 : 4 + padded(packet.comment.size()) + 4;
    const auto length = static_cast<std::uint32_t>(32 + padded(size) + commented);
    WEIR_TRY(room(length));
    put(std::uint32_t{6});
    put(length);
    put(packet.interface);
    put(static_cast<std::uint32_t>(packet.time.ns >> 32U));
    put(static_cast<std::uint32_t>(packet.time.ns));
    put(size);
    put(std::max(size, packet.original_length));
    put(packet.bytes.data(), size);
    pad(size);
    if (!packet.comment.empty()) {
      option(1, packet.comment);
      put(std::uint32_t{0});
    }
    put(length);
    return {};
  }

 private:
  static constexpr std::size_t kText_bytes = UINT16_MAX;
  static constexpr std::size_t padded(std::size_t size) noexcept {
    return (size + 3) & ~std::size_t{3};
  }
  void option(std::uint16_t code, std::string_view value) {
    put(code);
    put(static_cast<std::uint16_t>(value.size()));
    put(value.data(), value.size());
    pad(value.size());
  }

  std::size_t interfaces_ = 0;
};

}  // namespace

Result<std::unique_ptr<CaptureWriter>> CaptureWriter::create(
    const std::string& path, CaptureFormat format, std::span<const std::string> interfaces) {
  auto output = WholeFile::create(path);
  if (!output)
    return fail_errno(fmt::format("capture '{}' cannot be created", path), output.error());
  std::unique_ptr<Writer> writer;
  if (format == CaptureFormat::pcap) {
    writer = std::make_unique<PcapWriter>(std::move(*output));
  } else {
    writer = std::make_unique<PcapngWriter>(std::move(*output));
  }
  WEIR_TRY(writer->start(interfaces));
  return writer;
}

}  // namespace weir::io
