// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

namespace weir::datapath {

namespace {

constexpr const char* kUsualMount = "/sys/fs/bpf";

bool is_bpffs(const std::filesystem::path& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && static_cast<unsigned long>(fs.f_type) == BPF_FS_MAGIC;
}

/// The nearest directory above `path` that exists.
std::filesystem::path existing(std::filesystem::path path) {
  std::error_code ignored;
  while (!std::filesystem::exists(path, ignored) && path.has_relative_path())
    path = path.parent_path();
  return path;
}

/// Whether all that is missing is a bpffs at its usual place.
bool needs_mount(const std::string& directory, const std::filesystem::path& base) {
  return directory.starts_with(std::string(kUsualMount) + "/") && base == kUsualMount;
}

/// The process that has this file locked, as /proc/locks tells; 0: nobody that can be seen from
/// here. A line is "1: FLOCK ADVISORY WRITE 4711 00:28:1271847 0 EOF".
long lock_holder(const struct stat& file) {
  const std::string wanted =
      fmt::format("{:02x}:{:02x}:{}", major(file.st_dev), minor(file.st_dev), file.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, manner, access, place;
    long pid = 0;
    if (words >> number >> kind >> manner >> access >> pid >> place && kind == "FLOCK" &&
        place == wanted)
      return pid;
  }
  return 0;
}

/// The map's value, if it has the layout of this build.
Status check_layout(int fd, const char* name, std::uint32_t key_bytes, std::uint32_t value_bytes,
                    const std::string& directory) {
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0)
    return fail_errno(fmt::format("read what {}/{} is", directory, name), errno);
  if (info.key_size == key_bytes && info.value_size == value_bytes) return {};
  return fail(fmt::format(
      "{}/{} was left by another version of weir: its entries are {}+{} bytes, this one's are "
      "{}+{}; "
      "remove all with `rm -r {}` (its program is detached, its blocks are lost)",
      directory, name, info.key_size, info.value_size, key_bytes, value_bytes, directory));
}

}  // namespace

Undo::~Undo() {
  while (!steps_.empty()) {
    steps_.back()();
    steps_.pop_back();
  }
}

void Undo::take(Undo& later) {
  for (auto& step : later.steps_) steps_.push_back(std::move(step));
  later.steps_.clear();
}

Status Pins::check() const {
  const std::filesystem::path wanted(directory_);
  if (!wanted.is_absolute())
    return fail(
        fmt::format("the pin directory '{}' is not an absolute path; give one below a bpffs, "
                    "such as /sys/fs/bpf/weir",
                    directory_));
  const std::filesystem::path base = existing(wanted);
  if (is_bpffs(base) || needs_mount(directory_, base)) return {};
  return fail(
      fmt::format("the pin directory {} is not on a bpffs ({} is another file system); "
                  "mount one there with `mount -t bpf bpf {}`, or choose a directory below "
                  "/sys/fs/bpf",
                  directory_, base.string(), base.string()));
}

Status Pins::prepare(Undo& undo) const {
  WEIR_TRY(check());
  const std::filesystem::path wanted(directory_);
  const std::filesystem::path base = existing(wanted);
  if (!is_bpffs(base)) {
    if (::mount("bpf", kUsualMount, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
      return fail_errno(fmt::format("mount a bpffs at {} for the pins", kUsualMount), errno);
    undo.add([] { ::umount(kUsualMount); });
  }
  std::vector<std::filesystem::path> missing;
  for (std::filesystem::path p = wanted; p != base; p = p.parent_path()) missing.push_back(p);
  for (auto p = missing.rbegin(); p != missing.rend(); ++p) {
    if (::mkdir(p->c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno(fmt::format("make the pin directory {}", p->string()), errno);
    undo.add([path = *p] { ::rmdir(path.c_str()); });
  }
  return {};
}

Result<Fd> Pins::lock() const {
  Fd fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return Fd{};
  struct stat opened {
  }, named{};
  if (!fd || ::fstat(fd.get(), &opened) != 0)
    return fail_errno(fmt::format("open the pin directory {}", directory_), errno);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return fail_errno(fmt::format("lock the pin directory {}", directory_), errno);
    const long pid = lock_holder(opened);
    return fail(fmt::format(
        "a weir that runs{} has the pin directory {}; stop that one, or name another directory",
        pid > 0 ? fmt::format(" (process {})", pid) : std::string{}, directory_));
  }
  const bool same = ::stat(directory_.c_str(), &named) == 0 && named.st_ino == opened.st_ino &&
                    named.st_dev == opened.st_dev;
  return same ? std::move(fd) : Fd{};  // else its last owner removed it just now
}

Result<Fd> Pins::open(const char* name) const {
  Fd fd(bpf_obj_get(path(name).c_str()));
  if (!fd && errno != ENOENT) return fail_errno(fmt::format("open the pin {}", path(name)), errno);
  return fd;
}

Status Pins::put(const char* name, int fd, Undo& undo) const {
  const std::string fresh = path(name) + "_new";  // a bpffs keeps names with dots to itself
  ::unlink(fresh.c_str());
  auto old = open(name);
  if (!old) return tl::unexpected<Error>(old.error());
  if (bpf_obj_pin(fd, fresh.c_str()) != 0 || ::rename(fresh.c_str(), path(name).c_str()) != 0) {
    const int error = errno;
    ::unlink(fresh.c_str());
    return fail_errno(fmt::format("pin {}", path(name)), error);
  }
  undo.add([where = path(name), fresh, old_fd = std::make_shared<Fd>(std::move(*old))] {
    if (!*old_fd || bpf_obj_pin(old_fd->get(), fresh.c_str()) != 0 ||
        ::rename(fresh.c_str(), where.c_str()) != 0)
      ::unlink(where.c_str());
  });
  return {};
}

bool Pins::remove(const char* name) const { return ::unlink(path(name).c_str()) == 0; }

void Pins::remove_directory() const { ::rmdir(directory_.c_str()); }

Result<ListMaps> Pins::open_lists() const {
  ListMaps maps;
  WEIR_ASSIGN(maps.control, open("control"));
  WEIR_ASSIGN(maps.block4, open("block4"));
  WEIR_ASSIGN(maps.block6, open("block6"));
  WEIR_ASSIGN(maps.allow4, open("allow4"));
  WEIR_ASSIGN(maps.allow6, open("allow6"));
  WEIR_ASSIGN(maps.counters, open("counters"));
  WEIR_ASSIGN(maps.redirect_errors, open("redirect_errors"));
  const int lists = int{!!maps.control} + int{!!maps.block4} + int{!!maps.block6} +
                    int{!!maps.allow4} + int{!!maps.allow6};
  if (lists == 0) return ListMaps{};
  if (lists < 5)
    return fail(
        fmt::format("the pins in {} are incomplete: {} of 5 lists are there; remove the rest "
                    "with `rm -r {}`",
                    directory_, lists, directory_));
  const auto check = [&](const Fd& fd, const char* name, std::size_t key, std::size_t value) {
    return check_layout(fd.get(), name, static_cast<std::uint32_t>(key),
                        static_cast<std::uint32_t>(value), directory_);
  };
  WEIR_TRY(check(maps.control, "control", sizeof(__u32), sizeof(weir_control)));
  WEIR_TRY(check(maps.block4, "block4", sizeof(weir_key4), sizeof(weir_block)));
  WEIR_TRY(check(maps.block6, "block6", sizeof(weir_key6), sizeof(weir_block)));
  WEIR_TRY(check(maps.allow4, "allow4", sizeof(weir_prefix4), sizeof(__u32)));
  WEIR_TRY(check(maps.allow6, "allow6", sizeof(weir_prefix6), sizeof(__u32)));
  weir_control control{};
  const __u32 zero = 0;
  if (bpf_map_lookup_elem(maps.control.get(), &zero, &control) != 0)
    return fail_errno(fmt::format("read {}/control", directory_), errno);
  if (control.abi_version != WEIR_ABI_VERSION)
    return fail(
        fmt::format("the pins in {} were left by another version of weir: their ABI version "
                    "is {}, this one's is {}; remove them with `rm -r {}` (the program is "
                    "detached, the blocks are lost)",
                    directory_, control.abi_version, WEIR_ABI_VERSION, directory_));
  return maps;
}

}  // namespace weir::datapath
