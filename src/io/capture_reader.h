// SPDX-License-Identifier: BSD-2-Clause
/// What the readers of both capture formats share: the bytes, the place in them, and the way in
/// which a capture ends. Inside of io/capture.h; nobody else includes this.
///
/// Bounds    a reader looks at a byte only after it compared with `left()`; `offset_` only grows.
/// Threads   one owner.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "io/capture.h"
#include "io/link.h"
#include "io/mapping.h"

namespace weir::io::detail {

class Reader : public CaptureReader {
 public:
  Reader(std::span<const std::uint8_t> file, std::string name) noexcept
      : file_(file), name_(std::move(name)) {}
  [[nodiscard]] const Error& error() const noexcept final { return error_; }
  [[nodiscard]] std::uint64_t packets() const noexcept final { return packets_; }
  [[nodiscard]] double fraction() const noexcept final {
    return file_.empty() ? 1 : static_cast<double>(offset_) / static_cast<double>(file_.size());
  }
  void keep(Mapping mapping) noexcept { mapping_ = std::move(mapping); }

 protected:
  [[nodiscard]] std::size_t left() const noexcept { return file_.size() - offset_; }
  [[nodiscard]] const std::uint8_t* here() const noexcept { return file_.data() + offset_; }
  [[nodiscard]] std::uint16_t u16(const std::uint8_t* p) const noexcept {
    std::uint16_t v = 0;
    std::memcpy(&v, p, sizeof v);
    return swapped_ ? __builtin_bswap16(v) : v;
  }
  [[nodiscard]] std::uint32_t u32(const std::uint8_t* p) const noexcept {
    std::uint32_t v = 0;
    std::memcpy(&v, p, sizeof v);
    return swapped_ ? __builtin_bswap32(v) : v;
  }

  /// Fetches what lies ahead: a record says where the next one is, so the processor cannot know, and
  /// the memory is faster at all lines in a row than at one line after the other.
  void fetch_ahead() noexcept {
    constexpr std::size_t kAhead_bytes = 2048;
    if (fetched_ < offset_) [[unlikely]]
      fetched_ = offset_;
    const std::size_t end = std::min(offset_ + kAhead_bytes, file_.size());
    for (; fetched_ < end; fetched_ += kCacheLine_bytes)
      __builtin_prefetch(file_.data() + fetched_);
  }
  /// Ends the capture. `what`: the rest of the sentence that starts with the capture's name.
  Step fail_with(std::string what);
  /// The record or block at `offset_` needs `needed` bytes, and they are not there.
  Step cut_off(std::uint64_t needed);
  /// The record or block at `offset_` says what cannot be.
  Step damaged(const std::string& what);
  /// Fills in bytes and original length, and counts the packet.
  void deliver(CapturedPacket& packet, const std::uint8_t* data, std::uint32_t captured,
               std::uint32_t original, Framing framing) {
    packet.bytes = {data, captured};
    packet.original_length = original < captured ? captured : original;
    if (framing != Framing::ethernet) [[unlikely]]
      reframe(packet, framing);
    ++packets_;
  }

  const std::span<const std::uint8_t> file_;
  const std::string name_;
  std::size_t offset_ = 0;
  std::size_t fetched_ = 0;  // asked for, up to here
  std::uint64_t packets_ = 0;
  bool swapped_ = false;       // the file's byte order is not this machine's
  Step state_ = Step::packet;  // `end` and `error` are kept
  Reframed reframed_;

 private:
  void reframe(CapturedPacket& packet, Framing framing);

  Error error_;
  Mapping mapping_;
};

/// Both want at least the magic number to be there, and check the rest of the file's header.
Result<std::unique_ptr<Reader>> open_pcap(std::span<const std::uint8_t> file, std::string name);
Result<std::unique_ptr<Reader>> open_pcapng(std::span<const std::uint8_t> file, std::string name);

}  // namespace weir::io::detail
