// SPDX-License-Identifier: BSD-2-Clause
/// The documents of control/report.h and control/why.h, for people.
#pragma once

#include <string>

#include "control/tables.h"

namespace weir::cli {

std::string report_text(const control::Json& document);
std::string why_text(const control::Json& document);

/// A count of theirs.
std::string number(const control::Json& value);

}  // namespace weir::cli
