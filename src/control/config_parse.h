// SPDX-License-Identifier: BSD-2-Clause
/// Inside the configuration: TOML text to `Settings`, with the place of everything in the file.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/config.h"

namespace weir::control {

/// From 1; line 0 is "not in the file".
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

/// "a, b or c" for the key list's "a|b|c"; each between two of `quote`.
std::string alternatives(std::string_view choices, std::string_view quote);

/// Where a configuration's text is from, and what its errors call the places in it.
struct Source {
  std::string name;                            ///< of the file; "the command line"
  std::map<std::string, std::string> options;  ///< of a command line: by "section.key", the option

  /// Of something of this key: the option, else "NAME:LINE:COLUMN", else NAME.
  [[nodiscard]] std::string place(const std::string& key, const Position& at) const;
};

struct Parsed {
  Source source;
  Settings settings;
  /// By "section.key": the value's place, then the place of each element of a list.
  std::map<std::string, std::vector<Position>> places;
  /// "section.key" of those whose value is not the default, in the order of config_keys.h.
  std::vector<std::string> changed;

  /// The place of a key's value or of its element in the source.
  [[nodiscard]] std::string where(const std::string& key, std::size_t element = kValue) const;
  static constexpr std::size_t kValue = static_cast<std::size_t>(-1);
};

/// Checks names, types and ranges against config_keys.h; what a key's neighbours say is checked by
/// the caller. Keys that are not in the text have their default; interfaces are empty.
Result<Parsed> parse_settings(std::string_view text, const Source& source);

/// What of `parsed.changed` the rest of the file puts out of effect: a sentence a cause.
std::vector<std::string> without_effect(const Parsed& parsed);

}  // namespace weir::control
