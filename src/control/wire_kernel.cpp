// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "control/preflight.h"
#include "control/wire.h"
#include "datapath/kernel.h"
#include "datapath/kernel_claim.h"
#include "io/af_xdp.h"
#include "io/copy_channel.h"
#include "io/host.h"
#include "io/link_watch.h"
#include "io/stack_entry.h"

namespace weir::control {
namespace {

class KernelWire final : public Wire {
 public:
  explicit KernelWire(const Config& config) : config_(config) {}
  ~KernelWire() override { channels_.clear(); }  // before what they send by
  KernelWire(const KernelWire&) = delete;
  KernelWire& operator=(const KernelWire&) = delete;

  Status attach(std::vector<std::string>& warnings) override;
  Status open_channels(std::vector<std::string>& warnings) override;
  Status connect() override;
  Status keep() override;
  Status disconnect() override;
  Status detach() override { return kernel_->detach(); }
  Status close() override;

  [[nodiscard]] datapath::Datapath& tables() noexcept override { return *kernel_; }
  [[nodiscard]] const datapath::Datapath& tables() const noexcept override { return *kernel_; }
  void heartbeat(std::uint32_t channel, PacketTime now) noexcept override {
    kernel_->heartbeat(channel, now);
  }
  Status use_screen(std::shared_ptr<const datapath::Screen> screen, const Changer&) override {
    return kernel_->use_screen(std::move(screen));
  }
  void say_hello() const override;
  [[nodiscard]] Json interface_json(Side side) const override;
  [[nodiscard]] bool took_over() const noexcept override { return kernel_->took_over(); }

 private:
  Status open_host_channels(std::uint32_t count);
  Status open_redirect(std::uint32_t count, std::vector<std::string>& warnings);
  /// In host mode only the first has an interface.
  [[nodiscard]] std::span<const Side> sides() const noexcept {
    static constexpr std::array kBoth{Side::wan, Side::lan};
    return std::span(kBoth).first(config_.host ? 1 : kSides);
  }
  [[nodiscard]] const char* mode(Side side) const noexcept {
    return kernel_->mode(side) == datapath::AttachMode::native ? "native" : "generic";
  }

  const Config& config_;
  bool host_changed_ = false;
  bool attached_before_ = false;  // an earlier run was killed, and its program forwards still
  bool kept_ = false;
  std::unique_ptr<io::StackEntry> entry_;     // host mode, guard
  std::unique_ptr<io::RedirectTx> redirect_;  // the channels send by it
  std::string blind_;                         // host mode: why what this host sends is not seen
  std::unique_ptr<datapath::Kernel> kernel_;
};

Status KernelWire::attach(std::vector<std::string>& warnings) {
  WEIR_ASSIGN(auto claim, datapath::Claim::take(config_.kernel));
  attached_before_ = claim.attached();
  host_changed_ = true;  // what it did before it failed is in the state file
  WEIR_TRY(io::HostSettings::apply(config_.kernel.interfaces, config_.tuning, config_.state_file,
                                   warnings));
  WEIR_ASSIGN(kernel_, datapath::Kernel::attach(config_.datapath, std::move(claim)));
  return {};
}

Status KernelWire::open_channels(std::vector<std::string>& warnings) {
  // Again: drivers may change their queues when a program is attached.
  WEIR_ASSIGN(const std::uint32_t count, channel_count(config_, warnings));
  if (config_.host) {
    const std::string& name = config_.kernel.interfaces[0];
    if (const auto frames = config_.guards_all_ip() ? io::unfinished_frames(name) : std::nullopt)
      warnings.push_back(
          fmt::format("interface '{}' is of {}; {}", name, frames->found, frames->remedy));
    return open_host_channels(count);
  }
  if (const Status redirects = open_redirect(count, warnings); !redirects)
    warnings.push_back(fmt::format("channels.transmit: {}; what was judged leaves by the sockets",
                                   redirects.error().message));
  for (std::uint32_t i = 0; i < count; ++i) {
    WEIR_ASSIGN(auto channel, io::open_af_xdp(config_.af_xdp, i, redirect_.get()));
    channels_.push_back(std::move(channel));
  }
  return {};
}

/// Where it is asked for. In generic mode drivers take what is redirected as sk_buffs, and nothing
/// else.
Status KernelWire::open_redirect(std::uint32_t count, std::vector<std::string>& warnings) {
  if (!config_.redirect) return {};
  for (const Side side : sides())
    if (kernel_->mode(side) != datapath::AttachMode::native)
      return fail(fmt::format("'{}' has generic XDP, and native is needed",
                              config_.kernel.interfaces[index(side)]));
  WEIR_ASSIGN(redirect_, io::RedirectTx::make(config_.kernel.interfaces, count));
  if (config_.settings.channels_io_cpus.empty())
    warnings.emplace_back(
        "channels.transmit is \"redirect\" and channels.io_cpus is empty: where an I/O thread "
        "moves "
        "to another CPU, packets may overtake others; give each channel a CPU");
  return {};
}

/// The first channel has the copies: all there is of it where this host is only observed, else what
/// it sends.
Status KernelWire::open_host_channels(std::uint32_t count) {
  io::AfXdpConfig sockets = config_.af_xdp;
  const bool guard = !config_.datapath.observe;
  if (guard) {
    WEIR_ASSIGN(entry_, io::StackEntry::make(sockets.interfaces[0], count, config_.entry_file));
    sockets.interfaces[1] = entry_->name();
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    std::unique_ptr<io::Channel> channel;
    if (guard) {
      WEIR_ASSIGN(channel, io::open_af_xdp(sockets, i));
    }
    if (i == 0) {
      constexpr std::uint32_t kOwnCopies = 1024;
      const io::CopyConfig copies{.ring_fd = kernel_->copies_fd(),
                                  .ring_bytes = config_.datapath.copies_bytes,
                                  .frames = guard ? kOwnCopies : config_.settings.channels_frames};
      WEIR_ASSIGN(channel, io::open_copies(copies, std::move(channel)));
    }
    channels_.push_back(std::move(channel));
  }
  return {};
}

Status KernelWire::connect() {
  // What this host sends only says what the rules forward unjudged.
  if (config_.host && !config_.policy.score_alone) {
    const Status watched = kernel_->watch_own();
    if (!watched) blind_ = watched.error().message;
  }
  if (config_.datapath.observe) return {};  // who beats gets copies
  for (std::uint32_t i = 0; i < channels_.size(); ++i) {
    for (const Side side : sides())
      WEIR_TRY(kernel_->add_socket(side, i, channels_[i]->socket_fd(side)));
  }
  return {};
}

Status KernelWire::keep() {
  WEIR_TRY(kernel_->keep());
  kept_ = true;
  return {};
}

Status KernelWire::disconnect() {
  Status first;
  for (std::uint32_t i = 0; kernel_ && !config_.datapath.observe && i < channels_.size(); ++i) {
    for (const Side side : sides()) {
      auto removed = kernel_->remove_socket(side, i);
      if (first && !removed) first = std::move(removed);
    }
  }
  return first;
}

Status KernelWire::close() {
  channels_.clear();
  redirect_.reset();
  entry_.reset();
  kernel_.reset();  // after a start that failed: puts back the program that it found
  // Where that one forwards again, it needs its interfaces as they are.
  const bool leave = !kept_ && attached_before_;
  if (!std::exchange(host_changed_, false) || leave) return {};
  return io::HostSettings::restore(config_.state_file);
}

void KernelWire::say_hello() const {
  for (const auto& note : kernel_->notes()) spdlog::warn("{}", note);
  if (config_.af_xdp.busy_poll && !channels_.front()->busy_poll()) {
    spdlog::warn("channels.busy_poll: this kernel does not grant it (5.11 does); channels sleep");
  }
  if (!blind_.empty()) {
    spdlog::warn(
        "what this host itself sends is not seen ({}): answers to its searches are judged "
        "as if nobody had asked",
        blind_);
  }
  for (const Side side : sides()) {
    spdlog::info("{} is {}: {} XDP, {}, channels: {}", config_.host ? "host" : side_name(side),
                 config_.kernel.interfaces[index(side)], mode(side),
                 config_.datapath.observe             ? "copies are judged"
                 : channels_.front()->zero_copy(side) ? "zero-copy"
                 : redirect_                          ? "copy mode, sends by redirect"
                                                      : "copy mode",
                 channels_.size());
  }
  if (took_over())
    spdlog::info("took over what an earlier weir left in {}", config_.kernel.pin_directory);
}

Json KernelWire::interface_json(Side side) const {
  bool zero_copy = !channels_.empty();
  for (const auto& channel : channels_) zero_copy = zero_copy && channel->zero_copy(side);
  const std::string& interface = config_.kernel.interfaces[index(side)];
  return {{"name", interface},      {"backend", "af_xdp"},
          {"attached", mode(side)}, {"link", io::name(io::link_of(interface))},
          {"zero_copy", zero_copy}, {"redirects", redirect_ != nullptr && !zero_copy}};
}

}  // namespace

std::unique_ptr<Wire> make_kernel_wire(const Config& config) {
  return std::make_unique<KernelWire>(config);
}

std::unique_ptr<Wire> make_wire(const Config& config) {
  return config.dpdk ? make_poll_wire(config) : make_kernel_wire(config);
}

}  // namespace weir::control
