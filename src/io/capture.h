// SPDX-License-Identifier: BSD-2-Clause
/// Captures: read by map (classic pcap in all its byte orders and units, pcapng), and written.
///
/// Reading   the file is mapped and frames point into it: valid while the reader lives.
/// Link      Ethernet; other link types are refused by name, but for raw IP (LINKTYPE_RAW, IPV4,
/// IPV6), whose packets get
///           an Ethernet header put in front, in memory of the reader's own.
/// Errors    not a capture, a version or link type that is not supported, cut off (with the packet
/// number and what is
///           there): one sentence each. A file that is cut off in its last record is an error that
///           `next` reports after the last whole packet.
/// Source    draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
/// Threads   one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "packet/frame.h"

namespace weir::io {

struct CapturedPacket {
  std::span<const std::uint8_t> bytes;
  std::uint32_t original_length = 0;
  PacketTime time;              ///< ns since 1970
  std::uint32_t interface = 0;  ///< pcapng: interface number; else 0
  std::string_view comment;     ///< pcapng: first opt_comment; else empty
};

class CaptureReader {
 public:
  static Result<std::unique_ptr<CaptureReader>> open(const std::string& path);
  virtual ~CaptureReader() = default;
  /// The next packet; an empty optional at the end.
  virtual Result<std::optional<CapturedPacket>> next() = 0;
  virtual void rewind() noexcept = 0;
  /// pcapng: how many interfaces were described so far, and their names; classic pcap: 1.
  [[nodiscard]] virtual std::size_t interfaces() const noexcept = 0;
  [[nodiscard]] virtual std::string interface_name(std::size_t number) const = 0;
};

enum class CaptureFormat : std::uint8_t { pcap, pcapng };

/// Writes Ethernet packets with ns time stamps. `close` says whether all of it reached the file; a
/// writer that is destroyed without it removes its file: no partial capture is left.
class CaptureWriter {
 public:
  /// pcapng: one interface for each name. pcap: names are not kept.
  static Result<std::unique_ptr<CaptureWriter>> create(const std::string& path,
                                                       CaptureFormat format,
                                                       std::span<const std::string> interfaces);
  virtual ~CaptureWriter() = default;
  virtual Status write(const CapturedPacket& packet) = 0;
  virtual Status close() = 0;
};

}  // namespace weir::io
