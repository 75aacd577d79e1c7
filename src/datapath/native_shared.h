// SPDX-License-Identifier: BSD-2-Clause
/// The native datapath in front of a live wire: several I/O threads judge, one thread changes the
/// lists, and neither waits for a lock of the other.
///
/// Shape     two copies of the lists and the screen. Judges read the one that is current; a change is made to the
///           other, which then becomes current, and to the first as soon as no burst reads it any
///           more. Hits are counted in whichever copy was current: the sum of both is a block's.
/// Judge     one a channel, used by its I/O thread: `begin`, `judge` for each packet of a burst,
///           `end`. Between bursts it holds nothing, so that a sleeper keeps no change up.
/// Threads   changes and lists: one thread at a time (the enforcer), which waits, yielding, for
///           bursts that are under way: some microseconds. `connect` and `counters`: anyone.
/// Cost      a burst: two ordered stores; memory of the lists twice. A change allocates where a
///           table grows, on the thread that makes it; `judge` never does.
/// Errors    a full table, as `Native`.
#pragma once

#include <atomic>
#include <memory>

#include "datapath/datapath.h"
#include "packet/frame.h"
#include "packet/headers.h"

struct weir_tables;

namespace weir::datapath {

class NativeShared final : public Datapath {
 public:
  /// Judges for the channels 0 to `channels` - 1. What is steered takes the fail mode until
  /// `connect`.
  NativeShared(const Config& config, std::uint32_t channels);
  ~NativeShared() override;

  class Judge {
   public:
    /// A burst begins. Nothing of it may be judged before, or after `end`.
    void begin() noexcept;
    void end() noexcept { reads_.store(kNothing, std::memory_order_release); }
    /// The outcome of a packet at its packet time, counted. `continues`: bytes of it that are not in
    /// the frame.
    Outcome judge(const packet::Frame& frame, std::uint32_t continues) noexcept;
    /// A packet that went astray after it was judged: as the kernel's failed redirects.
    void count_error(weir_redirect_error error, std::uint64_t bytes) noexcept;
    /// As Kernel::heartbeat; the channel's own thread.
    void heartbeat(PacketTime now) noexcept;
    /// The channel's thread did not run for so long: its heartbeat is no older for that.
    void excuse(Nanoseconds pause) noexcept;
    [[nodiscard]] bool connected() const noexcept {
      return owner_.connected_.load(std::memory_order_relaxed);
    }

   private:
    friend class NativeShared;
    static constexpr int kNothing = -1;
    Judge(NativeShared& owner, std::uint32_t channel);

    NativeShared& owner_;
    const std::uint32_t channel_;
    std::unique_ptr<weir_tables> tables_;
    alignas(2 * kCacheLine_bytes) std::atomic<int> reads_{kNothing};  // which copy
  };

  [[nodiscard]] Judge& judge(std::uint32_t channel) noexcept { return *judges_[channel]; }

  /// Whether there is somebody to take what is steered.
  void connect(bool connected) noexcept { connected_.store(connected, std::memory_order_relaxed); }

  /// Another screen, or none, from each judge's next burst on; a change, as those of the lists.
  void use_screen(std::shared_ptr<const Screen> screen);

  Result<std::size_t> add_blocks(std::span<const Block> blocks) override;
  Result<std::size_t> remove_blocks(std::span<const BlockKey> blocks) override;
  Result<std::vector<Block>> list_blocks() const override;
  Status add_allow(const Prefix& prefix) override;
  Result<bool> remove_allow(const Prefix& prefix) override;
  Result<std::vector<Prefix>> list_allow() const override;
  Result<Counters> counters() const override;

 private:
  struct Copies;
  template <typename Use>  // void(NativeLists&, bool first)
  void on_both(Use use) const;

  std::unique_ptr<Copies> copies_;
  mutable std::atomic<int> current_{0};
  std::atomic<bool> connected_{false};
  std::vector<std::unique_ptr<Judge>> judges_;
};

}  // namespace weir::datapath
