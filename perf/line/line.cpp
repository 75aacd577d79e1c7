// SPDX-License-Identifier: BSD-2-Clause
// One measurement: a box, a kind of traffic, so many packets. Prints one JSON object.
//
//   line BOX TRAFFIC [packets=N] [rate=PPS] [sources=N] [blocks=N] [bytes=N] [toml=TEXT] [latency=1] [driver=NAME]
//                    [queues=N] [spread=1] [circle=FRAMES] [cpus=N] [seconds=S] [turns=1]
//
// bytes    of a frame with its check sequence; above 1518 the interfaces' MTU is raised
// queues   rx queues of the box's interfaces, and so channels of weir
// spread   the generator spreads flows over those queues, as RSS does; else it fills the one of its CPU
// circle   so many frames on each of `cpus` CPUs, made once, cross the box again and again for
//          `seconds` (circle.h): for frames of more than a page, and without a sender's cost; `sent`
//          are then laps
// turns    measures once for each line on stdin, until its end, and prints an object for each: two
//          of these processes, side by side, can be measured in turn without a new start
//
// Everything is in namespaces of its own and ends with the process. perf/run alternates many.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "base/clock.h"
#include "boxes.h"
#include "circle.h"
#include "frames.h"
#include "perf/generator/layout.h"

namespace weir::perf {
namespace {

using test::Shape;

constexpr std::uint32_t kFlow = 1;
constexpr std::size_t kMixBytes = 200;                              // of a flow's packet, at least
constexpr std::size_t kFrameMost_bytes = 1518, kHeader_bytes = 18;  // with the check sequence
constexpr std::uint32_t kFirstSource = 203U << 24U | 0U << 16U | 113U << 8U;  // as reflection() has

struct Request {
  std::string box, traffic;
  std::map<std::string, std::string> options;
  [[nodiscard]] double number(const std::string& key, double otherwise) const {
    const auto found = options.find(key);
    return found == options.end() ? otherwise : std::stod(found->second);
  }
  [[nodiscard]] std::string text(const std::string& key) const {
    const auto found = options.find(key);
    return found == options.end() ? "" : found->second;
  }
};

/// A reply that nobody asked for, of at least `bytes` with the stamp that is put behind it.
test::Bytes reflection_of(std::size_t bytes) {
  constexpr std::size_t kHeaders = 14 + 20 + 8;
  test::Bytes frame = test::reflection(Shape::ip4);
  const std::size_t length = frame.size() + sizeof(stamp) + 4;
  if (bytes <= length) return frame;
  std::string text(frame.begin() + kHeaders, frame.end() - 2);  // the empty line ends the headers
  const std::string name = "X-FILL: ", end = "\r\n\r\n";
  const std::size_t fixed = name.size() + 2;
  text += name + std::string(bytes - length - std::min(fixed, bytes - length), 'x') + end;
  return test::udp_frame(Shape::ip4, test::reflector(Shape::ip4), test::host(Shape::ip4), 1900, 80,
                         text);
}

/// Frames that a wire carries, by kind; empty where there is no such kind. They
/// are of `bytes`, or as little more as their headers need, with the frame check sequence that no
/// one sees here; the stamp that is put behind them is the end of their payload, for a bridge cuts
/// off what is behind.
test::Bytes frame_of(const std::string& kind, std::size_t bytes) {
  const auto udp = [bytes](Shape shape) {
    constexpr std::size_t kIp4Headers = 14 + 20 + 8 + 4;  // the last four: the check sequence
    const std::size_t room = bytes > kIp4Headers ? bytes - kIp4Headers : 0;
    const std::string payload(std::max(shape == Shape::ip4 ? room : 0, sizeof(stamp)), 'x');
    test::Bytes frame =
        test::udp_frame(shape, test::device(shape), test::host(shape), 4000, 4001, payload);
    frame.resize(frame.size() - sizeof(stamp));
    return frame;
  };
  if (kind == "udp") return udp(Shape::ip4);
  if (kind == "ip6") return udp(Shape::ip6);
  if (kind == "vlan") return udp(Shape::vlan);
  if (kind == "tcp") {
    test::Bytes frame = udp(Shape::ip4);
    frame[23] = 6;  // the protocol; nobody on the way looks at what follows
    return frame;
  }
  if (kind == "ssdp") return reflection_of(bytes);
  return {};
}

/// What is sent, and how often each of it in turn; none where there is no such kind.
struct Mix {
  std::vector<Stream> streams;
  std::vector<std::uint8_t> schedule;
};

/// `mix` is what port 1900 sees of a flood that is one in ten: packets of a flow that has this port
/// by chance, and SSDP that nobody asked for.
Mix mix_of(const std::string& kind, std::size_t bytes, std::uint32_t sources) {
  if (kind != "mix") {
    const test::Bytes frame = frame_of(kind, bytes);
    if (frame.empty()) return {};
    return {{{.frame = frame, .flow = kFlow, .sources = sources}}, {}};
  }
  test::Bytes flow = test::udp_frame(Shape::ip4, test::device(Shape::ip4), test::host(Shape::ip4),
                                     443, 1900, std::string(std::max(bytes, kMixBytes), 'x'));
  flow.resize(flow.size() - sizeof(stamp));
  return {{{.frame = flow, .flow = kFlow, .sources = sources},
           {.frame = frame_of("ssdp", bytes), .flow = kFlow, .sources = sources}},
          {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}};
}

struct Steal {
  std::uint64_t stolen = 0, all = 0;
  static Steal now() {
    std::ifstream stat("/proc/stat");
    std::string word;
    stat >> word;
    Steal steal;
    for (int field = 0; field < 8; ++field) {
      std::uint64_t ticks = 0;
      stat >> ticks;
      steal.all += ticks;
      if (field == 7) steal.stolen = ticks;
    }
    return steal;
  }
};

/// The number behind `word` in a file of /proc; 0 where it is not there.
std::uint64_t number_behind(const std::filesystem::path& path, const std::string& word) {
  std::ifstream file(path);
  for (std::string found; file >> found;) {
    std::uint64_t number = 0;
    if (found == word && file >> number) return number;
  }
  return 0;
}

/// What a box holds in memory: its own pages (the UMEM among them), and its maps in the kernel.
std::uint64_t held_bytes(pid_t pid) {
  const std::filesystem::path process = fmt::format("/proc/{}", pid);
  std::map<std::uint64_t, std::uint64_t> maps;
  for (const auto& open : std::filesystem::directory_iterator(process / "fdinfo"))
    if (const auto id = number_behind(open.path(), "map_id:"); id != 0)
      maps[id] = number_behind(open.path(), "memlock:");
  std::uint64_t bytes = number_behind(process / "status", "RssAnon:") * 1024;
  for (const auto& [id, locked] : maps) bytes += locked;
  return bytes;
}

Result<std::vector<double>> latencies(test::Appliance& box, std::uint64_t packets, double rate) {
  std::vector<std::uint64_t> sent(packets);
  std::vector<double> us;
  box.sink(Side::lan).record(true);
  auto next = static_cast<double>(monotonic_now().ns);
  const auto take = [&]() -> Status {
    WEIR_ASSIGN(const auto recorded, box.sink(Side::lan).take());
    for (const Recorded& frame : recorded) {
      if (frame.bytes.size() < sizeof(stamp)) continue;
      stamp mark{};
      std::memcpy(&mark, frame.bytes.data() + frame.bytes.size() - sizeof mark, sizeof mark);
      if (mark.magic != GENERATOR_STAMP_MAGIC || mark.sequence >= packets) continue;
      us.push_back(static_cast<double>(frame.time_ns - sent[mark.sequence]) * 1e-3);
    }
    return {};
  };
  for (std::uint64_t i = 0; i < packets; ++i) {
    while (static_cast<double>(monotonic_now().ns) < next) {
    }
    next += 1e9 / rate;
    sent[i] = monotonic_now().ns;
    WEIR_TRY(box.generator(Side::wan).send(1));
    if (i % 1000 == 999) WEIR_TRY(take());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  WEIR_TRY(take());
  std::sort(us.begin(), us.end());
  return us;
}

/// CPU time that a process's threads have had, with the softirqs that ran on top of them.
double cpu_s(pid_t pid) {
  double ns = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    double ran = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran) ns += ran;
  }
  return ns * 1e-9;
}

/// What was measured of a box.
struct Measured {
  std::uint64_t sent = 0, delivered = 0;
  double send_s = 0, arrive_s = 0;
  double stolen = 0;
  double box_cpu_s = 0;                ///< weir alone
  std::uint64_t judged = 0, shed = 0;  ///< weir alone, DPDK's backend too
  std::uint64_t split = 0;             ///< frames that go round and are of several buffers
  std::vector<double> us;              ///< latencies, in order
};

bool runs_weir(std::string_view box) { return box == "weir" || box == "weir-dpdk"; }

/// Packets that were judged in userspace, and those that the overload action had, so far.
std::pair<std::uint64_t, std::uint64_t> judged_and_shed(const test::Appliance& appliance) {
  const auto all = appliance.status().at("verdicts");
  const auto of = [&](const char* name) { return all.at(name).get<std::uint64_t>(); };
  return {of("forwarded") + of("dropped"), of("shed_forwarded") + of("shed_dropped")};
}

void print(const Request& request, test::Appliance& appliance, const Measured& found) {
  const auto rate = [](std::uint64_t packets, double s) {
    return packets > 1 && s > 0 ? static_cast<double>(packets) / s : 0.0;
  };
  fmt::print(
      "{{\"box\": \"{}\", \"traffic\": \"{}\", \"sent\": {}, \"delivered\": {}, "
      "\"sent_per_s\": {:.0f}, \"delivered_per_s\": {:.0f}, \"stolen\": {:.4f}",
      request.box, request.traffic, found.sent, found.delivered, rate(found.sent, found.send_s),
      rate(found.delivered, found.arrive_s), found.stolen);
  if (const auto& us = found.us; !us.empty())
    fmt::print(", \"latency_us\": {{\"median\": {:.2f}, \"p99\": {:.2f}}}", us[us.size() / 2],
               us[us.size() * 99 / 100]);
  if (request.box == "weir") {
    const auto time = appliance.status().at("time_to_block");
    fmt::print(
        ", \"blocks\": {}, \"block_us\": {{\"median\": {:.1f}, \"p99\": {:.1f}}}, \"held_bytes\": "
        "{}, \"box_cpu_s\": {:.6f}, \"channel_received\": [{}]",
        time.at("count").get<std::uint64_t>(), time.at("median_us").get<double>(),
        time.at("p99_us").get<double>(), held_bytes(appliance.process().pid()), found.box_cpu_s,
        fmt::join(appliance.totals().channel_received, ", "));
  }
  if (runs_weir(request.box))
    fmt::print(", \"judged\": {}, \"shed\": {}", found.judged, found.shed);
  if (request.number("circle", 0) > 0) fmt::print(", \"split\": {}", found.split);
  fmt::print("}}\n");
}

double stolen_between(const Steal& before, const Steal& after) {
  if (after.all == before.all) return 0;
  return static_cast<double>(after.stolen - before.stolen) /
         static_cast<double>(after.all - before.all);
}

/// Frames that were made once cross the box again and again.
Result<Measured> go_round(const Request& request, test::Appliance& appliance, test::Bytes frame) {
  const auto frames = static_cast<unsigned>(request.number("circle", 0));
  frame.resize(frame.size() + sizeof(stamp));
  WEIR_ASSIGN(const auto circle, Circle::close(appliance, frame.size()));
  const auto cpus = static_cast<unsigned>(request.number("cpus", 1));
  for (unsigned i = 0; i < cpus; ++i) {
    const test::OnCpu one((test::kGeneratorCpu + i) % std::thread::hardware_concurrency());
    WEIR_TRY(circle->insert(frame, frames));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  Measured found;
  const Steal before = Steal::now();
  const std::uint64_t laps = circle->laps();
  const PacketTime start = monotonic_now();
  std::this_thread::sleep_for(std::chrono::duration<double>(request.number("seconds", 0.5)));
  found.sent = circle->laps() - laps;
  found.send_s = found.arrive_s = seconds(monotonic_now() - start);
  found.stolen = stolen_between(before, Steal::now());
  if (const std::uint64_t left = circle->end(); left != std::uint64_t{frames} * cpus)
    return fail(fmt::format("{} of {} frames still went round at the end", left, frames * cpus));
  found.delivered = found.sent;
  found.split = circle->split();
  if (circle->cpus() != cpus)
    return fail(
        fmt::format("the frames went round on {} CPUs; {} were meant", circle->cpus(), cpus));
  return found;
}

/// A box between a generator and a sink, and what flows through it.
class Flowing {
 public:
  Flowing(const Request& request, test::Appliance& appliance)
      : request_(request),
        appliance_(appliance),
        mix_(mix_of(request.traffic, static_cast<std::size_t>(request.number("bytes", 64)),
                    static_cast<std::uint32_t>(request.number("sources", 1)))),
        packets_(static_cast<std::uint64_t>(request.number("packets", 1'000'000))),
        rate_(request.number("rate", 0)) {}

  /// Caches, tables and power states settle; what the box learns by first packets, it has learnt.
  Status begin() {
    appliance_.equip();
    appliance_.hush();
    const test::Inside wan(appliance_.wire.wan);
    if (request_.number("spread", 0) > 0) {
      WEIR_ASSIGN(spreading_, Generator::create("wan0", true));
    }
    const test::OnCpu one(test::kGeneratorCpu);
    WEIR_TRY(generator().set(mix_.streams, mix_.schedule));
    WEIR_TRY(generator().send(packets_ / 10 + 1, rate_));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return {};
  }

  Result<Measured> measure() {
    const test::OnCpu one(test::kGeneratorCpu);
    const test::Inside wan(appliance_.wire.wan);
    Sink& sink = appliance_.sink(Side::lan);
    Measured found;
    found.sent = packets_;
    sink.reset();
    WEIR_TRY(generator().set(mix_.streams, mix_.schedule));
    const bool has_process = request_.box == "weir";
    const auto before_it = runs_weir(request_.box) ? judged_and_shed(appliance_)
                                                   : std::pair<std::uint64_t, std::uint64_t>{};
    const double cpu = has_process ? cpu_s(appliance_.process().pid()) : 0;
    const Steal before = Steal::now();
    const PacketTime start = monotonic_now();
    if (request_.number("latency", 0) > 0) {
      WEIR_ASSIGN(found.us, latencies(appliance_, found.sent, rate_));
    } else {
      WEIR_TRY(generator().send(found.sent, rate_));
    }
    found.send_s = seconds(monotonic_now() - start);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    found.stolen = stolen_between(before, Steal::now());
    if (has_process) found.box_cpu_s = cpu_s(appliance_.process().pid()) - cpu;
    if (runs_weir(request_.box)) {
      const auto [judged, shed] = judged_and_shed(appliance_);
      found.judged = judged - before_it.first;
      found.shed = shed - before_it.second;
    }
    const Flow flow = sink.flow(kFlow);
    found.delivered = flow.packets;
    found.arrive_s = static_cast<double>(flow.last_ns - flow.first_ns) * 1e-9;
    return found;
  }

 private:
  Generator& generator() { return spreading_ ? *spreading_ : appliance_.generator(Side::wan); }

  const Request& request_;
  test::Appliance& appliance_;
  const Mix mix_;
  const std::uint64_t packets_;
  const double rate_;
  std::unique_ptr<Generator> spreading_;
};

Status flow_through(const Request& request, test::Appliance& appliance) {
  Flowing flowing(request, appliance);
  WEIR_TRY(flowing.begin());
  const auto once = [&]() -> Status {
    WEIR_ASSIGN(const Measured found, flowing.measure());
    print(request, appliance, found);
    std::fflush(stdout);
    return {};
  };
  if (request.number("turns", 0) == 0) return once();
  fmt::print("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) WEIR_TRY(once());
  return {};
}

Status measure(const Request& request) {
  const auto bytes = static_cast<std::size_t>(request.number("bytes", 64));
  const test::Bytes frame = frame_of(request.traffic == "mix" ? "ssdp" : request.traffic, bytes);
  if (frame.empty())
    return fail(fmt::format("no traffic '{}': udp, tcp, ip6, vlan, ssdp or mix is expected",
                            request.traffic));
  BoxOptions options;
  options.toml = request.text("toml");
  std::replace(options.toml.begin(), options.toml.end(), ';', '\n');
  options.blocks = static_cast<std::uint32_t>(request.number("blocks", 0));
  options.first_block = kFirstSource;
  if (request.options.contains("driver")) options.driver = request.text("driver");

  test::Appliance appliance(static_cast<unsigned>(request.number("queues", 1)));
  if (bytes > kFrameMost_bytes) {
    options.mtu = static_cast<std::uint32_t>(bytes - kHeader_bytes);
    for (const char* port : {"wan", "lan"})
      appliance.wire.box.must(fmt::format("ip link set {} mtu {}", port, options.mtu));
    appliance.wire.wan.must(fmt::format("ip link set wan0 mtu {}", options.mtu));
    appliance.wire.lan.must(fmt::format("ip link set lan0 mtu {}", options.mtu));
  }
  WEIR_ASSIGN(const auto box, start_box(request.box, appliance, options));
  if (request.number("circle", 0) > 0) {
    if (request.number("turns", 0) > 0)
      return fail("circle and turns: frames that go round leave no turn to others");
    appliance.hush();
    WEIR_ASSIGN(const Measured found, go_round(request, appliance, frame));
    print(request, appliance, found);
    return {};
  }
  return flow_through(request, appliance);
}

Result<Request> parse(int argc, char** argv) {
  if (argc < 3) return fail("a box and a kind of traffic are expected: line weir udp packets=1000");
  Request request{argv[1], argv[2], {}};
  for (int i = 3; i < argc; ++i) {
    const std::string word = argv[i];
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos) return fail(fmt::format("'{}' is no KEY=VALUE", word));
    request.options[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return request;
}

}  // namespace
}  // namespace weir::perf

int main(int argc, char** argv) {
  const auto say = [](const std::string& message) {
    std::fprintf(stderr, "line: %s\n", message.c_str());
    return 1;
  };
  if (const auto& cause = weir::test::missing_privilege(); !cause.empty()) return say(cause);
  const auto request = weir::perf::parse(argc, argv);
  if (!request) return say(request.error().message);
  const weir::Status status = weir::perf::measure(*request);
  return status ? 0 : say(status.error().message);
}
