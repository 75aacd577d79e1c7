// SPDX-License-Identifier: BSD-2-Clause
#include "detect/bounded_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <unistd.h>

#include <array>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <unordered_map>

#include "detect/extractor.h"
#include "detect/ledger.h"
#include "detect/policy.h"
#include "detect/source_table.h"

namespace weir::detect {
namespace {

constexpr std::uint64_t kSeed = 99;
constexpr PacketTime kBegin{1'767'225'600'000'000'000ULL};

Address v4(std::uint32_t address) { return Address::v4(be32::from_host(address)); }

SourceEntry& see(SourceTable& table, const Address& address, PacketTime now) {
  bool fresh = false;
  SourceEntry& entry = table.touch(address, address.hash(kSeed), now, fresh);
  if (fresh) entry.first_seen = now;
  ++entry.total;
  return entry;
}

RC_GTEST_PROP(BoundedTable, FindsWhatIsInItAndNothingElse, ()) {
  SourceTable table(256);
  std::set<std::uint32_t> known;
  const auto addresses =
      *rc::gen::container<std::vector<std::uint32_t>>(rc::gen::inRange(0U, 400U));
  PacketTime now = kBegin;
  for (const std::uint32_t a : addresses) {
    now = now + std::chrono::milliseconds(1);
    RC_ASSERT(see(table, v4(a), now).key == v4(a));
    known.insert(a);
    RC_ASSERT(table.size() <= table.capacity());
    RC_ASSERT(table.size() + table.evicted() >= known.size());
  }
  for (std::uint32_t a = 0; a < 400; ++a) {
    const SourceEntry* entry = table.find(v4(a), v4(a).hash(kSeed));
    if (entry != nullptr) {
      RC_ASSERT(entry->key == v4(a));
      RC_ASSERT(known.count(a) == 1U);
    }
  }
}

TEST(BoundedTable, AForgedFloodReachesNoLastingEntry) {
  SourceTable table(8'192);
  std::vector<Address> households;
  for (std::uint32_t i = 0; i < 1'000; ++i) households.push_back(v4(0x0a000000U + i * 7919));
  for (int second = 0; second <= 12; second += 3) {
    for (const Address& address : households)
      see(table, address, kBegin + std::chrono::seconds(second));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i) {
    see(table, v4(random()), kBegin + std::chrono::seconds(13) + std::chrono::microseconds(i));
  }
  EXPECT_EQ(table.size(), table.capacity());
  std::size_t kept = 0;
  for (const Address& address : households) {
    const SourceEntry* entry = table.find(address, address.hash(kSeed));
    kept += entry != nullptr && entry->first_seen == kBegin ? 1 : 0;
  }
  // A bucket that happens to hold more than six of them keeps six.
  EXPECT_GE(kept, 995U);
}

TEST(BoundedTable, NewcomersFindRoomWhereAllElseLasts) {
  SourceTable table(8);  // one bucket
  for (int second = 0; second <= 40; second += 10) {
    for (std::uint32_t i = 0; i < 8; ++i) see(table, v4(i), kBegin + std::chrono::seconds(second));
  }
  const PacketTime later = kBegin + std::chrono::seconds(60);
  see(table, v4(1'000), later);
  EXPECT_NE(table.find(v4(1'000), v4(1'000).hash(kSeed)), nullptr);
  std::size_t kept = 0;
  for (std::uint32_t i = 0; i < 8; ++i)
    kept += table.find(v4(i), v4(i).hash(kSeed)) != nullptr ? 1 : 0;
  EXPECT_EQ(kept, 7U);
}

TEST(BoundedTable, ALongIdleEntryGivesItsPlaceUp) {
  SourceTable table(8);
  const auto live_through = [&](std::uint32_t first, std::uint32_t count, PacketTime from) {
    for (int second = 0; second <= 12; second += 3) {
      for (std::uint32_t i = 0; i < count; ++i)
        see(table, v4(first + i), from + std::chrono::seconds(second));
    }
  };
  live_through(0, 6, kBegin);
  live_through(100, 2, kBegin + std::chrono::minutes(40));
  for (std::uint32_t i = 0; i < 1'000; ++i) {
    see(table, v4(5'000 + i), kBegin + std::chrono::minutes(41) + std::chrono::milliseconds(i));
  }
  std::size_t old_kept = 0;
  std::size_t new_kept = 0;
  for (std::uint32_t i = 0; i < 6; ++i) {
    old_kept += table.find(v4(i), v4(i).hash(kSeed)) != nullptr ? 1 : 0;
    new_kept += table.find(v4(100 + i), v4(100 + i).hash(kSeed)) != nullptr ? 1 : 0;
  }
  EXPECT_EQ(old_kept, 4U) << "the two that were idle longest had to go";
  EXPECT_EQ(new_kept, 2U);
}

TEST(BoundedTable, ErasedIsGone) {
  SourceTable table(64);
  see(table, v4(1), kBegin);
  table.erase(v4(1), v4(1).hash(kSeed));
  EXPECT_EQ(table.find(v4(1), v4(1).hash(kSeed)), nullptr);
  EXPECT_EQ(table.size(), 0U);
  table.erase(v4(1), v4(1).hash(kSeed));
  EXPECT_EQ(table.size(), 0U);
}

TEST(Memory, AMillionSourcesAndAllElseIn128MiB) {
  const TableConfig tables;
  EXPECT_EQ(tables.sources_max, 1'000'000U);
  const std::size_t total = Extractor::memory_bytes(tables) + Policy::memory_bytes({}) +
                            Ledger::memory_bytes({.columns = all_features().size()});
  EXPECT_LE(total, std::size_t{128} << 20U);
  TableConfig one_more = tables;
  one_more.sources_max += 80'000;
  EXPECT_NEAR(
      static_cast<double>(Extractor::memory_bytes(one_more) - Extractor::memory_bytes(tables)),
      80'000 * 104.0, 8 * 104.0)
      << "config/weir.toml says so";
}

/// Of this process, in memory.
std::size_t resident_bytes() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

TEST(Memory, IsTakenAtOnceWhereThatIsAskedFor) {
  const std::array<std::string, 1> feature{"payload_bytes"};
  const auto extractor = Extractor::make({}, feature);
  ASSERT_TRUE(extractor) << extractor.error().message;
  Policy policy({});
  const LedgerConfig ledger_config{.columns = 1, .blocks_max = 1};
  Ledger ledger(ledger_config);
  const std::size_t all =
      Extractor::memory_bytes({}) + Policy::memory_bytes({}) + Ledger::memory_bytes(ledger_config);
  const auto before = static_cast<double>(resident_bytes());
  (*extractor)->populate();
  policy.populate();
  ledger.populate();
  // Buckets, a twelfth, are taken by the constructors.
  EXPECT_GT(static_cast<double>(resident_bytes()) - before, 0.85 * static_cast<double>(all));
}

}  // namespace
}  // namespace weir::detect
