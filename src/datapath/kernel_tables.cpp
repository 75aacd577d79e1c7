// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/kernel_tables.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/seed.h"

namespace weir::datapath {

namespace {

// Blocks a system call: the kernel takes them in one lock-free walk; more would only hold more
// memory here.
constexpr std::size_t kBatch = 4096;

// How old kernels say that a map knows no batches: ENOTSUPP is the kernel's own, without a name in
// userspace.
bool knows_no_batches(int error) noexcept {
  return error == EINVAL || error == EOPNOTSUPP || error == 524;
}

weir_key4 key4(const BlockKey& block) noexcept {
  return {block.address.as_v4().wire(), block.target};
}
weir_key6 key6(const BlockKey& block) noexcept {
  weir_key6 key{};
  std::memcpy(key.address, block.address.bytes().data(), sizeof key.address);
  key.target = block.target;
  return key;
}
BlockKey from_key(const weir_key4& key) noexcept {
  return {Address::v4(be32::from_wire(key.address)), static_cast<weir_target>(key.target)};
}
BlockKey from_key(const weir_key6& key) noexcept {
  return {Address::v6(key.address), static_cast<weir_target>(key.target)};
}

weir_prefix4 prefix4(const Prefix& prefix) noexcept {
  return {prefix.length(), prefix.address().as_v4().wire()};
}
weir_prefix6 prefix6(const Prefix& prefix) noexcept {
  weir_prefix6 key{};
  key.length = prefix.length();
  std::memcpy(key.address, prefix.address().bytes().data(), sizeof key.address);
  return key;
}

/// Writes `keys` and `values` into a map: in batches, or one by one where the kernel has none.
/// Returns how many were written; errno tells why not all.
template <typename Key>
std::size_t write_all(int fd, const std::vector<Key>& keys, const std::vector<weir_block>& values) {
  std::size_t done = 0;
  while (done < keys.size()) {
    auto count = static_cast<std::uint32_t>(std::min(kBatch, keys.size() - done));
    if (bpf_map_update_batch(fd, &keys[done], &values[done], &count, nullptr) != 0) {
      // Out of memory it has not begun, and has left `count` alone.
      if (!knows_no_batches(errno)) return errno == ENOMEM ? done : done + count;
      break;
    }
    done += count;
  }
  for (; done < keys.size(); ++done)
    if (bpf_map_update_elem(fd, &keys[done], &values[done], BPF_ANY) != 0) break;
  return done;
}

/// Appends all of one family's blocks.
template <typename Key>
Status read_all(int fd, std::vector<Block>& list) {
  std::vector<Key> keys(kBatch);
  std::vector<weir_block> values(kBatch);
  std::uint32_t position = 0;
  bool first = true;
  while (true) {
    auto count = static_cast<std::uint32_t>(keys.size());
    const int result = bpf_map_lookup_batch(fd, first ? nullptr : &position, &position, keys.data(),
                                            values.data(), &count, nullptr);
    if (result != 0 && errno == ENOSPC) {  // a bucket longer than the batch
      keys.resize(keys.size() * 2);
      values.resize(values.size() * 2);
      continue;
    }
    if (result != 0 && errno != ENOENT) return fail_errno("read the kernel's blocklist", errno);
    for (std::uint32_t i = 0; i < count; ++i) {
      const BlockKey key = from_key(keys[i]);
      list.push_back({key.address, values[i], key.target});
    }
    if (result != 0) return {};
    first = false;
  }
}

template <typename Key, typename Visit>
Status each_key(int fd, Visit visit) {
  Key key{};
  for (bool first = true; bpf_map_get_next_key(fd, first ? nullptr : &key, &key) == 0;
       first = false)
    visit(key);
  if (errno != ENOENT) return fail_errno("read the kernel's allowlist", errno);
  return {};
}

/// Whether the block makes the program look up what is not steered.
bool is_all(const BlockKey& block, std::uint32_t scope) noexcept {
  return block.target == WEIR_TARGET_source && scope == WEIR_SCOPE_all;
}

Result<std::uint32_t> max_entries(int fd) {
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  if (bpf_obj_get_info_by_fd(fd, &info, &bytes) != 0)
    return fail_errno("ask for the size of the blocklist", errno);
  return info.max_entries;
}

}  // namespace

Result<MappedArray> MappedArray::map(int map_fd, std::size_t bytes, const char* name) {
  MappedArray array;
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);
  if (memory == MAP_FAILED) return fail_errno(fmt::format("map '{}' into memory", name), errno);
  array.memory_ = memory;
  array.bytes_ = bytes;
  return array;
}

MappedArray::~MappedArray() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

Result<KernelTables> KernelTables::open(ListMaps maps) {
  KernelTables tables;
  tables.maps_ = std::move(maps);
  WEIR_ASSIGN(tables.control_,
              MappedArray::map(tables.maps_.control.get(), sizeof(weir_control), "control"));
  WEIR_ASSIGN(tables.sizes_max_[0], max_entries(tables.maps_.block4.get()));
  WEIR_ASSIGN(tables.sizes_max_[1], max_entries(tables.maps_.block6.get()));
  tables.scopes_ = decltype(scopes_)(0, SeededHash{random_seed()});
  WEIR_ASSIGN(const std::vector<Block> blocks, tables.list_blocks());
  for (const Block& block : blocks) {
    tables.scopes_[block.key()] = block.value.scope;
    ++tables.sizes_[block.source.is_v4() ? 0 : 1];
    ++tables.targets_[block.target];
    tables.blocks_all_ += is_all(block.key(), block.value.scope) ? 1 : 0;
  }
  WEIR_ASSIGN(const std::vector<Prefix> prefixes, tables.list_allow());
  auto* control = tables.control_.as<weir_control>();
  std::atomic_ref(control->allow_count).store(static_cast<__u32>(prefixes.size()));
  tables.publish(tables.blocks_all_);
  return tables;
}

void KernelTables::publish(std::uint32_t blocks_all) noexcept {
  auto* control = control_.as<weir_control>();
  std::atomic_ref(control->blocks).store(targets_[WEIR_TARGET_source]);
  std::atomic_ref(control->networks).store(targets_[WEIR_TARGET_network]);
  std::atomic_ref(control->victims).store(targets_[WEIR_TARGET_victim]);
  std::atomic_ref(control->blocks_all).store(blocks_all);
}

Result<std::size_t> KernelTables::add_family(std::span<const Block* const> blocks, bool six) {
  std::vector<weir_key4> keys4;
  std::vector<weir_key6> keys6;
  std::vector<weir_block> values;
  for (const Block* block : blocks) {
    if (six)
      keys6.push_back(key6(block->key()));
    else
      keys4.push_back(key4(block->key()));
    values.push_back(block->value);
  }
  const std::size_t written = six ? write_all(maps_.block6.get(), keys6, values)
                                  : write_all(maps_.block4.get(), keys4, values);
  if (written == 0 && !blocks.empty())
    return fail_errno("write blocks into the kernel's blocklist", errno);
  return written;
}

Result<std::size_t> KernelTables::add_blocks(std::span<const Block> blocks) {
  std::array<std::vector<const Block*>, 2> accepted;
  std::array<std::vector<bool>, 2> is_new;
  std::uint32_t raised_all = blocks_all_;
  for (const Block& block : blocks) {
    const std::size_t family = block.source.is_v4() ? 0 : 1;
    const bool known = scopes_.contains(block.key());
    if (!known && sizes_[family] >= sizes_max_[family]) continue;
    if (!known) {
      scopes_[block.key()] = 0;  // counted; its scope follows when the kernel has it
      ++sizes_[family];
      ++targets_[block.target];
    }
    raised_all += is_all(block.key(), block.value.scope) ? 1 : 0;
    accepted[family].push_back(&block);
    is_new[family].push_back(!known);
  }
  publish(raised_all);

  std::size_t added = 0;
  Status error;
  for (const std::size_t family : {std::size_t{0}, std::size_t{1}}) {
    const Result<std::size_t> written = add_family(accepted[family], family == 1);
    if (!written) error = tl::unexpected<Error>(written.error());
    const std::size_t count = written.value_or(0);
    added += count;
    for (std::size_t i = 0; i < accepted[family].size(); ++i) {
      const Block& block = *accepted[family][i];
      if (i < count) {
        std::uint32_t& scope = scopes_[block.key()];
        blocks_all_ -= is_all(block.key(), scope) ? 1 : 0;
        blocks_all_ += is_all(block.key(), block.value.scope) ? 1 : 0;
        scope = block.value.scope;
      } else if (is_new[family][i]) {
        scopes_.erase(block.key());
        --sizes_[family];
        --targets_[block.target];
      }
    }
  }
  publish(blocks_all_);
  if (added == 0 && !error) return tl::unexpected<Error>(error.error());
  return added;
}

Result<std::size_t> KernelTables::remove_blocks(std::span<const BlockKey> blocks) {
  std::size_t removed = 0;
  for (const BlockKey& block : blocks) {
    const auto known = scopes_.find(block);
    if (known == scopes_.end()) continue;
    const bool is_v4 = block.address.is_v4();
    const weir_key4 four = is_v4 ? key4(block) : weir_key4{};
    const weir_key6 six = key6(block);
    const int result = is_v4 ? bpf_map_delete_elem(maps_.block4.get(), &four)
                             : bpf_map_delete_elem(maps_.block6.get(), &six);
    if (result != 0 && errno != ENOENT) {
      publish(blocks_all_);
      return fail_errno(fmt::format("remove the block of {}", block.address.text()), errno);
    }
    blocks_all_ -= is_all(block, known->second) ? 1 : 0;
    --sizes_[is_v4 ? 0 : 1];
    --targets_[block.target];
    scopes_.erase(known);
    removed += result == 0 ? 1 : 0;
  }
  publish(blocks_all_);
  return removed;
}

Result<std::vector<Block>> KernelTables::list_blocks() const {
  std::vector<Block> list;
  WEIR_TRY(read_all<weir_key4>(maps_.block4.get(), list));
  WEIR_TRY(read_all<weir_key6>(maps_.block6.get(), list));
  return list;
}

Status KernelTables::add_allow(const Prefix& prefix) {
  const bool four = prefix.address().is_v4();
  const int fd = four ? maps_.allow4.get() : maps_.allow6.get();
  const weir_prefix4 key_four = four ? prefix4(prefix) : weir_prefix4{};
  const weir_prefix6 key_six = prefix6(prefix);
  const void* key = four ? static_cast<const void*>(&key_four) : &key_six;
  const std::uint32_t value = 1;
  if (bpf_map_update_elem(fd, key, &value, BPF_NOEXIST) != 0) {
    if (errno == EEXIST) return {};
    if (errno == ENOSPC)
      return fail(fmt::format("allow {}: the allowlist is full; raise its limit or remove a prefix",
                              prefix.text()));
    return fail_errno(fmt::format("allow {}", prefix.text()), errno);
  }
  std::atomic_ref(control_.as<weir_control>()->allow_count).fetch_add(1);
  return {};
}

Result<bool> KernelTables::remove_allow(const Prefix& prefix) {
  const bool four = prefix.address().is_v4();
  const weir_prefix4 key_four = four ? prefix4(prefix) : weir_prefix4{};
  const weir_prefix6 key_six = prefix6(prefix);
  const int result = four ? bpf_map_delete_elem(maps_.allow4.get(), &key_four)
                          : bpf_map_delete_elem(maps_.allow6.get(), &key_six);
  if (result != 0 && errno == ENOENT) return false;
  if (result != 0) return fail_errno(fmt::format("no longer allow {}", prefix.text()), errno);
  std::atomic_ref(control_.as<weir_control>()->allow_count).fetch_sub(1);
  return true;
}

Result<std::vector<Prefix>> KernelTables::list_allow() const {
  std::vector<Prefix> list;
  WEIR_TRY(each_key<weir_prefix4>(maps_.allow4.get(), [&](const weir_prefix4& key) {
    list.emplace_back(Address::v4(be32::from_wire(key.address)), key.length);
  }));
  WEIR_TRY(each_key<weir_prefix6>(maps_.allow6.get(), [&](const weir_prefix6& key) {
    list.emplace_back(Address::v6(key.address), key.length);
  }));
  return list;
}

Result<Counters> KernelTables::counters() const {
  if (!maps_.counters || !maps_.redirect_errors)
    return fail("there are no counters: no program of weir is attached; start it with `weir run`");
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return fail_errno("count the CPUs", -cpus);
  std::vector<weir_counter> values(static_cast<std::size_t>(cpus));
  const auto sum = [&](int fd, std::uint32_t key, Counter& total) -> Status {
    if (bpf_map_lookup_elem(fd, &key, values.data()) != 0)
      return fail_errno("read the datapath's counters", errno);
    for (const weir_counter& value : values) {
      total.packets += value.packets;
      total.bytes += value.bytes;
    }
    return {};
  };
  Counters counters;
  for (std::uint32_t side = 0; side < kSides; ++side) {
#define WEIR_OUTCOME_SUM(number, name, effect, help)                                 \
  WEIR_TRY(sum(maps_.counters.get(), side* WEIR_OUTCOME_SLOTS + WEIR_OUTCOME_##name, \
               counters.outcomes[side][WEIR_OUTCOME_##name]));
    WEIR_OUTCOMES(WEIR_OUTCOME_SUM)
#undef WEIR_OUTCOME_SUM
  }
  for (std::uint32_t key = 0; key < WEIR_REDIRECT_ERROR_SLOTS; ++key)
    WEIR_TRY(sum(maps_.redirect_errors.get(), key, counters.redirect_errors[key]));
  return counters;
}

}  // namespace weir::datapath
