// SPDX-License-Identifier: BSD-2-Clause
// UBJSON (draft 12) into the same tree of values as JSON. The library's own reader believes a
// container's claimed size and recurses as deep as the file asks; this one does neither.
#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "forest/formats.h"
#include "forest/import.h"

namespace weir::forest {
namespace {

/// A value takes 16 bytes in memory and may take one, or none, in the file.
constexpr std::size_t kElementsMax = std::size_t{48} << 20U;

class Reader {
 public:
  Reader(std::string_view bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Result<Json> document() {
    WEIR_ASSIGN(const char type, marker());
    WEIR_ASSIGN(Json json, value(type, 0));
    skip_no_ops();
    if (at_ != bytes_.size()) return refuse("bytes stand behind the end of the document");
    return json;
  }

 private:
  struct Container {
    char type = 0;  // of all elements; 0: each says its own
    bool counted = false;
    std::size_t count = 0;
  };

  [[nodiscard]] tl::unexpected<Error> refuse(const std::string& reason) const {
    return fail(fmt::format("{}: byte {}: {}", name_, at_, reason));
  }
  [[nodiscard]] bool next_is(char c) const { return at_ < bytes_.size() && bytes_[at_] == c; }
  void skip_no_ops() {
    while (next_is('N')) ++at_;
  }
  Result<char> marker() {
    skip_no_ops();
    if (at_ == bytes_.size()) return refuse("the file is cut off, a value is expected here");
    return bytes_[at_++];
  }

  /// Big-endian, as the format has it.
  template <typename Unsigned>
  Result<Unsigned> word() {
    if (bytes_.size() - at_ < sizeof(Unsigned)) return refuse("the file is cut off in a number");
    Unsigned value = 0;
    for (std::size_t i = 0; i < sizeof(Unsigned); ++i)
      value = static_cast<Unsigned>((std::uint64_t{value} << 8U) |
                                    static_cast<std::uint8_t>(bytes_[at_++]));
    return value;
  }

  Result<std::int64_t> whole(char type) {
    switch (type) {
      case 'i': {
        WEIR_ASSIGN(const auto v, word<std::uint8_t>());
        return std::int64_t{static_cast<std::int8_t>(v)};
      }
      case 'U': {
        WEIR_ASSIGN(const auto v, word<std::uint8_t>());
        return std::int64_t{v};
      }
      case 'I': {
        WEIR_ASSIGN(const auto v, word<std::uint16_t>());
        return std::int64_t{static_cast<std::int16_t>(v)};
      }
      case 'l': {
        WEIR_ASSIGN(const auto v, word<std::uint32_t>());
        return std::int64_t{static_cast<std::int32_t>(v)};
      }
      case 'L': {
        WEIR_ASSIGN(const auto v, word<std::uint64_t>());
        return static_cast<std::int64_t>(v);
      }
      default:
        return refuse(fmt::format("type {:#04x} where a whole number is expected",
                                  static_cast<unsigned char>(type)));
    }
  }

  Status count_large() {
    if (++large_ <= kLargeMax) return {};
    return refuse(fmt::format("more than {} lists, objects and texts", kLargeMax));
  }

  Result<std::size_t> length() {
    WEIR_ASSIGN(const char type, marker());
    WEIR_ASSIGN(const std::int64_t size, whole(type));
    if (size < 0) return refuse(fmt::format("a length of {}", size));
    return static_cast<std::size_t>(size);
  }

  Result<std::string> text() {
    WEIR_TRY(count_large());
    WEIR_ASSIGN(const std::size_t size, length());
    if (size > bytes_.size() - at_)
      return refuse(
          fmt::format("a text of {} bytes, {} are left in the file", size, bytes_.size() - at_));
    at_ += size;
    return std::string(bytes_.substr(at_ - size, size));
  }

  Result<Json> value(char type, int level) {
    if (++elements_ > kElementsMax) return refuse(fmt::format("more than {} values", kElementsMax));
    switch (type) {
      case 'Z':
        return Json();
      case 'T':
        return Json(true);
      case 'F':
        return Json(false);
      case 'd': {
        WEIR_ASSIGN(const auto v, word<std::uint32_t>());
        return Json(static_cast<double>(std::bit_cast<float>(v)));
      }
      case 'D': {
        WEIR_ASSIGN(const auto v, word<std::uint64_t>());
        return Json(std::bit_cast<double>(v));
      }
      case 'C': {
        WEIR_TRY(count_large());
        WEIR_ASSIGN(const auto v, word<std::uint8_t>());
        return Json(std::string(1, static_cast<char>(v)));
      }
      case 'S': {
        WEIR_ASSIGN(std::string v, text());
        return Json(std::move(v));
      }
      case '[':
        return array(level + 1);
      case '{':
        return object(level + 1);
      default: {
        WEIR_ASSIGN(const std::int64_t v, whole(type));
        return Json(v);
      }
    }
  }

  /// What may follow a bracket: `$` and a type, `#` and a count.
  Result<Container> head(int level) {
    WEIR_TRY(count_large());
    if (level > kNestingMax)
      return refuse(fmt::format("nested deeper than {} levels", kNestingMax));
    Container c;
    skip_no_ops();
    if (next_is('$')) {
      ++at_;
      WEIR_ASSIGN(c.type, marker());
      if (!next_is('#')) return refuse("a typed container without a count");
    }
    if (!next_is('#')) return c;
    ++at_;
    WEIR_ASSIGN(c.count, length());
    c.counted = true;
    // Each element is a byte at least: but those of the types null, true and false.
    if (c.count > bytes_.size() - at_)
      return refuse(
          fmt::format("{} elements claimed, {} bytes are left", c.count, bytes_.size() - at_));
    return c;
  }

  Result<Json> array(int level) {
    WEIR_ASSIGN(const Container c, head(level));
    Json::array_t list;
    for (std::size_t i = 0; !c.counted || i < c.count; ++i) {
      if (!c.counted) skip_no_ops();
      if (!c.counted && next_is(']')) {
        ++at_;
        break;
      }
      char type = c.type;
      if (type == 0) {
        WEIR_ASSIGN(type, marker());
      }
      WEIR_ASSIGN(Json element, value(type, level));
      list.push_back(std::move(element));
    }
    return Json(std::move(list));
  }

  Result<Json> object(int level) {
    WEIR_ASSIGN(const Container c, head(level));
    Json::object_t members;
    for (std::size_t i = 0; !c.counted || i < c.count; ++i) {
      if (!c.counted) skip_no_ops();
      if (!c.counted && next_is('}')) {
        ++at_;
        break;
      }
      WEIR_ASSIGN(std::string key, text());
      char type = c.type;
      if (type == 0) {
        WEIR_ASSIGN(type, marker());
      }
      WEIR_ASSIGN(Json element, value(type, level));
      if (!members.emplace(key, std::move(element)).second)
        return refuse(fmt::format("key '{}' stands twice in one object", key.substr(0, 80)));
    }
    return Json(std::move(members));
  }

  std::string_view bytes_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::size_t elements_ = 0;
  std::size_t large_ = 0;
};

}  // namespace

Result<Json> read_ubjson(std::string_view bytes, const std::string& name) {
  return Reader(bytes, name).document();
}

}  // namespace weir::forest
