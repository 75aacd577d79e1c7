// SPDX-License-Identifier: BSD-2-Clause
#include "control/status.h"

#include <unistd.h>

#include "io/frame_pool.h"

namespace weir::control {
namespace {

const char* effect_name(datapath::Effect effect) {
  switch (effect) {
    case datapath::Effect::peer:
      return "peer";
    case datapath::Effect::socket:
      return "socket";
    case datapath::Effect::drop:
      return "drop";
  }
  return "unknown";
}

Json side_json(const io::ChannelCounters& c) {
  return {{"rx_packets", c.rx_packets},
          {"rx_bytes", c.rx_bytes},
          {"tx_packets", c.tx_packets},
          {"tx_bytes", c.tx_bytes},
          {"released", c.released},
          {"tx_full", c.tx_full},
          {"tx_redirected", c.tx_redirected},
          {"tx_lost", c.tx_lost},
          {"fill_short", c.fill_short},
          {"not_completed", c.not_completed},
          {"wakeups_rx", c.wakeups_rx},
          {"wakeups_tx", c.wakeups_tx},
          {"wakeup_errors", c.wakeup_errors},
          {"kernel_rx_dropped", c.kernel_rx_dropped},
          {"kernel_rx_ring_full", c.kernel_rx_ring_full},
          {"kernel_fill_empty", c.kernel_fill_empty},
          {"kernel_rx_invalid", c.kernel_rx_invalid},
          {"kernel_tx_invalid", c.kernel_tx_invalid},
          {"kernel_tx_ring_empty", c.kernel_tx_ring_empty}};
}

Json channel_json(std::size_t number, const io::Channel& io, const pipeline::ChannelLoop& loop) {
  Json frames = Json::object();
  std::uint64_t total = 0;
  const auto counts = io.frame_counts();
  for (std::size_t place = 0; place < counts.size(); ++place) {
    frames[io::name(static_cast<io::Place>(place))] = counts[place];
    total += counts[place];
  }
  const auto tally = loop.tally();
  return {{"number", number},
          {"frames", std::move(frames)},
          {"frames_total", total},
          {"conserved", io.conserved()},
          {"busy_poll", io.busy_poll()},
          {"headroom", io.headroom()},
          {"received", tally.received},
          {"forwarded", tally.forwarded},
          {"dropped", tally.dropped},
          {"shed_forwarded", tally.shed_forwarded},
          {"shed_dropped", tally.shed_dropped},
          {"batches", tally.batches},
          {"pool_empty", tally.pool_empty},
          {"sleeps", tally.sleeps},
          {"withdrawals", tally.withdrawals},
          {"wan", side_json(io.counters(Side::wan))},
          {"lan", side_json(io.counters(Side::lan))}};
}

Json reasons_json(std::span<const std::unique_ptr<pipeline::ChannelLoop>> loops) {
  std::array<std::uint64_t, pipeline::kReasons> packets{};
  for (const auto& loop : loops) {
    const auto tally = loop->tally();
    for (std::size_t i = 0; i < packets.size(); ++i) packets[i] += tally.reasons[i];
  }
  Json list = Json::array();
  for (const auto& reason : detect::all_reasons()) {
    const auto number = static_cast<std::size_t>(reason.reason);
    list.push_back({{"name", reason.name},
                    {"help", reason.help},
                    {"packets", number < packets.size() ? packets[number] : 0}});
  }
  return list;
}

Json verdicts_json(std::span<const std::unique_ptr<pipeline::ChannelLoop>> loops) {
  pipeline::ChannelTally sum;
  for (const auto& loop : loops) {
    const auto tally = loop->tally();
    sum.forwarded += tally.forwarded;
    sum.dropped += tally.dropped;
    sum.shed_forwarded += tally.shed_forwarded;
    sum.shed_dropped += tally.shed_dropped;
  }
  return {{"forwarded", sum.forwarded},
          {"dropped", sum.dropped},
          {"shed_forwarded", sum.shed_forwarded},
          {"shed_dropped", sum.shed_dropped}};
}

Json interfaces_json(const Config& config, const Wire& wire) {
  Json json = Json::object();
  if (config.host) {
    json["host"] = wire.interface_json(Side::wan);
    json["host"]["judge"] = config.settings.host_judge;
    return json;
  }
  for (const Side side : {Side::wan, Side::lan}) json[side_name(side)] = wire.interface_json(side);
  return json;
}

Json blocks_json(const EnforcerCounters& c) {
  return {{"standing", c.standing}, {"sources", c.sources}, {"ordered", c.put},
          {"written", c.written},   {"skipped", c.skipped}, {"lost", c.lost},
          {"refused", c.refused},   {"expired", c.expired}};
}

Json time_json(const DurationHistogram& times) {
  const auto us = [&](double share) {
    return static_cast<double>(times.quantile(share).count()) / 1e3;
  };
  return {{"count", times.count()}, {"median_us", us(0.5)}, {"p99_us", us(0.99)}};
}

}  // namespace

Json model_json(const Config& config, const forest::Model& model, const std::string& evaluator) {
  return {{"path", config.model_path},
          {"name", model.name},
          {"sha256", model.sha256},
          {"evaluator", evaluator}};
}

Json screen_json(const Config& config, const kernel_model::Screen& screen) {
  return {{"path", config.screen_path},
          {"name", screen.plan().model_name},
          {"sha256", screen.plan().model_sha256},
          {"shape", screen.shape()},
          {"ssdp", config.datapath.screen_ssdp}};
}

Json outcomes_json(const datapath::Counters& counters) {
  Json list = Json::array();
  const auto count = [&](Side side, std::size_t number) {
    const auto& counter = counters.outcomes[index(side)][number];
    return Json{{"packets", counter.packets}, {"bytes", counter.bytes}};
  };
#define WEIR_OUTCOME_JSON(number, name_, effect_, help_)                     \
  list.push_back({{"name", #name_},                                          \
                  {"effect", effect_name(effect(datapath::Outcome::name_))}, \
                  {"help", help_},                                           \
                  {"wan", count(Side::wan, number)},                         \
                  {"lan", count(Side::lan, number)}});
  WEIR_OUTCOMES(WEIR_OUTCOME_JSON)
#undef WEIR_OUTCOME_JSON
  return list;
}

Result<Json> status_document(const StatusSources& from) {
  WEIR_ASSIGN(const datapath::Counters counters, from.wire.tables().counters());
  Json channels = Json::array();
  for (std::size_t i = 0; i < from.loops.size(); ++i) {
    channels.push_back(channel_json(i, *from.wire.channels()[i], *from.loops[i]));
  }
  const auto policy = from.enforcer.desk().counters();
  Json document{{"version", WEIR_VERSION},
                {"pid", getpid()},
                {"uptime_ms", (monotonic_now() - from.started) / std::chrono::milliseconds(1)},
                {"config", from.config.file},
                {"mode", from.config.policy.shadow ? "shadow" : "active"},
                {"fail_mode", from.config.datapath.fail_closed ? "closed" : "open"},
                {"workers", from.config.engine.workers},
                {"took_over", from.wire.took_over()},
                {"model", model_json(from.config, from.model, from.evaluator)},
                {"interfaces", interfaces_json(from.config, from.wire)},
                {"channels", std::move(channels)},
                {"outcomes", outcomes_json(counters)},
                {"redirect_errors",
                 {{"socket", counters.redirect_errors[WEIR_REDIRECT_ERROR_socket].packets},
                  {"peer", counters.redirect_errors[WEIR_REDIRECT_ERROR_peer].packets}}},
                {"verdicts", verdicts_json(from.loops)},
                {"reasons", reasons_json(from.loops)},
                {"blocks", blocks_json(from.enforcer.counters())},
                {"time_to_block", time_json(from.enforcer.time_to_block())},
                {"policy",
                 {{"suspects", policy.suspects},
                  {"suspects_evicted", policy.suspects_evicted},
                  {"blocks", policy.blocks},
                  {"blocks_over_budget", policy.blocks_over_budget}}}};
  if (from.screen != nullptr) {
    const auto& passed =
        counters
            .outcomes[index(Side::wan)][static_cast<std::size_t>(datapath::Outcome::peer_screened)];
    document["screen"] = screen_json(from.config, *from.screen);
    document["screen"]["passed"] = {{"packets", passed.packets}, {"bytes", passed.bytes}};
  }
  return document;
}

}  // namespace weir::control
