// SPDX-License-Identifier: BSD-2-Clause
/// Typed, checked reading of a JSON document: every wrong type, missing or unknown key becomes a
/// sentence with the place in it ("m.json: trees[3].left[17]: ...").
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "forest/formats.h"

namespace weir::forest {

class View {
 public:
  View(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {}

  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  [[nodiscard]] const Json& json() const noexcept { return *json_; }
  [[nodiscard]] bool has(const char* key) const { return json_->contains(key); }
  [[nodiscard]] std::size_t size() const noexcept { return json_->size(); }
  /// The member `key`; an error where this is no object or has none.
  [[nodiscard]] Result<View> at(const char* key) const;
  /// Element `i` of an array that is known to be one.
  [[nodiscard]] View operator[](std::size_t i) const;
  /// Refuses members that are not in `known`.
  [[nodiscard]] Status only(std::initializer_list<const char*> known) const;

  [[nodiscard]] Result<std::string> text() const;
  [[nodiscard]] Result<double> number() const;  ///< finite
  [[nodiscard]] Result<std::int64_t> integer() const;
  [[nodiscard]] Result<bool> boolean() const;  ///< true, false, 0 or 1
  [[nodiscard]] Status array(std::size_t max) const;
  [[nodiscard]] Status object() const;
  [[nodiscard]] Result<std::vector<double>> numbers(std::size_t max) const;
  [[nodiscard]] Result<std::vector<std::int64_t>> integers(std::size_t max) const;

  /// An error at this place.
  [[nodiscard]] tl::unexpected<Error> refuse(const std::string& reason) const;

 private:
  [[nodiscard]] tl::unexpected<Error> wrong_type(const char* expected) const;
  const Json* json_;
  std::string where_;
};

}  // namespace weir::forest
