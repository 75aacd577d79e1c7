// SPDX-License-Identifier: BSD-2-Clause
#include "generator.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/clock.h"
#include "generator.skel.h"
#include "layout.h"
#include "packet/headers.h"

namespace weir::perf {

namespace {

// The kernel's own batch is 64 frames where none is named; larger ones overfill a veth ring of 256.
constexpr std::uint32_t kBatch = 64;
// One system call at most: about 10 ms at full rate, so that a caller's stop is heard.
constexpr std::uint64_t kCall_packets = 65'536;
// The page that is handed in; where frames differ in length, the program cuts each to its own.
constexpr std::uint32_t kPage_bytes = GENERATOR_LENGTH_MAX;

void sleep_until(std::uint64_t ns) noexcept {
  const timespec until{static_cast<time_t>(ns / 1'000'000'000),
                       static_cast<long>(ns % 1'000'000'000)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == EINTR) {
  }
}

Result<std::uint32_t> tx_queues(const std::string& interface) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  interface.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const bool told = ioctl(socket, SIOCETHTOOL, &request) == 0;
  const int error = errno;
  close(socket);
  if (!told)
    return fail_errno(fmt::format("generator: count the queues of '{}'", interface), error);
  return std::max(1U, channels.tx_count + channels.combined_count);
}

Result<stream> lay_out(const Stream& from, std::size_t number) {
  stream to{};
  const std::size_t length = from.frame.size() + (from.stamped ? sizeof(stamp) : 0);
  if (from.frame.size() < 14 || length > GENERATOR_LENGTH_MAX)
    return fail(fmt::format("stream {}: a frame of {} bytes; 14 to {} are possible", number,
                            from.frame.size(), GENERATOR_LENGTH_MAX - sizeof(stamp)));
  if (from.flow >= GENERATOR_STREAMS)
    return fail(
        fmt::format("stream {}: flow {} is not below {}", number, from.flow, GENERATOR_STREAMS));
  std::copy(from.frame.begin(), from.frame.end(), to.bytes);
  to.length = static_cast<std::uint32_t>(length);
  to.sources = std::max(1U, from.sources);
  to.stamped = from.stamped ? 1 : 0;
  to.flow = from.flow;
  if (to.sources == 1) return to;

  const packet::Headers headers = packet::parse(from.frame);
  if (headers.kind != WEIR_KIND_udp)
    return fail(fmt::format("stream {}: sources vary in UDP frames only", number));
  to.address_offset = headers.source_offset + (headers.family == 6 ? 12U : 0U);
  const std::uint8_t* at = from.frame.data() + to.address_offset;
  to.address = (std::uint32_t{at[0]} << 24U) | (std::uint32_t{at[1]} << 16U) |
               (std::uint32_t{at[2]} << 8U) | at[3];
  if (headers.family == 4) to.ip_check_offset = headers.l3_offset + 10U;
  const std::uint32_t udp_check = headers.l4_offset + 6U;
  if (from.frame[udp_check] != 0 || from.frame[udp_check + 1] != 0) to.l4_check_offset = udp_check;
  return to;
}

}  // namespace

struct Generator::Impl {
  generator_bpf* program = nullptr;
  bpf_link* parked = nullptr;
  int parking_fd = -1;
  unsigned ingress = 0;  // the interface that frames come in by, where they are spread; else 0
  std::vector<std::uint8_t> page = std::vector<std::uint8_t>(kPage_bytes);
  std::uint32_t handed_bytes = kPage_bytes;  // of it, to be a frame

  ~Impl() {
    bpf_link__destroy(parked);
    if (parking_fd >= 0) close(parking_fd);
    generator_bpf__destroy(program);
  }

  // A test run puts its program into the kernel's XDP dispatcher and takes it out again, and waits
  // for an RCU grace period each time: 25 ms a call. A program that is attached somewhere is in
  // there for good, so it is parked on the loopback of a namespace that nobody else has: 0.1 ms.
  Status park() {
    const int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0 || unshare(CLONE_NEWNET) != 0) {
      if (home >= 0) close(home);
      return fail_errno("generator: make a network namespace", errno);
    }
    parking_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    parked = bpf_program__attach_xdp(program->progs.generate, 1);
    const int error = errno;
    const int back = setns(home, CLONE_NEWNET);
    close(home);
    if (back != 0) return fail_errno("generator: return to the network namespace", errno);
    if (parked == nullptr) return fail_errno("generator: park the program", error);
    return {};
  }

  // The qdisc and its filter go with the interface.
  Status spread(unsigned ifindex) {
    bpf_tc_hook hook{};
    hook.sz = sizeof hook;
    hook.ifindex = static_cast<int>(ifindex);
    hook.attach_point = BPF_TC_INGRESS;
    if (const int error = bpf_tc_hook_create(&hook); error != 0 && error != -EEXIST)
      return fail_errno("generator: make a clsact qdisc", -error);
    bpf_tc_opts options{};
    options.sz = sizeof options;
    options.prog_fd = bpf_program__fd(program->progs.spread);
    if (const int error = bpf_tc_attach(&hook, &options); error != 0)
      return fail_errno("generator: attach what spreads frames", -error);
    ingress = ifindex;
    return {};
  }

  Status run(std::uint64_t packets) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = page.data();
    options.data_size_in = handed_bytes;
    options.repeat = static_cast<int>(packets);
    options.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
    options.batch_size = kBatch;
    xdp_md context{};
    if (ingress != 0) {
      context.data_end = options.data_size_in;
      context.ingress_ifindex = ingress;
      options.ctx_in = &context;
      options.ctx_size_in = sizeof context;
    }
    const std::uint64_t before = program->bss->position;
    const int error = bpf_prog_test_run_opts(bpf_program__fd(program->progs.generate), &options);
    if (error != 0) return fail_errno("run the generator's program", -error);
    if (const std::uint64_t made = program->bss->position - before; made != packets)
      return fail(fmt::format("the generator made {} of {} frames", made, packets));
    return {};
  }
};

Generator::Generator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Generator::~Generator() = default;

Result<std::unique_ptr<Generator>> Generator::create(const std::string& interface, bool spread) {
  const unsigned ifindex = if_nametoindex(interface.c_str());
  if (ifindex == 0) return fail_errno(fmt::format("generator: interface '{}'", interface), errno);
  auto impl = std::make_unique<Impl>();
  impl->program = generator_bpf__open();
  if (impl->program == nullptr) return fail_errno("open the generator's program", errno);
  if (spread) {
    WEIR_ASSIGN(impl->program->rodata->spreads, tx_queues(interface));
  }
  if (const int error = generator_bpf__load(impl->program); error != 0)
    return fail_errno("load the generator's program", -error);
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(bpf_map__fd(impl->program->maps.port), &key, &ifindex, BPF_ANY) != 0)
    return fail_errno(fmt::format("generator: send out of '{}'", interface), errno);
  WEIR_TRY(impl->park());
  if (spread) WEIR_TRY(impl->spread(ifindex));
  return std::unique_ptr<Generator>(new Generator(std::move(impl)));
}

Status Generator::set(std::span<const Stream> streams, std::span<const std::uint8_t> schedule) {
  if (streams.empty() || streams.size() > GENERATOR_STREAMS)
    return fail(fmt::format("{} streams; 1 to {} are possible", streams.size(), GENERATOR_STREAMS));
  if (schedule.size() > GENERATOR_SCHEDULE)
    return fail(fmt::format("a schedule of {} slots; at most {} are possible", schedule.size(),
                            GENERATOR_SCHEDULE));
  std::uint32_t shortest = kPage_bytes, longest = 0;
  for (std::uint32_t i = 0; i < streams.size(); ++i) {
    WEIR_ASSIGN(const stream laid_out, lay_out(streams[i], i));
    shortest = std::min(shortest, laid_out.length);
    longest = std::max(longest, laid_out.length);
    if (bpf_map_update_elem(bpf_map__fd(impl_->program->maps.streams), &i, &laid_out, BPF_ANY) != 0)
      return fail_errno(fmt::format("set stream {}", i), errno);
  }
  impl_->handed_bytes = shortest == longest ? longest : kPage_bytes;
  auto& state = *impl_->program;
  for (std::size_t i = 0; i < schedule.size(); ++i) {
    if (schedule[i] >= streams.size())
      return fail(fmt::format("slot {} names stream {} of {}", i, schedule[i], streams.size()));
    state.bss->schedule[i] = schedule[i];
  }
  if (schedule.empty())
    for (std::size_t i = 0; i < streams.size(); ++i)
      state.bss->schedule[i] = static_cast<std::uint8_t>(i);
  state.data->schedule_length =
      static_cast<std::uint32_t>(schedule.empty() ? streams.size() : schedule.size());
  state.bss->slot = 0;
  state.bss->position = 0;
  std::fill(std::begin(state.bss->sent), std::end(state.bss->sent), 0);
  return {};
}

Status Generator::send(std::uint64_t packets, double packets_per_s) {
  if (packets_per_s <= 0) {
    for (std::uint64_t left = packets; left > 0;) {
      const std::uint64_t now = std::min(left, kCall_packets);
      WEIR_TRY(impl_->run(now));
      left -= now;
    }
    return {};
  }
  // At most a batch a time, and about a millisecond's worth: a pace is kept by sleeping in between.
  const auto chunk =
      static_cast<std::uint64_t>(std::clamp(packets_per_s / 1000, 1.0, double{kBatch}));
  const std::uint64_t start = monotonic_now().ns;
  for (std::uint64_t done = 0; done < packets;) {
    sleep_until(start +
                static_cast<std::uint64_t>(static_cast<double>(done) / packets_per_s * 1e9));
    const std::uint64_t now = std::min(chunk, packets - done);
    WEIR_TRY(impl_->run(now));
    done += now;
  }
  return {};
}

std::uint64_t Generator::sent(std::size_t index) const noexcept {
  return index < GENERATOR_STREAMS ? impl_->program->bss->sent[index] : 0;
}

}  // namespace weir::perf
