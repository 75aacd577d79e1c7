// SPDX-License-Identifier: BSD-2-Clause
#include "control/preflight.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "control/privileges.h"
#include "datapath/kernel.h"
#include "datapath/kernel_claim.h"
#include "forest/import.h"
#include "io/host.h"
#include "io/poll_module.h"

namespace weir::control {
namespace {

namespace fs = std::filesystem;

/// A folder that is made at the start, where it is missing.
Status check_run_dir(const std::string& run_dir) {
  std::error_code error;
  fs::path there(run_dir);
  while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  if (!fs::is_directory(there, error)) {
    return fail(fmt::format("cannot make the folder {}: {} is no folder; set control.run_dir",
                            run_dir, there.string()));
  }
  return {};
}

Status check_socket(const std::string& socket, const std::string& run_dir) {
  std::error_code error;
  const fs::path folder = fs::path(socket).parent_path();
  const bool made_later =
      folder.lexically_normal() == fs::path(run_dir + "/").lexically_normal().parent_path();
  if (!made_later && !fs::is_directory(folder, error)) {
    return fail(
        fmt::format("control socket {}: there is no folder {}; make it, or set "
                    "control.socket",
                    socket, folder.string()));
  }
  const auto status = fs::symlink_status(socket, error);
  if (fs::exists(status) && !fs::is_socket(status)) {
    return fail(
        fmt::format("control socket {}: a file that is no socket stands there; move it "
                    "away, or set control.socket",
                    socket));
  }
  return {};
}

/// Each by itself, so that the key is told whose interface it is.
Status check_interfaces(const Config& config) {
  for (const Side side : {Side::wan, Side::lan}) {
    if (config.host && side == Side::lan) break;
    const auto facts = io::inspect(config.kernel.interfaces[index(side)]);
    if (facts) continue;
    const char* const key = config.host         ? "interfaces.host"
                            : side == Side::wan ? "interfaces.wan"
                                                : "interfaces.lan";
    return fail(fmt::format("{}: {}", config.key(key), facts.error().message));
  }
  return {};
}

}  // namespace

Result<forest::Model> load_judge(const Config& config, const std::string& path) {
  WEIR_ASSIGN(forest::Model model, forest::load_model(path));
  WEIR_TRY(forest::put_attack_last(model, config.settings.model_attack));
  WEIR_TRY(detect::name_features(model.features, config.settings.model_features,
                                 config.key("model.features")));
  if (config.decision) model.decision = *config.decision;
  return model;
}

std::vector<std::string> judge_warnings(const Config& config, const forest::Model& model) {
  std::vector<std::string> warnings;
  if (auto warning = forest::one_sided(model); !warning.empty())
    warnings.push_back(std::move(warning));
  const bool option = config.options.contains("steer.protocols");
  const std::string key = option ? config.key("steer.protocols") : "steer.protocols is \"all\"";
  if (config.datapath.all_ip && !detect::judges_headers(model.features))
    warnings.push_back(
        fmt::format("{}, but the model '{}' asks for no feature of the "
                    "group header: it "
                    "knows SSDP alone, and {}; train one on what `weir replay CAPTURE "
                    "--header-features ROWS.csv` "
                    "writes, or leave {}",
                    key, model.name,
                    config.settings.policy_others == "model" || !config.settings.policy_rules
                        ? "what it says of all else means nothing"
                        : "all else passes",
                    option ? "that option out" : "protocols at \"udp\""));
  return warnings;
}

Result<std::shared_ptr<const kernel_model::Screen>> load_screen(const Config& config) {
  if (config.screen_path.empty()) return nullptr;
  const Settings& s = config.settings;
  WEIR_ASSIGN(forest::Model model, forest::load_model(config.screen_path));
  WEIR_TRY(detect::name_features(model.features, s.screen_features, config.key("screen.features")));
  kernel_model::Options options;
  if (s.screen_threshold >= 0) options.threshold = s.screen_threshold;
  options.drop = s.screen_suspicious;
  options.words = {.dropped = "suspicious",
                   .drop = "screen.suspicious",
                   .threshold = "screen.threshold",
                   .other_threshold = "",
                   .names = "[screen.features]"};
  return kernel_model::make_screen(model, std::move(options), config.screen_path);
}

std::vector<std::string> screen_warnings(const Config& config, const kernel_model::Screen* screen) {
  std::vector<std::string> warnings;
  if (config.screen_path.empty()) {
    for (const std::string& key : config.screen_keys)
      warnings.push_back(key + " has no effect without screen.model");
    return warnings;
  }
  const datapath::Config& d = config.datapath;
  if (d.udp_ports.empty() && !d.all_ports && !d.all_ip && !d.screen_ssdp)
    warnings.push_back(fmt::format(
        "the screen {} has no effect: steer.udp_ports is empty, so that SSDP alone is steered, and "
        "screen.ssdp is false",
        config.screen_path));
  if (screen == nullptr) return warnings;
  const kernel_model::Plan& plan = screen->plan();
  if (plan.kind != kernel_model::Plan::Kind::linear && plan.splits == 0)
    warnings.push_back(fmt::format(
        "the screen {} finds {}, whatever the headers; see screen.threshold and screen.suspicious",
        config.screen_path,
        screen->judge({}) == 0
            ? "every packet fine: of those that it is asked of, userspace judges none"
            : "every packet suspicious: it has no effect"));
  return warnings;
}

Result<std::uint32_t> channel_count(const Config& config, std::vector<std::string>& warnings) {
  if (config.datapath.observe) return 1;  // one ring has the copies of all queues
  std::vector<io::InterfaceFacts> facts;
  for (const std::string& interface : config.kernel.interfaces) {
    if (interface.empty()) continue;
    WEIR_ASSIGN(facts.emplace_back(), io::inspect(interface));
  }
  std::uint32_t usable = WEIR_CHANNELS_MAX;
  std::uint32_t received = 0;
  for (const auto& f : facts) {
    usable = std::min({usable, f.rx_queues, f.tx_queues});
    received = std::max(received, f.rx_queues);
  }
  const std::uint32_t wanted = config.settings.channels_count;
  if (wanted > usable) {
    return fail(fmt::format(
        "{}: channels.count is {}, but {} only {} rx and tx queues{}; set channels.count "
        "= \"auto\", or more queues by ethtool -L",
        config.file, wanted,
        config.host ? facts[0].name + " has"
                    : fmt::format("{} and {} have", facts[0].name, facts[1].name),
        usable, config.host ? "" : " in common"));
  }
  const std::uint32_t count = wanted == 0 ? usable : wanted;
  if (count < received) {
    warnings.push_back(
        fmt::format("{} rx queues but {} channels: what arrives on the others takes fail_mode; {} "
                    "by ethtool -L",
                    received, count,
                    config.host ? "give the interface as many rx as tx queues"
                                : "give both interfaces the same number of queues"));
  }
  return count;
}

Status check_machine(const Config& config) {
  if (config.dpdk) {  // devices can only be asked by opening them
    if (const auto module = io::load_dpdk_module(); !module) return tl::unexpected(module.error());
  } else {
    WEIR_TRY(check_interfaces(config));
    WEIR_TRY(io::HostSettings::check(config.kernel.interfaces));
    std::vector<std::string> unsaid;
    if (const auto count = channel_count(config, unsaid); !count) {
      return tl::unexpected(count.error());
    }
    WEIR_TRY(datapath::Claim::check(config.kernel, missing_privileges().empty()));
  }
  WEIR_TRY(check_run_dir(config.settings.control_run_dir));
  return check_socket(config.settings.control_socket, config.settings.control_run_dir);
}

Status try_datapath(const Config& config) {
  return config.dpdk ? Status{} : datapath::Kernel::try_load(config.datapath, config.kernel);
}

}  // namespace weir::control
