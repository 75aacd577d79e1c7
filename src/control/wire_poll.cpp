// SPDX-License-Identifier: BSD-2-Clause
#include <spdlog/spdlog.h>

#include "control/drop_mirror.h"
#include "control/wire.h"
#include "datapath/native_shared.h"
#include "io/poll_channel.h"
#include "io/poll_module.h"

namespace weir::control {
namespace {

class PollWire final : public Wire {
 public:
  explicit PollWire(const Config& config) : config_(config) {}

  Status attach(std::vector<std::string>& warnings) override;
  Status open_channels(std::vector<std::string>& warnings) override;
  Status connect() override {
    datapath_->connect(true);
    return {};
  }
  Status keep() override { return {}; }
  Status disconnect() override {
    if (datapath_) datapath_->connect(false);
    return {};
  }
  Status detach() override { return {}; }
  Status close() override {
    channels_.clear();
    mirror_.reset();
    devices_.reset();
    datapath_.reset();
    return {};
  }

  [[nodiscard]] datapath::Datapath& tables() noexcept override {
    return mirror_ ? static_cast<datapath::Datapath&>(*mirror_) : *datapath_;
  }
  [[nodiscard]] const datapath::Datapath& tables() const noexcept override {
    return mirror_ ? static_cast<const datapath::Datapath&>(*mirror_) : *datapath_;
  }
  void heartbeat(std::uint32_t channel, PacketTime now) noexcept override {
    datapath_->judge(channel).heartbeat(now);
  }
  Status use_screen(std::shared_ptr<const datapath::Screen> screen,
                    const Changer& changer) override {
    const auto change = [&] { datapath_->use_screen(screen); };
    changer([&] { mirror_ ? mirror_->alone(change) : change(); });
    return {};
  }
  void say_hello() const override;
  [[nodiscard]] Json interface_json(Side side) const override;
  [[nodiscard]] bool took_over() const noexcept override { return false; }

 private:
  void mirror(std::vector<std::string>& warnings);
  [[nodiscard]] Json flow_rules_json() const;

  const Config& config_;
  const char* library_ = "";
  std::unique_ptr<io::PollDevices> devices_;
  std::unique_ptr<datapath::NativeShared> datapath_;
  std::unique_ptr<DropMirror> mirror_;  // where flow rules are wanted and the device takes them
  std::string no_rules_;                // else why not
};

Status PollWire::attach(std::vector<std::string>& warnings) {
  WEIR_ASSIGN(const io::PollModule* module, io::load_dpdk_module());
  library_ = module->version;
  io::PollConfig poll = config_.poll;
  poll.log = [](const std::string& line) { spdlog::warn("DPDK: {}", line); };
  WEIR_ASSIGN(devices_, module->open(poll));
  warnings.insert(warnings.end(), devices_->notes().begin(), devices_->notes().end());
  datapath_ = std::make_unique<datapath::NativeShared>(config_.datapath, devices_->channels());
  mirror(warnings);
  return {};
}

/// Has the WAN side's device drop what blocked sources send, where it can.
void PollWire::mirror(std::vector<std::string>& warnings) {
  if (!config_.poll.flow_rules) {
    no_rules_ = "dpdk.flow_rules is \"off\"";
    return;
  }
  if (config_.datapath.shadow) {
    no_rules_ = "blocks have no effect: the policy is in shadow mode, or without rules";
    return;
  }
  mirror_ = std::make_unique<DropMirror>(
      *datapath_, *devices_,
      DropMirrorConfig{
          .rules_max = config_.settings.dpdk_flow_rules_max,
          .udp_ports = config_.datapath.udp_ports,
          .all_ports = config_.datapath.all_ports,
          .log = [](const std::string& line) { spdlog::warn("flow rules: {}", line); }});
  if (mirror_->refusal().empty()) return mirror_->start();
  no_rules_ = fmt::format("{} takes none: {}", devices_->facts(Side::wan).name, mirror_->refusal());
  warnings.push_back(fmt::format(
      "dpdk.flow_rules is \"auto\", but {}; blocked sources are dropped in software", no_rules_));
  mirror_.reset();
}

Status PollWire::open_channels(std::vector<std::string>&) {
  const io::PollChannelConfig channel{.frames = config_.settings.channels_frames,
                                      .ring = config_.settings.channels_ring,
                                      .sleep_us = config_.settings.dpdk_sleep_us};
  for (std::uint32_t i = 0; i < devices_->channels(); ++i)
    channels_.push_back(io::make_poll_channel(channel, *devices_, datapath_->judge(i), i));
  return {};
}

void PollWire::say_hello() const {
  for (const Side side : {Side::wan, Side::lan}) {
    const io::PollFacts& facts = devices_->facts(side);
    spdlog::info("{} is {}: {}, {}, channels: {}, spread by {}", side_name(side), facts.name,
                 library_, facts.driver, channels_.size(), facts.spread);
  }
}

Json PollWire::flow_rules_json() const {
  if (!mirror_) return {{"on", false}, {"reason", no_rules_}};
  const DropMirrorCounters c = mirror_->nic_counters();
  return {{"on", true},
          {"kinds", mirror_->kinds()},
          {"rules", c.rules},
          {"rules_max", config_.settings.dpdk_flow_rules_max},
          {"blocks", c.blocks},
          {"hit_packets", c.hit_packets},
          {"hit_bytes", c.hit_bytes},
          {"added", c.added},
          {"refused", c.refused}};
}

Json PollWire::interface_json(Side side) const {
  const io::PollFacts& facts = devices_->facts(side);
  const io::PollCounters c = devices_->counters(side);
  Json json{{"name", facts.name},
            {"backend", "dpdk"},
            {"link", devices_->is_up(side) ? "up" : "no carrier"},
            {"zero_copy", true},
            {"driver", facts.driver},
            {"spread", facts.spread},
            {"promiscuous", facts.promiscuous},
            {"counters",
             {{"rx_packets", c.rx_packets},
              {"tx_packets", c.tx_packets},
              {"rx_missed", c.rx_missed},
              {"rx_errors", c.rx_errors},
              {"rx_no_memory", c.rx_no_memory},
              {"tx_errors", c.tx_errors}}}};
  if (side == Side::wan) json["flow_rules"] = flow_rules_json();
  return json;
}

}  // namespace

std::unique_ptr<Wire> make_poll_wire(const Config& config) {
  return std::make_unique<PollWire>(config);
}

}  // namespace weir::control
