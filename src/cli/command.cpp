// SPDX-License-Identifier: BSD-2-Clause
#include "cli/command.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace weir::cli {

namespace {

std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20U || c == 0x7f; }, ' ');
  return text;
}

}  // namespace

int report(const Error& error, Exit status) {
  fmt::print(stderr, "weir: {}\n", on_one_line(error.message));
  return status;
}

void warn(const std::vector<std::string>& sentences) {
  for (const std::string& sentence : sentences)
    fmt::print(stderr, "weir: warning: {}\n", on_one_line(sentence));
}

std::string help_footer(std::string_view examples, std::initializer_list<Exit> statuses) {
  std::string text = fmt::format("Example:\n{}\nExit status:\n", examples);
  for (const Exit status : statuses) {
    const char* meaning = "";
    switch (status) {
      case kOk:
        meaning = "done";
        break;
      case kFailure:
        meaning = "tried, and it failed";
        break;
      case kBadInput:
        meaning = "wrong usage or wrong input";
        break;
      case kNotRunning:
        meaning = "no weir is running, and it left nothing to act on";
        break;
      case kNotPermitted:
        meaning = "not permitted: run it as root";
        break;
    }
    text += fmt::format("  {}  {}\n", static_cast<int>(status), meaning);
  }
  return text;
}

bool colours() {
  const char* no_colour = std::getenv("NO_COLOR");
  return (no_colour == nullptr || *no_colour == '\0') && isatty(STDOUT_FILENO) == 1;
}

}  // namespace weir::cli
