// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <optional>

#include "control/client.h"
#include "control/privileges.h"
#include "control/run_files.h"
#include "control/service.h"
#include "io/host.h"
#include "io/link_watch.h"
#include "io/stack_entry.h"

namespace weir::control {
namespace {

void open_log(const std::string& level) {
  auto logger = spdlog::stderr_color_mt("weir");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%l%$: %v");
  logger->set_level(spdlog::level::from_str(level));
  spdlog::set_default_logger(std::move(logger));
}

/// Logs what has become of the links; an error where one is gone, and the wire with it.
Status follow_links(io::LinkWatch& links, const std::array<std::string, kSides>& interfaces) {
  for (const auto& change : links.changes()) {
    const std::string& interface = interfaces[index(change.side)];
    switch (change.now) {
      case io::Link::gone:
        return fail(
            fmt::format("interface '{}' is gone (deleted, moved or reset by its driver), and the "
                        "wire with it; start weir again once it is back",
                        interface));
      case io::Link::down:
        spdlog::warn("interface '{}' was taken down: nothing crosses; run 'ip link set dev {} up'",
                     interface, interface);
        break;
      case io::Link::no_carrier:
        spdlog::warn("interface '{}' has no carrier: what is sent there is lost; look at its cable",
                     interface);
        break;
      case io::Link::up:
        spdlog::info("interface '{}' is up again", interface);
        break;
    }
  }
  return {};
}

/// Serves SIGHUP and follows the links meanwhile. What ended the wait, in words; an error where it
/// was no order to stop.
Result<std::string> wait_for_end(int signal_fd, std::optional<io::LinkWatch>& links,
                                 const Config& config, Service& service) {
  for (;;) {
    if (links) WEIR_TRY(follow_links(*links, config.kernel.interfaces));
    std::array<pollfd, 3> polled{{{signal_fd, POLLIN, 0},
                                  {service.stop_fd(), POLLIN, 0},
                                  {links ? links->fd() : -1, POLLIN, 0}}};
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[1].revents != 0) return "asked over the control socket";
    if (polled[0].revents == 0) continue;
    signalfd_siginfo info{};
    if (read(signal_fd, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGHUP) return sigdescr_np(static_cast<int>(info.ssi_signo));
    [[maybe_unused]] const auto answer = service.reload();  // in the log, either way
  }
}

/// Behind the start, which changes the interfaces; one that went meanwhile is gone at once. DPDK's
/// devices are not the kernel's: `weir status` has their links.
Result<std::string> watch_and_wait(int signal_fd, const Config& config, Service& service) {
  std::optional<io::LinkWatch> links;
  if (!config.dpdk) {
    WEIR_ASSIGN(auto opened, io::LinkWatch::open(config.kernel.interfaces));
    links.emplace(std::move(opened));
  }
  return wait_for_end(signal_fd, links, config, service);
}

/// That of a weir that was killed. With its lock taken nobody answers there, but for a weir of other
/// pins that has the same socket.
bool remove_socket(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_socket(std::filesystem::symlink_status(path, ignored))) return false;
  const auto answer = ask(path, Json{{"verb", "status"}});
  if (answer || answer.error().kind != AskError::Kind::not_running) return false;
  return std::filesystem::remove(path, ignored);
}

}  // namespace

tl::expected<void, Refused> run_service(const Config& config,
                                        const std::function<void()>& started) {
  open_log(config.settings.log_level);
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread: they all inherit it
  std::signal(SIGPIPE, SIG_IGN);
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
  if (signal_fd < 0)
    return refuse(Refusal::failed, fmt::format("signalfd: {}", std::strerror(errno)));

  auto service = Service::start(config);
  if (!service) {
    close(signal_fd);
    return tl::unexpected(service.error());
  }
  if (started) started();
  const auto ended = watch_and_wait(signal_fd, config, **service);
  spdlog::info("stopping: {}", ended ? *ended : ended.error().message);
  const Status stopped = (*service)->stop();
  close(signal_fd);
  if (!ended) return refuse(Refusal::failed, ended.error().message);
  if (!stopped) return refuse(Refusal::failed, stopped.error().message);
  spdlog::info("stopped; nothing is attached");
  return {};
}

tl::expected<Detached, Refused> detach_all(const Config& config, bool keep_blocks) {
  if (auto missing = missing_privileges(); !config.dpdk && !missing.empty()) {
    return refuse(Refusal::not_permitted, std::move(missing));
  }
  Detached found;
  found.attached = !config.dpdk && datapath::Kernel::forwards(config.kernel.pin_directory);
  if (const long pid = Lock::holder(config.lock_file); pid != 0) {
    const auto asked = ask(config.settings.control_socket, Json{{"verb", "stop"}});
    // One that is on its way out answers no more, but holds its lock until all is given back.
    if (!asked && asked.error().kind != AskError::Kind::not_running) {
      return refuse(asked.error().kind == AskError::Kind::not_permitted ? Refusal::not_permitted
                                                                        : Refusal::failed,
                    fmt::format("weir runs as process {} and cannot be asked to stop: {}", pid,
                                asked.error().message));
    }
    constexpr int kTries = 200;  // 20 s: it gives host settings back, some drivers reset for that
    for (int i = 0; i < kTries && Lock::holder(config.lock_file) != 0; ++i) usleep(100'000);
    found.stopped = pid;
  }
  auto lock = Lock::take(config.lock_file);
  if (!lock) return refuse(Refusal::failed, lock.error().message);
  found.left = remove_socket(config.settings.control_socket);
  if (config.dpdk) return found;  // nothing outlives that one
  const auto removed = datapath::Kernel::remove(config.kernel.pin_directory, keep_blocks);
  if (!removed) return refuse(Refusal::failed, removed.error().message);
  std::error_code ignored;
  found.left = found.left || *removed || std::filesystem::exists(config.state_file, ignored);
  if (const auto restored = io::HostSettings::restore(config.state_file); !restored) {
    return refuse(Refusal::failed, restored.error().message);
  }
  if (const auto removed_entry = io::StackEntry::remove(config.entry_file); !removed_entry) {
    return refuse(Refusal::failed, removed_entry.error().message);
  }
  if (!keep_blocks) unlink((config.state_file + ".allow").c_str());
  return found;
}

}  // namespace weir::control
