// SPDX-License-Identifier: BSD-2-Clause
/// Block- and allowlist in kernel maps: what `Kernel` does with them whether it loaded a program or
/// only opened pins.
///
/// Shape     the maps hold the truth; beside them stands what this process knows of each block (its
///           scope), so that the counts of `weir_control` stay exact without asking the kernel for
///           each address.
/// Order     `weir_control` is raised before a block is added and lowered after one is removed: the
///           program never skips a look-up that would have hit.
/// Owner     `Kernel`.
/// Threads   one at a time.
#pragma once

#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "datapath/datapath.h"

namespace weir::datapath {

/// Memory of a BPF_F_MMAPABLE array, shared with the program.
class MappedArray {
 public:
  MappedArray() noexcept = default;
  static Result<MappedArray> map(int map_fd, std::size_t bytes, const char* name);
  MappedArray(MappedArray&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
  MappedArray& operator=(MappedArray&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedArray();
  template <typename T>
  [[nodiscard]] T* as() const noexcept {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The maps that outlive a program: names as in bpf/maps.h.
struct ListMaps {
  Fd block4, block6, allow4, allow6, control;
  Fd counters, redirect_errors;  ///< none where no program is attached
};

/// Seeded, so that nobody can choose addresses that collide.
struct SeededHash {
  std::uint64_t seed = 0;
  std::size_t operator()(const BlockKey& block) const noexcept { return block.hash(seed); }
};

class KernelTables {
 public:
  /// Reads what is in the maps, and makes the control value agree with it.
  static Result<KernelTables> open(ListMaps maps);

  Result<std::size_t> add_blocks(std::span<const Block> blocks);
  Result<std::size_t> remove_blocks(std::span<const BlockKey> blocks);
  [[nodiscard]] Result<std::vector<Block>> list_blocks() const;
  Status add_allow(const Prefix& prefix);
  Result<bool> remove_allow(const Prefix& prefix);
  [[nodiscard]] Result<std::vector<Prefix>> list_allow() const;
  [[nodiscard]] Result<Counters> counters() const;

  [[nodiscard]] std::size_t blocks() const noexcept { return scopes_.size(); }

 private:
  /// One family's part of `add_blocks`; returns how many the kernel took.
  Result<std::size_t> add_family(std::span<const Block* const> blocks, bool six);
  void publish(std::uint32_t blocks_all) noexcept;

  ListMaps maps_;
  MappedArray control_;
  std::unordered_map<BlockKey, std::uint32_t, SeededHash> scopes_;  // every block's scope
  std::array<std::uint32_t, 2> sizes_{};                            // blocks by family
  std::array<std::uint32_t, 3> targets_{};                          // and by weir_target
  std::array<std::uint32_t, 2> sizes_max_{};
  std::uint32_t blocks_all_ = 0;
};

}  // namespace weir::datapath
