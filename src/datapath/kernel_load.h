// SPDX-License-Identifier: BSD-2-Clause
/// What everything that loads a program into the kernel shares.
///
/// Threads   pure functions; `quiet_libbpf` is of the whole process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::datapath {

/// Drivers refuse a plain program on an interface with a larger MTU: the least limit known is
/// i40e's 3,046, the largest veth's 3,506. Below it, multi-buffer is not asked for: on a veth that
/// would leave segmentation offload on, and what it makes does not fit the peer.
inline constexpr std::uint32_t kPlainMtuMax = 3'000;

/// Room for the verifier's log. Older kernels fill it from its start and fail when it is full;
/// unused pages cost nothing.
inline constexpr std::size_t kVerifierLog_bytes = 16U << 20U;

/// What libbpf would print is in the errors.
void quiet_libbpf() noexcept;

/// The last lines of a verifier's log that are no summary, at most `lines`, in one line; empty
/// where there are none.
std::string last_words(std::string_view log, std::size_t lines);

}  // namespace weir::datapath
