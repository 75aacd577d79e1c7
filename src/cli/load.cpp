// SPDX-License-Identifier: BSD-2-Clause
#include "cli/load.h"

#include <algorithm>
#include <csignal>
#include <cstring>

namespace weir::cli {
namespace {

volatile std::sig_atomic_t end_asked = 0;

constexpr std::chrono::seconds kStuck{5};

}  // namespace

void add_port_options(Command command, PortOptions& options) {
  command.add_flag("--dpdk", options.dpdk, "PORT is a device of DPDK's, not an interface");
  command.add_flag("--no-hugepages", options.no_hugepages, "DPDK: packets in ordinary memory");
  command.add_option("--eal", options.eal, "DPDK: one more argument for its EAL; repeat it")
      .type_name("ARGUMENT")
      .allow_extra_args(false);
}

std::vector<OptionRule> port_rules() {
  return {needs("--no-hugepages", {"--dpdk"}), needs("--eal", {"--dpdk"})};
}

Result<std::unique_ptr<io::LoadPort>> open_port(const PortOptions& options, io::LoadUse use) {
  if (!options.dpdk) return io::open_load_xdp(options.port, use);
  io::PollConfig config;
  config.devices = {options.port, std::string{}};
  config.arguments = options.eal;
  config.hugepages = !options.no_hugepages;
  config.memory_mb = 128;
  config.channels = 1;
  config.words = {.devices = {"PORT", ""},
                  .arguments = "--eal",
                  .memory = "memory",
                  .without_hugepages = "give --no-hugepages"};
  return io::open_load_dpdk(config);
}

void LoadSender::post(Bytes frame) {
  const std::size_t length = std::min(frame.size(), io::LoadPort::kFrame_bytes);
  std::memcpy(memory_[posted_].data(), frame.data(), length);
  frames_[posted_] = {memory_[posted_].data(), length};
  if (++posted_ == kAtOnce) flush();
}

bool LoadSender::flush() {
  const auto give_up = std::chrono::steady_clock::now() + kStuck;
  std::size_t done = 0;
  while (done < posted_ && !stuck_ && !end_wanted()) {
    const std::size_t taken = port_.send(std::span(frames_).first(posted_).subspan(done));
    for (std::size_t i = done; i < done + taken; ++i) bytes_ += frames_[i].size();
    packets_ += taken;
    done += taken;
    if (taken == 0) stuck_ = std::chrono::steady_clock::now() > give_up;
  }
  posted_ = 0;
  return !stuck_;
}

bool end_wanted() noexcept { return end_asked != 0; }

void watch_for_end() noexcept {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { end_asked = 1; });
}

}  // namespace weir::cli
