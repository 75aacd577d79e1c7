// SPDX-License-Identifier: BSD-2-Clause
/// A hash table from an address, or what holds one, to a value: what the kernel's hash maps are to
/// the XDP program, for the native datapath.
///
/// Shape     open addressing with linear probing in one array, at most half full; `find` touches
///           one or two cache lines and never allocates, `insert` may double the array. Removal
///           moves the entries behind it up, so that nothing is left behind to be stepped over.
/// Key       has `hash(seed)` and `==`.
/// Bounds    `max` entries: an insert beyond it fails.
/// Order     none; the hash is seeded, so that nobody can choose addresses that collide.
/// Threads   one owner at a time. A found pointer lives until the next insert or erase.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/address.h"

namespace weir::datapath {

template <typename Value, typename Key = Address>
class AddressTable {
 public:
  AddressTable(std::size_t max, std::uint64_t seed) : max_(max), seed_(seed) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  Value* find(const Key& key) noexcept {
    if (size_ == 0) return nullptr;
    Slot& slot = slots_[place(key)];
    return slot.used ? &slot.value : nullptr;
  }

  /// Adds or replaces; false where the key is new and the table full.
  bool insert(const Key& key, const Value& value) {
    if (Value* found = find(key)) {
      *found = value;
      return true;
    }
    if (size_ == max_) return false;
    if (2 * (size_ + 1) > slots_.size()) grow();
    slots_[place(key)] = {key, value, true};
    ++size_;
    return true;
  }

  bool erase(const Key& key) noexcept {
    if (find(key) == nullptr) return false;
    const std::size_t mask = slots_.size() - 1;
    std::size_t hole = place(key);
    for (std::size_t i = (hole + 1) & mask; slots_[i].used; i = (i + 1) & mask) {
      // An entry may fill the hole unless its home lies behind the hole, on the way to itself.
      const std::size_t home = slots_[i].key.hash(seed_) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
    --size_;
    return true;
  }

  template <typename Visit>  // void(const Key&, const Value&)
  void each(Visit visit) const {
    for (const Slot& slot : slots_)
      if (slot.used) visit(slot.key, slot.value);
  }

 private:
  struct Slot {
    Key key;
    Value value{};
    bool used = false;
  };

  /// Where `key` is, or the free slot where it would be.
  [[nodiscard]] std::size_t place(const Key& key) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = key.hash(seed_) & mask;
    while (slots_[i].used && slots_[i].key != key) i = (i + 1) & mask;
    return i;
  }

  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    std::swap(old, slots_);
    for (const Slot& slot : old)
      if (slot.used) slots_[place(slot.key)] = slot;
  }

  std::vector<Slot> slots_;
  std::size_t size_ = 0;
  std::size_t max_;
  std::uint64_t seed_;
};

}  // namespace weir::datapath
