// SPDX-License-Identifier: BSD-2-Clause
/// Instructions as an ELF object, as clang would have made it: for libbpf, bpftool and iproute2.
///
/// Shape     `model_object` has the model's functions alone (.text, .rodata.leaves, symbols, BTF);
///           `link` puts them in the place of the weak `weir_model` of another object, such as
///           that of bpf/kernel_model.bpf.c. What is loaded is what `weir kernel-model emit` writes.
/// Source    libbpf's own linker (bpf_linker), over files in memory.
/// Errors    one sentence.
/// Threads   pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "kernel_model/assemble.h"

namespace weir::kernel_model {

using Bytes = std::vector<std::uint8_t>;

Result<Bytes> model_object(const Code& code);
Result<Bytes> link(std::span<const std::uint8_t> program, std::span<const std::uint8_t> model);
/// The object of bpf/kernel_model.bpf.c with this model in it, that reads headers like this.
Result<Bytes> whole_object(const Code& code, weir_reading reading = WEIR_READING_exact);

}  // namespace weir::kernel_model
