// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include "control/config.h"
#include "control/config_parse.h"

namespace weir::control {
namespace {

constexpr std::size_t kWidth = 100;

/// "# text", broken between words at kWidth columns.
void comment(std::string& out, std::string_view text) {
  std::string line = "#";
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    if (line.size() + 1 + end > kWidth) {
      out += line + "\n";
      line = "#";
    }
    line += " ";
    line += text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out += line + "\n";
}

/// The unit that a key's name ends in.
std::string_view unit(std::string_view key) {
  if (key.ends_with("_ms")) return " ms";
  if (key.ends_with("_us")) return " us";
  if (key.ends_with("_mb")) return " MB";
  if (key.ends_with("_per_s")) return " a second";
  return "";
}

std::string allowed_note(std::string_view kind, std::string_view key, std::string_view allowed) {
  std::string text = alternatives(allowed, "");
  if (const auto dots = text.find(".."); dots != std::string::npos) text.replace(dots, 2, " to ");
  text += unit(key);
  if (kind == "interface") return "It has no default.";
  if (kind == "flag") return "Allowed: true or false.";
  if (text.empty()) return "";
  if (kind == "power") return fmt::format("Allowed: a power of two from {}.", text);
  if (kind == "quantity" || kind == "level") return fmt::format("Allowed: \"auto\" or {}.", text);
  if (kind == "ports") return fmt::format("Allowed: \"all\" or a list of {}.", text);
  if (kind == "numbers") return fmt::format("Allowed: a list of {}.", text);
  return fmt::format("Allowed: {}.", text);
}

void render_section(std::string& out, std::string_view name) {
#define WEIR_RENDER(section, key, kind, default_, allowed, help)          \
  if (name == #section) {                                                 \
    const auto note = allowed_note(#kind, #key, allowed);                 \
    comment(out, note.empty() ? help : fmt::format("{} {}", help, note)); \
    out += fmt::format("{} = {}\n", #key, default_);                      \
  }
  WEIR_CONFIG_KEYS(WEIR_RENDER)
#undef WEIR_RENDER
}

}  // namespace

std::string render_defaults() {
  std::string out;
  comment(out, "SPDX-License-Identifier: BSD-2-Clause");
  comment(out,
          "weir.toml: every key with its default. All but the interfaces may be left out; an "
          "unknown key is an error. `weir check -c FILE` reads a file without doing anything.");
#define WEIR_RENDER_SECTION(name, help) \
  out += "\n";                          \
  comment(out, help);                   \
  out += "[" #name "]\n";               \
  render_section(out, #name);
  WEIR_CONFIG_SECTIONS(WEIR_RENDER_SECTION)
#undef WEIR_RENDER_SECTION
  return out;
}

}  // namespace weir::control
