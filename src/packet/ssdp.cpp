// SPDX-License-Identifier: BSD-2-Clause
#include "packet/ssdp.h"

#include <algorithm>
#include <array>
#include <charconv>

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

constexpr bool starts_no_case(std::string_view text, std::string_view lower_prefix) noexcept {
  return equal_no_case(text.substr(0, lower_prefix.size()), lower_prefix);
}

/// Characters of a header's name (RFC 7230, 3.2.6: token).
constexpr std::array<bool, 256> kToken = [] {
  std::array<bool, 256> table{};
  for (unsigned c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) table[c] = table[c | 0x20U] = true;
  for (const char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'})
    table[static_cast<unsigned char>(c)] = true;
  return table;
}();

/// How many bytes of `text` are a token's, from its start.
std::size_t token_length(std::string_view text) noexcept {
  std::size_t length = 0;
  while (length < text.size() && kToken[static_cast<unsigned char>(text[length])]) ++length;
  return length;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// `name` in lower case as one number: 2 to 8 letters. What is no letter never becomes one, so that
/// only a name of letters can equal another.
constexpr std::uint64_t letters(std::string_view name) noexcept {
  std::uint64_t word = 0;
  for (const char c : name) word = word << 8U | (static_cast<unsigned char>(c) | 0x20U);
  return word;
}

/// By length first: most headers of real messages are told apart by it alone.
std::uint16_t known_header(std::string_view name) noexcept {
  switch (name.size()) {
    case 2:
      switch (letters(name)) {
        case letters("st"):
          return kSt;
        case letters("nt"):
          return kNt;
        case letters("mx"):
          return kMx;
        default:
          return 0;
      }
    case 3:
      switch (letters(name)) {
        case letters("usn"):
          return kUsn;
        case letters("man"):
          return kMan;
        case letters("nts"):
          return kNts;
        default:
          return 0;
      }
    case 4:
      return letters(name) == letters("host") ? std::uint16_t{kHost} : std::uint16_t{0};
    case 6:
      return letters(name) == letters("server") ? std::uint16_t{kServer} : std::uint16_t{0};
    case 8:
      return letters(name) == letters("location") ? std::uint16_t{kLocation} : std::uint16_t{0};
    case 10:
      return equal_no_case(name, "user-agent") ? std::uint16_t{kUserAgent} : std::uint16_t{0};
    default:
      return 0;
  }
}

Target target_of(std::string_view text) noexcept {
  if (text.empty()) return Target::absent;
  if (equal_no_case(text, "ssdp:all")) return Target::all;
  if (equal_no_case(text, "upnp:rootdevice")) return Target::root_device;
  if (starts_no_case(text, "uuid:")) return Target::uuid;
  if (!starts_no_case(text, "urn:")) return Target::other;
  const std::string_view kind = text.substr(std::min(text.find(':', 4), text.size()));
  if (starts_no_case(kind, ":device:")) return Target::device;
  if (starts_no_case(kind, ":service:")) return Target::service;
  return Target::other;
}

/// The method that the first bytes announce, before any rule is asked for.
Method announced(std::string_view text) noexcept {
  if (starts_no_case(text, "m-search ")) return Method::search;
  if (starts_no_case(text, "notify ")) return Method::notify;
  if (starts_no_case(text, "http/1.")) return Method::reply;
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
  explicit Reader(std::string_view text) noexcept
      : text_(text.substr(0, Ssdp::kRead_bytes)), cut_(text.size() > Ssdp::kRead_bytes) {
    static_assert(Ssdp::kRead_bytes <= TextMarks::kBytes);
  }

  Ssdp read() noexcept {
    const Method method = announced(text_);
    if (method == Method::none) return out_;
    if (cut_) out_.anomalies |= kTooLong;
    mark(text_, marks_);
    std::string_view line;
    next_line(line);
    if (!start_line_holds(method, line)) out_.anomalies |= kBadStartLine;
    read_headers(method);
    if (!marks_.plain) scan_bytes();
    if (!crlf_) out_.anomalies |= kNoCrlf;
    if ((required(method) & ~seen_) != 0 && !cut_) out_.anomalies |= kMissingHeader;
    out_.method = (out_.anomalies & kFatal) != 0 ? Method::malformed : method;
    out_.target = target_of(out_.st);
    return out_;
  }

 private:
  /// Takes the next line, without its end; false where the text is used up.
  bool next_line(std::string_view& line) noexcept {
    if (position_ >= text_.size()) return false;
    begin_ = position_;
    const std::size_t end = marks_.next(marks_.line_feeds, begin_);
    line = text_.substr(begin_, end - begin_);
    if (end == text_.size()) {  // the text ends in the middle of a line
      position_ = end;
      if (line.ends_with('\r')) line.remove_suffix(1);
      return true;
    }
    position_ = end + 1;
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
      crlf_ = true;
    } else {
      out_.anomalies |= kBareLf;
    }
    return true;
  }

  void read_headers(Method method) noexcept {
    std::string_view line;
    while (next_line(line)) {
      if (line.empty()) {
        if (position_ < text_.size()) out_.anomalies |= kTrailingBytes;
        return;
      }
      if (line.front() == ' ' || line.front() == '\t') {  // a folded line belongs to the one before
        if (out_.headers == 0) out_.anomalies |= kBadHeaderLine;
        continue;
      }
      if (out_.headers == Ssdp::kHeadersMax) {
        out_.anomalies |= kTooManyHeaders;
        return;
      }
      ++out_.headers;
      read_header(method, line);
    }
    if (!cut_) out_.anomalies |= kNoEnd;
  }

  void read_header(Method method, std::string_view line) noexcept {
    const std::size_t colon = marks_.next(marks_.colons, begin_) - begin_;
    const std::string_view name = line.substr(0, colon);
    const std::uint16_t header = colon < line.size() ? known_header(name) : std::uint16_t{0};
    if (header == 0) {  // all that is known is a token
      if (colon == 0 || colon >= line.size() || token_length(name) != colon)
        out_.anomalies |= kBadHeaderLine;
      return;
    }
    if ((header & seen_ & kOnce) != 0) {
      out_.anomalies |= kDuplicateHeader;
      return;  // the first one counts
    }
    seen_ |= header;
    const std::string_view value = trim(line.substr(colon + 1));
    if (header == (method == Method::notify ? kNt : kSt)) out_.st = value;
    if (header == kUsn) out_.usn = value;
    if (header == kLocation) out_.location = value;
    if (header == kServer || (header == kUserAgent && out_.server.empty())) out_.server = value;
    if (header == kNts) out_.byebye = equal_no_case(value, "ssdp:byebye");
    if (header == kMx) read_mx(value);
  }

  void read_mx(std::string_view value) noexcept {
    unsigned seconds = 0;
    const char* const end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, seconds);
    if (value.empty() || error != std::errc{} || stop != end || seconds > 120) {
      out_.anomalies |= kBadMx;
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
    if (((high | byte) & 0x80U) != 0) out_.anomalies |= kNotAscii;
    if ((control | is_control(byte, false)) != 0) out_.anomalies |= kControlBytes;
  }

  static constexpr std::uint8_t is_control(std::uint8_t byte, bool in_line) noexcept {
    return static_cast<std::uint8_t>(((byte < 0x20) | (byte == 0x7f)) & (byte != '\t') &
                                     (byte != '\n') & ((byte != '\r') | in_line));
  }

  const std::string_view text_;
  const bool cut_;
  bool crlf_ = false;  // some line ends in it
  TextMarks marks_;
  std::size_t begin_ = 0;     // of the line that was taken last
  std::size_t position_ = 0;  // of the next one
  std::uint16_t seen_ = 0;
  Ssdp out_;
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
  if (payload.empty()) return {};
  return Reader({reinterpret_cast<const char*>(payload.data()), payload.size()}).read();
}

}  // namespace weir::packet
