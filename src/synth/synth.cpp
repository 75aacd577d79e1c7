// SPDX-License-Identifier: BSD-2-Clause
#include "synth/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "synth/world.h"

namespace weir::synth {
namespace {

constexpr std::array<ScenarioInfo, 36> kScenarios = {{
    {"devices", false, "UPnP devices announce themselves: NOTIFY bursts, byebye"},
    {"discovery", false, "control points search; devices across the box answer, some 22 s late"},
    {"late_replies", false, "answers to searches that the box did not see, or has forgotten"},
    {"segment", false,
     "a whole segment on one side: searches and their answers come in by the same interface"},
    {"campus", false, "1,000 control points on the LAN search the WAN side's devices"},
    {"boot_storm", false, "the power comes back: all devices announce, all control points search"},
    {"relay", false, "one WAN address announces and answers for forty devices"},
    {"multihomed", false, "devices with two addresses; asked at one, they answer by the other"},
    {"scopes", false, "IPv4, and IPv6 in link, site and organisation scope, side by side"},
    {"clients", false,
     "QUIC, DNS, NTP, WireGuard, games, RTP and STUN that use port 1900 by chance"},
    {"incoming", false, "strangers whose NAT picked 1900 call a LAN host first"},
    {"background", false, "UDP on other ports: never steered"},
    {"reflection", true, "replies of many reflectors from port 1900 at one port of one victim"},
    {"reflection_spread", true, "the same, with a new destination port for each burst"},
    {"reflection_ramp", true, "the same, growing over twenty seconds"},
    {"reflection_pulse", true, "the same in pulses of half a second"},
    {"diffraction", true, "the same from ephemeral ports: no port 1900 on any packet"},
    {"padded", true, "reflection of replies that were padded to 1,400 bytes"},
    {"fragmented", true, "reflection of replies that come in three fragments"},
    {"carpet", true, "reflection spread over all addresses of the LAN, one after another"},
    {"carpet_24", true, "reflection spread over a /24 of the LAN, at random"},
    {"slow_reflection", true, "reflection at a hundredth of the rate"},
    {"answered", true,
     "the victim searches, and the flood hits the very port that it searches from"},
    {"imitation", true, "bots at one host, each with the pace, sizes and TTL of a late device"},
    {"search_flood", true,
     "M-SEARCH from a forged address at one device: it is to be the reflector"},
    {"search_group", true, "the same to the multicast group: the whole LAN is to be the reflector"},
    {"slow_search", true, "the same at one device, at most two a second"},
    {"scan", true, "M-SEARCH from a few scanners to every address of the LAN"},
    {"slow_scan", true, "the same, at most two a second"},
    {"notify_flood", true, "unicast NOTIFYs from many sources at one host"},
    {"notify_group", true, "NOTIFYs to the group from many sources"},
    {"malformed", true, "broken SSDP from many sources at one host"},
    {"flood_to_1900", true, "a flood of what is no SSDP to port 1900 of one host"},
    {"flood_from_1900", true, "the same from port 1900 to all ports of one host"},
    {"search_flood_out", true,
     "an infected LAN host sends M-SEARCH from a forged address to reflectors"},
    {"bot_flood_out", true,
     "infected LAN hosts send M-SEARCH from their own addresses to the Internet"},
}};

struct Benign {
  const char* name;
  void (*add)(World&);
};
constexpr std::array<Benign, 12> kBenign = {{{"devices", add_devices},
                                             {"discovery", add_discovery},
                                             {"late_replies", add_late_replies},
                                             {"segment", add_segment},
                                             {"campus", add_campus},
                                             {"boot_storm", add_boot_storm},
                                             {"relay", add_relay},
                                             {"multihomed", add_multihomed},
                                             {"scopes", add_scopes},
                                             {"clients", add_clients},
                                             {"incoming", add_incoming},
                                             {"background", add_background}}};

Status check(const Options& options) {
  for (const std::string& name : options.scenarios) {
    if (std::any_of(kScenarios.begin(), kScenarios.end(),
                    [&](const ScenarioInfo& s) { return name == s.name; }))
      continue;
    std::string known;
    for (const ScenarioInfo& s : kScenarios)
      known += std::string(known.empty() ? "" : ", ") + s.name;
    return fail(fmt::format("'{}' is not a scenario; there are: {}", name, known));
  }
  if (options.scenarios.empty()) return fail("no scenario was named; give at least one");
  if (!options.lan.address().is_v4() || options.lan.length() < 8 || options.lan.length() > 28) {
    return fail(
        fmt::format("the LAN prefix {} does not do: an IPv4 prefix from /8 to /28 is expected",
                    options.lan.text()));
  }
  if (!(options.seconds > 0 && options.seconds <= 86'400)) {
    return fail(
        fmt::format("{} seconds cannot be generated: more than 0 and at most 86400 are expected",
                    options.seconds));
  }
  if (!(options.rate_pps >= 1 && options.rate_pps <= 1e9)) {
    return fail(
        fmt::format("a rate of {} packets a second cannot be generated: 1 to 1e9 are expected",
                    options.rate_pps));
  }
  WEIR_TRY(check_names(options.only));
  WEIR_TRY(check_names(options.without));
  if (choose_profiles(options.only, options.without).empty() ||
      choose_controllers(options.only, options.without).empty()) {
    return fail("no device or no control point is left; leave fewer of them out");
  }
  constexpr std::uint32_t kActorsMax = 1'000'000;
  for (const auto& [what, count] : {std::pair{"devices on each side", options.devices_a_side},
                                    {"control points on each side", options.searchers_a_side},
                                    {"attackers", options.attackers}})
    if (count > kActorsMax)
      return fail(fmt::format("{} {} cannot be generated: at most {} are expected", count, what,
                              kActorsMax));
  if (options.attackers == 0) return fail("0 attackers cannot attack: at least 1 is expected");
  if (!(options.attack_share >= 0 && options.attack_share <= 1)) {
    return fail(fmt::format("an attack share of {} is impossible: 0 to 1 is expected",
                            options.attack_share));
  }
  if (!(options.attack_after_s >= 0)) {
    return fail("attacks cannot begin before the capture: 0 or more seconds are expected");
  }
  return {};
}

struct CloseFile {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

/// The labels beside a classic pcap, under a name of their own until they are whole.
class LabelFile {
 public:
  static Result<LabelFile> create(const std::string& capture) {
    LabelFile labels;
    labels.path_ = capture + ".labels.csv";
    labels.partial_ = labels.path_ + ".partial";
    labels.file_.reset(std::fopen(labels.partial_.c_str(), "we"));
    if (!labels.file_) return fail_errno("labels '" + labels.path_ + "' cannot be created", errno);
    std::fputs("number,side,label,kind\n", labels.file_.get());
    return labels;
  }
  LabelFile() = default;
  LabelFile(LabelFile&&) noexcept = default;
  LabelFile& operator=(LabelFile&&) noexcept = default;
  ~LabelFile() {
    if (file_) std::remove(partial_.c_str());
  }
  void add(std::uint64_t number, const Truth& truth) {
    fmt::print(file_.get(), "{},{},{},{}\n", number, truth.side == Side::wan ? "wan" : "lan",
               truth.attack ? "attack" : "benign", truth.kind);
  }
  Status close() {
    const bool failed = std::fflush(file_.get()) != 0 || std::ferror(file_.get()) != 0;
    if (failed) return fail_errno("labels '" + path_ + "' cannot be written", errno);
    if (std::rename(partial_.c_str(), path_.c_str()) != 0) {
      return fail_errno("labels '" + path_ + "' cannot be put in place", errno);
    }
    file_.reset();
    return {};
  }

 private:
  std::string path_, partial_;
  File file_;
};

}  // namespace

std::span<const ScenarioInfo> scenarios() noexcept { return kScenarios; }

Status generate(const Options& options, const Sink& sink) {
  WEIR_TRY(check(options));
  World world(options, sink);
  for (const std::string& name : options.scenarios) {
    const auto* const benign = std::find_if(kBenign.begin(), kBenign.end(),
                                            [&](const Benign& b) { return name == b.name; });
    if (benign != kBenign.end()) {
      benign->add(world);
    } else if (!add_reflection(world, name)) {
      add_flood(world, name);
    }
  }
  world.run();
  return {};
}

Result<Written> write(const Options& options, const std::string& path, io::CaptureFormat format) {
  WEIR_TRY(check(options));
  const std::array<std::string, kSides> names = {"wan", "lan"};
  WEIR_ASSIGN(const auto writer, io::CaptureWriter::create(path, format, names));
  const bool comments = format == io::CaptureFormat::pcapng;
  std::optional<LabelFile> labels;
  if (!comments) {
    WEIR_ASSIGN(labels, LabelFile::create(path));
  }
  Written written;
  Status status;
  std::string comment;
  WEIR_TRY(generate(options, [&](const io::CapturedPacket& packet, const Truth& truth) {
    io::CapturedPacket out = packet;
    if (comments) {
      comment.clear();
      fmt::format_to(std::back_inserter(comment), "label={} kind={}",
                     truth.attack ? "attack" : "benign", truth.kind);
      out.comment = comment;
    } else {
      out.interface = 0;
      labels->add(written.packets, truth);
    }
    ++written.packets;
    written.attack_packets += truth.attack ? 1 : 0;
    status = writer->write(out);
    return status.has_value();
  }));
  if (!status) return tl::unexpected<Error>(status.error());
  if (labels) WEIR_TRY(labels->close());
  WEIR_TRY(writer->close());
  return written;
}

}  // namespace weir::synth
