// SPDX-License-Identifier: BSD-2-Clause
/// Files that a command writes must not be those that it reads.
///
/// Threads   pure function, of the file system as it is.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace weir::cli {

/// A file to write, and the option that named it. Empty: none.
using OutputFile = std::pair<std::string_view, std::string>;

/// Whatever they are called; also of files that are not there yet. Devices and pipes are none.
bool is_same_file(const std::string& a, const std::string& b);

/// An error where one of `outputs` is one of `inputs` or another output, by whatever name: writing it
/// would destroy what is still to be read. Devices and pipes may stand anywhere.
Status keeps_inputs(std::span<const OutputFile> outputs, std::span<const std::string> inputs);

}  // namespace weir::cli
