// SPDX-License-Identifier: BSD-2-Clause
#include "forest/json_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <stdexcept>

#include "forest/import.h"

namespace weir::forest {
namespace {

/// "line 3, column 14" of a byte offset.
std::string position(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n');
  const std::size_t column =
      start == std::string_view::npos ? before.size() : before.size() - start - 1;
  return fmt::format("line {}, column {}", line, column);
}

/// Why the parser stopped before byte `offset`, counted from 1. Python and XGBoost write NaN and
/// Infinity, which are no JSON; XGBoost does for the thresholds of categorical splits.
const char* parse_reason(std::string_view text, std::size_t offset) {
  if (offset >= text.size())
    return "the JSON text ends too early; the file is cut off: copy it again";
  const std::size_t space = text.substr(0, offset).find_last_of(" \t\r\n,:[");
  std::string_view token = text.substr(space == std::string_view::npos ? 0 : space + 1);
  if (token.starts_with('-')) token.remove_prefix(1);
  if (token.starts_with("NaN") || token.starts_with("nan") || token.starts_with("Inf"))
    return "NaN or Infinity stands where a number is expected, which weir reads nowhere (XGBoost "
           "writes NaN for categorical splits, which are not supported: train on numbers)";
  return "this is not valid JSON";
}

/// Watches nlohmann's parser: duplicate keys and too many levels, which it would accept. What it
/// finds is thrown: a callback that returns false only has the parser drop the value and read on,
/// however long the file is.
struct Watcher {
  std::vector<std::set<std::string>> keys;
  std::size_t large = 0;  // what takes more memory than a number: lists, objects, keys, texts

  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kNestingMax)
      throw std::length_error(fmt::format("nested deeper than {} levels", kNestingMax));
    using Event = Json::parse_event_t;
    const bool begins = event == Event::object_start || event == Event::array_start;
    if (begins || event == Event::key || (event == Event::value && parsed.is_string())) ++large;
    if (large > kLargeMax)
      throw std::length_error(fmt::format("more than {} lists, objects and texts", kLargeMax));
    switch (event) {
      case Json::parse_event_t::object_start:
        keys.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        if (!keys.empty()) keys.pop_back();
        break;
      case Json::parse_event_t::key:
        if (!keys.empty() && !keys.back().insert(parsed.get<std::string>()).second)
          throw std::invalid_argument(
              fmt::format("key '{}' stands twice in one object", parsed.get<std::string>()));
        break;
      default:
        break;
    }
    return true;
  }
};

/// Walks the text and leaves word of how far it came, which the parser does not tell its callback.
class Walk {
 public:
  using iterator_category = std::forward_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Walk(const char* at, const char*& reached) noexcept : at_(at), reached_(&reached) {}
  reference operator*() const noexcept { return *at_; }
  Walk& operator++() noexcept {
    *reached_ = ++at_;
    return *this;
  }
  Walk operator++(int) noexcept {
    const Walk before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Walk& a, const Walk& b) noexcept { return a.at_ == b.at_; }
  friend bool operator!=(const Walk& a, const Walk& b) noexcept { return a.at_ != b.at_; }

 private:
  const char* at_;
  const char** reached_;
};

}  // namespace

Result<Json> read_json(std::string_view text, const std::string& name) {
  Watcher watcher;
  const char* reached = text.data();
  try {
    return Json::parse(Walk(text.data(), reached), Walk(text.data() + text.size(), reached),
                       std::ref(watcher));
  } catch (const Json::parse_error& e) {
    return fail(
        fmt::format("{}: {}: {}", name, position(text, e.byte), parse_reason(text, e.byte)));
  } catch (const std::exception& e) {  // of Watcher, or another of the parser's
    return fail(fmt::format("{}: {}: {}", name,
                            position(text, static_cast<std::size_t>(reached - text.data())),
                            e.what()));
  }
}

Result<View> View::at(const char* key) const {
  WEIR_TRY(object());
  const auto found = json_->find(key);
  if (found == json_->end()) return refuse(fmt::format("'{}' is missing", key));
  return View(*found, where_.ends_with(": ") ? where_ + key : where_ + '.' + key);
}

View View::operator[](std::size_t i) const {
  return {(*json_)[i], fmt::format("{}[{}]", where_, i)};
}

Status View::only(std::initializer_list<const char*> known) const {
  WEIR_TRY(object());
  for (const auto& item : json_->items()) {
    const std::string& key = item.key();
    if (std::none_of(known.begin(), known.end(), [&](const char* k) { return key == k; }))
      return refuse(fmt::format("unknown key '{}'", key.substr(0, 80)));
  }
  return {};
}

Result<std::string> View::text() const {
  if (!json_->is_string()) return wrong_type("a text");
  return json_->get<std::string>();
}

Result<double> View::number() const {
  if (!json_->is_number()) return wrong_type("a number");
  const auto value = json_->get<double>();
  if (!std::isfinite(value)) return refuse("the number is not finite");
  return value;
}

Result<std::int64_t> View::integer() const {
  if (json_->is_number_unsigned() && json_->get<std::uint64_t>() > INT64_MAX)
    return refuse("the number is too large");
  if (json_->is_number_integer()) return json_->get<std::int64_t>();
  return wrong_type("a whole number");
}

Result<bool> View::boolean() const {
  if (json_->is_boolean()) return json_->get<bool>();
  if (json_->is_number_integer()) {
    const auto value = json_->get<std::int64_t>();
    if (value == 0 || value == 1) return value == 1;
  }
  return wrong_type("true or false");
}

Status View::array(std::size_t max) const {
  if (!json_->is_array()) return wrong_type("an array");
  if (json_->size() > max)
    return refuse(fmt::format("{} elements, at most {} are allowed", json_->size(), max));
  return {};
}

Status View::object() const {
  if (!json_->is_object()) return wrong_type("an object");
  return {};
}

Result<std::vector<double>> View::numbers(std::size_t max) const {
  WEIR_TRY(array(max));
  std::vector<double> values;
  values.reserve(json_->size());
  for (const Json& element : *json_) {
    if (!element.is_number() || !std::isfinite(element.get<double>()))
      return (*this)[values.size()].refuse("a finite number is expected here");
    values.push_back(element.get<double>());
  }
  return values;
}

Result<std::vector<std::int64_t>> View::integers(std::size_t max) const {
  WEIR_TRY(array(max));
  std::vector<std::int64_t> values;
  values.reserve(json_->size());
  for (std::size_t i = 0; i < json_->size(); ++i) {
    const Json& element = (*json_)[i];
    if (element.is_boolean()) {
      values.push_back(element.get<bool>() ? 1 : 0);
    } else if (element.is_number_integer() &&
               !(element.is_number_unsigned() && element.get<std::uint64_t>() > INT64_MAX)) {
      values.push_back(element.get<std::int64_t>());
    } else {
      return (*this)[i].refuse("a whole number is expected here");
    }
  }
  return values;
}

tl::unexpected<Error> View::refuse(const std::string& reason) const {
  return fail(where_.ends_with(": ") ? where_ + reason : where_ + ": " + reason);
}

tl::unexpected<Error> View::wrong_type(const char* expected) const {
  return refuse(fmt::format("{} is expected here, found {}", expected, json_->type_name()));
}

}  // namespace weir::forest
