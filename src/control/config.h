// SPDX-License-Identifier: BSD-2-Clause
/// The configuration: weir.toml in, every module's own plain struct out.
///
/// Source    config_keys.h lists every section and key once.
/// Errors    one sentence that starts with FILE:LINE:COLUMN, or with the option where there is no
///           file, says what was found and what is
///           allowed, and names the nearest key where one is unknown. The first fault ends it:
///           nothing partial is returned.
/// Limits    a file of more than `kConfigFile_bytes` is refused unread.
/// Threads   values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "control/config_keys.h"
#include "datapath/kernel.h"
#include "detect/extractor.h"
#include "detect/policy.h"
#include "forest/model.h"
#include "io/af_xdp.h"
#include "io/host.h"
#include "io/poll_device.h"
#include "pipeline/engine.h"

namespace weir::control {

inline constexpr std::size_t kConfigFile_bytes = 1U << 20U;

/// C++ types of the kinds in config_keys.h.
namespace kind {
using interface = std::string;
using spare = std::string;
using device = std::string;
using text = std::string;
using path = std::string;
using file = std::string;
using flag = bool;
using number = std::uint32_t;
using power = std::uint32_t;
using real = double;
using level = double;
using choice = std::string;
using quantity = std::uint32_t;
using numbers = std::vector<std::uint32_t>;
using ports = std::vector<std::uint32_t>;
using prefixes = std::vector<Prefix>;
using words = std::vector<std::string>;
using label = std::string;
using names = std::vector<detect::FeatureName>;
}  // namespace kind

/// The file as it stands: one field a key, named section_key.
struct Settings {
#define WEIR_CONFIG_FIELD(section, key, kind_, default_, allowed, help) \
  kind::kind_ section##_##key{};
  WEIR_CONFIG_KEYS(WEIR_CONFIG_FIELD)
#undef WEIR_CONFIG_FIELD
};

/// What the file means, for each module.
struct Config {
  std::string file;                            ///< where it was read from; empty for the defaults
  std::map<std::string, std::string> options;  ///< of a command line: by "section.key", the option
  /// What errors call "section.key": with the file, or the option.
  [[nodiscard]] std::string key(const std::string& name) const;
  Settings settings;

  datapath::Config datapath;
  datapath::KernelOptions kernel;
  io::AfXdpConfig af_xdp;
  bool redirect = false;  ///< large batches leave by io::RedirectTx
  io::Tuning tuning;      ///< of the interfaces, where channels poll
  bool host = false;      ///< the mode: one interface, the first of each pair
  /// Host mode holds packets of all of IP back until they are judged.
  [[nodiscard]] bool guards_all_ip() const noexcept {
    return host && datapath.all_ip && !datapath.observe;
  }
  bool dpdk = false;    ///< the backend: `poll` counts, not `kernel` and `af_xdp`
  io::PollConfig poll;  ///< but for its log
  detect::TableConfig tables;
  detect::PolicyConfig policy;
  pipeline::EngineConfig engine;
  std::string model_path;   ///< absolute, or relative to the working directory
  std::string screen_path;  ///< the same; empty: none. `load_screen` (preflight.h) reads it
  std::vector<std::string>
      screen_keys;  ///< of a screen that the file names none for, with their places
  std::optional<forest::Decision> decision;  ///< in place of what the model's file says
  std::string state_file;                    ///< in run_dir: host settings to give back
  std::string lock_file;                     ///< in run_dir: one weir a pin directory
  std::string entry_file;  ///< in run_dir: which interface leads into the stack (host mode, guard)

  std::vector<std::string> warnings;  ///< allowed, but probably not meant
};

/// What a configuration is wanted for. A replay may run on another machine than the file is for:
/// interfaces may be missing from it, and its CPUs need not exist here.
enum class Purpose : std::uint8_t { run, replay };

Result<Config> load_config(const std::string& path, Purpose purpose);
/// The same from memory. `name` stands in for the path in errors; relative paths start at its
/// folder; `cpus` is how many CPUs there are to name.
Result<Config> parse_config(std::string_view text, const std::string& name, Purpose purpose,
                            unsigned cpus);
/// Host mode without a file: what `weir run --interface` was given; all else is at its default.
struct HostOptions {
  std::string interface = {};
  std::string model = {};    ///< empty: the one that came with this weir
  std::string judge = {};    ///< empty: the default
  std::string ports = {};    ///< "all", or numbers with commas in between; empty: the default
  bool all_ip = false;       ///< every packet is judged, not UDP alone
  bool score_alone = false;  ///< without the policy's rules and blocks
  bool generic = false;      ///< generic XDP, though native may be there
};
Result<Config> host_config(const HostOptions& options);
/// Another screen than the configuration's, of the command line; `ssdp`: it judges SSDP too, whatever
/// that says. An error where there would be none to do so.
Status name_screen(Config& config, const std::string& path, bool ssdp = false);
/// Every key at its default; no interfaces. The model is the one that came with this weir.
Config default_config();
/// Where policy.others is auto: what it is with this model.
void settle_others(Config& config, const forest::Model& model);
/// config/weir.toml: every key with its help, unit, range and default.
std::string render_defaults();

}  // namespace weir::control
