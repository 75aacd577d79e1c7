// SPDX-License-Identifier: BSD-2-Clause
#include "io/dpdk_eal.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_pci.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace weir::io {
namespace {

/// What is written to stdout and stderr while this lives: DPDK explains itself there.
class Overheard {
 public:
  Overheard() : file_(memfd_create("weir-dpdk", MFD_CLOEXEC)) {
    std::fflush(stdout);
    for (int fd : {1, 2}) {
      kept_[fd - 1] = dup(fd);
      if (file_ >= 0) dup2(file_, fd);
    }
  }
  ~Overheard() { restore(); }
  Overheard(const Overheard&) = delete;
  Overheard& operator=(const Overheard&) = delete;

  std::string take() {
    restore();
    std::string text(1U << 16U, '\0');
    const ssize_t got = file_ >= 0 ? pread(file_, text.data(), text.size(), 0) : 0;
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }

 private:
  void restore() {
    std::fflush(stdout);
    for (int fd : {1, 2}) {
      int& kept = kept_[fd - 1];
      if (kept < 0) continue;
      dup2(kept, fd);
      close(kept);
      kept = -1;
    }
  }
  const int file_;
  int kept_[2] = {-1, -1};
};

/// The last of DPDK's lines that say what is wrong: help texts and progress are left out.
std::string complaint_in(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) {
    if (line.empty() || line.front() == ' ' || line.front() == '\t') continue;
    const auto colon = line.find(": ");
    if (colon == std::string::npos || line.starts_with("EAL: Detected")) continue;
    if (line.starts_with("EAL: ")) line.erase(0, 5);
    if (lines.empty() || lines.back() != line) lines.push_back(line);
  }
  if (lines.empty()) return {};
  const std::size_t from = lines.size() > 3 ? lines.size() - 3 : 0;
  return fmt::format(
      "{}", fmt::join(lines.begin() + static_cast<std::ptrdiff_t>(from), lines.end(), "; "));
}

std::vector<unsigned> own_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

Status check_hugepages(const PollWords& words) {
  std::error_code error;
  for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", error)) {
    std::uint64_t free = 0;
    std::ifstream(size.path() / "free_hugepages") >> free;
    if (free > 0) return {};
  }
  return fail(
      fmt::format("DPDK: no hugepage is free on this machine; reserve some, as by 'sysctl "
                  "vm.nr_hugepages=512', or {}, which PCI devices cannot do with",
                  words.without_hugepages));
}

std::vector<std::string> arguments_of(const PollConfig& config) {
  std::vector<std::string> arguments{
      "weir", fmt::format("--lcores=0@({})", fmt::join(own_cpus(), ",")), "--no-telemetry",
      fmt::format("--file-prefix=weir{}", getpid())};
  if (config.hugepages) {
    arguments.emplace_back("--in-memory");
  } else {
    arguments.insert(arguments.end(),
                     {"--no-huge", "--no-shconf", "-m", std::to_string(config.memory_mb)});
  }
  bool pci = false;
  for (const std::string& device : config.devices) {
    if (device.empty()) continue;
    arguments.emplace_back(is_pci(device) ? "-a" : "--vdev");
    arguments.push_back(device);
    pci = pci || is_pci(device);
  }
  if (!pci) arguments.emplace_back("--no-pci");
  arguments.insert(arguments.end(), config.arguments.begin(), config.arguments.end());
  return arguments;
}

/// EAL makes a folder for what processes share, though here there is nothing to share: it is empty,
/// and named after this process.
void remove_runtime_folder() {
  const std::filesystem::path folder = rte_eal_get_runtime_dir();
  rmdir(folder.c_str());
  rmdir(folder.parent_path().c_str());  // where no other program of DPDK has one
}

/// Lasts as long as its thread.
struct Membership {
  Membership() : joined(rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0) {}
  ~Membership() {
    if (joined) rte_thread_unregister();
  }
  const bool joined;
};

}  // namespace

bool is_pci(const std::string& device) {
  rte_pci_addr address;
  return rte_pci_addr_parse(device.substr(0, device.find(',')).c_str(), &address) == 0;
}

std::string device_name(const std::string& device) {
  std::string name = device.substr(0, device.find(','));
  rte_pci_addr address;
  if (rte_pci_addr_parse(name.c_str(), &address) != 0) return name;
  return fmt::format("{:04x}:{:02x}:{:02x}.{}", address.domain, address.bus, address.devid,
                     address.function);
}

Result<std::unique_ptr<Eal>> Eal::start(const PollConfig& config) {
  if (config.hugepages) WEIR_TRY(check_hugepages(config.words));
  std::vector<std::string> arguments = arguments_of(config);
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  auto eal = std::unique_ptr<Eal>(new Eal);
  Overheard overheard;
  const int started = rte_eal_init(static_cast<int>(argv.size() - 1), argv.data());
  const std::string said = overheard.take();
  remove_runtime_folder();
  eal->complaint_ = complaint_in(said);
  if (started < 0) {
    if (eal->complaint_.empty()) eal->complaint_ = rte_strerror(rte_errno);
    return fail(fmt::format("DPDK does not start: {}; its arguments were {}; look at {}{}{} and {}",
                            eal->complaint_, fmt::join(arguments.begin() + 1, arguments.end(), " "),
                            config.words.devices[0], config.devices[1].empty() ? "" : ", ",
                            config.devices[1].empty() ? "" : config.words.devices[1],
                            config.words.arguments));
  }
  eal->log_ = config.log;
  cookie_io_functions_t functions{};
  functions.write = write_log;
  eal->stream_ = fopencookie(eal.get(), "w", functions);
  if (eal->stream_ != nullptr) {
    setvbuf(eal->stream_, nullptr, _IOLBF, 0);
    rte_openlog_stream(eal->stream_);
  }
  return eal;
}

Eal::~Eal() {
  if (stream_ != nullptr) {
    rte_openlog_stream(nullptr);
    std::fclose(stream_);
  }
  const Overheard unheard;
  rte_eal_cleanup();
}

ssize_t Eal::write_log(void* self, const char* text, std::size_t length) {
  const auto& log = static_cast<Eal*>(self)->log_;
  std::istringstream lines(std::string(text, length));
  for (std::string line; log && std::getline(lines, line);)
    if (!line.empty()) log(line);
  return static_cast<ssize_t>(length);
}

void Eal::join_thread() noexcept { thread_local const Membership membership; }

}  // namespace weir::io
