// SPDX-License-Identifier: BSD-2-Clause
#include "control/config.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "control/config_parse.h"
#include "io/poll_names.h"

namespace weir::control {
namespace {

Status check_host(const Parsed& parsed) {
  const Settings& s = parsed.settings;
  if (s.interfaces_backend == "dpdk") {
    return fail(fmt::format(
        "{}: interfaces.backend is \"dpdk\" and interfaces.mode \"host\"; a device of DPDK "
        "has no stack behind it: leave the backend out",
        parsed.where("interfaces.backend")));
  }
  if (s.interfaces_host.empty()) {
    return fail(fmt::format(
        "{}: interfaces.host is missing; name the interface to look after, as host = \"eth0\"",
        parsed.where("interfaces.mode")));
  }
  if (s.host_judge == "observe" && !s.policy_rules && s.policy_mode == "active") {
    return fail(fmt::format(
        "{}: policy.rules is false, and host.judge \"observe\": what is observed has passed, and "
        "without rules nothing is blocked; set judge = \"guard\", or policy.mode = \"shadow\" to "
        "count only",
        parsed.where("policy.rules")));
  }
  return {};
}

/// Two interfaces, or two devices, by the backend; in host mode one.
Status check_interfaces(const Parsed& parsed) {
  const Settings& s = parsed.settings;
  if (s.interfaces_mode == "host") return check_host(parsed);
  if (!s.interfaces_host.empty()) {
    return fail(fmt::format(
        "{}: interfaces.host is \"{}\", and interfaces.mode is \"inline\"; set mode = \"host\", or "
        "name wan and lan in its place",
        parsed.where("interfaces.host"), s.interfaces_host));
  }
  const bool dpdk = s.interfaces_backend == "dpdk";
  const std::string section = dpdk ? "dpdk" : "interfaces";
  const std::string& wan = dpdk ? s.dpdk_wan : s.interfaces_wan;
  const std::string& lan = dpdk ? s.dpdk_lan : s.interfaces_lan;
  for (const auto& [key, value] : {std::pair{"wan", &wan}, {"lan", &lan}}) {
    if (!value->empty()) continue;
    return fail(fmt::format("{}: {}.{} is missing; name {}, as {} = \"{}\"", parsed.source.name,
                            section, key, dpdk ? "a device" : "an interface", key,
                            dpdk ? "0000:03:00.0" : "eth0"));
  }
  if (dpdk ? !io::is_same_device(wan, lan) : wan != lan) return {};
  return fail(fmt::format("{}: {}.lan is \"{}\", which is {}.wan too; allowed are two {}",
                          parsed.where(section + ".lan"), section, lan, section,
                          dpdk ? "devices" : "interfaces"));
}

/// What judging or blocking more than SSDP brings with it.
void check_width(const Parsed& parsed, std::vector<std::string>& warnings) {
  const Settings& s = parsed.settings;
  const bool all_ip = s.steer_protocols == "all";
  const bool blocks = s.policy_rules && s.policy_mode == "active";
  if (!blocks || !(all_ip || s.policy_block_scope == "all")) return;
  const std::string key = all_ip ? "steer.protocols" : "policy.block_scope";
  const bool option = parsed.source.options.contains(key);
  warnings.push_back(fmt::format(
      "{}: {}a block cuts off all traffic of its source, and a {}packet's source is easily forged; "
      "name whoever must not be cut off (resolvers, servers, where you log in from) {}{}",
      parsed.where(key), option ? "" : key + " is \"all\": ", all_ip ? "" : "UDP ",
      option ? "by `weir allow add`" : "in allow.prefixes",
      all_ip && !option ? ", or set policy.rules = false, which makes no block" : ""));
}

/// What keys must say together.
Status check_together(const Parsed& parsed, Purpose purpose, std::vector<std::string>& warnings) {
  const Settings& s = parsed.settings;
  if (purpose == Purpose::run) WEIR_TRY(check_interfaces(parsed));
  if (s.steer_udp_ports.empty() && !s.steer_ssdp_payload && s.steer_protocols != "all") {
    return fail(
        fmt::format("{}: steer.udp_ports is empty and steer.ssdp_payload is false, so nothing "
                    "would be judged; set one of them",
                    parsed.where("steer.udp_ports")));
  }
  if (s.channels_frames / io::kFramesPerEntry < s.channels_ring) {
    return fail(fmt::format(
        "{}: channels.frames is {} and channels.ring {}; allowed is at least {} frames an entry: "
        "two fill rings full, and as many in batches and on their way out",
        parsed.where(parsed.places.contains("channels.frames") ? "channels.frames"
                                                               : "channels.ring"),
        s.channels_frames, s.channels_ring, io::kFramesPerEntry));
  }
  if (s.policy_block_ms > s.policy_block_max_ms) {
    return fail(
        fmt::format("{}: policy.block_ms is {}; allowed is at most policy.block_max_ms, {}",
                    parsed.where(parsed.places.contains("policy.block_ms") ? "policy.block_ms"
                                                                           : "policy.block_max_ms"),
                    s.policy_block_ms, s.policy_block_max_ms));
  }
  if (purpose == Purpose::run) check_width(parsed, warnings);
  for (std::string& warning : without_effect(parsed)) warnings.push_back(std::move(warning));
  for (const bool four : {true, false}) {
    const auto used = static_cast<std::size_t>(
        std::count_if(s.allow_prefixes.begin(), s.allow_prefixes.end(),
                      [four](const Prefix& prefix) { return prefix.address().is_v4() == four; }));
    if (used <= s.tables_allow_max) continue;
    return fail(fmt::format("{}: allow.prefixes has {} of {}; allowed is tables.allow_max, {}",
                            parsed.where("allow.prefixes"), used, four ? "IPv4" : "IPv6",
                            s.tables_allow_max));
  }
  constexpr std::size_t kSocketPathMax = sizeof(sockaddr_un::sun_path) - 1;
  if (s.control_socket.size() > kSocketPathMax) {
    return fail(
        fmt::format("{}: control.socket is {} bytes long; a Unix socket's path has at most {}",
                    parsed.where("control.socket"), s.control_socket.size(), kSocketPathMax));
  }
  return {};
}

/// Keys of a screen that none is named for: the command line may still name one.
std::vector<std::string> screen_keys(const Parsed& parsed) {
  std::vector<std::string> keys;
  if (!parsed.settings.screen_model.empty()) return keys;
  for (const char* key :
       {"screen.threshold", "screen.suspicious", "screen.features", "screen.ssdp"})
    if (parsed.places.contains(key)) keys.push_back(fmt::format("{}: {}", parsed.where(key), key));
  return keys;
}

/// CPUs that exist, and threads that fit on them.
Status check_cpus(const Parsed& parsed, unsigned cpus, std::vector<std::string>& warnings) {
  const Settings& s = parsed.settings;
  for (const auto& [key, list] :
       {std::pair{"channels.io_cpus", &s.channels_io_cpus}, {"workers.cpus", &s.workers_cpus}}) {
    for (std::size_t i = 0; i < list->size(); ++i) {
      if ((*list)[i] < cpus) continue;
      return fail(fmt::format("{}: {} names CPU {}; this machine has the CPUs 0 to {}",
                              parsed.where(key, i), key, (*list)[i], cpus - 1));
    }
  }
  const unsigned threads = s.workers_count + s.channels_count;
  if (threads > cpus) {
    warnings.push_back(fmt::format(
        "{}: {} workers and {} I/O threads are more than this machine's {} CPUs, which is slower "
        "than fewer",
        parsed.where("workers.count"), s.workers_count,
        s.channels_count == 0 ? std::string("as many channels as queues of")
                              : std::to_string(s.channels_count),
        cpus));
  }
  return {};
}

std::string beside(const std::string& name, const std::string& path) {
  const std::filesystem::path given(path);
  if (given.is_absolute()) return path;
  return (std::filesystem::path(name).parent_path() / given).lexically_normal().string();
}

detect::ScopeRules scope_rules(const Settings& s) {
  const auto drops = [&](const std::string& rule) {
    return rule == "drop" || (rule == "auto" && s.scope_wan == "internet");
  };
  return {.wan_search = drops(s.scope_wan_search),
          .wan_multicast = drops(s.scope_wan_multicast),
          .wan_unasked = drops(s.scope_wan_unasked),
          .lan_unasked = drops(s.scope_lan_unasked),
          .wan_private = drops(s.scope_wan_private)};
}

/// Room for as many copies of half a KiB as a ring has entries: SSDP is shorter. A power of two, and
/// whole pages of any machine.
std::uint32_t copies_bytes(std::uint32_t ring) {
  constexpr std::uint32_t kCopy_bytes = 512, kLeast_bytes = 1U << 17U;
  return std::max(std::bit_ceil(ring) * kCopy_bytes, kLeast_bytes);
}

void fill_modules(Config& config) {
  const Settings& s = config.settings;
  auto& d = config.datapath;
  d.host_mode = config.host = s.interfaces_mode == "host";
  d.observe = d.host_mode && s.host_judge == "observe";
  d.copies_bytes = copies_bytes(s.channels_ring);
  d.fail_closed = s.fail_fail_mode == "closed" && !d.observe;
  d.drop_fragments = s.steer_fragments == "drop";
  d.blocked_fragments = s.steer_fragments == "blocked";
  d.ssdp_payload = s.steer_ssdp_payload;
  d.shadow = s.policy_mode == "shadow" || !s.policy_rules;
  d.all_ports = s.steer_udp_ports == std::vector<std::uint32_t>{0};
  d.udp_ports.clear();
  d.all_ip = s.steer_protocols == "all";
  if (!d.all_ports) d.udp_ports.assign(s.steer_udp_ports.begin(), s.steer_udp_ports.end());
  d.heartbeat_limit_ms = s.fail_heartbeat_limit_ms;
  d.blocks_max = s.tables_blocks_max;
  d.allow_max = s.tables_allow_max;

  config.kernel = {.pin_directory = s.control_pin_directory,
                   .interfaces = {config.host ? s.interfaces_host : s.interfaces_wan,
                                  config.host ? std::string() : s.interfaces_lan},
                   .generic_only = s.interfaces_xdp == "generic"};

  auto& x = config.af_xdp;
  x.interfaces = config.kernel.interfaces;
  x.frames = s.channels_frames;
  x.ring = s.channels_ring;
  x.force_copy = s.channels_copy == "always";
  x.hugepages = s.channels_hugepages;
  if (s.channels_busy_poll)
    config.tuning = {.napi_defer_hard_irqs = s.channels_napi_defer_hard_irqs,
                     .gro_flush_ns = std::uint64_t{s.channels_gro_flush_us} * 1'000};
  x.busy_poll = s.channels_busy_poll;
  x.busy_poll_budget = s.channels_busy_poll_budget;
  x.busy_poll_us = s.channels_busy_poll_us;
  x.tx_budget = s.channels_tx_budget;
  config.redirect = !config.host && s.channels_transmit == "redirect";

  config.dpdk = s.interfaces_backend == "dpdk";
  config.poll = {.devices = {s.dpdk_wan, s.dpdk_lan},
                 .arguments = s.dpdk_eal,
                 .hugepages = s.dpdk_hugepages,
                 .memory_mb = s.dpdk_memory_mb,
                 .channels = s.channels_count,
                 .mtu = s.dpdk_mtu,
                 .ring = s.channels_ring,
                 .frames = s.channels_frames,
                 .flow_rules = s.dpdk_flow_rules == "auto",
                 .log = {}};

  auto& t = config.tables;
  t.sources_max = s.tables_sources_max;
  t.destinations_max = s.tables_destinations_max;
  t.networks_max = s.tables_networks_max;
  t.expectations_max = s.tables_expectations_max;
  t.expectation_ms = s.tables_expectation_ms;

  t.wan_screened = !s.screen_model.empty() && s.screen_ssdp;
  d.screen_ssdp = s.screen_ssdp;

  auto& p = config.policy;
  p.threshold = static_cast<float>(s.policy_threshold);
  p.evidence_packets = s.policy_evidence_packets;
  p.evidence_ms = s.policy_evidence_ms;
  p.block_ms = s.policy_block_ms;
  p.block_max_ms = s.policy_block_max_ms;
  p.suspects_max = s.tables_suspects_max;
  p.blocks_per_s = s.policy_blocks_per_s;
  p.evidence_span_ms = s.policy_evidence_span_ms;
  p.burst_packets = s.policy_burst_packets;
  p.trusted_times = s.policy_trusted_times;
  p.other_packets = s.policy_other_packets;
  p.others = s.policy_others == "model"  ? detect::Others::model
             : s.policy_others == "pass" ? detect::Others::pass
                                         : detect::Others::floods;
  // A block is of what is steered, so it is of all that its source sends.
  p.block_all = s.policy_block_scope == "all" || config.datapath.all_ip;
  p.score_alone = !s.policy_rules;
  p.group_searches = s.policy_group_searches;
  p.group_notifies = s.policy_group_notifies;
  p.repeated_searches = s.policy_repeated_searches;
  p.late_answers = s.policy_late_answers;
  p.blind_searches = s.policy_blind_searches;
  p.crowd_packets = s.policy_crowd_packets;
  p.network_sources = s.policy_network_sources;
  p.victim_sources = s.policy_victim_sources;
  p.victim_block_ms = s.policy_victim_block_ms;
  p.immune_lan = s.policy_immune_lan;
  p.scope = scope_rules(s);
  p.shadow = s.policy_mode == "shadow";
  p.allow = s.allow_prefixes;

  config.engine = {.workers = s.workers_count, .worker_cpus = s.workers_cpus};
  // One run directory may serve several weirs: their files are told apart by the pin directory,
  // which is each one's own.
  std::string pair = std::filesystem::path(s.control_pin_directory + "/")
                         .lexically_normal()
                         .parent_path()
                         .relative_path()
                         .string();
  std::replace(pair.begin(), pair.end(), '/', '-');
  config.state_file = fmt::format("{}/{}.host", s.control_run_dir, pair);
  config.lock_file = fmt::format("{}/{}.lock", s.control_run_dir, pair);
  config.entry_file = fmt::format("{}/{}.entry", s.control_run_dir, pair);
}

Result<std::string> read_file(const std::string& path) {
  // Without waiting for who writes into a pipe: it is refused.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) {
    return fail(
        fmt::format("cannot read the configuration {}: {}; name another by -c, or write one "
                    "by `weir check --defaults`",
                    path, std::strerror(errno)));
  }
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    return fail(fmt::format(
        "cannot read the configuration {}: it is no regular file; name one by -c", path));
  }
  std::string text(kConfigFile_bytes + 1, '\0');
  std::size_t used = 0;
  ssize_t got = 0;
  do {
    got = read(fd, text.data() + used, text.size() - used);
    if (got > 0) used += static_cast<std::size_t>(got);
  } while (got > 0 || (got < 0 && errno == EINTR));
  const int error = got < 0 ? errno : 0;
  close(fd);
  if (error != 0) return fail_errno(fmt::format("cannot read the configuration {}", path), error);
  if (used > kConfigFile_bytes) {
    return fail(fmt::format("{} is larger than {} bytes, which no configuration is", path,
                            kConfigFile_bytes));
  }
  text.resize(used);
  return text;
}

unsigned cpu_count() {
  const long configured = sysconf(_SC_NPROCESSORS_CONF);
  return configured > 0 ? static_cast<unsigned>(configured) : 1;
}

/// The model that came with this program: installed, in PREFIX/share/weir or where the README puts
/// it; in a build tree, the source's.
std::string shipped_model() {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* place :
       {"../share/weir/model.json", "../../config/model.json", "../../../config/model.json"}) {
    const auto model = (folder / place).lexically_normal();
    if (std::filesystem::exists(model, error)) return model.string();
  }
  return "/etc/weir/model.json";
}

Result<Config> configure(std::string_view text, const Source& source, Purpose purpose,
                         unsigned cpus) {
  WEIR_ASSIGN(Parsed parsed, parse_settings(text, source));
  Config config;
  WEIR_TRY(check_together(parsed, purpose, config.warnings));
  if (purpose == Purpose::run) WEIR_TRY(check_cpus(parsed, cpus, config.warnings));
  config.screen_keys = screen_keys(parsed);
  const std::string& name = config.file = source.name;
  config.options = source.options;
  config.settings = std::move(parsed.settings);
  config.model_path = beside(name, config.settings.model_path);
  if (!config.settings.screen_model.empty())
    config.screen_path = beside(name, config.settings.screen_model);
  fill_modules(config);
  return config;
}

}  // namespace

std::string Config::key(const std::string& name) const {
  const auto option = options.find(name);
  if (option != options.end()) return option->second;
  return fmt::format("{}{}{}", file, file.empty() ? "" : ": ", name);
}

Result<Config> parse_config(std::string_view text, const std::string& name, Purpose purpose,
                            unsigned cpus) {
  return configure(text, {name, {}}, purpose, cpus);
}

Result<Config> load_config(const std::string& path, Purpose purpose) {
  WEIR_ASSIGN(const std::string text, read_file(path));
  return parse_config(text, path, purpose, cpu_count());
}

namespace {

/// As a string of TOML.
std::string quoted(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f) {
      safe += fmt::format("\\u{:04x}", byte);
      continue;
    }
    if (c == '"' || c == '\\') safe += '\\';
    safe += c;
  }
  return "\"" + safe + "\"";
}

/// What the command line says of ports, as TOML: that one's errors would speak of its own text.
Result<std::string> ports_of(const std::string& text) {
  if (text == "all") return quoted(text);
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    std::uint16_t port = 0;
    const auto [stop, error] = std::from_chars(at, end, port);
    if (error != std::errc{} || port == 0 || (stop != end && *stop != ','))
      return fail(fmt::format(
          "--ports is '{}': numbers from 1 to 65535 with commas in between, or all, are expected",
          text));
    if (stop == end) return "[" + text + "]";
    at = stop + 1;
  }
}

}  // namespace

Result<Config> host_config(const HostOptions& options) {
  std::string text = "interfaces.mode = \"host\"\n";
  Source source{"the command line", {}};
  const auto say = [&](const char* key, const std::string& value, const char* option) {
    text += fmt::format("{} = {}\n", key, value);
    source.options.emplace(key, option);
  };
  say("interfaces.host", quoted(options.interface), "--interface");
  if (!options.judge.empty()) say("host.judge", quoted(options.judge), "--judge");
  if (!options.ports.empty()) {
    WEIR_ASSIGN(const std::string ports, ports_of(options.ports));
    say("steer.udp_ports", ports, "--ports");
  }
  const char* const alone = "--fallback sockets";
  if (options.all_ip)
    say("steer.protocols", quoted("all"), options.score_alone ? alone : "--all-ip");
  if (options.generic) say("interfaces.xdp", quoted("generic"), "--generic");
  if (options.score_alone) say("policy.rules", "false", alone);
  WEIR_ASSIGN(Config config, configure(text, source, Purpose::run, cpu_count()));
  config.model_path = options.model.empty() ? shipped_model() : options.model;
  return config;
}

void settle_others(Config& config, const forest::Model& model) {
  if (config.settings.policy_others != "auto") return;
  config.policy.others = detect::judges_headers(model.features) ? detect::Others::model
                         : config.datapath.all_ports || config.datapath.all_ip
                             ? detect::Others::pass
                             : detect::Others::floods;
}

Status name_screen(Config& config, const std::string& path, bool ssdp) {
  if (!path.empty()) config.screen_path = path;
  if (ssdp && config.screen_path.empty())
    return fail("--screen-ssdp has no effect without a screen: name one by --screen");
  config.datapath.screen_ssdp = config.datapath.screen_ssdp || ssdp;
  config.tables.wan_screened = !config.screen_path.empty() && config.datapath.screen_ssdp;
  return {};
}

Config default_config() {
  auto config = parse_config("", "", Purpose::replay, cpu_count());
  WEIR_CHECK(config.has_value());
  config->model_path = shipped_model();
  return std::move(*config);
}

}  // namespace weir::control
