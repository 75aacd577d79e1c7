// SPDX-License-Identifier: BSD-2-Clause
/// Blocks of the busiest sources as drop rules in the NIC, so that what they send costs no CPU. It
/// stands between the enforcer and the datapath: a `Datapath` that says of a block what both know.
///
/// Which     A block goes on holding in software, whatever happens here. Once in `kPass` the blocks
///           that were hit most since the last time get rules: sources and networks, of WAN's side,
///           never one that a prefix of the allowlist touches (a NIC knows no allowlist), nor a
///           victim's (its ports change). A source that falls silent is not hit, and has none.
/// What      Scope ssdp: UDP from and to each steered port, two rules a port; what only its start
///           line makes SSDP comes up as before. Scope all: all that the source sends.
/// Bounds    `rules_max` rules, `kChanges` changes of the NIC a pass. When all rules are in use, a
///           block that is hit twice as often takes the place of the least hit one. What the NIC
///           refuses ends the additions for `kPause`, but for a kind of rule that it takes beside
///           no other: that is not asked for again.
/// Removed   before the block expires, when it was not hit for `kQuiet` passes, and, before the call
///           that orders it returns: when the block is removed, or replaced by a person, or an
///           allowed prefix touches it. All at the end; of a process that was killed, by the kernel,
///           which resets the device.
/// Hits      By the rules' own counters, as of the last pass, added to the block's. Where the NIC
///           has none, a rule is taken back after `kQuiet` passes: whether its source still sends
///           is seen again in software.
/// Threads   `Datapath` as it says, by one thread at a time; a thread of its own for passes;
///           `nic_counters` by anyone. A change of a table waits for one rule at most.
/// Errors    none of the NIC's is one of a call: they are said, at most once a minute.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "datapath/datapath.h"
#include "io/poll_device.h"

namespace weir::control {

struct DropMirrorConfig {
  std::uint32_t rules_max = 512;
  std::vector<std::uint16_t> udp_ports;  ///< that are steered
  bool all_ports = false;
  std::function<void(const std::string& line)> log;
};

struct DropMirrorCounters {
  std::size_t rules = 0;   ///< in the NIC now
  std::size_t blocks = 0;  ///< that have rules
  std::uint64_t added = 0, refused = 0;
  std::uint64_t hit_packets = 0, hit_bytes = 0;  ///< by all rules there ever were
};

class DropMirror final : public datapath::Datapath {
 public:
  static constexpr Nanoseconds kPass = std::chrono::seconds(1);
  static constexpr Nanoseconds kPause = std::chrono::seconds(10);
  static constexpr unsigned kQuiet = 10;
  static constexpr std::size_t kChanges = 256;
  /// Hits in a pass that are worth a rule: less is no load.
  static constexpr std::uint64_t kWorth = 16;

  /// Asks the device what it takes; both outlive this. No rule is made before the first pass.
  DropMirror(datapath::Datapath& datapath, io::PollDevices& devices, DropMirrorConfig config);
  ~DropMirror() override;  ///< ends the thread, takes all rules back
  DropMirror(const DropMirror&) = delete;
  DropMirror& operator=(const DropMirror&) = delete;

  /// Empty where the device takes rules; else why not.
  [[nodiscard]] const std::string& refusal() const noexcept { return refusal_; }
  /// What it takes rules for, in words: "sources and networks, IPv4 and IPv6".
  [[nodiscard]] const std::string& kinds() const noexcept { return kinds_; }

  /// Passes from here on, on a thread of its own. Not where the device takes no rules.
  void start();
  /// One pass: the thread's, or a test's in its stead.
  void pass(PacketTime now);

  [[nodiscard]] DropMirrorCounters nic_counters() const;

  /// A change of the datapath that is none of a `Datapath`'s: by the thread of its changes, while no
  /// pass looks at it.
  void alone(const std::function<void()>& change);

  Result<std::size_t> add_blocks(std::span<const datapath::Block> blocks) override;
  Result<std::size_t> remove_blocks(std::span<const datapath::BlockKey> blocks) override;
  Result<std::vector<datapath::Block>> list_blocks() const override;
  Status add_allow(const Prefix& prefix) override;
  Result<bool> remove_allow(const Prefix& prefix) override;
  Result<std::vector<Prefix>> list_allow() const override;
  Result<datapath::Counters> counters() const override;

 private:
  struct Entry {
    std::vector<io::DropRule> rules;
    io::DropHits hits;         // of all of them, as of the last pass
    std::uint64_t recent = 0;  // packets in the last pass
    std::uint32_t scope = 0;
    unsigned quiet = 0;  // passes without a hit, or, uncounted, of any
    bool counted = true;
  };
  struct Wanted {
    datapath::Block block;
    std::uint64_t recent = 0;
  };
  struct Hash {
    std::uint64_t seed = 0;
    std::size_t operator()(const datapath::BlockKey& block) const noexcept {
      return block.hash(seed);
    }
  };
  using Kinds = std::array<std::array<std::array<bool, 4>, 2>, 2>;  // family, network, what
  template <typename Value>
  using ByBlock = std::unordered_map<datapath::BlockKey, Value, Hash>;

  void run();
  void probe();
  std::vector<io::DropMatch> matches(const datapath::BlockKey& key, std::uint32_t scope);
  static bool& of_kind(Kinds& kinds, const io::DropMatch& match) noexcept;
  std::vector<Wanted> look(std::span<const datapath::Block> blocks,
                           const std::vector<Prefix>& allow, PacketTime now);
  void count_hits(Entry& entry);
  void retire(std::span<const datapath::Block> blocks, PacketTime now);
  void add_wanted(std::vector<Wanted>& wanted, std::uint64_t changes, PacketTime now);
  bool make_room(const Wanted& wanted, std::size_t rules);
  bool add(const datapath::Block& block);
  bool take_back(ByBlock<Entry>::iterator entry);
  template <typename Is>  // bool(const BlockKey&)
  void take_back_if(Is is);
  void say(const std::string& what);

  datapath::Datapath& datapath_;
  io::PollDevices& devices_;
  const DropMirrorConfig config_;
  std::string refusal_, kinds_;
  Kinds takes_{}, added_{};  // what the device takes, as far as is known; what it has ever taken

  /// Of the inner tables, which one thread may use at a time. Never held together with the other.
  mutable std::mutex tables_;
  /// Counts what may make a rule wrong that a pass has in mind.
  std::atomic<std::uint64_t> changes_{0};

  mutable std::mutex nic_;  // of these, and of the device's rules; a pass holds it for one block
  ByBlock<Entry> entries_;
  ByBlock<io::DropHits> earlier_;  // of rules that were taken back, while the block stands
  DropMirrorCounters counters_;
  std::size_t changed_ = 0;  // in this pass
  PacketTime said_{};

  // A pass's own:
  ByBlock<std::uint64_t> seen_;  // software's hits at the last one
  PacketTime paused_until_{};

  std::mutex sleep_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace weir::control
