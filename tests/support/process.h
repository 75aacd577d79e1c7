// SPDX-License-Identifier: BSD-2-Clause
/// Processes of a test: started in a network namespace, watched, and never left behind.
///
/// Output    stdout and stderr go to memory files that outlive the process; read them at any time.
/// End       the destructor kills what still runs; a child dies with its parent's thread as well
///           (PR_SET_PDEATHSIG), so a crashed test leaves none.
/// Threads   one owner; start processes from the thread that lives longest.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace weir::test {

class Process {
 public:
  /// Starts `command` (argv; looked up in PATH, /sbin and /usr/sbin) in the namespace that
  /// `netns_fd` refers to, or in the caller's where that is -1.
  explicit Process(const std::vector<std::string>& command, int netns_fd = -1);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const noexcept;
  /// Waits for the end; the exit status, 128 + the signal's number, or nothing where the time was
  /// over first.
  std::optional<int> wait(std::chrono::milliseconds at_most);
  [[nodiscard]] bool running();
  [[nodiscard]] std::string out() const;  ///< stdout so far
  [[nodiscard]] std::string err() const;  ///< stderr so far

 private:
  pid_t pid_ = -1;
  int out_fd_ = -1;
  int err_fd_ = -1;
  std::optional<int> status_;
};

/// A command's result, run to its end (30 s at most).
struct Ran {
  int status = -1;
  std::string out, err;
};
Ran run(const std::vector<std::string>& command, int netns_fd = -1);

}  // namespace weir::test
