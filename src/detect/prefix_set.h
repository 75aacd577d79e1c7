// SPDX-License-Identifier: BSD-2-Clause
/// Many prefixes, asked for each packet: sorted addresses by length, of which only the lengths in use
/// are looked at.
///
/// Cost      a binary search for each length in use; with 4,096 prefixes of five lengths about 60
///           comparisons. Nothing where the set is empty.
/// Threads   values.
#pragma once

#include <algorithm>
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
  }

  [[nodiscard]] bool empty() const noexcept { return lists_.empty(); }

  [[nodiscard]] bool contains(const Address& address) const noexcept {
    const bool is_v4 = address.is_v4();
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
};

}  // namespace weir::detect
