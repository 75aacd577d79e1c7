// SPDX-License-Identifier: BSD-2-Clause
#include "packet/ssdp.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "packet/ssdp_cache.h"
#include "packet/text_marks.h"

namespace weir::packet {
namespace {

/// Parses a copy that ends where its allocation ends, so that AddressSanitizer sees a read behind
/// it. The views point into `kept`.
struct Parsed {
  explicit Parsed(std::string_view text, SsdpCache* cache = nullptr)
      : kept(new std::uint8_t[text.size()]), size(text.size()) {
    std::memcpy(kept.get(), text.data(), size);
    ssdp = cache != nullptr ? cache->parse({kept.get(), size}) : parse_ssdp({kept.get(), size});
  }
  [[nodiscard]] bool inside(std::string_view view) const {
    const auto* const begin = reinterpret_cast<const char*>(kept.get());
    return view.empty() || (view.data() >= begin && view.data() + view.size() <= begin + size);
  }
  std::unique_ptr<std::uint8_t[]> kept;
  std::size_t size;
  Ssdp ssdp;
};

constexpr const char* kSearch =
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 3\r\n"
    "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nUSER-AGENT: Chrome/120 "
    "Linux\r\n\r\n";
constexpr const char* kNotify =
    "NOTIFY * HTTP/1.1\r\nHost: 239.255.255.250:1900\r\nCache-Control: max-age=1800\r\n"
    "Location: http://192.168.1.1:5000/rootDesc.xml\r\nServer: Linux/3.10 UPnP/1.1 "
    "MiniUPnPd/1.9\r\n"
    "NT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: uuid:1::upnp:rootdevice\r\n\r\n";
constexpr const char* kByebye =
    "NOTIFY * HTTP/1.1\r\nHOST: [FF02::C]:1900\r\nNT: uuid:1\r\nNTS: ssdp:byebye\r\nUSN: "
    "uuid:1\r\n\r\n";
constexpr const char* kReply =
    "HTTP/1.1 200 OK\r\nHOST: 239.255.255.250:1900\r\nEXT:\r\nCACHE-CONTROL: max-age=100\r\n"
    "LOCATION: http://10.0.0.5:80/description.xml\r\nSERVER: Linux/3.14.0 UPnP/1.0 "
    "IpBridge/1.26.0\r\n"
    "hue-bridgeid: 001788FFFE09A206\r\nST: ssdp:all\r\nUSN: uuid:2::upnp:rootdevice\r\n\r\n";

TEST(Ssdp, ReadsASearch) {
  const Parsed p(kSearch);
  EXPECT_EQ(p.ssdp.method, Method::search);
  EXPECT_EQ(p.ssdp.target, Target::device);
  EXPECT_EQ(p.ssdp.mx, 3);
  EXPECT_EQ(p.ssdp.headers, 5);
  EXPECT_EQ(p.ssdp.anomalies, 0);
  EXPECT_EQ(p.ssdp.st, "urn:schemas-upnp-org:device:InternetGatewayDevice:1");
  EXPECT_EQ(p.ssdp.server, "Chrome/120 Linux");
}

TEST(Ssdp, ReadsANotifyInAnyCase) {
  const Parsed p(kNotify);
  EXPECT_EQ(p.ssdp.method, Method::notify);
  EXPECT_EQ(p.ssdp.target, Target::root_device);
  EXPECT_FALSE(p.ssdp.byebye);
  EXPECT_EQ(p.ssdp.anomalies, 0);
  EXPECT_EQ(p.ssdp.location, "http://192.168.1.1:5000/rootDesc.xml");
  EXPECT_EQ(p.ssdp.usn, "uuid:1::upnp:rootdevice");
  EXPECT_TRUE(Parsed(kByebye).ssdp.byebye);
  EXPECT_EQ(Parsed(kByebye).ssdp.target, Target::uuid);
}

TEST(Ssdp, ReadsAReply) {
  const Parsed p(kReply);
  EXPECT_EQ(p.ssdp.method, Method::reply);
  EXPECT_EQ(p.ssdp.target, Target::all);
  EXPECT_EQ(p.ssdp.anomalies, 0);
  EXPECT_EQ(p.ssdp.server, "Linux/3.14.0 UPnP/1.0 IpBridge/1.26.0");
  EXPECT_EQ(p.ssdp.mx, -1);
}

struct Case {
  const char* what;
  std::string text;
  Method method;
  unsigned anomalies;
};

std::string many_headers(int count) {
  std::string text = "NOTIFY * HTTP/1.1\r\nHOST: a\r\nNT: b\r\nNTS: c\r\nUSN: d\r\n";
  for (int i = 4; i < count; ++i) text += "X-" + std::to_string(i) + ": 1\r\n";
  return text + "\r\n";
}

class Malformed : public testing::TestWithParam<Case> {};

TEST_P(Malformed, IsNamed) {
  const Parsed p(GetParam().text);
  EXPECT_EQ(p.ssdp.method, GetParam().method) << GetParam().what;
  EXPECT_EQ(p.ssdp.anomalies, GetParam().anomalies) << GetParam().what;
}

const std::string kHead = "M-SEARCH * HTTP/1.1\r\nHOST: h\r\nMAN: m\r\nST: s\r\n";

INSTANTIATE_TEST_SUITE_P(
    Ssdp, Malformed,
    testing::Values(
        Case{"empty", "", Method::none, 0},
        Case{"a DNS query", std::string("\x12\x34\1\0\0\1", 6), Method::none, 0},
        Case{"a web request", "GET / HTTP/1.1\r\n\r\n", Method::none, 0},
        Case{"a longer verb", "M-SEARCHES * HTTP/1.1\r\n\r\n", Method::none, 0},
        Case{"no empty line", kHead, Method::search, kNoEnd},
        Case{"cut in a header", kHead + "USER-AGENT: Chr", Method::search, kNoEnd},
        Case{"lines end in LF", "M-SEARCH * HTTP/1.1\nHOST: h\nMAN: m\nST: s\n\n",
             Method::malformed, kBareLf | kNoCrlf},
        Case{"one line ends in LF", "M-SEARCH * HTTP/1.1\r\nHOST: h\nMAN: m\r\nST: s\r\n\r\n",
             Method::search, kBareLf},
        Case{"no line end", "M-SEARCH * HTTP/1.1", Method::malformed,
             kNoEnd | kMissingHeader | kNoCrlf},
        Case{"bytes behind the end", kHead + "\r\nmore", Method::search, kTrailingBytes},
        Case{"a second empty line", kHead + "\r\n\r\n", Method::search, kTrailingBytes},
        Case{"no colon", kHead + "no colon here\r\n\r\n", Method::malformed, kBadHeaderLine},
        Case{"space in a name", kHead + "USER AGENT: x\r\n\r\n", Method::malformed, kBadHeaderLine},
        Case{"empty name", kHead + ": x\r\n\r\n", Method::malformed, kBadHeaderLine},
        Case{"folded line", kHead + "X: a\r\n b\r\n\r\n", Method::search, 0},
        Case{"folded first line", "M-SEARCH * HTTP/1.1\r\n x\r\nHOST: h\r\nMAN: m\r\nST: s\r\n\r\n",
             Method::malformed, kBadHeaderLine},
        Case{"NUL", kHead + std::string("X: \0\r\n\r\n", 8), Method::malformed, kControlBytes},
        Case{"lone CR", kHead + "X: a\rb\r\n\r\n", Method::malformed, kControlBytes},
        Case{"DEL", kHead + "X: \x7f\r\n\r\n", Method::malformed, kControlBytes},
        Case{"tab", kHead + "X:\tvalue\r\n\r\n", Method::search, 0},
        Case{"UTF-8", kHead + "X: caf\xc3\xa9\r\n\r\n", Method::malformed, kNotAscii},
        Case{"40 headers", many_headers(40), Method::notify, 0},
        Case{"41 headers", many_headers(41), Method::malformed, kTooManyHeaders},
        Case{"MX of words", kHead + "MX: soon\r\n\r\n", Method::malformed, kBadMx},
        Case{"MX below zero", kHead + "MX: -1\r\n\r\n", Method::malformed, kBadMx},
        Case{"MX of 121", kHead + "MX: 121\r\n\r\n", Method::malformed, kBadMx},
        Case{"MX beyond any number", kHead + "MX: 99999999999999999999\r\n\r\n", Method::malformed,
             kBadMx},
        Case{"empty MX", kHead + "MX:\r\n\r\n", Method::malformed, kBadMx},
        Case{"no ST", "M-SEARCH * HTTP/1.1\r\nHOST: h\r\nMAN: m\r\n\r\n", Method::search,
             kMissingHeader},
        Case{"reply without USN", "HTTP/1.1 200 OK\r\nST: s\r\n\r\n", Method::reply,
             kMissingHeader},
        Case{"ST twice", kHead + "ST: t\r\n\r\n", Method::search, kDuplicateHeader},
        Case{"another version", "M-SEARCH * HTTP/2\r\nHOST: h\r\nMAN: m\r\nST: s\r\n\r\n",
             Method::malformed, kBadStartLine},
        Case{"another path", "NOTIFY / HTTP/1.1\r\nHOST: h\r\nNT: n\r\nNTS: a\r\nUSN: u\r\n\r\n",
             Method::malformed, kBadStartLine},
        Case{"lower case", "m-search * http/1.1\r\nHOST: h\r\nMAN: m\r\nST: s\r\n\r\n",
             Method::malformed, kBadStartLine},
        Case{"another status", "HTTP/1.1 404 Not Found\r\nST: s\r\nUSN: u\r\n\r\n",
             Method::malformed, kBadStartLine},
        Case{"status 2000", "HTTP/1.1 2000 OK\r\nST: s\r\nUSN: u\r\n\r\n", Method::malformed,
             kBadStartLine},
        Case{"no reason phrase", "HTTP/1.0 200\r\nST: s\r\nUSN: u\r\n\r\n", Method::reply, 0},
        Case{"the verb alone", "NOTIFY ", Method::malformed,
             kBadStartLine | kNoEnd | kMissingHeader | kNoCrlf}),
    [](const auto& made) {
      std::string name = made.param.what;
      for (char& c : name) {
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
      }
      return name;
    });

TEST(Ssdp, TakesTheFirstOfTwoHeaders) {
  const Parsed p(kHead + "ST: ssdp:all\r\n\r\n");
  EXPECT_EQ(p.ssdp.st, "s");
}

TEST(Ssdp, ReadsNoFurtherThan2KiB) {
  std::string text = kHead;
  while (text.size() < 65'000) text += "X-" + std::to_string(text.size()) + ": value\r\n";
  const Parsed many(text);
  EXPECT_EQ(many.ssdp.method, Method::malformed);
  EXPECT_EQ(many.ssdp.anomalies, kTooLong | kTooManyHeaders);
  EXPECT_EQ(many.ssdp.headers, Ssdp::kHeadersMax);

  const Parsed one(kHead + "X: " + std::string(65'000, 'x') + "\r\nLOCATION: http://far/\r\n\r\n");
  EXPECT_EQ(one.ssdp.method, Method::malformed);
  EXPECT_EQ(one.ssdp.anomalies, kTooLong);
  EXPECT_TRUE(one.ssdp.location.empty());

  const Parsed blank(std::string("NOTIFY * HTTP/1.1\r\n") + std::string(65'000, '\r'));
  EXPECT_EQ(blank.ssdp.method, Method::malformed);
}

TEST(Ssdp, KnowsWhatIsAskedFor) {
  const auto target = [](const std::string& st) {
    return Parsed("M-SEARCH * HTTP/1.1\r\nHOST: h\r\nMAN: m\r\nST:" + st + "\r\n\r\n").ssdp.target;
  };
  EXPECT_EQ(target(" ssdp:all  "), Target::all);
  EXPECT_EQ(target("UPNP:RootDevice"), Target::root_device);
  EXPECT_EQ(target("uuid:4"), Target::uuid);
  EXPECT_EQ(target("urn:x:device:y:1"), Target::device);
  EXPECT_EQ(target("urn:dial-multiscreen-org:service:dial:1"), Target::service);
  EXPECT_EQ(target("urn:"), Target::other);
  EXPECT_EQ(target("roku:ecp"), Target::other);
  EXPECT_EQ(target(""), Target::absent);
}

/// Work is bounded by what is read: no byte behind the first 2 KiB, and no header behind the 40th,
/// can change anything that the parser says.
RC_GTEST_PROP(SsdpProperty, NothingBehindTheBoundsIsLookedAt, ()) {
  std::string text = kHead;
  const auto headers = *rc::gen::inRange(0, 3'000);
  for (int i = 0; i < headers; ++i) text += "X-" + std::to_string(i) + ": 1\r\n";
  text += *rc::gen::arbitrary<bool>() ? std::string(64U << 10U, 'y') : "\r\n";
  text.resize(std::max(text.size(), Ssdp::kRead_bytes + 1), 'z');
  std::string other = text;
  for (std::size_t i = Ssdp::kRead_bytes; i < other.size(); i += 7) other[i] = '\n';
  const Ssdp a = parse_ssdp({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  const Ssdp b = parse_ssdp({reinterpret_cast<const std::uint8_t*>(other.data()), other.size()});
  RC_ASSERT(a.method == Method::malformed);
  RC_ASSERT(a.anomalies == b.anomalies);
  RC_ASSERT(a.headers == b.headers);
  RC_ASSERT(a.headers <= Ssdp::kHeadersMax);
  const Parsed short_text(text.substr(0, Ssdp::kRead_bytes));
  RC_ASSERT(short_text.ssdp.headers == a.headers);
}

TEST(Ssdp, ReadsTheHostOfALocation) {
  be32 host;
  EXPECT_TRUE(location_v4("http://192.168.1.1:5000/rootDesc.xml", host));
  EXPECT_EQ(host.host(), 0xc0a80101U);
  EXPECT_TRUE(location_v4("http://10.0.0.5", host));
  EXPECT_EQ(host.host(), 0x0a000005U);
  for (const char* none : {"", "http://", "http://10.0.0", "http://10.0.0.256/", "http://1.2.3.4x/",
                           "https://1.2.3.4/", "http://[fe80::1]/", "http://-1.2.3.4/", "1.2.3.4",
                           "http://10.0.0.5.example.org/"})
    EXPECT_FALSE(location_v4(none, host)) << none;
}

void views_are_inside(const Parsed& p) {
  RC_ASSERT(p.inside(p.ssdp.st));
  RC_ASSERT(p.inside(p.ssdp.usn));
  RC_ASSERT(p.inside(p.ssdp.location));
  RC_ASSERT(p.inside(p.ssdp.server));
  RC_ASSERT(p.ssdp.headers <= Ssdp::kHeadersMax);
  RC_ASSERT((p.ssdp.method == Method::none) <= (p.ssdp.anomalies == 0));
}

RC_GTEST_PROP(SsdpProperty, AnyBytesAreRead, (const std::string& bytes)) {
  views_are_inside(Parsed(bytes));
}

RC_GTEST_PROP(SsdpProperty, AnyDamageIsRead, ()) {
  std::string text = *rc::gen::element<std::string>(kSearch, kNotify, kByebye, kReply);
  const int edits = *rc::gen::inRange(0, 8);
  for (int i = 0; i < edits && !text.empty(); ++i) {
    const auto at = *rc::gen::inRange<std::size_t>(0, text.size());
    const auto byte = *rc::gen::arbitrary<char>();
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        text[at] = byte;
        break;
      case 1:
        text.insert(at, *rc::gen::inRange<std::size_t>(1, 4), byte);
        break;
      case 2:
        text.erase(at, 1);
        break;
      default:
        text.resize(at);
        break;
    }
  }
  views_are_inside(Parsed(text));
}

RC_GTEST_PROP(SsdpProperty, EveryTruncationKeepsTheMethodOrIsMalformed, ()) {
  const std::string text = *rc::gen::element<std::string>(kSearch, kNotify, kReply);
  const Method whole = Parsed(text).ssdp.method;
  const auto length = *rc::gen::inRange<std::size_t>(12, text.size());
  const Parsed cut(text.substr(0, length));
  RC_ASSERT(cut.ssdp.method == whole || cut.ssdp.method == Method::malformed);
  RC_ASSERT((cut.ssdp.anomalies & kNoEnd) != 0);
}

/// RFC 7230, 3.2.6.
constexpr std::string_view kToken =
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Marks of a copy that ends where its allocation ends.
void are_the_marks_of_its_bytes(const std::string& text) {
  const std::unique_ptr<char[]> kept(new char[text.size()]);
  std::copy(text.begin(), text.end(), kept.get());
  TextMarks fast, plain;
  mark({kept.get(), text.size()}, fast);
  mark_by_bytes({kept.get(), text.size()}, plain);
  RC_ASSERT(fast.plain == plain.plain);
  for (std::size_t from = 0; from <= text.size(); ++from) {
    const std::size_t line_feed = std::min(text.find('\n', from), text.size());
    RC_ASSERT(fast.next(fast.line_feeds, from) == line_feed);
    RC_ASSERT(plain.next(plain.line_feeds, from) == line_feed);
    std::size_t end = from;
    while (end < text.size() && kToken.find(text[end]) != std::string_view::npos) ++end;
    RC_ASSERT(fast.next(fast.breaks, from) == end);
    RC_ASSERT(plain.next(plain.breaks, from) == end);
  }
}

RC_GTEST_PROP(TextMarks, AreThoseOfTheBytesOneByOne, ()) {
  std::string text(*rc::gen::inRange<std::size_t>(0, 200), 'a');
  if (*rc::gen::inRange(0, 4) == 0) text.resize(*rc::gen::inRange<std::size_t>(1'900, 2'049), 'z');
  const auto bytes =
      *rc::gen::element<std::string>("\r\n:", "\r\n: \t~", std::string("\0\x1f\x7f\x80\xff", 5));
  for (int edits = *rc::gen::inRange(0, 30); edits > 0 && !text.empty(); --edits)
    text[*rc::gen::inRange<std::size_t>(0, text.size())] =
        bytes[*rc::gen::inRange<std::size_t>(0, bytes.size())];
  are_the_marks_of_its_bytes(text);
}

TEST(TextMarks, AnyByteIsPlainOrNot) {
  for (int byte = 0; byte < 256; ++byte)
    for (const std::size_t at : {0U, 15U, 16U, 63U, 64U, 99U}) {
      std::string text(100, 'a');
      text[at] = static_cast<char>(byte);
      TextMarks marks;
      mark(text, marks);
      const bool plain = (byte >= ' ' && byte < 0x7f) || byte == '\n' || byte == '\t';
      ASSERT_EQ(marks.plain, plain) << byte << " at " << at;
      const bool token =
          byte != 0 && kToken.find(static_cast<char>(byte)) != std::string_view::npos;
      ASSERT_EQ(marks.next(marks.breaks, at) != at, token) << byte << " at " << at;
    }
  for (const std::size_t at : {0U, 15U, 62U, 63U, 64U, 98U}) {
    std::string text(100, 'a');
    text.replace(at, 2, "\r\n");
    TextMarks marks;
    mark(text, marks);
    EXPECT_TRUE(marks.plain) << at;
  }
}

void expect_same(const Parsed& cached, const Parsed& read) {
  const Ssdp &a = cached.ssdp, &b = read.ssdp;
  ASSERT_EQ(a.method, b.method);
  ASSERT_EQ(a.target, b.target);
  ASSERT_EQ(a.headers, b.headers);
  ASSERT_EQ(a.mx, b.mx);
  ASSERT_EQ(a.anomalies, b.anomalies);
  ASSERT_EQ(a.byebye, b.byebye);
  for (const auto view : {&Ssdp::st, &Ssdp::usn, &Ssdp::location, &Ssdp::server}) {
    ASSERT_EQ(a.*view, b.*view);
    ASSERT_TRUE(cached.inside(a.*view));
  }
}

/// Messages of every length, most of which differ from another one in one byte alone.
std::vector<std::string> like_texts(std::size_t count, std::mt19937& random) {
  std::vector<std::string> texts;
  while (texts.size() < count) {
    std::string text = std::array{kSearch, kNotify, kByebye, kReply}[random() % 4];
    if (random() % 4 == 0)
      text.insert(text.size() - 2, "X: " + std::string(random() % 400, 'x') + "\r\n");
    if (random() % 8 == 0) text.resize(random() % text.size());
    texts.push_back(text);
    if (text.empty()) continue;
    text[random() % text.size()] ^= static_cast<char>(1U << random() % 7);
    texts.push_back(text);
  }
  return texts;
}

TEST(SsdpCache, SaysOfARepeatedTextWhatReadingItSays) {
  std::mt19937 random(7);
  SsdpCache cache;
  // Fewer than there is room for, then far more, so that texts displace each other.
  for (const std::size_t count : {100U, 4000U}) {
    const auto texts = like_texts(count, random);
    for (int i = 0; i < 20'000; ++i) {
      const std::string& text = texts[random() % texts.size()];
      ASSERT_NO_FATAL_FAILURE(expect_same(Parsed(text, &cache), Parsed(text))) << text;
    }
    EXPECT_GT(cache.hits(), 12'000U) << count;
  }
}

TEST(SsdpCache, TextsThatNeverComeAgainDisplaceNothing) {
  SsdpCache cache;
  const auto known = [&cache] { return Parsed(kReply, &cache).ssdp.headers; };
  known();
  known();
  for (int i = 0; i < 50'000; ++i) {
    const std::string other = kNotify + std::to_string(i);
    ASSERT_EQ(Parsed(other, &cache).ssdp.method, Method::notify);
  }
  EXPECT_LT(cache.hits(), 50U);  // a hash may have come before
  const std::uint64_t before = cache.hits();
  EXPECT_EQ(known(), 8U);
  EXPECT_EQ(cache.hits(), before + 1);
}

}  // namespace
}  // namespace weir::packet
