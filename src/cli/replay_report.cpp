// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>

namespace weir::cli {
namespace {

using pipeline::LabelTally;
using pipeline::ReplayBlock;
using pipeline::ReplayReport;

constexpr std::size_t kBlocksListed = 10;  ///< for people; JSON has all

struct Rates {
  double seconds = 0;
  double packets_per_s = 0;
  double bits_per_s = 0;
  double ns_per_packet = 0;
};

Rates rates(const ReplayReport& report) {
  Rates r;
  r.seconds = seconds(report.speed->elapsed);
  if (report.packets == 0 || r.seconds <= 0) return r;
  r.packets_per_s = static_cast<double>(report.packets) / r.seconds;
  r.bits_per_s = 8.0 * static_cast<double>(report.bytes) / r.seconds;
  r.ns_per_packet = 1e9 / r.packets_per_s;
  return r;
}

/// From the first packet of a blocked source to its block; percentiles by rank.
struct TimeToBlock {
  Nanoseconds median{};
  Nanoseconds p99{};
};

std::optional<TimeToBlock> time_to_block(const ReplayReport& report) {
  if (report.blocks.empty()) return std::nullopt;
  std::vector<Nanoseconds> times;
  for (const ReplayBlock& b : report.blocks)
    times.push_back(std::max(PacketTime{b.block.value.created_ns} - b.first_seen, Nanoseconds{}));
  std::sort(times.begin(), times.end());
  return TimeToBlock{times[(times.size() - 1) / 2], times[(times.size() - 1) * 99 / 100]};
}

datapath::Counter of_outcome(const ReplayReport& report, std::size_t outcome) {
  datapath::Counter sum;
  for (const auto& side : report.outcomes.outcomes) {
    sum.packets += side[outcome].packets;
    sum.bytes += side[outcome].bytes;
  }
  return sum;
}

template <typename Out>
void print_blocks(Out out, const ReplayReport& report) {
  if (report.blocks.empty()) return;
  fmt::format_to(out, "\nblocks\n");
  for (std::size_t i = 0; i < std::min(kBlocksListed, report.blocks.size()); ++i) {
    const ReplayBlock& b = report.blocks[i];
    const PacketTime created{b.block.value.created_ns};
    fmt::format_to(out, "  {:<40} {} after {} at +{}, for {}\n", b.block.source.text(),
                   detect::name(static_cast<detect::Reason>(b.block.value.reason)),
                   span_text(created - b.first_seen), span_text(created - report.first),
                   span_text(PacketTime{b.block.value.expires_ns} - created));
  }
  if (report.blocks.size() > kBlocksListed)
    fmt::format_to(out, "  and {} more (--json lists all)\n", report.blocks.size() - kBlocksListed);
  if (report.blocks_refused > 0)
    fmt::format_to(out, "  {} found the blocklist full\n", report.blocks_refused);
}

template <typename Out>
void print_labels(Out out, const ReplayReport& report) {
  if (report.labels.empty()) return;
  const bool screens = std::any_of(report.labels.begin(), report.labels.end(),
                                   [](const LabelTally& t) { return t.screened > 0; });
  fmt::format_to(out, "\n{:<10} {:<22} {:>12} {:>12} {:>12} {:>12}{}\n", "label", "kind", "packets",
                 "forwarded", "by policy", "by blocks", screens ? "     screened" : "");
  for (const LabelTally& t : report.labels)
    fmt::format_to(out, "{:<10} {:<22} {:>12} {:>12} {:>12} {:>12}{}\n", t.label, t.kind, t.packets,
                   t.packets - t.dropped(), t.dropped_judged, t.dropped_datapath,
                   screens ? fmt::format(" {:>12}", t.screened) : "");
}

nlohmann::ordered_json labels_json(const ReplayReport& report) {
  auto labels = nlohmann::ordered_json::array();
  for (const LabelTally& t : report.labels)
    labels.push_back({{"label", t.label},
                      {"kind", t.kind},
                      {"packets", t.packets},
                      {"judged", t.judged},
                      {"forwarded", t.packets - t.dropped()},
                      {"dropped_by_policy", t.dropped_judged},
                      {"dropped_by_blocks", t.dropped_datapath},
                      {"screened", t.screened}});
  return labels;
}

nlohmann::ordered_json blocks_json(const ReplayReport& report) {
  auto blocks = nlohmann::ordered_json::array();
  for (const ReplayBlock& b : report.blocks)
    blocks.push_back({{"source", b.block.source.text()},
                      {"target", datapath::target_name(b.block.target)},
                      {"time_ns", b.block.value.created_ns},
                      {"first_seen_ns", b.first_seen.ns},
                      {"expires_ns", b.block.value.expires_ns},
                      {"scope", b.block.value.scope == WEIR_SCOPE_all ? "all" : "ssdp"},
                      {"reason", detect::name(static_cast<detect::Reason>(b.block.value.reason))},
                      {"strikes", b.block.value.strikes}});
  return blocks;
}

double per(Nanoseconds time, std::uint64_t count) {
  return count == 0 ? 0 : static_cast<double>(time.count()) / static_cast<double>(count);
}

/// What the reading thread did itself: reading, datapath, books, and with no workers the stages.
Nanoseconds reader_worked(const ReplayReport& report, bool stages_are_its_own) {
  const pipeline::ReplaySpeed& speed = *report.speed;
  Nanoseconds worked = speed.elapsed - speed.reader_waited;
  if (stages_are_its_own)
    for (const Nanoseconds stage : speed.stages) worked -= stage;
  return std::max(worked, Nanoseconds{});
}

template <typename Out>
void print_speed(Out out, const ReplayReport& report, const ReplaySetting& setting) {
  const pipeline::ReplaySpeed& speed = *report.speed;
  fmt::format_to(out, "time       {:>12.1f}  ns a packet to read it and for the datapath\n",
                 per(reader_worked(report, setting.workers == 0), report.packets));
  if (report.judged > 0) {
    fmt::format_to(out, "           {:>12}  ns a judged packet:", "");
    for (std::size_t stage = 0; stage < pipeline::kStages; ++stage)
      fmt::format_to(out, "{} {} {:.1f}", stage == 0 ? "" : ",",
                     pipeline::name(static_cast<pipeline::Stage>(stage)),
                     per(speed.stages[stage], report.judged));
    fmt::format_to(out, "\nbatches    {:>12}  of {:.1f} packets; until judged: median {}, p99 {}\n",
                   speed.batches,
                   static_cast<double>(report.judged) / static_cast<double>(speed.batches),
                   span_text(speed.latency.quantile(0.5)), span_text(speed.latency.quantile(0.99)));
  }
  if (setting.memory_bytes > 0)
    fmt::format_to(out, "memory     {:>12}  MiB\n", setting.memory_bytes >> 20U);
}

nlohmann::ordered_json speed_json(const ReplayReport& report, const ReplaySetting& setting) {
  const pipeline::ReplaySpeed& speed = *report.speed;
  nlohmann::ordered_json json;
  json["read_and_datapath"] = per(reader_worked(report, setting.workers == 0), report.packets);
  for (std::size_t stage = 0; stage < pipeline::kStages; ++stage)
    json[pipeline::name(static_cast<pipeline::Stage>(stage))] =
        per(speed.stages[stage], report.judged);
  return json;
}

nlohmann::ordered_json timeline_json(const ReplayReport& report) {
  auto steps = nlohmann::ordered_json::array();
  for (const pipeline::TimelineStep& step : report.timeline.steps())
    steps.push_back({{"packets", step.packets},
                     {"dropped_by_policy", step.dropped_judged},
                     {"dropped_by_blocks", step.dropped_datapath},
                     {"blocks", step.blocks}});
  return {{"start_ns", report.timeline.start().ns},
          {"step_ns", report.timeline.step_length().count()},
          {"steps", std::move(steps)}};
}

const char* why_none_is_judged(const ReplayReport& report) {
  constexpr auto kScreened = static_cast<std::size_t>(datapath::Outcome::peer_screened);
  return of_outcome(report, kScreened).packets > 0
             ? "no packet was judged: the screen found all that it was asked of fine, and nothing "
               "else is steered"
             : "no packet was judged: none is steered (steer.udp_ports, steer.ssdp_payload)";
}

}  // namespace

std::string span_text(Nanoseconds time) {
  const double s = seconds(std::max(time, Nanoseconds{}));
  if (s >= 1) return fmt::format("{:.2f} s", s);
  if (s >= 1e-3) return fmt::format("{:.2f} ms", s * 1e3);
  return fmt::format("{:.1f} us", s * 1e6);
}

std::uint64_t memory_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::strtoull(line.c_str() + 8, nullptr, 10) << 10U;
  return 0;
}

std::string replay_text(const ReplayReport& report, const ReplaySetting& setting) {
  std::string text;
  const auto out = std::back_inserter(text);
  const Rates r = rates(report);
  fmt::format_to(out, "packets    {:>12}  {} bytes in {} of traffic\n", report.packets,
                 report.bytes, span_text(report.last - report.first));
  if (report.steps_back > 0)
    fmt::format_to(out, "           {:>12}  packets are from before the one in front of them\n",
                   report.steps_back);
  fmt::format_to(out, "forwarded  {:>12}\n", report.forwarded);
  fmt::format_to(out, "dropped    {:>12}\n", report.dropped);
  fmt::format_to(out, "blocks     {:>12}", report.blocks.size());
  if (const auto time = time_to_block(report))
    fmt::format_to(out, "  after a source's first packet: median {}, p99 {}",
                   span_text(time->median), span_text(time->p99));
  fmt::format_to(out, "\ndigest     {:016x}\n", report.verdict_digest);
  fmt::format_to(out, "speed      {:>12.2f}  Mpps, {:.2f} Gbit/s, {:.0f} ns a packet",
                 r.packets_per_s * 1e-6, r.bits_per_s * 1e-9, r.ns_per_packet);
  fmt::format_to(out, " (workers {}, channels {})\n", setting.workers, setting.channels);
  print_speed(out, report, setting);
  fmt::format_to(out, "model      {} ({})\n", setting.model.empty() ? "none" : setting.model,
                 report.evaluator);
  if (!setting.screen.empty()) fmt::format_to(out, "screen     {}\n", setting.screen);

  fmt::format_to(out, "\n{:<22} {:>12}\n", "datapath", "packets");
  for (std::size_t o = 0; o < datapath::kOutcomes; ++o)
    if (const auto counter = of_outcome(report, o); counter.packets > 0)
      fmt::format_to(out, "{:<22} {:>12}  {}\n", datapath::name(static_cast<datapath::Outcome>(o)),
                     counter.packets, datapath::help(static_cast<datapath::Outcome>(o)));
  if (report.judged > 0)
    fmt::format_to(out, "\n{:<22} {:>12}\n", "policy", "packets");
  else if (report.packets > 0)
    fmt::format_to(out, "\n{}\n", why_none_is_judged(report));
  for (std::size_t i = 0; i < report.reasons.size(); ++i)
    if (report.reasons[i] > 0)
      fmt::format_to(out, "{:<22} {:>12}  {}\n", detect::name(static_cast<detect::Reason>(i)),
                     report.reasons[i], detect::help(static_cast<detect::Reason>(i)));
  print_labels(out, report);
  print_blocks(out, report);
  return text;
}

std::string replay_json(const ReplayReport& report, const ReplaySetting& setting,
                        const nlohmann::ordered_json* dropped) {
  const Rates r = rates(report);
  nlohmann::ordered_json json;
  json["packets"] = report.packets;
  json["bytes"] = report.bytes;
  json["forwarded"] = report.forwarded;
  json["dropped"] = report.dropped;
  json["judged"] = report.judged;
  json["blocks"] = report.blocks.size();
  json["blocks_refused"] = report.blocks_refused;
  json["verdict_digest"] = fmt::format("{:016x}", report.verdict_digest);
  json["workers"] = setting.workers;
  json["channels"] = setting.channels;
  json["model"] = setting.model;
  json["evaluator"] = report.evaluator;
  if (!setting.screen.empty()) json["screen"] = setting.screen;
  json["time_steps_back"] = report.steps_back;
  json["traffic_s"] = seconds(report.last - report.first);
  json["elapsed_s"] = r.seconds;
  json["packets_per_s"] = r.packets_per_s;
  json["bits_per_s"] = r.bits_per_s;
  json["ns_per_packet"] = r.ns_per_packet;
  json["ns_by_stage"] = speed_json(report, setting);
  json["batches"] = report.speed->batches;
  json["latency_ns"] = {{"median", report.speed->latency.quantile(0.5).count()},
                        {"p99", report.speed->latency.quantile(0.99).count()}};
  json["memory_bytes"] = setting.memory_bytes;
  for (std::size_t o = 0; o < datapath::kOutcomes; ++o)
    if (const auto counter = of_outcome(report, o); counter.packets > 0)
      json["outcomes"][datapath::name(static_cast<datapath::Outcome>(o))] = {
          {"packets", counter.packets}, {"bytes", counter.bytes}};
  for (std::size_t i = 0; i < report.reasons.size(); ++i)
    if (report.reasons[i] > 0)
      json["reasons"][detect::name(static_cast<detect::Reason>(i))] = report.reasons[i];
  if (const auto time = time_to_block(report))
    json["time_to_block_ns"] = {{"median", time->median.count()}, {"p99", time->p99.count()}};
  json["labels"] = labels_json(report);
  json["timeline"] = timeline_json(report);
  json["block_list"] = blocks_json(report);
  if (dropped != nullptr) json["report"] = *dropped;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace weir::cli
