// SPDX-License-Identifier: BSD-2-Clause
/// The pin directory: what of the datapath outlives this process, as files of a bpffs.
///
/// Shape     one file for each map and each link, named as in bpf/maps.h; a new pin takes the place
///           of an old one in one step (rename), so that a reader never finds a gap.
/// Errors    one sentence; who calls undoes through `Undo`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "datapath/kernel_tables.h"

namespace weir::datapath {

/// What to take back, last first, unless `commit` was called.
class Undo {
 public:
  Undo() = default;
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;
  ~Undo();
  void add(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void commit() noexcept { steps_.clear(); }
  /// Adds the steps of `later` behind its own.
  void take(Undo& later);

 private:
  std::vector<std::function<void()>> steps_;
};

class Pins {
 public:
  explicit Pins(std::string directory) : directory_(std::move(directory)) {}

  /// Whether `prepare` would find a place for the directory.
  [[nodiscard]] Status check() const;
  /// The directory exists and is on a bpffs: made where missing, and a bpffs mounted at
  /// /sys/fs/bpf where that is what is missing.
  Status prepare(Undo& undo) const;

  /// Locks the directory, which must exist, against every other process (and every other object of
  /// this one) while the descriptor is open. None where the directory has just been removed; an
  /// error names the process that has it.
  [[nodiscard]] Result<Fd> lock() const;

  /// An object that is pinned; none where nothing is.
  [[nodiscard]] Result<Fd> open(const char* name) const;
  /// Pins `fd`, in the place of what was pinned under this name.
  Status put(const char* name, int fd, Undo& undo) const;
  /// Unpins; true where there was a pin.
  bool remove(const char* name) const;
  /// Removes the directory if nothing is left in it.
  void remove_directory() const;

  /// The maps that outlive a program; an error where their layout is another build's.
  [[nodiscard]] Result<ListMaps> open_lists() const;

  [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

 private:
  [[nodiscard]] std::string path(const char* name) const { return directory_ + "/" + name; }

  std::string directory_;
};

}  // namespace weir::datapath
