// SPDX-License-Identifier: BSD-2-Clause
#include "cli/report_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/daemon.h"

namespace weir::cli {
namespace {

using control::Json;
using ReportRows = std::vector<std::vector<std::string>>;

std::string duration(const Json& ms) {
  return control::duration_text(
      static_cast<std::uint64_t>(std::max<std::int64_t>(ms.get<std::int64_t>(), 1)));
}

/// "scored 12, blocked 3"
std::string rules_text(const Json& rules) {
  std::string text;
  for (const auto& [rule, packets] : rules.items())
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", rule, packets.get<std::uint64_t>());
  return text;
}

std::string packet_text(const Json& p) {
  std::string text =
      fmt::format("{}, from the {}, {} port {} to {} port {}", p["method"].get<std::string>(),
                  p["side"] == "wan" ? "WAN" : "LAN", p["source"].get<std::string>(),
                  p["source_port"].get<int>(), p["destination"].get<std::string>(),
                  p["destination_port"].get<int>());
  if (p["solicited"].get<bool>())
    text += p["late"].get<bool>() ? ", asked for (late)" : ", asked for";
  if (p["client_flow"].get<bool>()) text += ", of a flow that the LAN opened";
  if (p["wrong_side"].get<bool>()) text += ", its source lives on the other side";
  return text;
}

/// Features, what each added, and the trees' paths.
std::string explanation(const Json& why) {
  std::string text = fmt::format("rule      {}: {}\n", why["rule"].get<std::string>(),
                                 why["rule_help"].get<std::string>());
  text += fmt::format("packet    {}\n", packet_text(why["packet"]));
  if (why["model"].is_null()) {
    text += "model     none\n";
  } else {
    text += fmt::format("model     {}, sha256 {}\n", why["model"]["name"].get<std::string>(),
                        why["model"]["sha256"].get<std::string>());
    text += fmt::format("score     {:.4f}, threshold {}\n", why["score"].get<double>(),
                        why["threshold"].get<double>());
  }
  if (why.contains("neutral"))
    text += "          decided with what its sender sets freely at neutral values\n";
  if (why.contains("votes"))
    text += fmt::format("votes     {} trees for an attack, {} against\n",
                        number(why["votes"]["for"]), number(why["votes"]["against"]));
  if (why.contains("trees"))
    for (const Json& tree : why["trees"])
      text += fmt::format("path      tree {} ({:+.4f}): {}\n", tree["tree"].get<std::size_t>(),
                          tree["adds"].get<double>(), tree["path"].get<std::string>());
  ReportRows rows{{"FEATURE", "VALUE", "UNIT", "ADDS", "MEANING"}};
  for (const Json& f : why["features"])
    rows.push_back(
        {f["name"],
         f["value"].is_null() ? "missing" : fmt::format("{:.6g}", f["value"].get<double>()),
         f["unit"], f["adds"] == 0 ? "" : fmt::format("{:+.4f}", f["adds"].get<double>()),
         f["help"]});
  return text + "\n" + columns(rows, {false, true, false, true, false});
}

std::string state_text(const Json& why) {
  const auto address = why["address"].get<std::string>();
  const auto state = why["state"].get<std::string>();
  if (!why.contains("block")) return fmt::format("{} is not blocked\n", address);
  const Json& block = why["block"];
  const auto target = block["target"].get<std::string>();
  const std::string what = target == "source" ? address
                                              : fmt::format("{} ({} {})", address, target,
                                                            block["address"].get<std::string>());
  const auto age = duration(block["age_ms"]);
  const auto strikes = block["strikes"].get<unsigned>();
  const std::string before = strikes == 0 ? "" : fmt::format(", after {} blocks before", strikes);
  if (state == "expired" || state == "removed")
    return fmt::format("{}: its block of {} ago {}{}\n", what, age,
                       state == "expired" ? "has expired" : "stands no more", before);
  const Json& left = block["expires_in_ms"];
  const std::string ends = left.is_null() ? "for good" : fmt::format("for {} more", duration(left));
  if (block.contains("origin"))  // without what led to it
    return fmt::format("{} is blocked since {} and {}{}: {}\n", what, age, ends, before,
                       block["origin"] == "manual"
                           ? "by hand"
                           : fmt::format("{}, by a weir before this one, which kept no more of it",
                                         block["reason"].get<std::string>()));
  const char* verb = state == "blocked" ? "is blocked" : "would be blocked, were the mode active:";
  return fmt::format("{} {} since {} and {}{}\n", what, verb, age, ends, before);
}

}  // namespace

std::string number(const Json& value) { return fmt::format("{}", value.get<std::uint64_t>()); }

std::string why_text(const Json& why) {
  std::string text;
  if (why.contains("state")) text += state_text(why);
  if (why.contains("dropped"))
    text += fmt::format("packets   {}; {} of them asked for\n", rules_text(why["dropped"]),
                        number(why["asked_for"]));
  if (why.contains("verdict")) text += why["verdict"].get<std::string>() + "\n";
  if (why.contains("rule")) text += explanation(why);
  if (why.contains("because")) text += "\nbecause of this block:\n" + why_text(why["because"]);
  return text;
}

std::string report_text(const Json& r) {
  const bool shadow = r["mode"] == "shadow";
  std::string text =
      shadow ? fmt::format("mode shadow: nothing was dropped; in {}, this would have been\n",
                           duration(r["since_ms"]))
             : fmt::format("dropped in {}\n", duration(r["since_ms"]));
  ReportRows rules{{"RULE", "PACKETS", "ASKED FOR", "MEANING"}};
  for (const Json& rule : r["rules"])
    rules.push_back(
        {rule["rule"], number(rule["packets"]), number(rule["asked_for"]), rule["help"]});
  text += rules.size() > 1 ? "\n" + columns(rules, {false, true, true, false})
                           : "\nno packet by any rule\n";
  const Json& blocks = r["blocks"];
  text += fmt::format("\nblocks {}{}, standing {}; these dropped {} packets in the kernel\n",
                      shadow ? "that would have been made " : "made ", number(blocks["made"]),
                      number(blocks["standing"]), number(blocks["hit_packets"]));
  if (r["sources"].empty()) return text;
  ReportRows rows{{"SOURCE", "PACKETS", "ASKED FOR", "BLOCKS", "KERNEL", "LAST", "BY RULE"}};
  for (const Json& s : r["sources"])
    rows.push_back({s["address"], number(s["packets"]), number(s["asked_for"]), number(s["blocks"]),
                    number(s["hit_packets"]), duration(s["last_ago_ms"]) + " ago",
                    rules_text(s["rules"])});
  text += "\n" + columns(rows, {false, true, true, true, true, true, false});
  const auto seen = r["sources_seen"].get<std::size_t>();
  if (seen > r["sources"].size()) text += fmt::format("and {} more\n", seen - r["sources"].size());
  return text;
}

}  // namespace weir::cli
