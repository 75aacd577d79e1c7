// SPDX-License-Identifier: BSD-2-Clause
#include "detect/extractor.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "../support/packet_builder.h"
#include "detect/expectations.h"
#include "detect/feature_list.h"

namespace weir::detect {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};
constexpr const char* kGroup = "239.255.255.250";
constexpr const char* kVictim = "192.168.1.10";
constexpr const char* kSearch =
    "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n"
    "ST: ssdp:all\r\n\r\n";
constexpr const char* kNotify =
    "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: a\r\nNTS: ssdp:alive\r\nUSN: b\r\n\r\n";
constexpr const char* kReply = "HTTP/1.1 200 OK\r\nST: ssdp:all\r\nUSN: uuid:1\r\n\r\n";
constexpr const char* kNoSsdp = "\xc3\x01\x02\x03";

struct Packet {
  Side side = Side::wan;
  std::string from, to;
  std::uint16_t from_port = 1900, to_port = 1900;
  std::string payload;
};

/// An extractor that is fed packets written as above, and gives features by name.
class Box {
 public:
  explicit Box(const TableConfig& config = small()) {
    for (const FeatureInfo& info : all_features()) names_.emplace_back(info.name);
    extractor_ = *Extractor::make(config, names_);
    values_.resize(names_.size());
    for (float& value : values_) columns_.push_back(&value);
  }
  static TableConfig small() {
    TableConfig config;
    config.sources_max = 32'768;  // so that no bucket overflows by chance
    config.destinations_max = 1'024;
    config.expectations_max = 1'024;
    config.flows_max = 1'024;
    return config;
  }

  Context see(Nanoseconds at, const Packet& p) {
    test::PacketBuilder builder;
    if (p.from.find(':') == std::string::npos) {
      builder.ip4(p.from, p.to);
    } else {
      builder.ip6(p.from, p.to);
    }
    const test::Bytes bytes = builder.udp(p.from_port, p.to_port).payload(p.payload).build();
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.time = kBegin + at;
    frame.side = p.side;
    const packet::Headers headers = packet::parse(frame.bytes());
    const packet::Ssdp ssdp = packet::parse_ssdp(packet::payload(frame.bytes(), headers));
    extractor_->prefetch(frame, headers);
    return extractor_->extract(frame, headers, ssdp, columns_.data(), 0);
  }
  [[nodiscard]] float value(const std::string& feature) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i] == feature) return values_[i];
    }
    ADD_FAILURE() << feature;
    return 0;
  }
  [[nodiscard]] TableCounters counters() const { return extractor_->counters(); }

 private:
  std::vector<std::string> names_;
  std::unique_ptr<Extractor> extractor_;
  std::vector<float> values_;
  std::vector<float*> columns_;
};

Packet search(const char* to = kGroup, Side side = Side::lan, const char* from = kVictim) {
  return {side, from, to, 50'000, 1900, kSearch};
}
Packet reply(const std::string& from, std::uint16_t from_port = 1900,
             std::uint16_t to_port = 50'000) {
  return {Side::wan, from, kVictim, from_port, to_port, kReply};
}
std::string stranger(int number) {
  return "203.0." + std::to_string(number / 250) + "." + std::to_string(1 + number % 250);
}

TEST(Features, HaveNamesGroupsUnitsAndHelp) {
  std::set<std::string> names;
  const std::set<std::string> groups = {"packet", "source", "destination", "network", "context"};
  const std::set<std::string> costs = {"parsed", "entry", "sketch", "lookup", "text"};
  for (const FeatureInfo& info : all_features()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(groups.count(info.group), 1U) << info.name;
    EXPECT_EQ(costs.count(info.cost), 1U) << info.name;
    EXPECT_EQ(std::string(info.cost) == "lookup", std::string(info.group) == "network");
    EXPECT_GT(std::string(info.unit).size(), 0U) << info.name;
    EXPECT_EQ(find_feature(info.name), &info);
    EXPECT_GT(std::string(info.help).size(), 0U) << info.name;
  }
  EXPECT_EQ(names.size(), kFeatures);
}

TEST(Features, StandInTheReadme) {
  std::ifstream file(WEIR_SOURCE "/src/detect/README.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find("\n\n" + feature_table()), std::string::npos)
      << "write the table anew: weir model features --markdown";
}

TEST(Extractor, RefusesAnUnknownFeatureAndNamesTheNearest) {
  const std::vector<std::string> wanted = {"ttl", "source_packet"};
  const auto made = Extractor::make({}, wanted);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("'source_packet'"), std::string::npos)
      << made.error().message;
  EXPECT_NE(made.error().message.find("did you mean source_packets?"), std::string::npos)
      << made.error().message;
}

TEST(Extractor, WritesOnlyWhatIsWantedInTheModelsOrder) {
  const std::vector<std::string> wanted = {"to_multicast", "ttl", "is_search"};
  auto extractor = *Extractor::make(Box::small(), wanted);
  const test::Bytes bytes =
      test::PacketBuilder().ip4(kVictim, kGroup).udp(50'000, 1900).payload(kSearch).build();
  packet::Frame frame;
  frame.data = bytes.data();
  frame.length = static_cast<std::uint32_t>(bytes.size());
  const packet::Headers headers = packet::parse(frame.bytes());
  std::vector<std::vector<float>> storage(3, std::vector<float>(4, -1));
  std::vector<float*> columns = {storage[0].data(), storage[1].data(), storage[2].data()};
  extractor->extract(frame, headers, packet::parse_ssdp(packet::payload(frame.bytes(), headers)),
                     columns.data(), 2);
  EXPECT_EQ(storage[0], (std::vector<float>{-1, -1, 1, -1}));
  EXPECT_EQ(storage[1], (std::vector<float>{-1, -1, 64, -1}));
  EXPECT_EQ(storage[2], (std::vector<float>{-1, -1, 1, -1}));
}

TEST(Solicited, AfterAMulticastSearchFromAnyoneAndAnyPort) {
  Box box;
  EXPECT_FALSE(box.see(seconds(0), reply("198.51.100.1")).solicited);
  box.see(seconds(1), search());
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.1")).solicited);
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.2", 49'153)).solicited);
  EXPECT_FALSE(box.see(seconds(2), reply("198.51.100.3", 1900, 50'001)).solicited)
      << "another port";
  EXPECT_TRUE(box.see(seconds(30), reply("198.51.100.4")).solicited) << "real devices take 22 s";
  EXPECT_FALSE(box.see(seconds(32), reply("198.51.100.5")).solicited);
}

TEST(Solicited, AfterAUnicastSearchFromWhomItAskedOnly) {
  Box box;
  box.see(seconds(1), search("198.51.100.1"));
  box.see(seconds(1), search("198.51.100.2"));
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.1", 33'000)).solicited);
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.2")).solicited);
  EXPECT_FALSE(box.see(seconds(2), reply("198.51.100.3")).solicited);
}

TEST(Solicited, InIpv6Too) {
  Box box;
  box.see(seconds(1), {Side::lan, "fd00::1", "ff02::c", 50'000, 1900, kSearch});
  EXPECT_TRUE(
      box.see(seconds(2), {Side::wan, "2001:db8::1", "fd00::1", 1900, 50'000, kReply}).solicited);
}

TEST(Solicited, NoFreePassOntoAnOpenPort) {
  Box box;
  box.see(seconds(0), search());
  int admitted = 0;
  for (int round = 0; round < 20; ++round) {
    for (int s = 0; s < 1'000; ++s) {
      const Nanoseconds at = milliseconds(10) + std::chrono::microseconds(round * 1'000 + s);
      admitted += box.see(at, reply(stranger(s))).solicited ? 1 : 0;
    }
  }
  EXPECT_LE(admitted, static_cast<int>(Expectations::kRepliesMax));
  EXPECT_GE(admitted, static_cast<int>(Expectations::kSourcesMax));
}

TEST(Solicited, AFloodThatBeganBeforeTheSearchIsNotLetIn) {
  Box box;
  for (int round = 0; round < 4; ++round) {
    for (int s = 0; s < 1'000; ++s) box.see(milliseconds(round), reply(stranger(s)));
  }
  box.see(seconds(1), search());
  for (int s = 0; s < 1'000; ++s) {
    ASSERT_FALSE(box.see(milliseconds(1'001), reply(stranger(s))).solicited) << s;
  }
  EXPECT_TRUE(box.see(milliseconds(1'500), reply("198.51.100.1")).solicited)
      << "the device that was asked";
}

TEST(Solicited, AKnownDeviceIsNotCrowdedOutByStrangers) {
  Box box;
  for (int i = 0; i < 6; ++i) {
    box.see(seconds(4 * i), {Side::wan, "198.51.100.1", kGroup, 1900, 1900, kNotify});
  }
  box.see(seconds(30), search());
  for (int s = 0; s < 1'000; ++s) box.see(milliseconds(30'010), reply(stranger(s)));
  EXPECT_TRUE(box.see(milliseconds(31'000), reply("198.51.100.1")).solicited);
  EXPECT_FALSE(box.see(milliseconds(31'000), reply("198.51.100.2")).solicited)
      << "an unknown one is, and is judged";
}

TEST(Solicited, OneSourceAnswersSoOftenAndNoMore) {
  Box box;
  box.see(seconds(0), search());
  unsigned admitted = 0;
  for (int i = 0; i < 500; ++i)
    admitted += box.see(milliseconds(i), reply("198.51.100.1")).solicited ? 1U : 0U;
  EXPECT_EQ(admitted, Expectations::kRepliesPerSource);
  box.see(seconds(1), search());
  EXPECT_TRUE(box.see(milliseconds(61'000), search()).time.ns > 0);
  EXPECT_TRUE(box.see(milliseconds(200'000), search()).method == packet::Method::search);
  EXPECT_TRUE(box.see(milliseconds(200'001), reply("198.51.100.1")).solicited)
      << "a new search, and suspicion has faded";
}

TEST(Solicited, AForgedSearchOpensNothing) {
  Box box;
  box.see(seconds(0), search(kGroup, Side::lan));
  // From the WAN, with the victim's address, which is known to live on the LAN.
  const Context forged = box.see(seconds(40), search(kGroup, Side::wan));
  EXPECT_TRUE(forged.wrong_side);
  EXPECT_EQ(box.value("wrong_side"), 1);
  const Context answer = box.see(seconds(41), reply("198.51.100.1"));
  EXPECT_FALSE(answer.solicited);
  EXPECT_FALSE(answer.asked_same_side);
}

TEST(Solicited, SearchesOfTheWanCannotEvictWhatTheLanWaitsFor) {
  TableConfig config = Box::small();
  config.expectations_max = 64;
  Box box(config);
  box.see(seconds(0), search());
  for (int s = 0; s < 20'000; ++s) {
    Packet flood = search(kVictim, Side::wan, "203.0.113.1");
    flood.from_port = static_cast<std::uint16_t>(1'024 + s);
    box.see(milliseconds(1), flood);
  }
  EXPECT_TRUE(box.see(seconds(1), reply("198.51.100.1")).solicited);
  EXPECT_GT(box.counters().expectations_evicted, 0U);
}

TEST(Solicited, AnswersOfTheLanToTheWanAndWithinOneSide) {
  Box box;
  box.see(seconds(0), {Side::wan, "198.51.100.7", kGroup, 50'000, 1900, kSearch});
  EXPECT_TRUE(
      box.see(seconds(1), {Side::lan, kVictim, "198.51.100.7", 1900, 50'000, kReply}).solicited);
  const Context same =
      box.see(seconds(1), {Side::wan, "198.51.100.8", "198.51.100.7", 1900, 50'000, kReply});
  EXPECT_FALSE(same.solicited);
  EXPECT_TRUE(same.asked_same_side);
  EXPECT_EQ(box.value("destination_unsolicited"), 0);
}

TEST(ClientFlow, OnlyTheLanOpensOne) {
  Box box;
  const Packet down = {Side::wan, "203.0.113.9", kVictim, 443, 1900, kNoSsdp};
  EXPECT_FALSE(box.see(seconds(0), down).client_flow);
  EXPECT_TRUE(
      box.see(seconds(1), {Side::lan, kVictim, "203.0.113.9", 1900, 443, kNoSsdp}).client_flow);
  EXPECT_TRUE(box.see(seconds(2), down).client_flow);
  EXPECT_TRUE(box.see(seconds(180), down).client_flow);
  EXPECT_FALSE(box.see(seconds(182), down).client_flow) << "three minutes without the LAN";
}

TEST(ClientFlow, HasFourNumbersAndNoSsdp) {
  Box box;
  box.see(seconds(0), {Side::lan, kVictim, "203.0.113.9", 1900, 443, kNoSsdp});
  EXPECT_FALSE(
      box.see(seconds(1), {Side::wan, "203.0.113.9", kVictim, 444, 1900, kNoSsdp}).client_flow);
  EXPECT_FALSE(
      box.see(seconds(1), {Side::wan, "203.0.113.8", kVictim, 443, 1900, kNoSsdp}).client_flow);
  EXPECT_FALSE(
      box.see(seconds(1), {Side::wan, "203.0.113.9", kVictim, 443, 1900, kReply}).client_flow)
      << "SSDP text never belongs to one";
}

TEST(Counts, OfSourceAndDestination) {
  Box box;
  for (int i = 0; i < 10; ++i) box.see(milliseconds(0), reply("203.0.113.1"));
  EXPECT_EQ(box.value("source_packets"), 10);
  EXPECT_EQ(box.value("source_unsolicited"), 10);
  EXPECT_EQ(box.value("destination_unsolicited"), 10);
  EXPECT_EQ(box.value("destination_new_sources"), 1);
  EXPECT_NEAR(box.value("destination_sources"), 1, 0.1);
  EXPECT_EQ(box.value("source_bytes"), 10 * std::string(kReply).size());
  for (int s = 0; s < 100; ++s) box.see(milliseconds(1), reply(stranger(s)));
  EXPECT_EQ(box.value("source_packets"), 1);
  EXPECT_NEAR(box.value("destination_new_sources"), 101, 0.5);
  EXPECT_NEAR(box.value("destination_sources"), 101, 20);
  box.see(seconds(60), reply("203.0.113.1"));
  EXPECT_LT(box.value("source_packets"), 1.001F);
  EXPECT_NEAR(box.value("source_age_s"), 60, 0.01);
}

TEST(Counts, WhatIsWantedCountsForNobody) {
  Box box;
  for (int i = 0; i < 500; ++i) {
    box.see(milliseconds(i), {Side::lan, kVictim, "203.0.113.9", 1900, 443, kNoSsdp});
    box.see(milliseconds(i), {Side::wan, "203.0.113.9", kVictim, 443, 1900, kNoSsdp});
  }
  EXPECT_EQ(box.value("destination_packets"), 0);
  box.see(milliseconds(500), search());
  EXPECT_EQ(box.value("source_packets"), 1) << "a host with a busy call searches";
  EXPECT_NEAR(box.value("source_destinations"), 1, 0.1);
  box.see(milliseconds(501), reply("203.0.113.1"));
  EXPECT_EQ(box.value("destination_packets"), 0) << "asked for";
}

TEST(Counts, AScannerIsSeenByItsDestinations) {
  Box box;
  for (int i = 0; i < 60; ++i) {
    box.see(milliseconds(i),
            search(("192.168.1." + std::to_string(i + 1)).c_str(), Side::wan, "203.0.113.1"));
  }
  EXPECT_EQ(box.value("is_search"), 1);
  EXPECT_EQ(box.value("asks_all"), 1);
  EXPECT_NEAR(box.value("source_searches"), 60, 0.5);
  EXPECT_NEAR(box.value("source_destinations"), 60, 15);
}

TEST(Solicited, LateAnswersAreToldApartAndHaveFewerPlaces) {
  Box box;
  box.see(seconds(0), search());  // MX 1, so due within 3 s
  EXPECT_FALSE(box.see(milliseconds(2'900), reply("198.51.100.1")).late);
  EXPECT_EQ(box.value("answer_late"), 0);
  EXPECT_NEAR(box.value("answer_delay_s"), 2.9, 0.001);
  EXPECT_TRUE(box.see(milliseconds(3'100), reply("198.51.100.1")).late);
  EXPECT_EQ(box.value("answer_late"), 1);
  EXPECT_EQ(box.value("solicited"), 1) << "late, and wanted all the same";
  unsigned admitted = 0;
  for (int s = 0; s < 100; ++s)
    admitted += box.see(seconds(10), reply(stranger(s))).solicited ? 1U : 0U;
  EXPECT_EQ(admitted, Expectations::kLateSourcesMax);
  EXPECT_TRUE(box.see(seconds(29), reply("198.51.100.1")).solicited) << "it answered in time";
  Packet patient = search();
  patient.payload.replace(patient.payload.find("MX: 1"), 5, "MX: 9");
  box.see(seconds(40), patient);
  EXPECT_FALSE(box.see(milliseconds(50'900), reply("198.51.100.9")).late);
}

TEST(Counts, OfAnswersThatWereAskedFor) {
  Box box;
  EXPECT_EQ(box.see(seconds(0), search()).source_wanted, 0);
  for (int i = 0; i < 3; ++i) box.see(seconds(1), reply("198.51.100.1"));
  EXPECT_NEAR(box.value("source_wanted"), 3, 0.1);
  EXPECT_NEAR(box.value("destination_wanted"), 3, 0.1);
  EXPECT_NEAR(box.see(seconds(1), reply("198.51.100.1")).source_wanted, 4, 0.1);
  EXPECT_NEAR(box.value("destination_search_age_s"), 1, 0.01);
  box.see(seconds(1), reply("198.51.100.1", 1900, 40'000));
  EXPECT_EQ(box.value("solicited"), 0);
  EXPECT_NEAR(box.value("destination_search_age_s"), 1, 0.01) << "it searched, from another port";
  box.see(seconds(1), {Side::wan, "198.51.100.1", "192.168.1.77", 1900, 40'000, kReply});
  EXPECT_EQ(box.value("destination_search_age_s"), 3'600) << "that one never searched";
}

TEST(Counts, ADripFillsTheSecondsAndBurstsDoNot) {
  Box drip;
  for (int i = 0; i < 40; ++i) drip.see(seconds(2 * i), reply("203.0.113.1"));
  EXPECT_GE(drip.value("source_seconds"), 25);
  EXPECT_GE(drip.value("destination_seconds"), 25);
  EXPECT_NEAR(drip.value("source_gap_s"), 2, 0.01);
  Box bursts;
  for (int i = 0; i < 40; ++i)
    bursts.see(seconds(40 * (i / 20)) + milliseconds(i), reply("203.0.113.1"));
  EXPECT_LE(bursts.value("source_seconds"), 4);
  bursts.see(seconds(200), reply("203.0.113.1"));
  EXPECT_EQ(bursts.value("source_seconds"), 1) << "64 s later all is forgotten";
  bursts.see(seconds(200), reply("203.0.113.2"));
  EXPECT_EQ(bursts.value("source_gap_s"), 3'600) << "a source that was never seen";
}

TEST(Counts, PortsOfOneDestination) {
  Box box;
  for (int i = 0; i < 40; ++i)
    box.see(milliseconds(i), reply("203.0.113.1", 1900, static_cast<std::uint16_t>(1'000 + i)));
  EXPECT_NEAR(box.value("destination_ports"), 40, 12);
}

TEST(Counts, ACarpetIsSeenInItsNetwork) {
  Box box;
  for (int i = 0; i < 60; ++i)
    box.see(milliseconds(i),
            {Side::wan, stranger(i), "192.168.1." + std::to_string(i + 1), 1900, 40'000, kReply});
  EXPECT_EQ(box.value("destination_unsolicited"), 1);
  EXPECT_NEAR(box.value("network_unsolicited"), 60, 0.5);
  EXPECT_NEAR(box.value("network_packets"), 60, 2.5);
  EXPECT_NEAR(box.value("network_destinations"), 60, 18);
  EXPECT_NEAR(box.value("network_sources"), 60, 12);
  box.see(milliseconds(61), {Side::wan, stranger(1), "192.168.2.1", 1900, 40'000, kReply});
  EXPECT_EQ(box.value("network_unsolicited"), 1) << "the next /24";
  for (const char* to : {"2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"})
    box.see(milliseconds(62), {Side::wan, "2001:db8:9::1", to, 1900, 40'000, kReply});
  EXPECT_EQ(box.value("network_unsolicited"), 1) << "a /64 of IPv6";
}

TEST(Packet, WhatItSaysOfItself) {
  Box box;
  Packet elsewhere = reply("198.51.100.1");
  elsewhere.payload =
      "HTTP/1.1 200 OK\r\nST: ssdp:all\r\nUSN: uuid:1\r\nLOCATION: http://192.168.7.7:80/d.xml\r\n"
      "SERVER: Linux UPnP/1.0\r\n\r\n";
  box.see(seconds(0), elsewhere);
  EXPECT_EQ(box.value("location_elsewhere"), 1);
  EXPECT_EQ(box.value("has_banner"), 1);
  elsewhere.from = "192.168.7.7";
  box.see(seconds(0), elsewhere);
  EXPECT_EQ(box.value("location_elsewhere"), 0);
  box.see(seconds(0), search());
  EXPECT_EQ(box.value("mx_s"), 1);
  EXPECT_EQ(box.value("has_banner"), 0);
  box.see(seconds(0),
          {Side::lan, kVictim, kGroup, 1900, 1900,
           "NOTIFY * HTTP/1.1\r\nHOST: a\r\nNT: a\r\nNTS: ssdp:byebye\r\nUSN: b\r\n\r\n"});
  EXPECT_EQ(box.value("is_byebye"), 1);
}

TEST(Context, FirstSeenIsThatOfTheSource) {
  Box box;
  box.see(seconds(3), reply("203.0.113.1"));
  EXPECT_EQ(box.see(seconds(9), reply("203.0.113.1")).first_seen, kBegin + seconds(3));
  EXPECT_EQ(box.see(seconds(9), reply("203.0.113.2")).first_seen, kBegin + seconds(9));
}

TEST(Context, AnAddressThatMovedIsBelievedAfterAWhile) {
  Box box;
  box.see(seconds(0), search());
  EXPECT_TRUE(box.see(seconds(200), search(kGroup, Side::wan)).wrong_side);
  EXPECT_FALSE(box.see(seconds(400), search(kGroup, Side::wan)).wrong_side);
  EXPECT_FALSE(box.see(seconds(401), search()).wrong_side) << "the LAN is believed at once";
}

}  // namespace
}  // namespace weir::detect
