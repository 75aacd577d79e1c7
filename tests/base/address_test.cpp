// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>

namespace weir {
namespace {

TEST(Address, ReadsAndWritesBothFamilies) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "ff02::c"}) {
    const auto address = Address::parse(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(address->text(), text);
  }
}

TEST(Address, RefusesWhatIsNone) {
  for (const char* text :
       {"", "192.0.2", "192.0.2.256", "2001:db8:::1", "host", "192.0.2.1/24", "192.0.2.1 "}) {
    EXPECT_FALSE(Address::parse(text)) << text;
  }
}

TEST(Address, KnowsMulticast) {
  for (const char* text : {"224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::c"}) {
    EXPECT_TRUE(Address::parse(text)->is_multicast()) << text;
  }
  for (const char* text : {"223.255.255.255", "240.0.0.1", "fe80::1"}) {
    EXPECT_FALSE(Address::parse(text)->is_multicast()) << text;
  }
}

/// Seeds that weaken multiplicative hashes: zero, ones, the constants of such hashes and their
/// negatives, and words of addresses.
std::vector<std::uint64_t> suspicious_seeds() {
  std::vector<std::uint64_t> seeds = {0, 1, ~0ULL, 0xffff000000000000ULL, 0x77656972};
  for (const std::uint64_t constant :
       {0x9e3779b97f4a7c15ULL, 0xd6e8feb86659fd93ULL, 0xff51afd7ed558ccdULL, 0xbf58476d1ce4e5b9ULL,
        0x94d049bb133111ebULL}) {
    seeds.insert(seeds.end(), {constant, ~constant, 0 - constant});
  }
  for (unsigned bit = 0; bit < 64; ++bit) seeds.push_back(1ULL << bit);
  return seeds;
}

/// A table's estimates go by hashes, and verdicts by estimates.
TEST(Address, HasTheSameHashOnEveryMachine) {
  const std::uint8_t six[16] = {0x20, 1, 0xd, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  EXPECT_EQ(Address::v4(be32::from_host(0xc0000201U)).hash(7), 11'703'926'409'243'685'882ULL);
  EXPECT_EQ(Address::v6(six).hash(7), 9'569'914'946'554'930'577ULL);
}

TEST(AddressHash, NoSeedIsWeak) {
  std::array<std::uint8_t, 16> six{0x20, 0x01, 0x0d, 0xb8};
  for (std::uint64_t seed : suspicious_seeds()) {
    std::uint64_t own = 0;  // a seed that is the address's own first word
    std::memcpy(&own, six.data(), sizeof own);
    for (const std::uint64_t s : {seed, seed ^ own}) {
      std::set<std::uint64_t> four_hashes;
      std::set<std::uint64_t> six_hashes;
      for (std::uint32_t i = 0; i < 1'024; ++i) {
        four_hashes.insert(Address::v4(be32::from_host(0xc0a80000U + i)).hash(s));
        six[8] = static_cast<std::uint8_t>(i);
        six[15] = static_cast<std::uint8_t>(i >> 8U);
        six_hashes.insert(Address::v6(six.data()).hash(s));
      }
      ASSERT_EQ(four_hashes.size(), 1'024U) << s;
      ASSERT_EQ(six_hashes.size(), 1'024U) << s;
    }
  }
}

/// What tables take of a hash: bucket (low word), tag (high word), sketch bit (from bit 40 on).
TEST(AddressHash, EveryPartOfItSpreadsNeighbours) {
  for (const std::uint64_t seed : suspicious_seeds()) {
    for (const unsigned shift : {0U, 26U, 32U, 40U, 58U}) {
      std::array<unsigned, 64> cells{};
      constexpr unsigned kEach = 64;
      for (std::uint32_t i = 0; i < cells.size() * kEach; ++i)
        ++cells[(Address::v4(be32::from_host(0x0a000000U + i)).hash(seed) >> shift) % cells.size()];
      double chi = 0;
      for (const unsigned n : cells) chi += std::pow(n - double{kEach}, 2) / kEach;
      // 63 degrees of freedom: 140 is beyond 1 in 10 million.
      ASSERT_LT(chi, 140) << "seed " << seed << ", from bit " << shift;
    }
  }
}

TEST(AddressHash, DependsOnItsSeed) {
  const Address address = *Address::parse("192.0.2.1");
  std::set<std::uint64_t> hashes;
  for (const std::uint64_t seed : suspicious_seeds()) hashes.insert(address.hash(seed));
  const auto seeds = suspicious_seeds();
  EXPECT_EQ(hashes.size(), std::set<std::uint64_t>(seeds.begin(), seeds.end()).size());
}

TEST(Address, IPv4MappedIPv6IsNotThatIPv4) {
  const auto four = *Address::parse("203.0.113.9");
  const auto mapped = *Address::parse("::ffff:203.0.113.9");
  EXPECT_EQ(four.bytes(), mapped.bytes());
  EXPECT_NE(four, mapped);
  EXPECT_NE(four <=> mapped, std::strong_ordering::equal);
  EXPECT_NE(four.hash(1), mapped.hash(1));
  EXPECT_TRUE(four.is_v4());
  EXPECT_FALSE(mapped.is_v4());
  EXPECT_EQ(Address::v6(four.bytes().data()), mapped);
  // Each text names the one that it came from, so that a person can name either.
  EXPECT_EQ(four.text(), "203.0.113.9");
  EXPECT_EQ(mapped.text(), "::ffff:203.0.113.9");
  EXPECT_EQ(Prefix(mapped, 128).address(), mapped);
  EXPECT_EQ(Prefix(four, 32).address(), four);
  EXPECT_EQ(Prefix::parse("::ffff:0:0/96")->length(), 96U);
  EXPECT_FALSE(Prefix::parse("0.0.0.0/0")->contains(mapped));
  EXPECT_FALSE(Prefix::parse("::/0")->contains(four));
  EXPECT_TRUE(Prefix::parse("::ffff:203.0.113.0/120")->contains(mapped));
}

TEST(Prefix, ContainsExactlyItsRange) {
  struct Case {
    const char* prefix;
    const char* in;
    const char* out;
  };
  for (const auto& c :
       {Case{"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
        Case{"172.16.0.0/12", "172.31.0.1", "172.32.0.0"},
        Case{"0.0.0.0/0", "255.1.2.3", "2001:db8::1"},
        Case{"192.0.2.7/32", "192.0.2.7", "192.0.2.6"}, Case{"fe80::/10", "febf::1", "fec0::"},
        Case{"::/0", "2001:db8::1", "192.0.2.1"}}) {
    const auto prefix = Prefix::parse(c.prefix);
    ASSERT_TRUE(prefix) << c.prefix;
    EXPECT_TRUE(prefix->contains(*Address::parse(c.in))) << c.prefix;
    EXPECT_FALSE(prefix->contains(*Address::parse(c.out))) << c.prefix;
    EXPECT_EQ(prefix->text(), c.prefix);
  }
}

TEST(Prefix, RefusesHostBitsAndBadLengthsWithWordsThatHelp) {
  const auto host_bits = Prefix::parse("192.168.1.1/16");
  ASSERT_FALSE(host_bits);
  EXPECT_NE(host_bits.error().message.find("192.168.0.0/16"), std::string::npos)
      << host_bits.error().message;
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8x", "::/129"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

}  // namespace
}  // namespace weir
