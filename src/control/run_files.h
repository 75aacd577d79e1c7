// SPDX-License-Identifier: BSD-2-Clause
/// The run directory: one weir a pin directory, and what the next start has to know of this one.
///
/// Lock      flock on `lock_file`: gone with its process, however that ends. The file holds the
///           pid.
/// Allow     which prefixes of the pinned allowlist came from the configuration: those that left
///           the file leave the list at the next start, and those that `weir allow add` put there
///           stay.
/// Errors    one sentence with the path.
/// Threads   the main thread.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "datapath/datapath.h"

namespace weir::control {

class Lock {
 public:
  /// Makes the folder where it is missing. An error names the process that has the lock.
  static Result<Lock> take(const std::string& lock_file);
  /// The pid that holds it; 0 where nobody does.
  static long holder(const std::string& lock_file);
  ~Lock();  ///< removes the file and lets go
  Lock(Lock&& other) noexcept;
  Lock& operator=(Lock&& other) noexcept;

 private:
  Lock(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_ = -1;
  std::string path_;
};

/// Makes the datapath's allowlist follow the configuration; returns all that it holds then.
Result<std::vector<Prefix>> follow_allowlist(datapath::Datapath& datapath,
                                             const std::vector<Prefix>& configured,
                                             const std::string& record_file);

}  // namespace weir::control
