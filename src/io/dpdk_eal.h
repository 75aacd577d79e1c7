// SPDX-License-Identifier: BSD-2-Clause
/// DPDK's environment layer (EAL) in this process. Inside of the DPDK module.
///
/// Files     none: what DPDK would share with other processes stays in this one's memory.
/// Threads   EAL pins the thread that starts it to its lcore: here all CPUs that it had, so that
///           nothing changes. weir's own I/O threads join by `join_thread`, which gives them the
///           caches of packet memory that lcores have.
/// Output    while it starts, what DPDK prints goes into the error sentence; later, to
///           `PollConfig::log`.
/// Errors    one sentence with what DPDK said. It starts once in a process.
/// Source    doc.dpdk.org/guides-22.11/linux_gsg/linux_eal_parameters.html
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "io/poll_device.h"

namespace weir::io {

class Eal {
 public:
  static Result<std::unique_ptr<Eal>> start(const PollConfig& config);
  ~Eal();
  Eal(const Eal&) = delete;
  Eal& operator=(const Eal&) = delete;

  /// What DPDK found wrong while it started, where it started nevertheless: as a device that it
  /// could not make. Empty where nothing.
  [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }

  /// The calling thread may use packet memory from here on, until it ends. Cheap from the second
  /// call on.
  static void join_thread() noexcept;

 private:
  Eal() = default;
  static ssize_t write_log(void* self, const char* text, std::size_t length);

  std::string complaint_;
  std::function<void(const std::string&)> log_;
  std::FILE* stream_ = nullptr;
};

/// The name by which EAL knows a device: "net_tap0,iface=x" is "net_tap0", "3:00.0" is
/// "0000:03:00.0".
std::string device_name(const std::string& device);
/// Whether it is named by a PCI address: with arguments or without.
bool is_pci(const std::string& device);

}  // namespace weir::io
