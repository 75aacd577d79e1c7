// SPDX-License-Identifier: BSD-2-Clause
#include "control/run_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

namespace weir::control {
namespace {

long read_pid(int fd) {
  char text[32] = {};
  const ssize_t got = pread(fd, text, sizeof text - 1, 0);
  return got > 0 ? std::strtol(text, nullptr, 10) : 0;
}

/// Whether `path` still names the file that `fd` is.
bool same_file(int fd, const std::string& path) {
  struct stat open_one {
  }, named{};
  return fstat(fd, &open_one) == 0 && stat(path.c_str(), &named) == 0 &&
         open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

/// What an earlier start wrote; lines that are no prefix are left out: the file is only a memory.
std::vector<Prefix> read_prefixes(const std::string& path) {
  std::vector<Prefix> prefixes;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (auto prefix = Prefix::parse(line)) prefixes.push_back(*prefix);
  }
  return prefixes;
}

Status write_prefixes(const std::string& path, const std::vector<Prefix>& prefixes) {
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::trunc);
    for (const auto& prefix : prefixes) file << prefix.text() << '\n';
    file.flush();
    if (!file) return fail(fmt::format("cannot write {}", fresh));
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return fail_errno(fmt::format("cannot write {}", path), errno);
  }
  return {};
}

}  // namespace

Result<Lock> Lock::take(const std::string& lock_file) {
  std::error_code error;
  const auto folder = std::filesystem::path(lock_file).parent_path();
  std::filesystem::create_directories(folder, error);
  if (error) {
    return fail(fmt::format("cannot make the folder {}: {}; set control.run_dir", folder.string(),
                            error.message()));
  }
  for (;;) {
    const int fd = open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) return fail_errno(fmt::format("cannot open the lock {}", lock_file), errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int cause = errno;
      const long pid = read_pid(fd);
      close(fd);
      if (cause != EWOULDBLOCK) return fail_errno(fmt::format("cannot lock {}", lock_file), cause);
      return fail(
          fmt::format("weir runs already as process {}, and holds {}; stop it, or give this "
                      "one its own control.pin_directory, socket and interfaces",
                      pid, lock_file));
    }
    Lock lock(fd, lock_file);
    if (!same_file(fd, lock_file)) {  // its last owner removed it just now
      lock.path_.clear();
      continue;
    }
    const std::string pid = fmt::format("{}\n", getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
      const int cause = errno;
      return fail(
          fmt::format("cannot write the lock {}: {}; make room there, or set control.run_dir",
                      lock_file, std::strerror(cause)));
    }
    return lock;
  }
}

long Lock::holder(const std::string& lock_file) {
  const int fd = open(lock_file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const long pid = held ? read_pid(fd) : 0;
  close(fd);
  return pid;
}

Lock::Lock(Lock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::exchange(other.path_, {})) {}

Lock& Lock::operator=(Lock&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(path_, other.path_);
  return *this;
}

Lock::~Lock() {
  if (fd_ < 0) return;
  if (!path_.empty()) unlink(path_.c_str());
  close(fd_);
}

Result<std::vector<Prefix>> follow_allowlist(datapath::Datapath& datapath,
                                             const std::vector<Prefix>& configured,
                                             const std::string& record_file) {
  for (const Prefix& prefix : read_prefixes(record_file)) {
    if (std::find(configured.begin(), configured.end(), prefix) != configured.end()) continue;
    const auto removed = datapath.remove_allow(prefix);
    if (!removed) return tl::unexpected(removed.error());
  }
  for (const Prefix& prefix : configured) WEIR_TRY(datapath.add_allow(prefix));
  WEIR_TRY(write_prefixes(record_file, configured));
  return datapath.list_allow();
}

}  // namespace weir::control
