// SPDX-License-Identifier: BSD-2-Clause
/// Several replays of the same captures, side by side: `--repeat`, and `--sweep` over a setting.
///
/// Order     runs alternate (A B A B ...), so that what else the machine does meets all alike.
/// Verdicts  must be the same in every run: the digests are compared.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "pipeline/replay.h"

namespace weir::cli {

/// One setting with the values to try.
struct Sweep {
  std::string setting;  ///< "workers", "channels" or "batch"
  std::vector<std::uint32_t> values;
};
/// "workers=0,1,2,4".
Result<Sweep> parse_sweep(const std::string& text);
void apply(const std::string& setting, std::uint32_t value, pipeline::ReplayConfig& config);

/// What one run of one value came to.
struct SweepRun {
  double packets_per_s = 0;
  double bits_per_s = 0;
  Nanoseconds latency_median{}, latency_p99{};
  double batch_fill = 0;  ///< packets a batch
};

struct SweepResult {
  Sweep sweep;                              ///< a repeat is a sweep over no setting, with one value
  std::vector<std::vector<SweepRun>> runs;  ///< by value, then by round
  std::string digest;                       ///< 16 hexadecimal digits
};

/// Calls `run` for every value, `rounds` times in turn. An error where a run fails, or judges
/// otherwise than the first one did.
Result<SweepResult> sweep(
    const Sweep& sweep, std::uint32_t rounds,
    const std::function<Result<pipeline::ReplayReport>(std::uint32_t value, std::uint32_t round)>&
        run);

std::string sweep_text(const SweepResult& result);
std::string sweep_json(const SweepResult& result);

}  // namespace weir::cli
