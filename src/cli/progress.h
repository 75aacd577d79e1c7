// SPDX-License-Identifier: BSD-2-Clause
/// A progress bar with the time that is left, on stderr, where that is a terminal; else nothing.
///
/// Threads   one owner.
#pragma once

#include <chrono>
#include <string>

namespace weir::cli {

class Progress {
 public:
  /// `what` stands in front of the bar.
  explicit Progress(std::string what);
  ~Progress();  ///< takes the bar away
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Draws at most five times a second.
  void show(double fraction);

 private:
  const std::string what_;
  const bool terminal_;
  bool shown_ = false;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point drawn_;
};

/// "[#####-----]  50 %, 12 s left" of what took `elapsed_s` so far.
std::string progress_bar(double fraction, double elapsed_s);

}  // namespace weir::cli
