// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include <memory>
#include <thread>

#include "base/seed.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/load.h"
#include "synth/load.h"

namespace weir::cli {
namespace {

using control::Json;
using Clock = std::chrono::steady_clock;

struct SendOptions {
  PortOptions port;
  synth::LoadOptions load;
  std::string from = "203.0.113.1";
  std::string to = "192.168.1.50";
  bool from_lan = false;
  double rate = 0;
  double seconds = 10;
  std::uint64_t packets = 0;
  bool json = false;
};

struct ReceiveOptions {
  PortOptions port;
  double seconds = 60;
  bool json = false;
};

constexpr std::uint64_t kSendBatch = 64;
constexpr int kEnds = 5;  // frames that tell the end: some may be lost
constexpr std::chrono::milliseconds kEndGap{10};
constexpr std::chrono::milliseconds kLate{300};  // for what is still under way after the end

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Until the time is over, the packets are sent, or somebody asks for an end.
void send_load(const SendOptions& options, synth::Load& load, LoadSender& sender) {
  std::array<std::uint8_t, io::LoadPort::kFrame_bytes> frame;
  const auto start = Clock::now();
  std::uint64_t written = 0;
  while (!end_wanted() && !sender.stuck() && (options.packets == 0 || written < options.packets)) {
    const double elapsed = since(start);
    if (elapsed >= options.seconds) break;
    std::uint64_t due = kSendBatch;
    if (options.rate > 0) {
      const auto by_now = static_cast<std::uint64_t>(elapsed * options.rate) + 1;
      due = by_now > written ? std::min(by_now - written, kSendBatch) : 0;
    }
    if (options.packets > 0) due = std::min(due, options.packets - written);
    if (due == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      continue;
    }
    for (; due > 0; --due, ++written) sender.post({frame.data(), load.write(frame)});
    if (options.rate > 0) sender.flush();
  }
  sender.flush();
}

void tell_end(synth::Load& load, io::LoadPort& port) {
  std::array<std::uint8_t, io::LoadPort::kFrame_bytes> frame;
  const io::LoadPort::Bytes bytes{frame.data(), load.write_end(frame)};
  port.flush();
  for (int i = 0; i < kEnds; ++i) {
    std::this_thread::sleep_for(kEndGap);
    port.send({&bytes, 1});
  }
  port.flush();
}

void print_sent(const SendOptions& options, const synth::Load& load, const LoadSender& sender,
                double seconds, const std::string& how) {
  Json flows = Json::object();
  for (std::size_t i = 0; i < synth::kLoadFlows.size(); ++i)
    if (load.sent()[i] > 0) flows[synth::kLoadFlows[i]] = load.sent()[i];
  const double rate = seconds > 0 ? static_cast<double>(sender.packets()) / seconds : 0;
  const double bits = seconds > 0 ? static_cast<double>(sender.bytes()) * 8 / seconds : 0;
  if (options.json) {
    fmt::print("{}\n", Json{{"port", how},
                            {"packets", sender.packets()},
                            {"bytes", sender.bytes()},
                            {"seconds", seconds},
                            {"packets_per_s", rate},
                            {"bits_per_s", bits},
                            {"flows", flows}}
                           .dump(2));
    return;
  }
  fmt::print("sent {} packets in {:.2f} s by {}: {:.0f} packets/s, {:.3f} Gbit/s\n",
             sender.packets(), seconds, how, rate, bits / 1e9);
  for (const auto& [name, count] : flows.items())
    fmt::print("  {:<8} {}\n", name, count.get<std::uint64_t>());
}

int send(SendOptions options) {
  for (const auto& [text, address] :
       {std::pair{&options.from, &options.load.from}, {&options.to, &options.load.to}}) {
    const auto parsed = Address::parse(*text);
    if (!parsed) return report(parsed.error(), kBadInput);
    *address = *parsed;
  }
  options.load.side = options.from_lan ? Side::lan : Side::wan;
  options.load.run = static_cast<std::uint32_t>(random_seed());
  auto load = synth::Load::make(options.load);
  if (!load) return report(load.error(), kBadInput);
  auto port = open_port(options.port, io::LoadUse::send);
  if (!port) return report(port.error(), kBadInput);
  watch_for_end();
  const auto sender = std::make_unique<LoadSender>(**port);
  const auto start = Clock::now();
  send_load(options, *load, *sender);
  const double seconds = since(start);
  tell_end(*load, **port);
  print_sent(options, *load, *sender, seconds, (*port)->describe());
  if (!sender->stuck()) return kOk;
  return report({fmt::format("{} takes no more packets; is its link up?", options.port.port)},
                kFailure);
}

Json arrived_json(const synth::LoadTally& tally, const io::LoadPort& port) {
  const double seconds = weir::seconds(tally.elapsed());
  const auto rate = [&](std::uint64_t count) {
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
  };
  Json flows = Json::object();
  std::uint64_t packets = 0, bytes = 0, sent = 0, lost = 0;
  for (std::size_t i = 0; i < synth::kLoadFlows.size(); ++i) {
    const synth::LoadArrived& flow = tally.flows()[i];
    if (flow.packets == 0 && flow.sent == 0) continue;
    packets += flow.packets;
    bytes += flow.bytes;
    sent += flow.sent;
    lost += flow.lost();
    flows[synth::kLoadFlows[i]] = {{"sent", flow.sent},
                                   {"packets", flow.packets},
                                   {"bytes", flow.bytes},
                                   {"lost", flow.lost()},
                                   {"out_of_order", flow.out_of_order},
                                   {"packets_per_s", rate(flow.packets)}};
  }
  return {{"port", port.describe()},
          {"ended", tally.ended()},
          {"seconds", seconds},
          {"packets", packets},
          {"sent", sent},
          {"lost", lost},
          {"packets_per_s", rate(packets)},
          {"bits_per_s", rate(8 * bytes)},
          {"flows", std::move(flows)},
          {"others", tally.others()},
          {"lost_by_receiver", port.lost()}};
}

void print_arrived(const Json& arrived) {
  fmt::print("{} of {} packets came in {:.2f} s by {}: {:.0f} packets/s, {:.3f} Gbit/s\n",
             arrived["packets"].get<std::uint64_t>(), arrived["sent"].get<std::uint64_t>(),
             arrived["seconds"].get<double>(), arrived["port"].get<std::string>(),
             arrived["packets_per_s"].get<double>(), arrived["bits_per_s"].get<double>() / 1e9);
  std::vector<std::vector<std::string>> rows{
      {"FLOW", "SENT", "CAME", "LOST", "OUT OF ORDER", "PACKETS/S"}};
  for (const auto& [name, flow] : arrived["flows"].items()) {
    const auto number = [&flow = flow](const char* key) {
      return fmt::format("{}", flow[key].get<std::uint64_t>());
    };
    rows.push_back({name, number("sent"), number("packets"), number("lost"), number("out_of_order"),
                    fmt::format("{:.0f}", flow["packets_per_s"].get<double>())});
  }
  fmt::print("{}", columns(rows, {false, true, true, true, true, true}));
  if (!arrived["ended"].get<bool>())
    fmt::print(
        "the sender's end did not come: what it sent is known by the highest number alone\n");
  if (const auto lost = arrived["lost_by_receiver"].get<std::uint64_t>(); lost > 0)
    fmt::print("{} packets reached this machine and found it busy: the box did not lose them\n",
               lost);
}

int receive(const ReceiveOptions& options) {
  auto port = open_port(options.port, io::LoadUse::receive);
  if (!port) return report(port.error(), kBadInput);
  watch_for_end();
  fmt::print(stderr, "weir blast: receiving by {}\n", (*port)->describe());
  synth::LoadTally tally;
  const auto start = Clock::now();
  Clock::time_point end;
  while (!end_wanted() && since(start) < options.seconds) {
    const PacketTime now = monotonic_now();
    const std::size_t got =
        (*port)->receive([&](io::LoadPort::Bytes frame) { tally.see(frame, now); });
    if (tally.ended() && end == Clock::time_point{}) end = Clock::now() + kLate;
    if (end != Clock::time_point{} && Clock::now() > end) break;
    if (got == 0) (*port)->wait(10'000);
  }
  const Json arrived = arrived_json(tally, **port);
  if (options.json)
    fmt::print("{}\n", arrived.dump(2));
  else
    print_arrived(arrived);
  return kOk;
}

void add_send(Command blast, Run& run) {
  auto options = std::make_shared<SendOptions>();
  Command command = blast.add_subcommand("send", "Send a load out of an interface");
  command.add_option("PORT", options->port.port, "Interface, or device with --dpdk").required();
  command.add_option("--mix", options->load.mix, "Shares of flows: reply, search, notify, udp")
      .capture_default_str();
  command.add_option("--rate", options->rate, "Packets a second (default: flat out)").positive();
  command.add_option("--seconds", options->seconds, "How long").positive().capture_default_str();
  command.add_option("--packets", options->packets, "Stop after so many; 0: only time ends it")
      .capture_default_str();
  command.add_option("--from", options->from, "The first source's address").capture_default_str();
  command.add_option("--sources", options->load.sources, "Sources, address after address")
      .range(1, 1e9)
      .capture_default_str();
  command.add_option("--to", options->to, "Address of the host that it is sent to")
      .capture_default_str();
  command.add_flag("--from-lan", options->from_lan, "Hosts of the LAN send, not those of the WAN");
  const std::map<std::string, synth::Encapsulation> encapsulations{
      {"none", synth::Encapsulation::none},
      {"vlan", synth::Encapsulation::vlan},
      {"qinq", synth::Encapsulation::qinq},
      {"pppoe", synth::Encapsulation::pppoe}};
  command.add_choice("--encapsulation", encapsulations, options->load.encapsulation,
                     "none, vlan, qinq or pppoe");
  add_port_options(command, options->port);
  command.add_flag("-j,--json", options->json, "Answer as JSON, for programs");
  command.footer(
      help_footer("  weir blast send eth0 --mix reply=60,udp=40 --rate 1e6 --seconds 30\n"
                  "  weir blast send 0000:03:00.0 --dpdk --sources 100000\n",
                  {kOk, kFailure, kBadInput}));
  command.callback([options, &run] { run = [options] { return send(*options); }; }, port_rules());
}

void add_receive(Command blast, Run& run) {
  auto options = std::make_shared<ReceiveOptions>();
  Command command = blast.add_subcommand(
      "receive", "Count what arrives of a load; everything else that arrives is taken too");
  command.add_option("PORT", options->port.port, "Interface, or device with --dpdk").required();
  command.add_option("--seconds", options->seconds, "How long at most; it ends with the sender")
      .positive()
      .capture_default_str();
  add_port_options(command, options->port);
  command.add_flag("-j,--json", options->json, "Answer as JSON, for programs");
  command.footer(help_footer("  weir blast receive eth1 --json\n", {kOk, kFailure, kBadInput}));
  command.callback([options, &run] { run = [options] { return receive(*options); }; },
                   port_rules());
}

}  // namespace

void add_blast(Command app, Run& run) {
  Command command = app.add_subcommand(
      "blast", "Load a real box from another machine, and count what comes through it");
  command.require_subcommand(1);
  command.footer(help_footer("  weir blast receive eth1 &\n  weir blast send eth0 --rate 1e6\n",
                             {kOk, kFailure, kBadInput}));
  add_send(command, run);
  add_receive(command, run);
}

}  // namespace weir::cli
