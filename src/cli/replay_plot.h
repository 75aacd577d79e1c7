// SPDX-License-Identifier: BSD-2-Clause
/// A replay as a picture: packets a second by their end, and blocks, over packet time. One HTML
/// file with the drawing (SVG) in it: nothing else is loaded.
///
/// Errors    what could not be written; the file is removed then.
#pragma once

#include <string>

#include "base/result.h"
#include "pipeline/replay.h"

namespace weir::cli {

std::string plot_html(const pipeline::ReplayReport& report);
Status write_plot(const std::string& path, const pipeline::ReplayReport& report);

}  // namespace weir::cli
