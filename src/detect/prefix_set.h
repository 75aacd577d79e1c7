// SPDX-License-Identifier: BSD-2-Clause
/// Many prefixes, asked for each packet: sorted addresses by length, of which only the lengths in use
/// are looked at.
///
/// Cost      one bit for an address whose first byte no prefix has, as most are; else a binary search
///           for each length in use: with 4,096 prefixes of five lengths about 60 comparisons.
/// Threads   values.
#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <utility>
#include <vector>

#include "base/address.h"

namespace weir::detect {

class PrefixSet {
 public:
  PrefixSet() = default;
  explicit PrefixSet(const std::vector<Prefix>& prefixes) {
    for (const Prefix& prefix : prefixes) {
      const Key key{prefix.address().is_v4(), prefix.length()};
      auto list =
          std::find_if(lists_.begin(), lists_.end(), [&](const List& l) { return l.key == key; });
      if (list == lists_.end()) list = lists_.insert(lists_.end(), List{key, {}});
      list->addresses.push_back(prefix.address());
    }
    for (List& list : lists_) std::sort(list.addresses.begin(), list.addresses.end());
    for (const Prefix& prefix : prefixes) {
      auto& begins = begins_[prefix.address().is_v4() ? 1 : 0];
      const unsigned first = prefix.address().first_byte();
      const unsigned more = prefix.length() >= 8 ? 0 : 0xffU >> prefix.length();
      for (unsigned byte = first; byte <= (first | more); ++byte) begins.set(byte);
    }
  }

  [[nodiscard]] bool empty() const noexcept { return lists_.empty(); }

  [[nodiscard]] bool contains(const Address& address) const noexcept {
    const bool is_v4 = address.is_v4();
    if (!begins_[is_v4 ? 1 : 0][address.first_byte()]) return false;
    return std::any_of(lists_.begin(), lists_.end(), [&](const List& list) {
      return list.key.first == is_v4 &&
             std::binary_search(list.addresses.begin(), list.addresses.end(),
                                address.first_bits(list.key.second));
    });
  }

  /// Whether any of them has an address in `other` or holds it.
  [[nodiscard]] bool overlaps(const Prefix& other) const noexcept {
    return std::any_of(lists_.begin(), lists_.end(), [&](const List& list) {
      if (list.key.first != other.address().is_v4()) return false;
      if (list.key.second <= other.length())
        return std::binary_search(list.addresses.begin(), list.addresses.end(),
                                  other.address().first_bits(list.key.second));
      const auto first =
          std::lower_bound(list.addresses.begin(), list.addresses.end(), other.address());
      return first != list.addresses.end() && other.contains(*first);
    });
  }

 private:
  using Key = std::pair<bool, unsigned>;  // IPv4, length
  struct List {
    Key key;
    std::vector<Address> addresses;  // sorted
  };
  std::vector<List> lists_;
  std::array<std::bitset<256>, 2> begins_;  // by family (1: IPv4): first bytes of addresses in some
};

}  // namespace weir::detect
