// SPDX-License-Identifier: BSD-2-Clause
/// What `weir replay` and `weir why` are told of a replay, as a configuration for it.
///
/// Errors    one sentence, as the commands print it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "control/config.h"
#include "forest/model.h"
#include "pipeline/replay.h"

namespace weir::cli {

struct ReplayOptions {
  std::vector<std::string> lan_prefixes;
  std::string config;
  std::string model;
  std::string screen;
  bool screen_ssdp = false;
  bool model_optional = false;  ///< features can be had without any
  bool all_features = false;    ///< else the model's
};

struct ReplaySetup {
  pipeline::ReplayConfig replay;
  std::optional<forest::Model> model;
  std::string model_path;
  std::string screen;  ///< its name and shape; empty: none
};

Result<ReplaySetup> set_up_replay(const ReplayOptions& options);

/// --lan-prefix, -c, -m, --screen and --screen-ssdp.
void add_replay_options(Command command, ReplayOptions& options);

/// The last two alone.
void add_screen_options(Command command, std::string& screen, bool& ssdp);

}  // namespace weir::cli
