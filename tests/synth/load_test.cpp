// SPDX-License-Identifier: BSD-2-Clause
#include "synth/load.h"

#include <gtest/gtest.h>

#include <set>

#include "packet/headers.h"

namespace weir::synth {
namespace {

using Frame = std::vector<std::uint8_t>;

LoadOptions load_options(const std::string& mix, const std::string& from = "203.0.113.250",
                         const std::string& to = "192.168.1.50") {
  LoadOptions options;
  options.mix = mix;
  options.from = *Address::parse(from);
  options.to = *Address::parse(to);
  options.run = 7;
  return options;
}

Frame written(Load& load) {
  Frame frame(2048);
  frame.resize(load.write(frame));
  return frame;
}

TEST(LoadTest, MixesFlowsByTheirSharesAndSpreadsTheirSources) {
  for (const auto* from : {"203.0.113.250", "2001:db8::ffff:fffe"}) {
    LoadOptions options =
        load_options("reply=5,search=2,udp=3", from,
                     from[0] == '2' && from[3] == '.' ? "192.168.1.50" : "fd77::50");
    options.sources = 10;
    auto load = Load::make(options);
    ASSERT_TRUE(load) << load.error().message;
    std::set<Address> sources;
    for (int i = 0; i < 100; ++i) {
      const Frame frame = written(*load);
      const packet::Headers headers = packet::parse(frame);
      ASSERT_EQ(headers.kind, WEIR_KIND_udp);
      sources.insert(packet::source(frame, headers));
      EXPECT_EQ(packet::destination(frame, headers), options.to);
    }
    EXPECT_EQ(sources.size(), 10U);
    EXPECT_EQ(*sources.begin(), options.from);
    EXPECT_EQ(load->sent(), (std::array<std::uint64_t, 4>{50, 20, 0, 30}));
  }
}

TEST(LoadTest, TheReceiverCountsLossOrderAndOtherFrames) {
  auto load = Load::make(load_options("reply=1,udp=1"));
  ASSERT_TRUE(load);
  LoadTally tally;
  std::vector<Frame> frames;
  for (int i = 0; i < 20; ++i) frames.push_back(written(*load));
  // Of reply, numbers 0 to 9: 3 is lost, 5 comes late. Of udp the last two are lost.
  std::vector<Frame> reply, udp;
  for (std::size_t i = 0; i < frames.size(); ++i) (i % 2 == 0 ? reply : udp).push_back(frames[i]);
  reply.erase(reply.begin() + 3);
  std::swap(reply[4], reply[5]);
  udp.resize(8);
  std::uint64_t time = 1000;
  for (const auto& all : {reply, udp})
    for (const Frame& frame : all) tally.see(frame, {time += 100});
  EXPECT_FALSE(tally.ended());
  EXPECT_EQ(tally.flows()[3].lost(), 0U) << "not known yet";
  Frame end(2048);
  end.resize(load->write_end(end));
  tally.see(end, {time});
  EXPECT_TRUE(tally.ended());
  EXPECT_EQ(tally.flows()[0].packets, 9U);
  EXPECT_EQ(tally.flows()[0].lost(), 1U);
  EXPECT_EQ(tally.flows()[0].out_of_order, 1U);
  EXPECT_EQ(tally.flows()[3].packets, 8U);
  EXPECT_EQ(tally.flows()[3].lost(), 2U);
  EXPECT_EQ(tally.flows()[3].out_of_order, 0U);
  EXPECT_EQ(tally.elapsed(), Nanoseconds{1600});

  LoadOptions foreign = load_options("udp=1");
  foreign.run = 8;
  auto other = Load::make(foreign);
  tally.see(written(*other), {time});
  for (const std::size_t length : {std::size_t{0}, std::size_t{23}, std::size_t{60}})
    tally.see(Frame(length), {time});
  EXPECT_EQ(tally.others(), 4U);
  EXPECT_EQ(tally.flows()[3].packets, 8U);
}

TEST(LoadTest, RefusesWhatIsNoMix) {
  for (const char* mix : {"tcp=1", "udp", "udp=x", "udp=-1", "udp=1001", "udp=0", "", "=1"})
    EXPECT_FALSE(Load::make(load_options(mix))) << mix;
  EXPECT_FALSE(Load::make(load_options("udp=1", "203.0.113.1", "fd77::1")));
}

}  // namespace
}  // namespace weir::synth
