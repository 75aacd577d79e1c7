// SPDX-License-Identifier: BSD-2-Clause
/// SSDP messages: what stands in a UDP payload, read in one pass over at most its first 2 KiB.
///
/// Source    UPnP Device Architecture 2.0, section 1 (Discovery); HTTP/1.1 header syntax
///           (RFC 7230, 3.2), read leniently: header names in any case, LF alone as a line end, a
///           missing empty line at the end.
/// Shape     views into the payload: they live as long as the frame.
/// Bounds    never reads behind the payload; at most `kHeadersMax` headers are looked at; time is
///           linear in what is read.
/// Errors    none: `Method::none` is "not SSDP"; `Method::malformed` is "starts like SSDP and then
///           breaks its grammar" (start line, header lines, bytes that are no ASCII text, no CRLF
///           at all, too many headers, too long, an MX that is no number of seconds). Every broken
///           rule is a bit of `anomalies`; those that shipped devices break too leave the method as
///           it is.
/// Threads   pure function.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/types.h"

namespace weir::packet {

enum class Method : std::uint8_t { none = 0, search = 1, notify = 2, reply = 3, malformed = 4 };

/// Rules that a message broke; bits of `Ssdp::anomalies`.
enum Anomaly : std::uint16_t {
  kNoEnd = 1U << 0U,            ///< no empty line at the end
  kBareLf = 1U << 1U,           ///< lines end in LF alone
  kBadHeaderLine = 1U << 2U,    ///< a line without a colon, or with a name that is not a token
  kControlBytes = 1U << 3U,     ///< NUL or other control bytes
  kNotAscii = 1U << 4U,         ///< bytes from 0x80 on
  kTooManyHeaders = 1U << 5U,   ///< more than kHeadersMax
  kTooLong = 1U << 6U,          ///< longer than kRead_bytes: the rest was not read
  kBadMx = 1U << 7U,            ///< MX is not a number from 0 to 120
  kMissingHeader = 1U << 8U,    ///< a header that the method must have is not there
  kDuplicateHeader = 1U << 9U,  ///< HOST, ST, NT, MX, MAN, USN or LOCATION twice
  kTrailingBytes = 1U << 10U,   ///< bytes behind the empty line
  kBadStartLine = 1U << 11U,    ///< it begins as a start line and does not go on as one
  kNoCrlf = 1U << 12U,          ///< not one line ends in CRLF
};

/// What ST (search, reply) or NT (notify) asks for, by kind.
enum class Target : std::uint8_t {
  absent = 0,
  all = 1,
  root_device = 2,
  uuid = 3,
  device = 4,
  service = 5,
  other = 6
};

struct Ssdp {
  static constexpr std::size_t kRead_bytes =
      2048;  ///< real messages end at 528 bytes; 2 KiB holds any Ethernet frame
  static constexpr unsigned kHeadersMax = 40;  ///< real messages have at most 15

  Method method = Method::none;
  Target target = Target::absent;
  std::uint8_t headers = 0;     ///< header lines seen
  std::int16_t mx = -1;         ///< seconds; -1 where absent or bad
  std::uint16_t anomalies = 0;  ///< bits of `Anomaly`
  bool byebye = false;          ///< NTS: ssdp:byebye
  std::string_view st;          ///< ST or NT, without surrounding space
  std::string_view usn;
  std::string_view location;
  std::string_view server;  ///< SERVER, where it is empty USER-AGENT; the last of several
};

Ssdp parse_ssdp(std::span<const std::uint8_t> payload) noexcept;

/// Whether a LOCATION, "http://192.0.2.1:80/x", names an IPv4 address as its host; `host` is it.
bool location_v4(std::string_view location, be32& host) noexcept;

}  // namespace weir::packet
