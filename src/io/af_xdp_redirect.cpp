// SPDX-License-Identifier: BSD-2-Clause
#include "io/af_xdp_redirect.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "../../bpf/abi.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/netlink.h"
#include "send.skel.h"

namespace weir::io {
namespace {

/// As many at a time, then the peer's poll has its turn: a veth's ring has 256 places.
constexpr std::uint32_t kAtOnce_frames = 64;
/// A call that waits for all CPUs takes ten times as long and more; one that does not, a tenth.
constexpr Nanoseconds kCallAtMost{1'000'000};
constexpr int kProbes = 8;
const std::string kHolder = "weir0";  // the interface that the program is attached to
static_assert(std::has_single_bit(std::uint32_t{WEIR_SEND_MAX}));

/// A map's memory, as the kernel sees it.
template <typename Entry>
class MappedMap {
 public:
  MappedMap() = default;
  MappedMap(const MappedMap&) = delete;
  MappedMap& operator=(const MappedMap&) = delete;
  ~MappedMap() {
    if (entries_ != nullptr) munmap(entries_, bytes_);
  }
  Status map(int fd, std::uint32_t entries) {
    bytes_ = entries * sizeof(Entry);
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) return fail_errno("map frames to be redirected", errno);
    entries_ = static_cast<Entry*>(memory);
    return {};
  }
  Entry& operator[](std::size_t i) noexcept { return entries_[i]; }

 private:
  Entry* entries_ = nullptr;
  std::size_t bytes_ = 0;
};

class LiveFrames final : public RedirectTx {
 public:
  explicit LiveFrames(std::uint32_t channels) : channels_(channels) {}
  ~LiveFrames() override { send_bpf__destroy(skeleton_); }

  Status open(const std::array<std::string, kSides>& interfaces);
  Sent send(std::uint32_t channel, Side side,
            std::span<const packet::Frame> frames) noexcept override;

 private:
  Status keep_attached();
  Status probe();
  /// 0, or the errno, which may come after some frames.
  int run(std::uint32_t channel, Side side, std::size_t frames) noexcept;

  const std::uint32_t channels_;
  std::array<std::uint32_t, kSides> ifindex_{};
  send_bpf* skeleton_ = nullptr;
  int program_ = -1;
  MappedMap<weir_outgoing> outgoing_;
  MappedMap<weir_send_turn> turns_;
  Fd namespace_, link_;  // where the program is attached
};

Status LiveFrames::open(const std::array<std::string, kSides>& interfaces) {
  skeleton_ = send_bpf__open();
  if (skeleton_ == nullptr) return fail_errno("open the program that redirects frames", errno);
  for (const Side side : {Side::wan, Side::lan}) {
    const std::string& name = interfaces[index(side)];
    ifindex_[index(side)] = if_nametoindex(name.c_str());
    if (ifindex_[index(side)] == 0) return fail_errno(fmt::format("interface '{}'", name), errno);
    skeleton_->rodata->weir_ifindex[index(side)] = ifindex_[index(side)];
  }
  const std::uint32_t frames = channels_ * WEIR_SEND_MAX;
  bpf_map__set_max_entries(skeleton_->maps.outgoing, frames);
  if (const int error = -send_bpf__load(skeleton_); error != 0)
    return fail_errno("load the program that redirects frames (Linux 5.18)", error);
  program_ = bpf_program__fd(skeleton_->progs.send);
  for (const Side side : {Side::wan, Side::lan}) {
    const auto key = static_cast<std::uint32_t>(index(side));
    if (bpf_map_update_elem(bpf_map__fd(skeleton_->maps.peers), &key, &ifindex_[index(side)],
                            BPF_ANY) != 0)
      return fail_errno(fmt::format("redirect to '{}'", interfaces[index(side)]), errno);
  }
  WEIR_TRY(outgoing_.map(bpf_map__fd(skeleton_->maps.outgoing), frames));
  WEIR_TRY(turns_.map(bpf_map__fd(skeleton_->maps.turns), WEIR_CHANNELS_MAX));
  WEIR_TRY(keep_attached());
  return probe();
}

/// In the namespace of the calling thread.
Status make_holder() {
  ifinfomsg link{};
  link.ifi_family = AF_UNSPEC;
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, link);
  request.add(IFLA_IFNAME, kHolder);
  const auto info = request.begin(IFLA_LINKINFO);
  request.add(IFLA_INFO_KIND, std::string("veth"));
  request.end(info);
  if (const int error = request.send(); error != 0) return fail_errno("make a veth", error);
  return {};
}

Status LiveFrames::keep_attached() try {
  Status attached;
  const auto attach = [this]() -> Status {
    if (unshare(CLONE_NEWNET) != 0)
      return fail_errno("make a network namespace (CAP_SYS_ADMIN)", errno);
    namespace_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!namespace_) return fail_errno("open a network namespace", errno);
    WEIR_TRY(make_holder());
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    link_ = Fd(bpf_link_create(program_, static_cast<int>(if_nametoindex(kHolder.c_str())), BPF_XDP,
                               &options));
    if (!link_) return fail_errno("attach the program that redirects frames", errno);
    return {};
  };
  std::thread inside([&] { attached = attach(); });  // a namespace is a thread's
  inside.join();
  return attached;
} catch (const std::system_error& error) {
  return fail(fmt::format("start a thread: {}", error.what()));
}

/// Empty frames, which the program lets go of.
Status LiveFrames::probe() {
  outgoing_[0].length = outgoing_[1].length = 0;
  Nanoseconds least = Nanoseconds::max();
  for (int i = 0; i < kProbes; ++i) {
    const PacketTime before = monotonic_now();
    turns_[0].next = 0;
    if (const int error = run(0, Side::lan, 2); error != 0)
      return fail_errno("run the program that redirects on live frames (Linux 5.18)", error);
    least = std::min(least, monotonic_now() - before);
  }
  if (least <= kCallAtMost) return {};
  return fail(fmt::format("this kernel takes {} us for each call that redirects frames",
                          least.count() / 1'000));
}

int LiveFrames::run(std::uint32_t channel, Side side, std::size_t frames) noexcept {
  static constexpr std::array<std::uint8_t, WEIR_SEND_BLANK_BYTES + WEIR_CHANNELS_MAX> kBlank{};
  const std::uint32_t blank_bytes = WEIR_SEND_BLANK_BYTES + channel;  // tells the channel
  xdp_md context{};
  context.data_end = blank_bytes;
  context.ingress_ifindex = ifindex_[index(opposite(side))];
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = kBlank.data(), .data_size_in = blank_bytes,
              .ctx_in = &context, .ctx_size_in = sizeof context, .repeat = static_cast<int>(frames),
              .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = kAtOnce_frames);
  return -bpf_prog_test_run_opts(program_, &options);
}

RedirectTx::Sent LiveFrames::send(std::uint32_t channel, Side side,
                                  std::span<const packet::Frame> frames) noexcept {
  WEIR_DCHECK(channel < channels_);
  weir_outgoing* const room = &outgoing_[std::size_t{channel} * WEIR_SEND_MAX];
  std::uint32_t n = 0;
  for (const packet::Frame& frame :
       frames.first(std::min<std::size_t>(frames.size(), WEIR_SEND_MAX))) {
    if (frame.length < WEIR_SEND_LEAST_BYTES || frame.length > WEIR_SEND_MOST_BYTES) break;
    room[n].length = frame.length;
    std::memcpy(room[n++].data, frame.data, frame.length);
  }
  weir_send_turn& turn = turns_[channel];
  turn.next = 0;
  turn.refused = 0;
  Sent sent;
  // A signal ends a call between two frames: what it has not come to is the next one's.
  while (sent.frames < n) {
    run(channel, side, n - sent.frames);
    ++sent.calls;
    const std::size_t before = sent.frames;
    sent.frames = std::min(__atomic_load_n(&turn.next, __ATOMIC_ACQUIRE), n);
    if (sent.frames == before) break;
  }
  sent.refused =
      std::min<std::size_t>(__atomic_load_n(&turn.refused, __ATOMIC_ACQUIRE), sent.frames);
  return sent;
}

}  // namespace

Result<std::unique_ptr<RedirectTx>> RedirectTx::make(
    const std::array<std::string, kSides>& interfaces, std::uint32_t channels) {
  WEIR_CHECK(channels > 0 && channels <= WEIR_CHANNELS_MAX);
  auto made = std::make_unique<LiveFrames>(channels);
  WEIR_TRY(made->open(interfaces));
  return made;
}

}  // namespace weir::io
