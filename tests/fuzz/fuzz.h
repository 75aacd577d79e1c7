// SPDX-License-Identifier: BSD-2-Clause
/// What a fuzz target is: one file with these two functions, built twice.
///
///   in the suite        with mutate.cpp: a fixed number of mutations of the seeds, the generator's
///                       own seed fixed too, so that every run is the same
///   fuzz_NAME           with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer, by clang:
///                       'ninja tests/fuzz/fuzz_NAME' in the build folder; searches until it is
///                       stopped
///
/// Errors    a target aborts (WEIR_CHECK) where the code under test broke a promise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// Runs the code under test on one input; always 0.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Valid inputs, of every shape there is, to start from.
std::vector<std::vector<std::uint8_t>> fuzz_seeds();
