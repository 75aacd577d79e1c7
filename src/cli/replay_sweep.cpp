// SPDX-License-Identifier: BSD-2-Clause
#include "cli/replay_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>

#include "cli/replay_report.h"

namespace weir::cli {

namespace {

constexpr const char* kSweepable = "workers, channels or batch";

struct Spread {
  double median = 0, min = 0, max = 0;
};

Spread spread(const std::vector<SweepRun>& runs) {
  std::vector<double> rates;
  rates.reserve(runs.size());
  for (const SweepRun& run : runs) rates.push_back(run.packets_per_s);
  std::sort(rates.begin(), rates.end());
  const std::size_t half = rates.size() / 2;
  const double median = rates.size() % 2 == 1 ? rates[half] : (rates[half - 1] + rates[half]) / 2;
  return {median, rates.front(), rates.back()};
}

/// The run whose rate is nearest to the median: its other figures go with it.
const SweepRun& typical(const std::vector<SweepRun>& runs) {
  const double median = spread(runs).median;
  return *std::min_element(runs.begin(), runs.end(), [&](const SweepRun& a, const SweepRun& b) {
    return std::abs(a.packets_per_s - median) < std::abs(b.packets_per_s - median);
  });
}

SweepRun measured(const pipeline::ReplayReport& report) {
  const pipeline::ReplaySpeed& speed = *report.speed;
  const double s = seconds(speed.elapsed);
  SweepRun run;
  if (s > 0) {
    run.packets_per_s = static_cast<double>(report.packets) / s;
    run.bits_per_s = 8.0 * static_cast<double>(report.bytes) / s;
  }
  run.latency_median = speed.latency.quantile(0.5);
  run.latency_p99 = speed.latency.quantile(0.99);
  if (speed.batches > 0)
    run.batch_fill = static_cast<double>(report.judged) / static_cast<double>(speed.batches);
  return run;
}

}  // namespace

Result<Sweep> parse_sweep(const std::string& text) {
  const auto refuse = [&] {
    return fail(
        fmt::format("--sweep {}: a setting ({}) with its values is expected, as in workers=0,1,2,4",
                    text, kSweepable));
  };
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return refuse();
  Sweep sweep{text.substr(0, equals), {}};
  if (sweep.setting != "workers" && sweep.setting != "channels" && sweep.setting != "batch")
    return refuse();
  const char* at = text.data() + equals + 1;
  const char* const end = text.data() + text.size();
  while (true) {
    std::uint32_t value = 0;
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (rest != end && *rest != ',')) return refuse();
    sweep.values.push_back(value);
    if (rest == end) return sweep;
    at = rest + 1;
  }
}

void apply(const std::string& setting, std::uint32_t value, pipeline::ReplayConfig& config) {
  if (setting == "workers") config.engine.workers = value;
  if (setting == "channels") config.channels = value;
  if (setting == "batch") config.batch_packets = value;
}

Result<SweepResult> sweep(
    const Sweep& sweep, std::uint32_t rounds,
    const std::function<Result<pipeline::ReplayReport>(std::uint32_t value, std::uint32_t round)>&
        run) {
  SweepResult result;
  result.sweep = sweep;
  result.runs.resize(sweep.values.size());
  for (std::uint32_t round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < sweep.values.size(); ++i) {
      WEIR_ASSIGN(const auto report, run(sweep.values[i], round));
      const std::string digest = fmt::format("{:016x}", report.verdict_digest);
      if (result.digest.empty()) result.digest = digest;
      if (result.digest != digest)
        return fail(
            fmt::format("a run judged otherwise than the first one (digest {}, not {}): verdicts "
                        "must not depend "
                        "on {}; this is a fault of weir",
                        digest, result.digest, sweep.setting.empty() ? "the run" : sweep.setting));
      result.runs[i].push_back(measured(report));
    }
  return result;
}

std::string sweep_text(const SweepResult& result) {
  std::string text;
  const auto out = std::back_inserter(text);
  const bool swept = !result.sweep.setting.empty();
  fmt::format_to(out, "{:>9} {:>8} {:>17} {:>8} {:>10} {:>8} {:>12} {:>12}\n",
                 swept ? result.sweep.setting : "runs", "Mpps", "min to max", "Gbit/s", "ns/packet",
                 "a batch", "latency p50", "p99");
  for (std::size_t i = 0; i < result.runs.size(); ++i) {
    const Spread rates = spread(result.runs[i]);
    const SweepRun& run = typical(result.runs[i]);
    fmt::format_to(out, "{:>9} {:>8.3f} {:>17} {:>8.2f} {:>10.1f} {:>8.1f} {:>12} {:>12}\n",
                   swept ? result.sweep.values[i] : result.runs[i].size(), rates.median * 1e-6,
                   fmt::format("{:.3f} to {:.3f}", rates.min * 1e-6, rates.max * 1e-6),
                   run.bits_per_s * 1e-9, 1e9 / rates.median, run.batch_fill,
                   span_text(run.latency_median), span_text(run.latency_p99));
  }
  fmt::format_to(out,
                 "Medians of {} alternating runs; a batch's latency is from its submission to its "
                 "verdicts. All judged alike: digest {}.\n",
                 result.runs.front().size(), result.digest);
  return text;
}

std::string sweep_json(const SweepResult& result) {
  nlohmann::ordered_json json;
  json["verdict_digest"] = result.digest;
  if (!result.sweep.setting.empty()) json["setting"] = result.sweep.setting;
  json["results"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < result.runs.size(); ++i) {
    const Spread rates = spread(result.runs[i]);
    const SweepRun& run = typical(result.runs[i]);
    nlohmann::ordered_json one;
    if (!result.sweep.setting.empty()) one["value"] = result.sweep.values[i];
    one["packets_per_s"] = {{"median", rates.median}, {"min", rates.min}, {"max", rates.max}};
    for (const SweepRun& each : result.runs[i]) one["runs"].push_back(each.packets_per_s);
    one["bits_per_s"] = run.bits_per_s;
    one["packets_per_batch"] = run.batch_fill;
    one["latency_ns"] = {{"median", run.latency_median.count()}, {"p99", run.latency_p99.count()}};
    json["results"].push_back(std::move(one));
  }
  return json.dump(2) + "\n";
}

}  // namespace weir::cli
