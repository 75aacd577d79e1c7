// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <array>
#include <thread>

#include "io/load_port.h"
#include "io/poll_module.h"

namespace weir::io {
namespace {

class PollLoadPort final : public LoadPort {
 public:
  explicit PollLoadPort(std::unique_ptr<PollDevices> devices) : devices_(std::move(devices)) {}

  std::size_t send(std::span<const Bytes> frames) noexcept override {
    return devices_->send_copies(Side::wan, 0, frames);
  }
  bool flush() noexcept override {  // devices send by themselves what they took
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return true;
  }
  std::size_t receive(const std::function<void(Bytes)>& see) noexcept override {
    std::size_t all = 0;
    for (std::uint32_t channel = 0; channel < devices_->channels(); ++channel) {
      const std::size_t got = devices_->receive(Side::wan, channel, packets_);
      for (std::size_t i = 0; i < got; ++i) {
        see({packets_[i].data, packets_[i].length});
        handles_[i] = packets_[i].handle;
      }
      if (got > 0) devices_->release({handles_.data(), got});
      all += got;
    }
    return all;
  }
  void wait(std::uint32_t at_most_us) noexcept override {
    std::this_thread::sleep_for(std::chrono::microseconds(std::min(at_most_us, 50U)));
  }
  [[nodiscard]] std::string describe() const override {
    return fmt::format("DPDK {}", devices_->facts(Side::wan).driver);
  }
  [[nodiscard]] std::uint64_t lost() const noexcept override {
    const PollCounters counts = devices_->counters(Side::wan);
    return counts.rx_missed + counts.rx_errors + counts.rx_no_memory;
  }

 private:
  std::unique_ptr<PollDevices> devices_;
  std::array<PollPacket, 64> packets_{};
  std::array<void*, 64> handles_{};
};

}  // namespace

Result<std::unique_ptr<LoadPort>> open_load_dpdk(const PollConfig& config) {
  WEIR_ASSIGN(const PollModule* module, load_dpdk_module());
  WEIR_ASSIGN(auto devices, module->open(config));
  return std::make_unique<PollLoadPort>(std::move(devices));
}

}  // namespace weir::io
