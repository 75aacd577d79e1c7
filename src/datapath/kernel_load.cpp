// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_load.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>

namespace weir::datapath {

void quiet_libbpf() noexcept {
  libbpf_set_print([](libbpf_print_level, const char*, va_list) { return 0; });
}

std::string last_words(std::string_view log, std::size_t lines) {
  constexpr std::array<std::string_view, 4> kSummaries = {"processed ", "verification time",
                                                          "stack depth", "func#"};
  constexpr std::size_t kLine_bytes = 200;
  std::string words;
  while (!log.empty() && lines > 0) {
    const std::size_t newline = log.find_last_of('\n');
    const std::string_view line = newline == std::string_view::npos ? log : log.substr(newline + 1);
    log = newline == std::string_view::npos ? std::string_view{} : log.substr(0, newline);
    const auto begins = [&](std::string_view summary) { return line.starts_with(summary); };
    if (line.empty() || std::any_of(kSummaries.begin(), kSummaries.end(), begins)) continue;
    if (!words.empty()) words.insert(0, " / ");
    words.insert(0, line.substr(0, kLine_bytes));
    --lines;
  }
  return words;
}

}  // namespace weir::datapath
