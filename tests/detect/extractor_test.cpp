// SPDX-License-Identifier: BSD-2-Clause
#include "detect/extractor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "box.h"
#include "detect/expectations.h"
#include "detect/feature_list.h"

namespace weir::detect {
namespace {

TEST(Features, HaveNamesGroupsUnitsAndHelp) {
  std::set<std::string> names;
  const std::set<std::string> groups = {"packet",  "source",  "destination",
                                        "network", "context", "header"};
  const std::set<std::string> costs = {"parsed", "entry", "sketch", "lookup", "text", "read"};
  for (const FeatureInfo& info : all_features()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(groups.count(info.group), 1U) << info.name;
    EXPECT_EQ(costs.count(info.cost), 1U) << info.name;
    if (std::string(info.group) == "network") {
      EXPECT_STREQ(info.cost, "lookup") << info.name;
    }
    EXPECT_GT(std::string(info.unit).size(), 0U) << info.name;
    EXPECT_EQ(find_feature(info.name), &info);
    EXPECT_GT(std::string(info.help).size(), 0U) << info.name;
  }
  EXPECT_EQ(names.size(), kFeatures);
}

std::string text_of(const std::string& file) {
  std::stringstream text;
  text << std::ifstream(WEIR_SOURCE + file).rdbuf();
  return text.str();
}

TEST(Features, StandInTheReadme) {
  EXPECT_NE(text_of("/src/detect/README.md").find("\n\n" + feature_table()), std::string::npos)
      << "write the table anew: weir model features --markdown";
}

TEST(Features, OfHeadersStandBesideSkimXdpsReading) {
  const std::string text = text_of("/config/moving-from-skimxdp.md");
  const std::string rows[] = {
#define WEIR_ROW(name, unit, help, skx) \
  "\n| `" #name "` | " help " (" unit ") | " + std::string(*skx != 0 ? skx : "the same") + " |\n",
      WEIR_HEADER_FEATURES(WEIR_ROW)
#undef WEIR_ROW
  };
  for (const std::string& row : rows) EXPECT_NE(text.find(row), std::string::npos) << row;
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
  extractor->extract_one(
      frame, headers, packet::parse_ssdp(packet::payload(frame.bytes(), headers)), columns.data());
  EXPECT_EQ(storage[0], (std::vector<float>{1, -1, -1, -1}));
  EXPECT_EQ(storage[1], (std::vector<float>{64, -1, -1, -1}));
  EXPECT_EQ(storage[2], (std::vector<float>{1, -1, -1, -1}));
}

TEST(Extractor, HeaderFeaturesAreThoseOfThePacketsHeaders) {
  Box box;
  box.see(seconds(0), {Side::wan, "2001:db8::9", "2001:db8::1", 1900, 50'000, kReply});
  EXPECT_EQ(box.value("ip_version"), 6);
  EXPECT_EQ(box.value("ip_ihl"), 10);
  EXPECT_EQ(box.value("ip_protocol"), 17);
  EXPECT_EQ(box.value("source_port"), 1900);
  EXPECT_EQ(box.value("dest_port"), 50'000);
  EXPECT_EQ(box.value("ip_total_length"), 48 + static_cast<float>(std::string(kReply).size()));
  EXPECT_EQ(box.value("tcp_syn_flag"), 0);
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

TEST(Solicited, AfterAUnicastSearchFromWhomItAsked) {
  Box box;
  box.see(seconds(1), search("198.51.100.1"));
  box.see(seconds(1), search("198.51.100.2"));
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.1", 33'000)).solicited);
  EXPECT_TRUE(box.see(seconds(2), reply("198.51.100.2")).solicited);
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
  EXPECT_LE(admitted, static_cast<int>(Expectations::kRepliesOfStrangers));
  EXPECT_GE(admitted, static_cast<int>(Expectations::kSourcesMax));
}

TEST(Solicited, AFloodThatBeganBeforeTheSearchIsNotLetIn) {
  Box box;
  box.see(seconds(0), {Side::wan, "198.51.100.1", kGroup, 1900, 1900, kNotify});
  for (int round = 0; round < 4; ++round) {
    for (int s = 0; s < 1'000; ++s) box.see(milliseconds(10 + round), reply(stranger(s)));
  }
  box.see(seconds(1), search());
  for (int s = 0; s < 1'000; ++s) {
    ASSERT_FALSE(box.see(milliseconds(1'001), reply(stranger(s))).solicited) << s;
  }
  EXPECT_TRUE(box.see(milliseconds(1'500), reply("198.51.100.1")).solicited)
      << "a device that announced itself before";
  EXPECT_TRUE(box.see(milliseconds(1'500), reply("198.51.100.2")).solicited)
      << "a device that nobody knew is found during an attack, too";
  unsigned admitted = 0;
  for (int s = 5'000; s < 6'000; ++s)
    admitted += box.see(milliseconds(1'501), reply(stranger(s))).solicited ? 1 : 0;
  EXPECT_LE(admitted, Expectations::kRepliesUnderFlood + Expectations::kStrangersPerKnown)
      << "but a flood onto the very port is let in no further";
  EXPECT_TRUE(box.see(milliseconds(1'502), reply(stranger(7'000))).flooding);
  Packet asks_one = search("198.51.100.3");
  asks_one.from_port = 50'001;
  box.see(milliseconds(1'600), asks_one);
  EXPECT_TRUE(box.see(milliseconds(1'700), reply("198.51.100.3", 1900, 50'001)).solicited)
      << "who is asked by address may answer";
}

TEST(Solicited, ByTheOtherAddressOfWhoWasAsked) {
  Box box;
  box.see(seconds(0), search("198.51.100.1"));
  EXPECT_TRUE(box.see(milliseconds(100), reply("198.51.100.77")).solicited);
  unsigned admitted = 1;
  for (int s = 0; s < 100; ++s)
    admitted += box.see(milliseconds(200), reply(stranger(s))).solicited ? 1U : 0U;
  EXPECT_EQ(admitted, Expectations::kTwinsMax);
  EXPECT_TRUE(box.see(milliseconds(300), reply("198.51.100.1")).solicited);
  box.see(seconds(20), search("198.51.100.1"));
  EXPECT_FALSE(box.see(seconds(24), reply("198.51.100.78")).solicited) << "not when it is late";
}

TEST(Solicited, MoreStrangersWhereKnownDevicesAnswerToo) {
  const auto admitted = [](int known_replies) {
    Box box;
    box.see(seconds(0), {Side::wan, "198.51.100.1", kGroup, 1900, 1900, kNotify});
    box.see(seconds(1), search());
    for (int i = 0; i < known_replies; ++i) box.see(seconds(1), reply("198.51.100.1"));
    int let_in = 0;
    for (int s = 0; s < 190; ++s)
      let_in += box.see(milliseconds(1'500), reply(stranger(s))).solicited ? 1 : 0;
    return let_in;
  };
  EXPECT_EQ(admitted(0), static_cast<int>(Expectations::kSourcesMax));
  EXPECT_EQ(admitted(8), static_cast<int>(8 * Expectations::kStrangersPerKnown));
}

TEST(Solicited, AnswersThatAreDueSpeakAgainstNobody) {
  Box box;
  box.see(seconds(0), search());
  for (int i = 0; i < 150; ++i) box.see(milliseconds(500), reply("198.51.100.1"));
  EXPECT_EQ(box.value("solicited"), 0) << "more than a stranger may send";
  EXPECT_EQ(box.value("answer_due"), 1);
  EXPECT_EQ(box.value("source_unsolicited"), 0);
  EXPECT_GT(box.value("destination_unsolicited"), 50);
  box.see(seconds(10), search());
  EXPECT_TRUE(box.see(milliseconds(10'100), reply("198.51.100.1")).solicited);
}

TEST(Blind, IsASearchToWhereNoDeviceWasHeard) {
  Box box;
  const auto ask = [&](const std::string& whom) {
    return box.see(seconds(1), search(whom.c_str(), Side::wan, "203.0.113.1")).blind;
  };
  EXPECT_TRUE(ask("192.168.1.20"));
  EXPECT_EQ(box.value("search_blind"), 1);
  box.see(seconds(1), {Side::lan, "192.168.1.20", "203.0.113.1", 1900, 50'000, kReply});
  EXPECT_FALSE(ask("192.168.1.20")) << "it answered";
  box.see(seconds(1), {Side::lan, "192.168.1.21", kGroup, 1900, 1900, kNotify});
  EXPECT_FALSE(ask("192.168.1.21")) << "it announced itself";
  box.see(seconds(1), {Side::wan, "192.168.1.22", kGroup, 1900, 1900, kNotify});
  EXPECT_TRUE(ask("192.168.1.22")) << "a stranger of the own side said that it is one";
  box.see(seconds(1), {Side::lan, "192.168.1.23", kGroup, 50'000, 1900, kSearch});
  EXPECT_TRUE(ask("192.168.1.23")) << "who searches is no device";
  EXPECT_FALSE(ask(kGroup));
}

TEST(Awaited, WhileASearchIsOpen) {
  Box box;
  EXPECT_FALSE(box.see(seconds(0), reply("198.51.100.1")).awaited);
  box.see(seconds(1), search());
  const Context due = box.see(seconds(2), reply("198.51.100.1"));
  EXPECT_TRUE(due.awaited && due.due);
  const Context late = box.see(seconds(20), reply("198.51.100.1"));
  EXPECT_TRUE(late.awaited && !late.due);
  EXPECT_FALSE(box.see(seconds(2), reply("198.51.100.1", 1900, 1)).awaited) << "another port";
  EXPECT_FALSE(box.see(seconds(40), reply("198.51.100.1")).awaited);
}

TEST(Multicast, IsWhatEthernetSendsToAll) {
  auto extractor = *Extractor::make(Box::small(), {});
  test::Bytes bytes =
      test::PacketBuilder().ip4("10.0.0.1", "10.0.0.255").udp(1, 1900).payload(kSearch).build();
  const auto see = [&] {
    packet::Frame frame;
    frame.data = bytes.data();
    frame.length = static_cast<std::uint32_t>(bytes.size());
    frame.time = kBegin;
    const packet::Headers headers = packet::parse(frame.bytes());
    return extractor->extract_one(
        frame, headers, packet::parse_ssdp(packet::payload(frame.bytes(), headers)), nullptr);
  };
  EXPECT_FALSE(see().multicast);
  std::fill_n(bytes.begin(), 6, std::uint8_t{0xff});
  EXPECT_TRUE(see().multicast);
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
  EXPECT_EQ(admitted, Expectations::kRepliesPerStranger);
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
