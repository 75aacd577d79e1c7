// SPDX-License-Identifier: BSD-2-Clause
#pragma once

namespace weir {

/// In a loop that waits for another thread or a device: leaves the core's units to its sibling for
/// some ten cycles.
inline void relax_cpu() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace weir
