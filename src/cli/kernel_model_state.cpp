// SPDX-License-Identifier: BSD-2-Clause
#include "cli/kernel_model_state.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

#include "cli/daemon.h"

namespace weir::cli {

control::Json json_of(const kernel_model::State& state) {
  const auto counters = [](const auto& of_cpu) {
    control::Json made;
#define WEIR_VERDICT_JSON(number, name, help) \
  made[#name] = {{"packets", of_cpu[number].packets}, {"bytes", of_cpu[number].bytes}};
    WEIR_MODEL_VERDICT_LIST(WEIR_VERDICT_JSON)
#undef WEIR_VERDICT_JSON
    return made;
  };
  control::Json cpus = control::Json::array();
  for (const auto& cpu : state.counters) cpus.push_back(counters(cpu));
  return {{"interface", state.interface},
          {"attached", state.there},
          {"mode", !state.there   ? "none"
                   : state.native ? "native"
                                  : "generic"},
          {"program_id", state.program_id},
          {"model",
           {{"name", state.about.name},
            {"sha256", state.about.sha256},
            {"shape", state.about.trained},
            {"functions", state.about.functions},
            {"instructions", state.about.instructions},
            {"verified_instructions", state.about.verified},
            {"reading", state.about.reading == WEIR_READING_skx ? "skx" : "exact"},
            {"loaded_at_ms", state.about.loaded_ns / 1'000'000}}},
          {"cpus", cpus}};
}

void print_state(const kernel_model::State& state) {
  using std::chrono::milliseconds;
  const auto now =
      std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::uint64_t loaded_ms = state.about.loaded_ns / 1'000'000;
  const auto now_ms = static_cast<std::uint64_t>(now.count());
  fmt::print(
      "{}: {}; model '{}' ({}, sha256 {}), loaded {} ago{}\n", state.interface,
      !state.there   ? "not here: gone, or in another network namespace"
      : state.native ? "native mode"
                     : "generic mode",
      state.about.name, state.about.trained, std::string(state.about.sha256).substr(0, 12),
      control::duration_text(std::max<std::uint64_t>(1, now_ms - std::min(now_ms, loaded_ms))),
      state.about.reading == WEIR_READING_skx ? ", judging as SkimXDP does" : "");
  std::vector<std::vector<std::string>> rows{{"CPU", "PASSED", "DROPPED", "NOT IP", "UNJUDGED"}};
  std::array<std::uint64_t, WEIR_MODEL_VERDICTS> all{};
  for (std::size_t cpu = 0; cpu < state.counters.size(); ++cpu) {
    std::vector<std::string> row{fmt::format("{}", cpu)};
    std::uint64_t packets = 0;
    for (std::size_t v = 0; v < all.size(); ++v) {
      packets += state.counters[cpu][v].packets;
      all[v] += state.counters[cpu][v].packets;
    }
    for (const int v : {WEIR_MODEL_pass, WEIR_MODEL_drop, WEIR_MODEL_other, WEIR_MODEL_unjudged})
      row.push_back(fmt::format("{}", state.counters[cpu][static_cast<std::size_t>(v)].packets));
    if (packets != 0) rows.push_back(row);
  }
  rows.push_back({"all", fmt::format("{}", all[WEIR_MODEL_pass]),
                  fmt::format("{}", all[WEIR_MODEL_drop]), fmt::format("{}", all[WEIR_MODEL_other]),
                  fmt::format("{}", all[WEIR_MODEL_unjudged])});
  fmt::print("{}", columns(rows, {true, true, true, true, true}));
}

}  // namespace weir::cli
