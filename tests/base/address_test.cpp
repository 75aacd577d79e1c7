// SPDX-License-Identifier: BSD-2-Clause
#include "base/address.h"

#include <gtest/gtest.h>

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
