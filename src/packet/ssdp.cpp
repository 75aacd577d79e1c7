// SPDX-License-Identifier: BSD-2-Clause
#include "packet/ssdp.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "packet/text_marks.h"

namespace weir::packet {
namespace {

/// Headers that must not stand twice, and those that a method must have; bits of `Reader::seen_`.
enum Known : std::uint16_t {
  kHost = 1U << 0U,
  kSt = 1U << 1U,
  kNt = 1U << 2U,
  kNts = 1U << 3U,
  kMan = 1U << 4U,
  kMx = 1U << 5U,
  kUsn = 1U << 6U,
  kLocation = 1U << 7U,
  kServer = 1U << 8U,
  kUserAgent = 1U << 9U,
};
constexpr std::uint16_t kOnce = kHost | kSt | kNt | kMan | kMx | kUsn | kLocation;

/// What no device sends: the message is `Method::malformed`. All other anomalies are met in shipped
/// devices, which a strict reader would cut off. (In 5,860 real messages none of these occurs.)
constexpr std::uint16_t kFatal = kBadStartLine | kBadHeaderLine | kControlBytes | kTooManyHeaders |
                                 kTooLong | kBadMx | kNotAscii | kNoCrlf;

/// Masks of the first so many bytes of a word whose first byte is its lowest.
constexpr std::array<std::uint64_t, 9> kFirst = [] {
  std::array<std::uint64_t, 9> masks{};
  for (std::size_t i = 1; i < masks.size(); ++i) masks[i] = masks[i - 1] << 8U | 0xffU;
  return masks;
}();

/// The first eight bytes of `text`, the first one lowest, zeros behind its end. Bytes up to `end` can
/// be read.
std::uint64_t first_eight(std::string_view text, const char* end) noexcept {
  std::uint64_t word = 0;
  if (end - text.data() < static_cast<std::ptrdiff_t>(sizeof word)) [[unlikely]] {
    for (std::size_t i = 0; i < text.size(); ++i)
      word |= std::uint64_t{static_cast<unsigned char>(text[i])} << 8 * i;
    return word;
  }
  std::memcpy(&word, text.data(), sizeof word);
  if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
  return word & kFirst[std::min(text.size(), sizeof word)];
}

/// What a text begins with, up to eight bytes; its letters, in lower case, stand for both cases.
class Beginning {
 public:
  constexpr Beginning() noexcept = default;
  constexpr explicit Beginning(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size() && i < sizeof bytes_; ++i) {
      const auto at = static_cast<unsigned>(8 * i);
      bytes_ |= std::uint64_t{static_cast<unsigned char>(text[i])} << at;
      mask_ |= std::uint64_t{0xff} << at;
      if (text[i] >= 'a' && text[i] <= 'z') case_ |= std::uint64_t{0x20} << at;
    }
  }
  /// `word`: a text's `first_eight`.
  [[nodiscard]] constexpr bool is_of(std::uint64_t word) const noexcept {
    return ((word | case_) & mask_) == bytes_;
  }
  [[nodiscard]] constexpr std::uint64_t bytes() const noexcept { return bytes_; }

 private:
  std::uint64_t bytes_ = 0, mask_ = 0, case_ = 0;
};

/// Headers that something is made of, and where their values are kept.
enum Value : std::uint8_t {
  vNone,
  vSt,
  vNt,
  vNts,
  vMx,
  vUsn,
  vLocation,
  vServer,
  vUserAgent,
  kValues
};

struct KnownHeader {
  std::uint64_t begins = 0;  // with this, in lower case
  std::uint8_t length = 0;   // of its name
  Value value = vNone;
  std::uint16_t bit = 0;
};

/// Known headers by a hash of how they begin, without collisions: most headers of real messages are
/// none of them, and cost one look.
class KnownHeaders {
 public:
  constexpr KnownHeaders() noexcept {
    add("host", vNone, kHost);
    add("man", vNone, kMan);
    add("st", vSt, kSt);
    add("nt", vNt, kNt);
    add("nts", vNts, kNts);
    add("mx", vMx, kMx);
    add("usn", vUsn, kUsn);
    add("location", vLocation, kLocation);
    add("server", vServer, kServer);
    add("user-agent", vUserAgent, kUserAgent);
  }
  /// The header of this name, a token; with no bit where it is not known.
  [[nodiscard]] const KnownHeader& find(std::string_view name, const char* end) const noexcept {
    // Of a token's bytes, letters alone become letters by this bit.
    constexpr std::uint64_t kLower = 0x2020202020202020;
    const std::uint64_t filled = kFirst[std::min<std::size_t>(name.size(), 8)];
    const std::uint64_t word = first_eight(name, end) | (kLower & filled);
    const KnownHeader& known = slots_[slot(word)];
    const bool same =
        known.begins == word && known.length == name.size() &&
        (known.value != vUserAgent || Beginning("nt").is_of(first_eight(name.substr(8), end)));
    return same ? known : kUnknown;
  }

 private:
  static constexpr KnownHeader kUnknown{};
  static constexpr std::size_t slot(std::uint64_t word) noexcept {
    return (word * 0x2d2697a66b00c7dULL) >> 59U;
  }
  constexpr void add(std::string_view name, Value value, Known bit) noexcept {
    KnownHeader& place = slots_[slot(Beginning(name).bytes())];
    if (place.length != 0) std::abort();  // a collision: no constant expression
    place = {Beginning(name).bytes(), static_cast<std::uint8_t>(name.size()), value, bit};
  }
  std::array<KnownHeader, 32> slots_{};
};
constexpr KnownHeaders kKnownHeaders;

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

constexpr bool equal_no_case(std::string_view a, std::string_view lower_b) noexcept {
  if (a.size() != lower_b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower_b[i]) return false;
  }
  return true;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Target target_of(std::string_view text, const char* end) noexcept {
  if (text.empty()) return Target::absent;
  const std::uint64_t first = first_eight(text, end);
  constexpr Beginning kAll("ssdp:all"), kUpnp("upnp:roo"), kUuid("uuid:"), kUrn("urn:");
  if (kUuid.is_of(first)) return Target::uuid;
  if (kUrn.is_of(first)) {
    const std::string_view kind = text.substr(std::min(text.find(':', 4), text.size()));
    const std::uint64_t word = first_eight(kind, end);
    if (Beginning(":device:").is_of(word)) return Target::device;
    const bool service = Beginning(":service").is_of(word) && kind.size() > 8 && kind[8] == ':';
    return service ? Target::service : Target::other;
  }
  if (kAll.is_of(first) && text.size() == 8) return Target::all;
  if (kUpnp.is_of(first) && equal_no_case(text, "upnp:rootdevice")) return Target::root_device;
  return Target::other;
}

/// The method that the first bytes announce, before any rule is asked for.
Method announced(std::string_view text) noexcept {
  const std::uint64_t first = first_eight(text, text.data() + text.size());
  if (Beginning("http/1.").is_of(first)) return Method::reply;
  if (Beginning("notify ").is_of(first)) return Method::notify;
  if (Beginning("m-search").is_of(first) && text.size() > 8 && text[8] == ' ')
    return Method::search;
  return Method::none;
}

/// "M-SEARCH * HTTP/1.1", "NOTIFY * HTTP/1.0", "HTTP/1.1 200 OK" (the reason phrase is free).
bool start_line_holds(Method method, std::string_view line) noexcept {
  if (method == Method::reply) {
    return line.size() >= 12 && line.starts_with("HTTP/1.") && (line[7] == '0' || line[7] == '1') &&
           line.substr(8, 4) == " 200" && (line.size() == 12 || line[12] == ' ');
  }
  const std::string_view verb = method == Method::search ? "M-SEARCH * " : "NOTIFY * ";
  if (!line.starts_with(verb)) return false;
  line.remove_prefix(verb.size());
  return trim(line) == "HTTP/1.1" || trim(line) == "HTTP/1.0";
}

/// Required by the method (UPnP DA 2.0, 1.2 and 1.3). MX is not: a search to one address has none.
/// Of a reply only what makes it one: shipped devices leave out EXT, CACHE-CONTROL, even LOCATION.
std::uint16_t required(Method method) noexcept {
  switch (method) {
    case Method::search:
      return kHost | kMan | kSt;
    case Method::notify:
      return kHost | kNt | kNts | kUsn;
    default:
      return kSt | kUsn;
  }
}

class Reader {
 public:
  Reader(std::string_view text, Ssdp& out) noexcept
      : text_(text.substr(0, Ssdp::kRead_bytes)), cut_(text.size() > Ssdp::kRead_bytes), out_(out) {
    static_assert(Ssdp::kRead_bytes <= TextMarks::kBytes);
  }

  void read() noexcept {
    const Method method = announced(text_);
    if (method == Method::none) return;
    mark(text_, marks_);
    next_line();
    if (!start_line_holds(method, text_.substr(0, end_))) note(kBadStartLine);
    read_headers();
    if (!marks_.plain) scan_bytes();
    keep_values(method);
    if (cut_) note(kTooLong);
    if (!crlf_) note(kNoCrlf);
    if ((required(method) & ~seen_) != 0 && !cut_) note(kMissingHeader);
    out_.anomalies = static_cast<std::uint16_t>(anomalies_);
    out_.headers = static_cast<std::uint8_t>(headers_);
    out_.method = (anomalies_ & kFatal) != 0 ? Method::malformed : method;
    out_.target = target_of(out_.st, end_of_text());
  }

 private:
  void note(Anomaly anomaly) noexcept { anomalies_ |= anomaly; }
  [[nodiscard]] const char* end_of_text() const noexcept { return text_.data() + text_.size(); }

  /// Goes on to the next line; `position_` is not at the text's end.
  void next_line() noexcept {
    begin_ = position_;
    end_ = marks_.next(marks_.line_feeds, begin_);
    position_ = end_ + 1;
    const bool whole = end_ < text_.size();
    if (end_ > begin_ && text_[end_ - 1] == '\r') {
      --end_;
      crlf_ = crlf_ || whole;
    } else if (whole) {
      note(kBareLf);
    }
    if (!whole) position_ = text_.size();  // it ends in the middle of a line
  }

  void read_headers() noexcept {
    while (position_ < text_.size()) {
      next_line();
      const std::size_t name_end = marks_.next(marks_.breaks, begin_);
      if (name_end == begin_) [[unlikely]] {
        if (begin_ == end_) {
          if (position_ < text_.size()) note(kTrailingBytes);
          return;
        }
        if (text_[begin_] == ' ' || text_[begin_] == '\t') {  // belongs to the line before
          if (headers_ == 0) note(kBadHeaderLine);
          continue;
        }
      }
      if (headers_ == Ssdp::kHeadersMax) [[unlikely]] {
        note(kTooManyHeaders);
        return;
      }
      ++headers_;
      if (name_end == begin_ || name_end >= end_ || text_[name_end] != ':') [[unlikely]]
        note(kBadHeaderLine);
      else
        read_header(name_end);
    }
    if (!cut_) note(kNoEnd);
  }

  void read_header(std::size_t colon) noexcept {
    const KnownHeader& header =
        kKnownHeaders.find(text_.substr(begin_, colon - begin_), end_of_text());
    if (header.bit == 0) return;
    if ((header.bit & seen_ & kOnce) != 0) [[unlikely]] {
      note(kDuplicateHeader);
      return;  // the first one counts
    }
    seen_ |= header.bit;
    values_[header.value] = trim(text_.substr(colon + 1, end_ - colon - 1));
  }

  void keep_values(Method method) noexcept {
    out_.st = values_[method == Method::notify ? vNt : vSt];
    out_.usn = values_[vUsn];
    out_.location = values_[vLocation];
    out_.server = values_[values_[vServer].empty() ? vUserAgent : vServer];
    out_.byebye = equal_no_case(values_[vNts], "ssdp:byebye");
    if ((seen_ & kMx) != 0) read_mx(values_[vMx]);
  }

  void read_mx(std::string_view value) noexcept {
    unsigned seconds = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, seconds);
    if (value.empty() || error != std::errc{} || stop != end || seconds > 120) {
      note(kBadMx);
    } else {
      out_.mx = static_cast<std::int16_t>(seconds);
    }
  }

  /// Which odd bytes there are in what was read as header lines. A carriage return is a control
  /// byte but where a line ends. One pass without branches, all in bytes, so that it runs
  /// vectorised.
  void scan_bytes() noexcept {
    if (position_ == 0) return;
    const char* const text = text_.data();
    const std::size_t last =
        position_ - 1;  // a line's end: LF, or in text that is cut off any byte
    std::uint8_t high = 0;
    std::uint8_t control = 0;
    for (std::size_t i = 0; i < last; ++i) {
      const auto byte = static_cast<std::uint8_t>(text[i]);
      high = static_cast<std::uint8_t>(high | byte);
      control = static_cast<std::uint8_t>(control | is_control(byte, text[i + 1] != '\n'));
    }
    const auto byte = static_cast<std::uint8_t>(text[last]);
    if (((high | byte) & 0x80U) != 0) note(kNotAscii);
    if ((control | is_control(byte, false)) != 0) note(kControlBytes);
  }

  static constexpr std::uint8_t is_control(std::uint8_t byte, bool in_line) noexcept {
    return static_cast<std::uint8_t>(((byte < 0x20) | (byte == 0x7f)) & (byte != '\t') &
                                     (byte != '\n') & ((byte != '\r') | in_line));
  }

  const std::string_view text_;
  const bool cut_;
  Ssdp& out_;
  bool crlf_ = false;  // some line ends in it
  TextMarks marks_;
  std::size_t begin_ = 0, end_ = 0;  // of the line that was taken last, without its end
  std::size_t position_ = 0;         // of the next one
  unsigned headers_ = 0;
  unsigned anomalies_ = 0;
  std::uint16_t seen_ = 0;
  std::array<std::string_view, kValues> values_;
};

}  // namespace

bool location_v4(std::string_view location, be32& host) noexcept {
  constexpr std::string_view kScheme = "http://";
  if (!location.starts_with(kScheme)) return false;
  const char* at = location.data() + kScheme.size();
  const char* const end = location.data() + location.size();
  std::uint32_t address = 0;
  for (unsigned part = 0; part < 4; ++part) {
    if (part > 0 && (at == end || *at++ != '.')) return false;
    std::uint8_t number = 0;
    const auto [stop, error] = std::from_chars(at, end, number);
    if (error != std::errc{}) return false;
    address = address << 8U | number;
    at = stop;
  }
  if (at != end && *at != ':' && *at != '/') return false;  // a name that begins like an address
  host = be32::from_host(address);
  return true;
}

Ssdp parse_ssdp(std::span<const std::uint8_t> payload) noexcept {
  Ssdp ssdp;
  if (!payload.empty())
    Reader({reinterpret_cast<const char*>(payload.data()), payload.size()}, ssdp).read();
  return ssdp;
}

}  // namespace weir::packet
