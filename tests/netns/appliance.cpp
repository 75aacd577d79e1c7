// SPDX-License-Identifier: BSD-2-Clause
#include "appliance.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace weir::test {

namespace {

// Namespaces as seen from the box: the far end of each side.
const Namespace& end_of(const Wire& wire, Side side) {
  return side == Side::wan ? wire.wan : wire.lan;
}
constexpr std::array<const char*, kSides> kEnd{"wan0", "lan0"};
constexpr std::array<const char*, kSides> kPort{"wan", "lan"};

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  WEIR_CHECK(value != nullptr);
  return value;
}

template <typename T>
T must(Result<T> result) {
  if (!result) fmt::print(stderr, "{}\n", result.error().message);
  WEIR_CHECK(result.has_value());
  return std::move(*result);
}

}  // namespace

const std::string& missing_privilege() {
  static const std::string cause = [] {
    const Status status = own_mounts();
    return status ? std::string{} : status.error().message;
  }();
  return cause;
}

Appliance::Appliance(unsigned queues) : wire(queues) {}
Appliance::~Appliance() {
  if (!process_) return;
  process_.reset();
  static_cast<void>(bare({"detach"}));
}

void Appliance::configure(const std::string& more, const std::string& interface_keys) {
  std::ofstream file(config_file());
  file << "[interfaces]\nwan = \"wan\"\nlan = \"lan\"\n"
       << interface_keys << "\n[model]\npath = \"" << from_environment("WEIR_MODEL") << "\"\n"
       << more << "\n";
  WEIR_CHECK(file.flush().good());
}

void Appliance::polling(const std::string& driver) const {
  for (const char* port : kPort) {
    // A veth hands on what XDP sends into it only where it polls (NAPI).
    if (driver != "net_af_xdp") wire.box.must(fmt::format("ethtool -K {} gro on", port));
    wire.box.must(fmt::format("ip link set {} promisc off", port));
  }
}

void Appliance::configure_polled(const std::string& more, const std::string& driver,
                                 const std::string& arguments) {
  polling(driver);
  configure(fmt::format("{}\n[dpdk]\nwan = \"{}0,iface=wan{}\"\nlan = \"{}1,iface=lan{}\"\n"
                        "hugepages = false\nmemory_mb = 256",
                        more, driver, arguments, driver, arguments),
            "backend = \"dpdk\"");
}

bool Appliance::start() {
  process_ = std::make_unique<Process>(
      std::vector<std::string>{from_environment("WEIR"), "run", "-c", config_file()},
      wire.box.fd());
  const bool answers = eventually([&] {
    return !process_->running() || bare({"status", "--json"}).status == 0;
  });
  return answers && process_->running();
}

std::string Appliance::trouble() const { return process_ ? process_->err() : "not started"; }

int Appliance::stop(int signal) {
  process_->signal(signal);
  return process_->wait(std::chrono::seconds(20)).value_or(-1);
}

Ran Appliance::weir(std::vector<std::string> command) const {
  command.insert(command.end(), {"-c", config_file()});
  return bare(std::move(command));
}

Ran Appliance::bare(std::vector<std::string> command) const {
  command.insert(command.begin(), from_environment("WEIR"));
  return run(command, wire.box.fd());
}

nlohmann::json Appliance::status() const {
  const Ran ran = weir({"status", "--json"});
  auto parsed = nlohmann::json::parse(ran.out, nullptr, false);
  if (parsed.is_discarded()) fmt::print(stderr, "weir status --json: {} {}\n", ran.out, ran.err);
  WEIR_CHECK(!parsed.is_discarded());
  return parsed;
}

Totals Appliance::totals() const {
  const nlohmann::json all = status();
  Totals totals;
  for (const auto& outcome : all.at("outcomes"))
    for (const Side side : {Side::wan, Side::lan}) {
      const auto packets = outcome.at(kPort[index(side)]).at("packets").get<std::uint64_t>();
      totals.outcomes[outcome.at("name").get<std::string>()] += packets;
      totals.received[index(side)] += packets;
    }
  totals.socket_errors = all.at("redirect_errors").at("socket").get<std::uint64_t>();
  totals.peer_errors = all.at("redirect_errors").at("peer").get<std::uint64_t>();
  totals.conserved = true;
  for (const auto& channel : all.at("channels")) {
    ++totals.channels;
    totals.conserved = totals.conserved && channel.at("conserved").get<bool>();
    for (const auto& [place, frames] : channel.at("frames").items())
      totals.frames_placed += frames.get<std::uint64_t>();
    totals.channel_received.push_back(0);
    for (const char* side : kPort) {
      const auto received = channel.at(side).at("rx_packets").get<std::uint64_t>();
      totals.sockets_received += received;
      totals.channel_received.back() += received;
      totals.sockets_sent += channel.at(side).at("tx_packets").get<std::uint64_t>();
      totals.redirected += channel.at(side).at("tx_redirected").get<std::uint64_t>();
      totals.sockets_full += channel.at(side).at("tx_full").get<std::uint64_t>();
      totals.sockets_lost += channel.at(side).at("tx_lost").get<std::uint64_t>();
    }
  }
  const auto& verdicts = all.at("verdicts");
  totals.judged_forward = verdicts.at("forwarded").get<std::uint64_t>();
  totals.judged_drop = verdicts.at("dropped").get<std::uint64_t>();
  totals.shed_forward = verdicts.at("shed_forwarded").get<std::uint64_t>();
  totals.shed_drop = verdicts.at("shed_dropped").get<std::uint64_t>();
  totals.blocks = all.at("blocks").at("standing").get<std::uint64_t>();
  return totals;
}

nlohmann::json Appliance::blocks() const {
  const Ran ran = weir({"block", "list", "--json"});
  auto parsed = nlohmann::json::parse(ran.out, nullptr, false);
  if (parsed.is_discarded()) fmt::print(stderr, "weir block list: {} {}\n", ran.out, ran.err);
  WEIR_CHECK(!parsed.is_discarded());
  return parsed;
}

void Appliance::equip() {
  for (const Side side : {Side::wan, Side::lan}) {
    const Inside inside(end_of(wire, side));
    sinks_[index(side)] = must(perf::Sink::attach(kEnd[index(side)], true));
  }
  for (const Side side : {Side::wan, Side::lan}) generators_[index(side)] = another_generator(side);
}

void Appliance::hush() const {
  for (const Side side : {Side::wan, Side::lan})
    end_of(wire, side)
        .must(fmt::format("sysctl -qw net.ipv6.conf.{}.disable_ipv6=1", kEnd[index(side)]));
}

std::unique_ptr<perf::Generator> Appliance::another_generator(Side from) const {
  const Inside inside(end_of(wire, from));
  return must(perf::Generator::create(kEnd[index(from)]));
}

void Appliance::send(Side from, const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) {
    const perf::Stream stream{.frame = frame, .stamped = false};
    const Status status = [&]() -> Status {
      WEIR_TRY(generator(from).set({&stream, 1}));
      return generator(from).send(1);
    }();
    if (!status) fmt::print(stderr, "{}\n", status.error().message);
    WEIR_CHECK(status.has_value());
  }
}

std::vector<Bytes> Appliance::received(Side at, const std::vector<Bytes>& wanted) {
  std::vector<Bytes> all;
  eventually(
      [&] {
        for (perf::Recorded& frame : must(sink(at).take()))
          if (std::find(wanted.begin(), wanted.end(), frame.bytes) != wanted.end())
            all.push_back(std::move(frame.bytes));
        return all.size() >= wanted.size();
      },
      std::chrono::seconds(3));
  return all;
}

std::uint64_t Appliance::driver_packets(Side side) const {
  std::istringstream lines(wire.box.must(fmt::format("ethtool -S {}", kPort[index(side)])));
  std::uint64_t total = 0;
  for (std::string line; std::getline(lines, line);)
    if (line.find("rx_queue_") != std::string::npos &&
        line.find("_xdp_packets:") != std::string::npos)
      total += std::stoull(line.substr(line.find(':') + 1));
  return total;
}

}  // namespace weir::test
