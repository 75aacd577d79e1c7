// SPDX-License-Identifier: BSD-2-Clause
/// What a replay came to, for people and for programs.
#pragma once

#include <cstdint>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "pipeline/replay.h"

namespace weir::cli {

/// What the report itself does not know.
struct ReplaySetting {
  std::uint32_t workers = 0;
  std::uint32_t channels = 1;
  std::string model;   ///< empty: none
  std::string screen;  ///< its name and shape; empty: none
  std::uint64_t memory_bytes = 0;
};

/// "1.25 ms". Nothing where time goes back.
std::string span_text(Nanoseconds time);
/// This process's own memory (anonymous: without the captures' mapped files) in bytes; 0 where
/// /proc does not say.
std::uint64_t memory_bytes();

std::string replay_text(const pipeline::ReplayReport& report, const ReplaySetting& setting);
/// One object: packets, forwarded, dropped, blocks, verdict_digest (16 hexadecimal digits), ...
/// `dropped`, a document of control/report.h, is added as "report" where there is one.
std::string replay_json(const pipeline::ReplayReport& report, const ReplaySetting& setting,
                        const nlohmann::ordered_json* dropped = nullptr);

}  // namespace weir::cli
