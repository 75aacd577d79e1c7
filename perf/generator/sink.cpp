// SPDX-License-Identifier: BSD-2-Clause
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <net/if.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "generator.h"
#include "layout.h"
#include "sink.skel.h"

namespace weir::perf {

namespace {

/// Values of an entry of a map that has one for each.
std::size_t cpus() noexcept {
  const int possible = libbpf_num_possible_cpus();
  WEIR_CHECK(possible > 0);
  return static_cast<std::size_t>(possible);
}

}  // namespace

struct Sink::Impl {
  sink_bpf* program = nullptr;
  bpf_link* link = nullptr;
  ring_buffer* ring = nullptr;
  std::vector<Recorded> recorded;

  ~Impl() {
    ring_buffer__free(ring);
    bpf_link__destroy(link);
    sink_bpf__destroy(program);
  }

  static int on_record(void* context, void* data, std::size_t size) {
    if (size < sizeof(::record)) return 0;
    const auto& from = *static_cast<const ::record*>(data);
    static_cast<Impl*>(context)->recorded.push_back(
        {{from.bytes, from.bytes + from.length}, from.time_ns, from.queue});
    return 0;
  }
};

Sink::Sink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sink::~Sink() = default;

Result<std::unique_ptr<Sink>> Sink::attach(const std::string& interface, bool pass_others) {
  const unsigned ifindex = if_nametoindex(interface.c_str());
  if (ifindex == 0) return fail_errno(fmt::format("sink: interface '{}'", interface), errno);
  auto impl = std::make_unique<Impl>();
  impl->program = sink_bpf__open();
  if (impl->program == nullptr) return fail_errno("open the sink's program", errno);
  impl->program->rodata->pass_others = pass_others ? 1 : 0;
  if (const int error = sink_bpf__load(impl->program); error != 0)
    return fail_errno("load the sink's program", -error);
  impl->link = bpf_program__attach_xdp(impl->program->progs.sink, static_cast<int>(ifindex));
  if (impl->link == nullptr)
    return fail_errno(fmt::format("attach the sink to '{}'", interface), errno);
  impl->ring = ring_buffer__new(bpf_map__fd(impl->program->maps.records), Impl::on_record,
                                impl.get(), nullptr);
  if (impl->ring == nullptr) return fail_errno("map the sink's records", errno);
  return std::unique_ptr<Sink>(new Sink(std::move(impl)));
}

Flow Sink::flow(std::uint32_t number) const {
  std::vector<flow_count> counts(cpus());
  flow_order order{};
  if (bpf_map_lookup_elem(bpf_map__fd(impl_->program->maps.counts), &number, counts.data()) != 0 ||
      bpf_map_lookup_elem(bpf_map__fd(impl_->program->maps.orders), &number, &order) != 0)
    return {};
  Flow flow{0, 0, order.out_of_order, order.first_ns, order.last_ns};
  for (const flow_count& count : counts) {
    flow.packets += count.packets;
    flow.bytes += count.bytes;
  }
  return flow;
}

std::uint64_t Sink::others() const noexcept { return impl_->program->bss->others; }

void Sink::reset() {
  const std::vector<flow_count> none(cpus());
  const flow_order unseen{};
  for (std::uint32_t i = 0; i < GENERATOR_STREAMS; ++i) {
    bpf_map_update_elem(bpf_map__fd(impl_->program->maps.counts), &i, none.data(), BPF_ANY);
    bpf_map_update_elem(bpf_map__fd(impl_->program->maps.orders), &i, &unseen, BPF_ANY);
  }
  impl_->program->bss->others = 0;
  impl_->program->bss->records_lost = 0;
}

void Sink::record(bool on) noexcept { impl_->program->bss->recording = on ? 1 : 0; }

Result<std::vector<Recorded>> Sink::take() {
  if (const int got = ring_buffer__consume(impl_->ring); got < 0)
    return fail_errno("read the sink's records", -got);
  if (const std::uint64_t lost = impl_->program->bss->records_lost; lost > 0)
    return fail(fmt::format("{} frames did not fit into the sink's records", lost));
  return std::exchange(impl_->recorded, {});
}

}  // namespace weir::perf
