// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/report_text.h"

namespace weir::cli {
namespace {

using control::Json;
using StatusRows = std::vector<std::vector<std::string>>;

std::string heading(std::string_view text) {
  return colours() ? fmt::format("\n\x1b[1m{}\x1b[0m\n", text) : fmt::format("\n{}\n", text);
}

/// "1.2 ms" from microseconds.
std::string time_text(double us) {
  if (us < 1e3) return fmt::format("{:.0f} us", us);
  if (us < 1e6) return fmt::format("{:.1f} ms", us / 1e3);
  return fmt::format("{:.1f} s", us / 1e6);
}

std::string attached(const Json& interface) {
  const std::string judge = interface.value("judge", "");
  return fmt::format("{} XDP, {}{}\n", interface["attached"].get<std::string>(),
                     judge.empty() ? "" : judge + ": ",
                     judge == "observe"                   ? "copies are judged"
                     : interface["zero_copy"].get<bool>() ? "zero-copy"
                     : interface["redirects"].get<bool>() ? "copy mode, sends by redirect"
                                                          : "copy mode");
}

std::string flow_rules(const Json& interface) {
  const auto rules = interface.find("flow_rules");
  if (rules == interface.end()) return {};
  if (!(*rules)["on"].get<bool>())
    return fmt::format("  no flow rules: {}\n", (*rules)["reason"].get<std::string>());
  return fmt::format(
      "  flow rules for {}: {} of {}, of {} blocks; the NIC dropped {} packets by them\n",
      (*rules)["kinds"].get<std::string>(), number((*rules)["rules"]),
      number((*rules)["rules_max"]), number((*rules)["blocks"]), number((*rules)["hit_packets"]));
}

std::string polled(const Json& interface) {
  const Json& c = interface["counters"];
  return fmt::format("DPDK {}, spread by {}; missed {}, broken {}, without memory {}\n",
                     interface["driver"].get<std::string>(), interface["spread"].get<std::string>(),
                     number(c["rx_missed"]), number(c["rx_errors"]), number(c["rx_no_memory"])) +
         flow_rules(interface);
}

std::string head(const Json& s) {
  std::string text = fmt::format(
      "weir {} (process {}) for {}: policy {}, fail mode {}, {} workers\n",
      s["version"].get<std::string>(), s["pid"].get<int>(),
      control::duration_text(std::max<std::uint64_t>(s["uptime_ms"].get<std::uint64_t>(), 1)),
      s["mode"].get<std::string>(), s["fail_mode"].get<std::string>(), s["workers"].get<int>());
  for (const auto& [side, interface] : s["interfaces"].items()) {
    text += fmt::format("{}: {} ({}), ", side, interface["name"].get<std::string>(),
                        interface["link"].get<std::string>());
    text += interface["backend"] == "dpdk" ? polled(interface) : attached(interface);
  }
  const Json& model = s["model"];
  text += fmt::format("model: {} ({}), sha256 {}, from {}\n", model["name"].get<std::string>(),
                      model["evaluator"].get<std::string>(), model["sha256"].get<std::string>(),
                      model["path"].get<std::string>());
  if (s.contains("screen")) {
    const Json& screen = s["screen"];
    const std::uint64_t passed = screen["passed"]["packets"].get<std::uint64_t>();
    std::uint64_t to_userspace = 0;
    for (const Json& outcome : s["outcomes"])
      if (outcome["effect"] == "socket" || outcome["name"] == "peer_copied")
        to_userspace += outcome["wan"]["packets"].get<std::uint64_t>();
    text += fmt::format(
        "screen: {} ({}), sha256 {}, from {}: {} of {} steered packets of the WAN passed\n",
        screen["name"].get<std::string>(), screen["shape"].get<std::string>(),
        screen["sha256"].get<std::string>(), screen["path"].get<std::string>(), passed,
        passed + to_userspace);
  }
  return text;
}

std::string outcomes(const Json& s) {
  StatusRows rows{{"OUTCOME", "WAN", "LAN", "MEANING"}};
  for (const Json& outcome : s["outcomes"]) {
    const Json& wan = outcome["wan"]["packets"];
    const Json& lan = outcome["lan"]["packets"];
    if (wan == 0 && lan == 0) continue;
    rows.push_back({outcome["name"], number(wan), number(lan), outcome["help"]});
  }
  const Json& errors = s["redirect_errors"];
  rows.push_back({"redirect_error_socket", number(errors["socket"]), "",
                  "steered, but the socket had no room"});
  rows.push_back({"redirect_error_peer", number(errors["peer"]), "",
                  "to the peer, but it was down or had no room"});
  return columns(rows, {false, true, true, false});
}

std::string verdicts(const Json& s) {
  StatusRows rows{{"REASON", "PACKETS", "MEANING"}};
  for (const Json& reason : s["reasons"]) {
    if (reason["packets"] == 0) continue;
    rows.push_back({reason["name"], number(reason["packets"]), reason["help"]});
  }
  const Json& v = s["verdicts"];
  return fmt::format(
             "forwarded {}, dropped {}, unjudged by overload {}, lost where a ring was full {}\n",
             number(v["forwarded"]), number(v["dropped"]),
             v["shed_forwarded"].get<std::uint64_t>() + v["shed_dropped"].get<std::uint64_t>(),
             number(s["redirect_errors"]["socket"])) +
         (rows.size() > 1 ? columns(rows, {false, true, false}) : std::string{});
}

std::string blocks(const Json& s) {
  const Json& b = s["blocks"];
  const Json& t = s["time_to_block"];
  std::string text = fmt::format("standing {}, written {}, expired {}, refused {}, lost {}\n",
                                 number(b["standing"]), number(b["written"]), number(b["expired"]),
                                 number(b["refused"]), number(b["lost"]));
  if (t["count"] != 0) {
    text +=
        fmt::format("from a source's first packet to its block: median {}, p99 {} ({} sources)\n",
                    time_text(t["median_us"].get<double>()), time_text(t["p99_us"].get<double>()),
                    number(t["count"]));
  }
  return text;
}

std::string channels(const Json& s) {
  StatusRows rows{{"CHANNEL", "FREE", "FILL", "RX", "BATCH", "TX", "COMPLETION", "RECEIVED",
                   "FORWARDED", "DROPPED", "SHED", "TX FULL", "TX LOST", "STARVED"}};
  for (const Json& c : s["channels"]) {
    const Json& f = c["frames"];
    const auto both = [&](const char* key) {
      return fmt::format("{}",
                         c["wan"][key].get<std::uint64_t>() + c["lan"][key].get<std::uint64_t>());
    };
    rows.push_back({number(c["number"]), number(f["free"]), number(f["fill"]), number(f["rx"]),
                    number(f["batch"]), number(f["tx"]), number(f["completion"]),
                    number(c["received"]), number(c["forwarded"]), number(c["dropped"]),
                    fmt::format("{}", c["shed_forwarded"].get<std::uint64_t>() +
                                          c["shed_dropped"].get<std::uint64_t>()),
                    both("tx_full"), both("tx_lost"), both("kernel_fill_empty")});
  }
  return columns(rows, std::vector<bool>(rows.front().size(), true));
}

int status(const Target& target) {
  const auto config = load_target(target);
  if (!config) return report(config.error());
  const auto answer = ask_daemon(*config, {{"verb", "status"}});
  if (!answer) return report(answer.error());
  if (target.json) {
    fmt::print("{}\n", answer->dump(2));
    return kOk;
  }
  const Json& s = *answer;
  fmt::print("{}", head(s));
  fmt::print("{}{}", heading("In the datapath"), outcomes(s));
  fmt::print("{}{}", heading("Judged in userspace"), verdicts(s));
  fmt::print("{}{}", heading("Blocks"), blocks(s));
  fmt::print("{}{}", heading("Channels, by frames"), channels(s));
  return kOk;
}

}  // namespace

void add_status(Command app, Run& run) {
  auto target = std::make_shared<Target>();
  Command command = app.add_subcommand("status", "What a running weir does and counts");
  add_target(command, *target);
  command.footer(help_footer("  weir status\n  weir status --json | jq .blocks\n",
                             {kOk, kFailure, kBadInput, kNotRunning, kNotPermitted}));
  command.callback([target, &run] { run = [target] { return status(*target); }; });
}

}  // namespace weir::cli
