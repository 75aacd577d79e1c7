// SPDX-License-Identifier: BSD-2-Clause
#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace weir::cli {

Progress::Progress(std::string what)
    : what_(std::move(what)), terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::show(double fraction) {
  if (!terminal_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - drawn_ < std::chrono::milliseconds(200)) return;
  drawn_ = now;
  shown_ = true;
  const double elapsed_s = std::chrono::duration<double>(now - start_).count();
  fmt::print(stderr, "\r\x1b[K{} {}", what_, progress_bar(fraction, elapsed_s));
  std::fflush(stderr);
}

std::string progress_bar(double fraction, double elapsed_s) {
  constexpr int kWidth = 30;
  fraction = std::clamp(fraction, 0.0, 1.0);
  const int done = static_cast<int>(fraction * kWidth);
  std::string text =
      fmt::format("[{:#<{}}{:-<{}}] {:3.0f} %", "", done, "", kWidth - done, fraction * 100);
  // Too early, the rest is a guess.
  if (fraction > 0.01)
    text += fmt::format(", {:.0f} s left", elapsed_s * (1 - fraction) / fraction);
  return text;
}

}  // namespace weir::cli
