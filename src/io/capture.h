// SPDX-License-Identifier: BSD-2-Clause
/// Captures: read by map (classic pcap and pcapng, each in both byte orders, gzip and zstd), and
/// written.
///
/// Reading   the file is mapped and packets point into it: valid while the reader lives. What is
///           compressed is unpacked into memory first: half of the machine's, 16 GiB at most. Captures
///           of one format that stand one behind another in a file, compressed or not, are one.
/// Link      Ethernet; raw IP, Linux cooked (1 and 2), loopback and PPPoE, which get an Ethernet
///           header in place of theirs: those packets are copies, valid until `rewind`. Others are
///           refused by name.
/// Errors    one sentence each, with the file, the packet's number (from 1, as capture tools count)
///           and the offset in the file. What is cut off or damaged ends the capture after the last
///           whole packet; nothing in a file can make the reader crash or loop.
/// Limits    a file that another program shortens while it is read ends this process (SIGBUS).
/// Source    draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
/// Threads   one owner; packets may be read by any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace weir::io {

/// No packet is longer, as in libpcap (MAXIMUM_SNAPLEN): a larger claim is damage.
inline constexpr std::uint32_t kPacketMax_bytes = 262'144;

struct CapturedPacket {
  std::span<const std::uint8_t> bytes;  ///< from the Ethernet header on
  std::uint32_t original_length = 0;    ///< on the wire; at least `bytes.size()`
  std::uint32_t interface = 0;          ///< pcapng: counted over all sections of the file; else 0
  PacketTime time;           ///< ns since 1970; of a simple packet block: the packet's before it
  std::string_view comment;  ///< pcapng: first opt_comment; else empty
};

/// What a step through a capture came to. `end` and `error` stay until `rewind`.
enum class Step : std::uint8_t { packet, end, error };

class CaptureReader {
 public:
  /// The first packet is tried: a file that is wrong from the start is an error here already.
  static Result<std::unique_ptr<CaptureReader>> open(const std::string& path);
  /// A capture in memory of the caller's, which outlives the reader; `name` stands in errors.
  static Result<std::unique_ptr<CaptureReader>> over(std::span<const std::uint8_t> bytes,
                                                     const std::string& name);
  virtual ~CaptureReader() = default;

  /// Fills `packet` where it returns `Step::packet`, and leaves it alone otherwise.
  virtual Step next(CapturedPacket& packet) = 0;
  /// Why `next` returned `Step::error`.
  [[nodiscard]] virtual const Error& error() const noexcept = 0;
  /// Back to the first packet.
  virtual void rewind() noexcept = 0;

  /// How much of the file has been read, 0 to 1.
  [[nodiscard]] virtual double fraction() const noexcept = 0;
  /// Packets delivered since the start or the last `rewind`.
  [[nodiscard]] virtual std::uint64_t packets() const noexcept = 0;
  /// pcapng: how many interfaces were described up to here (after `open`: before the first packet);
  /// classic pcap: 1.
  [[nodiscard]] virtual std::size_t interfaces() const noexcept = 0;
  /// if_name of an interface; empty where it has none, or there is no such interface.
  [[nodiscard]] virtual std::string_view interface_name(std::size_t number) const noexcept = 0;
};

enum class CaptureFormat : std::uint8_t { pcap, pcapng };

/// Writes Ethernet packets with ns time stamps, through a buffer, into a file beside `path` that
/// takes its name in `close`: what stands under `path` is whole. A writer that is destroyed without
/// `close`, or whose `close` failed, leaves nothing. A `path` that is no regular file (a pipe,
/// /dev/null) is written to directly.
class CaptureWriter {
 public:
  /// pcapng: one interface for each name (none: one without a name). pcap: names are not kept.
  static Result<std::unique_ptr<CaptureWriter>> create(const std::string& path,
                                                       CaptureFormat format,
                                                       std::span<const std::string> interfaces);
  virtual ~CaptureWriter() = default;
  /// An error (full disk, time stamp or length that the format cannot hold) is final.
  virtual Status write(const CapturedPacket& packet) = 0;
  virtual Status close() = 0;
};

}  // namespace weir::io
