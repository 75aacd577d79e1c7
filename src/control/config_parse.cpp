// SPDX-License-Identifier: BSD-2-Clause
#include "control/config_parse.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <bit>
#include <charconv>

#include "base/nearest.h"

namespace weir::control {
namespace {

struct Section {
  const char* name;
};
constexpr Section kSections[] = {
#define WEIR_SECTION(name, help) {#name},
    WEIR_CONFIG_SECTIONS(WEIR_SECTION)
#undef WEIR_SECTION
};

enum class Kind : std::uint8_t {
  interface,
  spare,
  device,
  text,
  path,
  file,
  flag,
  number,
  power,
  real,
  level,
  choice,
  quantity,
  numbers,
  ports,
  prefixes,
  words,
  label,
  names
};

struct Key {
  const char* section;
  const char* name;
  Kind kind;
  std::string_view fallback;
  std::string_view allowed;
};
constexpr Key kKeys[] = {
#define WEIR_KEY(section, key, kind, default_, allowed, help) \
  {#section, #key, Kind::kind, default_, allowed},
    WEIR_CONFIG_KEYS(WEIR_KEY)
#undef WEIR_KEY
};

struct Range {
  double least = 0;
  double most = 0;
};

Range range_of(const Key& key) {
  Range range;
  const auto dots = key.allowed.find("..");
  WEIR_CHECK(dots != std::string_view::npos);
  const char* end = key.allowed.data() + key.allowed.size();
  std::from_chars(key.allowed.data(), key.allowed.data() + dots, range.least);
  std::from_chars(key.allowed.data() + dots + 2, end, range.most);
  return range;
}

std::vector<std::string_view> choices_of(const Key& key) {
  std::vector<std::string_view> choices;
  for (auto rest = key.allowed; !rest.empty();) {
    const auto bar = std::min(rest.find('|'), rest.size());
    choices.push_back(rest.substr(0, bar));
    rest.remove_prefix(std::min(bar + 1, rest.size()));
  }
  return choices;
}

/// What the key takes, in words.
std::string allowed_text(const Key& key) {
  const auto range = [&] {
    const auto dots = key.allowed.find("..");
    return fmt::format("{} to {}", key.allowed.substr(0, dots), key.allowed.substr(dots + 2));
  };
  switch (key.kind) {
    case Kind::interface:
      return "the name of an interface, as \"eth0\"";
    case Kind::spare:
      return "the name of an interface, as \"eth0\", or \"\" for none";
    case Kind::device:
      return "a device, as \"0000:03:00.0\" or \"net_tap0,iface=tap0\"";
    case Kind::text:
      return "a string";
    case Kind::path:
      return "an absolute path, as \"/run/weir\"";
    case Kind::file:
      return "a path";
    case Kind::flag:
      return "true or false";
    case Kind::number:
      return "an integer from " + range();
    case Kind::power:
      return "a power of two from " + range();
    case Kind::real:
      return "a number from " + range();
    case Kind::level:
      return "\"auto\" or a number from " + range();
    case Kind::choice:
      return alternatives(key.allowed, "\"");
    case Kind::quantity:
      return "\"auto\" or an integer from " + range();
    case Kind::numbers:
      return "a list of integers from " + range();
    case Kind::ports:
      return "\"all\" or a list of integers from " + range();
    case Kind::prefixes:
      return "a list of addresses or prefixes, as [\"192.168.0.0/16\"]";
    case Kind::words:
      return "a list of strings that are not empty";
    case Kind::label:
      return "a string";
    case Kind::names:
      return "a table of strings, as { \"Source Port\" = \"source_port\" }";
  }
  return {};
}

/// What stands in the file, shortened, as TOML.
std::string found_text(const toml::node& node) {
  constexpr std::size_t kShown = 60;
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string: {
      const auto& value = node.as_string()->get();
      return "\"" + value.substr(0, kShown) + (value.size() > kShown ? "...\"" : "\"");
    }
    case toml::node_type::integer:
      return std::to_string(node.as_integer()->get());
    case toml::node_type::floating_point:
      return fmt::format("{}", node.as_floating_point()->get());
    case toml::node_type::boolean:
      return node.as_boolean()->get() ? "true" : "false";
    default:
      return "a date or time";
  }
}

Position position_of(const toml::node& node) {
  const auto begin = node.source().begin;
  return {static_cast<std::uint32_t>(begin.line), static_cast<std::uint32_t>(begin.column)};
}

std::string place(const std::string& name, const Position& at) {
  return at.line == 0 ? name : fmt::format("{}:{}:{}", name, at.line, at.column);
}

/// Reads one key's node into its field, one `read` a kind.
struct Reader {
  const Source& source;
  const Key& key;

  /// What a fault at this place is a fault of: "FILE:LINE:COLUMN: section.key", or an option.
  [[nodiscard]] std::string subject(const toml::node& node) const {
    const std::string name = fmt::format("{}.{}", key.section, key.name);
    const std::string at = source.place(name, position_of(node));
    return source.options.contains(name) ? at : fmt::format("{}: {}", at, name);
  }

  [[nodiscard]] tl::unexpected<Error> refuse(const toml::node& node, std::string hint = {}) const {
    Key as_given = key;
    if (!source.options.empty() && key.kind == Kind::spare) as_given.kind = Kind::interface;
    return fail(fmt::format("{} is {}; allowed is {}{}", subject(node), found_text(node),
                            allowed_text(as_given), hint));
  }

  Status read(const toml::node& node, std::string& field) const {
    const auto* text = node.as_string();
    const bool may_be_empty =
        key.kind == Kind::device || key.kind == Kind::spare || key.kind == Kind::label;
    if (text == nullptr || (text->get().empty() && !may_be_empty)) return refuse(node);
    const std::string& value = text->get();
    if (value.find('\0') != std::string::npos) return refuse(node);
    if (key.kind == Kind::choice) {
      const auto choices = choices_of(key);
      if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
        return refuse(node, did_you_mean(value, choices));
      }
    }
    if (key.kind == Kind::path && value.front() != '/') return refuse(node);
    constexpr std::size_t kNameMax = 15;  // IFNAMSIZ with its NUL
    if ((key.kind == Kind::interface || key.kind == Kind::spare) &&
        (value.size() > kNameMax || value.find_first_of("/ \t\n:") != std::string::npos)) {
      return refuse(node);
    }
    field = value;
    return {};
  }

  Status read(const toml::node& node, bool& field) const {
    const auto* flag = node.as_boolean();
    if (flag == nullptr) return refuse(node);
    field = flag->get();
    return {};
  }

  Status read(const toml::node& node, double& field) const {
    if (key.kind == Kind::level && node.is_string() && node.as_string()->get() == "auto") {
      field = -1;
      return {};
    }
    const auto value = node.is_number() ? node.value<double>() : std::nullopt;
    const Range range = range_of(key);
    if (!value || !(*value >= range.least && *value <= range.most)) return refuse(node);
    field = *value;
    return {};
  }

  Status read(const toml::node& node, std::uint32_t& field) const {
    if (key.kind == Kind::quantity && node.is_string() && node.as_string()->get() == "auto") {
      field = 0;
      return {};
    }
    const auto* number = node.as_integer();
    const Range range = range_of(key);
    if (number == nullptr || static_cast<double>(number->get()) < range.least ||
        static_cast<double>(number->get()) > range.most) {
      return refuse(node);
    }
    field = static_cast<std::uint32_t>(number->get());
    if (key.kind == Kind::power && !std::has_single_bit(field)) {
      return refuse(node, fmt::format("; the nearest are {} and {}", std::bit_floor(field),
                                      std::bit_ceil(field)));
    }
    return {};
  }

  template <typename T>
  Status read_list(const toml::node& node, std::vector<T>& field, auto&& element) const {
    const auto* list = node.as_array();
    if (list == nullptr) return refuse(node);
    field.clear();
    for (const toml::node& item : *list) {
      T value{};
      WEIR_TRY(element(item, value));
      if (std::find(field.begin(), field.end(), value) != field.end()) {
        return fail(
            fmt::format("{} has {} twice; name each once", subject(item), found_text(item)));
      }
      field.push_back(std::move(value));
    }
    return {};
  }

  Status read(const toml::node& node, std::vector<std::uint32_t>& field) const {
    if (key.kind == Kind::ports && node.is_string() && node.as_string()->get() == "all") {
      field.assign(1, 0);
      return {};
    }
    return read_list(node, field, [&](const toml::node& item, std::uint32_t& value) {
      return read(item, value);
    });
  }

  /// An argument may be there twice.
  Status read(const toml::node& node, std::vector<std::string>& field) const {
    const auto* list = node.as_array();
    if (list == nullptr) return refuse(node);
    field.clear();
    for (const toml::node& item : *list) {
      std::string value;
      WEIR_TRY(read(item, value));
      field.push_back(std::move(value));
    }
    return {};
  }

  Status read(const toml::node& node, std::vector<detect::FeatureName>& field) const {
    const auto* table = node.as_table();
    if (table == nullptr) return refuse(node);
    field.clear();
    for (const auto& [name_there, item] : *table) {
      std::string feature;
      WEIR_TRY(read(item, feature));
      field.emplace_back(std::string(name_there.str()), std::move(feature));
    }
    return {};
  }

  Status read(const toml::node& node, std::vector<Prefix>& field) const {
    return read_list(node, field, [&](const toml::node& item, Prefix& value) -> Status {
      if (!item.is_string()) return refuse(item);
      auto prefix = Prefix::parse(item.as_string()->get());
      if (!prefix) {
        return fail(fmt::format("{}: {}", subject(item), prefix.error().message));
      }
      value = *prefix;
      return {};
    });
  }
};

std::vector<std::string_view> section_names() {
  std::vector<std::string_view> names;
  for (const auto& section : kSections) names.emplace_back(section.name);
  return names;
}

std::vector<std::string_view> key_names(std::string_view section) {
  std::vector<std::string_view> names;
  for (const auto& key : kKeys) {
    if (key.section == section) names.emplace_back(key.name);
  }
  return names;
}

Status check_names(const toml::table& file, const std::string& name) {
  const auto sections = section_names();
  for (const auto& [section, node] : file) {
    const Position at{static_cast<std::uint32_t>(section.source().begin.line),
                      static_cast<std::uint32_t>(section.source().begin.column)};
    if (std::find(sections.begin(), sections.end(), section.str()) == sections.end()) {
      return fail(fmt::format("{}: there is no {} '{}'; allowed are the sections {}{}",
                              place(name, at), node.is_table() ? "section" : "key outside sections",
                              section.str(), fmt::join(sections, ", "),
                              did_you_mean(section.str(), sections)));
    }
    const auto* table = node.as_table();
    if (table == nullptr) {
      return fail(fmt::format("{}: {} is {}; allowed is a section, as [{}]", place(name, at),
                              section.str(), found_text(node), section.str()));
    }
    const auto keys = key_names(section.str());
    for (const auto& [key, value] : *table) {
      if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
      const Position key_at{static_cast<std::uint32_t>(key.source().begin.line),
                            static_cast<std::uint32_t>(key.source().begin.column)};
      return fail(fmt::format("{}: [{}] has no key '{}'; its keys are {}{}", place(name, key_at),
                              section.str(), key.str(), fmt::join(keys, ", "),
                              did_you_mean(key.str(), keys)));
    }
  }
  return {};
}

Status read_keys(const toml::table& file, const Source& source, Parsed& parsed) {
  std::size_t index = 0;
#define WEIR_READ(section, key, kind_, default_, allowed, help)                   \
  {                                                                               \
    const toml::node* node = file[#section][#key].node();                         \
    const Reader reader{source, kKeys[index++]};                                  \
    if (node != nullptr) {                                                        \
      const auto before = parsed.settings.section##_##key;                        \
      WEIR_TRY(reader.read(*node, parsed.settings.section##_##key));              \
      if (before != parsed.settings.section##_##key)                              \
        parsed.changed.emplace_back(#section "." #key);                           \
      auto& places = parsed.places[#section "." #key];                            \
      places.assign(1, position_of(*node));                                       \
      if (const auto* list = node->as_array()) {                                  \
        for (const toml::node& item : *list) places.push_back(position_of(item)); \
      }                                                                           \
    }                                                                             \
  }
  WEIR_CONFIG_KEYS(WEIR_READ)
#undef WEIR_READ
  return {};
}

Result<toml::table> parse_toml(std::string_view text, const Source& source) {
  const std::string& name = source.name;
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    const auto begin = error.source().begin;
    if (!source.options.empty())  // all else of that text is quoted, or was read before
      return fail(fmt::format("{}: a name is no text in UTF-8; give it as 'ip link' does", name));
    return fail(
        fmt::format("{}:{}:{}: not TOML: {}", name, begin.line, begin.column, error.description()));
  }
}

}  // namespace

std::string alternatives(std::string_view choices, std::string_view quote) {
  std::string text(quote);
  for (std::size_t at = 0; at < choices.size(); ++at) {
    if (choices[at] != '|') {
      text += choices[at];
      continue;
    }
    const bool last = choices.find('|', at + 1) == std::string_view::npos;
    text += fmt::format("{}{}{}", quote, last ? " or " : ", ", quote);
  }
  return text.append(quote);
}

std::string Source::place(const std::string& key, const Position& at) const {
  const auto option = options.find(key);
  return option != options.end() ? option->second : control::place(name, at);
}

std::string Parsed::where(const std::string& key, std::size_t element) const {
  const auto found = places.find(key);
  const std::size_t slot = element == kValue ? 0 : element + 1;
  return source.place(key, found == places.end() ? Position{} : found->second.at(slot));
}

Result<Parsed> parse_settings(std::string_view text, const Source& source) {
  std::string defaults;
  for (const auto& key : kKeys) {
    if (key.kind == Kind::interface) continue;
    defaults += fmt::format("{}.{} = {}\n", key.section, key.name, key.fallback);
  }
  Parsed parsed;
  parsed.source = source;
  WEIR_ASSIGN(const toml::table fallback, parse_toml(defaults, {"defaults", {}}));
  WEIR_TRY(read_keys(fallback, {"defaults", {}}, parsed));
  parsed.places.clear();
  parsed.changed.clear();
  WEIR_ASSIGN(const toml::table file, parse_toml(text, source));
  WEIR_TRY(check_names(file, source.name));
  WEIR_TRY(read_keys(file, source, parsed));
  return parsed;
}

}  // namespace weir::control
