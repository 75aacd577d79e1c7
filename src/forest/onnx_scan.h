// SPDX-License-Identifier: BSD-2-Clause
/// Walks an ONNX file's wire format before protobuf's reader allocates for it.
///
/// Why       an empty message takes two bytes in a file and up to 300 in memory: a file of 128 MB
///           could ask for many gigabytes.
/// Limits    messages: kOnnxMessagesMax; texts: one a node of a tree. Messages that no model of
///           trees has (functions, subgraphs, sparse tensors, training) are refused by name.
/// Errors    "m.onnx: byte 17: ...".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::forest {

inline constexpr std::size_t kOnnxMessagesMax = 100'000;

Status scan_onnx(std::string_view bytes, const std::string& name);

}  // namespace weir::forest
