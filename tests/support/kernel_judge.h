// SPDX-License-Identifier: BSD-2-Clause
/// What the loaded XDP program does with a frame: BPF_PROG_TEST_RUN, and the counters before and
/// after.
///
/// Needs     root, and the thread inside the namespace of the interfaces (ingress numbers are
///           looked up there).
/// Errors    an unexpected failure aborts the test program (`WEIR_CHECK`).
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datapath/kernel.h"

namespace weir::test {

/// Ids of the maps of a loaded program, and its info.
struct ProgramInfo {
  explicit ProgramInfo(int program_fd) {
    bpf_prog_info counted{};
    std::uint32_t bytes = sizeof counted;
    WEIR_CHECK(bpf_obj_get_info_by_fd(program_fd, &counted, &bytes) == 0);
    map_ids.resize(counted.nr_map_ids);
    info.nr_map_ids = counted.nr_map_ids;
    info.map_ids = reinterpret_cast<std::uint64_t>(map_ids.data());
    bytes = sizeof info;
    WEIR_CHECK(bpf_obj_get_info_by_fd(program_fd, &info, &bytes) == 0);
  }
  /// A descriptor of the map with this name.
  [[nodiscard]] int open_map(const std::string& name) const {
    for (const std::uint32_t id : map_ids) {
      const int fd = bpf_map_get_fd_by_id(id);
      bpf_map_info map{};
      std::uint32_t bytes = sizeof map;
      WEIR_CHECK(fd >= 0 && bpf_obj_get_info_by_fd(fd, &map, &bytes) == 0);
      if (name == map.name) return fd;
      ::close(fd);
    }
    return -1;
  }
  bpf_prog_info info{};
  std::vector<std::uint32_t> map_ids;
};

class KernelJudge {
 public:
  struct Judged {
    std::uint32_t action = 0;  ///< XDP_PASS, XDP_DROP, XDP_REDIRECT, ...
    datapath::Outcome outcome{};
    std::uint64_t bytes = 0;  ///< that the outcome's counter rose by
  };

  KernelJudge(int program_fd, const std::array<std::string, kSides>& interfaces)
      : program_fd_(program_fd),
        counters_fd_(ProgramInfo(program_fd).open_map("counters")),
        cpus_(static_cast<std::size_t>(libbpf_num_possible_cpus())),
        before_(kSlots),
        raw_(kSlots * cpus_) {
    for (std::size_t side = 0; side < kSides; ++side)
      if (!interfaces[side].empty()) ifindex_[side] = if_nametoindex(interfaces[side].c_str());
    WEIR_CHECK(counters_fd_ >= 0);
    before_ = read();
  }
  ~KernelJudge() { ::close(counters_fd_); }
  KernelJudge(const KernelJudge&) = delete;
  KernelJudge& operator=(const KernelJudge&) = delete;

  /// `frame` has at least the 14 bytes that the kernel asks for. Exactly one counter must have
  /// risen, by one packet, on the frame's side.
  Judged operator()(std::span<const std::uint8_t> frame, Side side) {
    xdp_md context{};
    context.data_end = static_cast<std::uint32_t>(frame.size());
    context.ingress_ifindex = ifindex_[index(side)];
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
                .data_size_in = static_cast<std::uint32_t>(frame.size()), .ctx_in = &context,
                .ctx_size_in = sizeof context, .repeat = 1);
    WEIR_CHECK(bpf_prog_test_run_opts(program_fd_, &options) == 0);
    const std::vector<weir_counter> after = read();
    std::optional<Judged> judged;
    for (std::uint32_t key = 0; key < kSlots; ++key) {
      const std::uint64_t rose = after[key].packets - before_[key].packets;
      if (rose == 0) continue;
      WEIR_CHECK(rose == 1 && !judged && key / WEIR_OUTCOME_SLOTS == index(side));
      judged = Judged{options.retval, static_cast<datapath::Outcome>(key % WEIR_OUTCOME_SLOTS),
                      after[key].bytes - before_[key].bytes};
    }
    WEIR_CHECK(judged.has_value());
    before_ = after;
    return *judged;
  }

 private:
  static constexpr std::uint32_t kSlots = 2 * WEIR_OUTCOME_SLOTS;

  std::vector<weir_counter> read() {
    std::array<std::uint32_t, kSlots> keys{};
    std::uint32_t position = 0;
    std::uint32_t count = kSlots;
    // ENOENT: that was the last of them.
    if (bpf_map_lookup_batch(counters_fd_, nullptr, &position, keys.data(), raw_.data(), &count,
                             nullptr) != 0 &&
        errno != ENOENT)  // a kernel before 5.14 knows no batches of this kind of map
      for (count = 0; count < kSlots; ++count) {
        keys[count] = count;
        WEIR_CHECK(bpf_map_lookup_elem(counters_fd_, &keys[count], &raw_[count * cpus_]) == 0);
      }
    WEIR_CHECK(count == kSlots);
    std::vector<weir_counter> sums(kSlots);
    for (std::size_t i = 0; i < kSlots; ++i)
      for (std::size_t cpu = 0; cpu < cpus_; ++cpu) {
        sums[keys[i]].packets += raw_[i * cpus_ + cpu].packets;
        sums[keys[i]].bytes += raw_[i * cpus_ + cpu].bytes;
      }
    return sums;
  }

  int program_fd_;
  int counters_fd_;
  std::size_t cpus_;
  std::array<std::uint32_t, kSides> ifindex_{};
  std::vector<weir_counter> before_;
  std::vector<weir_counter> raw_;
};

/// The XDP action that an outcome asks for.
inline std::uint32_t action_of(datapath::Outcome outcome, bool host_mode) {
  switch (datapath::effect(outcome)) {
    case datapath::Effect::peer:
      return host_mode ? XDP_PASS : XDP_REDIRECT;
    case datapath::Effect::socket:
      return XDP_REDIRECT;
    case datapath::Effect::drop:
      return XDP_DROP;
  }
  return XDP_ABORTED;
}

}  // namespace weir::test
