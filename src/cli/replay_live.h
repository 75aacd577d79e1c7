// SPDX-License-Identifier: BSD-2-Clause
/// `weir replay --live`: plays captures onto an interface, and judges nothing.
///
/// Sides     what came in by either side of a capture is sent alike: name the one that is wanted
///           by --wan or --lan.
/// Threads   the main thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/load.h"
#include "pipeline/replay_pace.h"
#include "pipeline/replay_source.h"

namespace weir::cli {

struct LivePlay {
  std::vector<pipeline::ReplayInput> captures;
  PortOptions port;
  pipeline::Pace pace;
  std::uint32_t loops = 1;
  bool json = false;
};

Status play_live(const LivePlay& play);

}  // namespace weir::cli
