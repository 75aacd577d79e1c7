// SPDX-License-Identifier: BSD-2-Clause
/// What is remembered of strangers, in a fixed amount of memory: a set-associative table that a
/// flood of forged addresses can fill but not steer.
///
/// Shape     buckets of 8 ways. A bucket's tags and idle stamps are one cache line; the entries
///           stand in an array of their own. All of it is allocated by the constructor; entries are
///           zero bytes until they are used, so that memory comes page by page with use, or with
///           `populate`. `bytes` says how much it can become.
/// Eviction  a full bucket gives up the way that has been idle longest among those on probation.
///           An entry becomes lasting where its type says so (`Entry::lasting`); at most 6 ways
///           of a bucket are, so that newcomers always find a way, and newcomers only ever displace
///           newcomers. A lasting entry gives its place up to one that asks for it after half an
///           hour of idleness (UPnP devices announce themselves at least that often: CACHE-CONTROL
///           max-age is 1,800 s). So a million forged sources, seen once each, churn through the
///           probation ways and reach nothing that is known for longer.
/// Hash      given by the caller and seeded: a stranger cannot aim at a bucket. A tag that matches
///           is always confirmed by the whole key.
/// Cost      one line for the bucket, then the entry: fetch both for packets that are to come.
/// Aging     none of its own: counts fade when their entry is looked at, idleness is a stamp that
///           is compared when a bucket is full. Nothing ever walks the table.
/// Entry     has `Key`, `Key key`, and `bool lasting(PacketTime) const`; trivially copyable.
/// Threads   one owner.
/// Errors    none: full buckets evict and count.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/populate.h"
#include "base/result.h"
#include "base/types.h"

namespace weir::detect {

template <typename Entry>
class BoundedTable {
 public:
  using Key = typename Entry::Key;
  static constexpr unsigned kWays = 8;
  static constexpr unsigned kLastingMax = 6;
  static constexpr Nanoseconds kLastingIdle = std::chrono::minutes(30);

  /// Room for `entries`, rounded down to whole buckets; one bucket at least.
  explicit BoundedTable(std::uint32_t entries)
      : buckets_count_(std::max<std::uint32_t>(entries / kWays, 1)),
        buckets_(std::make_unique<Bucket[]>(buckets_count_)),
        memory_(std::calloc(entries_bytes() + kCacheLine_bytes, 1)),
        entries_(in_line(memory_.get())) {
    static_assert(std::is_trivially_copyable_v<Entry> && std::is_trivially_destructible_v<Entry>);
    WEIR_CHECK(memory_ != nullptr);
  }

  /// Takes all memory at once: before packets come, none of which is to wait for a page.
  void populate() noexcept { weir::populate(entries_, entries_bytes()); }

  /// Memory of a table with room for `entries`.
  static constexpr std::size_t bytes(std::uint32_t entries) noexcept {
    return std::size_t{std::max<std::uint32_t>(entries / kWays, 1)} *
           (sizeof(Bucket) + kWays * sizeof(Entry));
  }

  /// Asks the memory for the bucket; and, once that is there, for the entry.
  void fetch_bucket(std::uint64_t hash) const noexcept {
    __builtin_prefetch(&buckets_[bucket_of(hash)], 1);
  }
  void fetch_entry(std::uint64_t hash) const noexcept {
    const std::size_t b = bucket_of(hash);
    const Matches matches = matches_of(b, tag_of(hash));
    if (matches == 0) return;  // a newcomer's: which way it gets is not known yet
    const auto* const entry = reinterpret_cast<const char*>(&entries_[b * kWays + first(matches)]);
    for (std::size_t at = 0; at < sizeof(Entry); at += kCacheLine_bytes)
      __builtin_prefetch(entry + at, 1);
  }

  [[nodiscard]] Entry* find(const Key& key, std::uint64_t hash) noexcept {
    const std::size_t b = bucket_of(hash);
    const unsigned way = way_of(b, key, tag_of(hash));
    return way < kWays ? &entries_[b * kWays + way] : nullptr;
  }

  /// The entry of `key`, made (as `Entry{}` with its key set) where there was none; marks it as
  /// used at `now`. `fresh` says whether it was made.
  Entry& touch(const Key& key, std::uint64_t hash, PacketTime now, bool& fresh) noexcept {
    const std::size_t b = bucket_of(hash);
    const std::uint32_t tag = tag_of(hash);
    unsigned way = way_of(b, key, tag);
    fresh = way == kWays;
    if (fresh) way = make_room(b, now);
    Bucket& bucket = buckets_[b];
    Entry& entry = entries_[b * kWays + way];
    if (fresh) {
      entry = Entry{};
      entry.key = key;
      bucket.tags[way] = tag;
      bucket.stamps[way] = 0;
      ++size_;
    }
    const bool lasting = (bucket.stamps[way] & kLasting) != 0 || promote(bucket, entry, now);
    bucket.stamps[way] = stamp_of(now) | (lasting ? kLasting : 0);
    return entry;
  }

  void erase(const Key& key, std::uint64_t hash) noexcept {
    const std::size_t b = bucket_of(hash);
    const unsigned way = way_of(b, key, tag_of(hash));
    if (way == kWays) return;
    buckets_[b].tags[way] = 0;
    buckets_[b].stamps[way] = 0;
    --size_;
  }

  /// Every entry, in no order: for reports, not for packets.
  template <typename Visit>  // void(const Entry&)
  void each(Visit visit) const {
    for (std::size_t b = 0; b < buckets_count_; ++b)
      for (unsigned way = 0; way < kWays; ++way)
        if (buckets_[b].tags[way] != 0) visit(entries_[b * kWays + way]);
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }
  [[nodiscard]] std::size_t capacity() const noexcept {
    return std::size_t{buckets_count_} * kWays;
  }

 private:
  struct alignas(kCacheLine_bytes) Bucket {
    std::array<std::uint32_t, kWays> tags{};    // 0: the way is free
    std::array<std::uint32_t, kWays> stamps{};  // last use in units of 2^27 ns, and kLasting
  };
  static constexpr std::uint32_t kLasting = 1U << 31U;
  static constexpr unsigned kStampShift = 27;

  static constexpr std::uint32_t stamp_of(PacketTime time) noexcept {
    return static_cast<std::uint32_t>(time.ns >> kStampShift) & ~kLasting;
  }
  /// In stamps; zero for a stamp from the future (packets out of order).
  static constexpr std::uint32_t idle(std::uint32_t stamp, std::uint32_t now) noexcept {
    const std::uint32_t distance = (now - stamp) & ~kLasting;
    return distance < kLasting / 2 ? distance : 0;
  }
  [[nodiscard]] std::size_t bucket_of(std::uint64_t hash) const noexcept {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(hash)) * buckets_count_) >> 32U;
  }
  static constexpr std::uint32_t tag_of(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(hash >> 32U) | 1U;
  }

  /// A byte for each way, the first one the least: 1 where the tag is this one. Bytes, because the
  /// compiler makes a comparison of vectors of that and not of single bits.
  using Matches = std::uint64_t;
  static_assert(sizeof(Matches) == kWays);
  [[nodiscard]] Matches matches_of(std::size_t b, std::uint32_t tag) const noexcept {
    const Bucket& bucket = buckets_[b];
    std::array<std::uint8_t, kWays> equal;
    for (unsigned way = 0; way < kWays; ++way) equal[way] = bucket.tags[way] == tag ? 1 : 0;
    Matches matches = 0;
    std::memcpy(&matches, equal.data(), sizeof matches);
    if constexpr (std::endian::native == std::endian::big) matches = __builtin_bswap64(matches);
    return matches;
  }
  /// The way of the first of them, where there is one.
  static unsigned first(Matches matches) noexcept {
    return static_cast<unsigned>(std::countr_zero(matches)) / 8;
  }

  [[nodiscard]] unsigned way_of(std::size_t b, const Key& key, std::uint32_t tag) const noexcept {
    for (Matches matches = matches_of(b, tag); matches != 0; matches &= matches - 1) {
      const unsigned way = first(matches);
      if (entries_[b * kWays + way].key == key) return way;
    }
    return kWays;
  }

  unsigned make_room(std::size_t b, PacketTime now) noexcept {
    const Bucket& bucket = buckets_[b];
    const std::uint32_t stamp = stamp_of(now);
    unsigned oldest = kWays;
    std::uint32_t most = 0;
    for (unsigned way = 0; way < kWays; ++way) {
      if (bucket.tags[way] == 0) return way;
      if ((bucket.stamps[way] & kLasting) != 0) continue;
      const std::uint32_t way_idle = idle(bucket.stamps[way], stamp);
      if (oldest == kWays || way_idle > most) {
        oldest = way;
        most = way_idle;
      }
    }
    WEIR_DCHECK(oldest < kWays);  // kLastingMax ways at most are lasting
    ++evicted_;
    --size_;
    return oldest;
  }

  /// Whether `entry` becomes lasting now: its type asks for it, and its bucket has a place.
  static bool promote(Bucket& bucket, const Entry& entry, PacketTime now) noexcept {
    if (!entry.lasting(now)) return false;
    unsigned lasting = 0;
    unsigned oldest = kWays;
    std::uint32_t most =
        static_cast<std::uint32_t>(static_cast<std::uint64_t>(kLastingIdle.count()) >> kStampShift);
    for (unsigned way = 0; way < kWays; ++way) {
      if ((bucket.stamps[way] & kLasting) == 0) continue;
      ++lasting;
      const std::uint32_t way_idle = idle(bucket.stamps[way] & ~kLasting, stamp_of(now));
      if (way_idle > most) {
        oldest = way;
        most = way_idle;
      }
    }
    if (lasting < kLastingMax) return true;
    if (oldest == kWays) return false;
    bucket.stamps[oldest] &= ~kLasting;
    return true;
  }

  [[nodiscard]] std::size_t entries_bytes() const noexcept {
    return std::size_t{buckets_count_} * kWays * sizeof(Entry);
  }
  /// The first start of a cache line: an entry of 96 bytes then is in two lines, never in three.
  static Entry* in_line(void* memory) noexcept {
    const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % kCacheLine_bytes;
    void* const start = static_cast<char*>(memory) + (past == 0 ? 0 : kCacheLine_bytes - past);
    return static_cast<Entry*>(start);
  }

  const std::uint32_t buckets_count_;
  const std::unique_ptr<Bucket[]> buckets_;
  struct Free {
    void operator()(void* memory) const noexcept { std::free(memory); }
  };
  const std::unique_ptr<void, Free> memory_;
  Entry* const entries_;
  std::uint64_t size_ = 0;
  std::uint64_t evicted_ = 0;
};

/// Packets ahead whose buckets, and whose entries, are asked for: a few lines a packet, so not too
/// many packets at once (a core has 10 to 16 line fill buffers).
inline constexpr std::size_t kBucketsAhead = 8;
inline constexpr std::size_t kEntriesAhead = 4;

/// Goes through a batch's hashes in a table, and asks the memory for what lies ahead: a bucket
/// first, its entry when that is there.
template <typename Entry, typename Hash>  // std::uint64_t(std::size_t i): of packet i
class LookAhead {
 public:
  LookAhead(const BoundedTable<Entry>& table, std::size_t size, Hash hash)
      : table_(table), size_(size), hash_(std::move(hash)) {
    for (std::size_t i = 0; i < kBucketsAhead; ++i) look(i);
  }
  /// The hash of the next packet.
  std::uint64_t next() noexcept {
    const std::uint64_t here = hashes_[at_ % kBucketsAhead];
    look(at_ + kBucketsAhead);
    if (at_ + kEntriesAhead < size_)
      table_.fetch_entry(hashes_[(at_ + kEntriesAhead) % kBucketsAhead]);
    ++at_;
    return here;
  }

 private:
  void look(std::size_t i) noexcept {
    if (i >= size_) return;
    const std::uint64_t hash = hash_(i);
    table_.fetch_bucket(hash);
    hashes_[i % kBucketsAhead] = hash;
  }

  const BoundedTable<Entry>& table_;
  const std::size_t size_;
  const Hash hash_;
  std::size_t at_ = 0;
  std::array<std::uint64_t, kBucketsAhead> hashes_;
};

}  // namespace weir::detect
