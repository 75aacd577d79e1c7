// SPDX-License-Identifier: BSD-2-Clause
#include "io/host.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "io/host_device.h"

namespace weir::io {

namespace {

constexpr const char* kPromiscuous = "promiscuous";
/// As 'ethtool -k' names them. Each hides from XDP what was on the wire, or changes it.
constexpr std::array kOffloads = {"rx-lro", "rx-gro-hw", "rx-vlan-hw-parse"};
/// Besides, of a wire: what it sends has its tags already, and those of others go by.
constexpr std::array kWireOffloads = {"tx-vlan-hw-insert", "rx-vlan-filter"};
/// Numbers of sysfs (Documentation/networking/napi.rst, "IRQ mitigation").
constexpr std::array kNumbers = {"napi_defer_hard_irqs", "gro_flush_timeout"};
constexpr int kStateVersion = 2;

/// A setting that was changed. Switches are 0 and 1.
struct Change {
  std::string interface;
  std::uint32_t ifindex = 0;
  std::string setting;  // kPromiscuous, the name of a feature, or one of kNumbers
  std::uint64_t to = 0, before = 0;
};
bool same(const Change& a, const Change& b) {
  return a.ifindex == b.ifindex && a.setting == b.setting && a.to == b.to;
}

struct Value {
  std::uint64_t value = 0;
  bool fixed = false;  // cannot be changed
};

bool is_number(const std::string& setting) {
  return std::find(kNumbers.begin(), kNumbers.end(), setting) != kNumbers.end();
}

std::optional<std::uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

/// Empty where sysfs shows another network namespace, in which the name is somebody else's.
std::optional<std::string> sysfs_of(const Device& device) {
  std::string folder = fmt::format("/sys/class/net/{}/", device.name());
  if (number_in(folder + "ifindex") != device.ifindex()) return std::nullopt;
  return folder;
}

/// Empty where the interface has no such setting.
std::optional<Value> read(const Device& device, const std::string& setting) {
  if (setting == kPromiscuous) {
    const auto flags = device.flags();
    if (!flags) return std::nullopt;
    return Value{(*flags & IFF_PROMISC) != 0 ? 1U : 0U, false};
  }
  if (is_number(setting)) {
    const auto folder = sysfs_of(device);
    const auto number = folder ? number_in(*folder + setting) : std::nullopt;
    return number ? std::optional(Value{*number, false}) : std::nullopt;
  }
  const auto features = device.features();
  const auto found = features.find(setting);
  if (found == features.end()) return std::nullopt;
  return Value{found->second.on ? 1U : 0U, found->second.fixed};
}

int write(const Device& device, const std::string& setting, std::uint64_t value) {
  if (setting == kPromiscuous) return device.set_flags(IFF_PROMISC, value != 0);
  if (!is_number(setting)) return device.set_feature(setting, value != 0);
  const auto folder = sysfs_of(device);
  if (!folder) return ENODEV;
  std::ofstream file(*folder + setting);
  file << value << std::flush;
  return file ? 0 : EIO;
}

/// The state file: JSON, so that a person can read what is to be given back.
Result<std::vector<Change>> load(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    if (errno == ENOENT) return std::vector<Change>{};
    return fail_errno(fmt::format("the state file '{}' cannot be read", path), errno);
  }
  const auto state = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  const auto damaged = [&] {
    return fail(fmt::format(
        "the state file '{}' is not one that weir wrote: look at 'ip -d link' and 'ethtool -k', "
        "set the interfaces by hand, and remove it",
        path));
  };
  if (!state.is_object() || state.value("version", nlohmann::json()) != kStateVersion) {
    return damaged();
  }
  std::vector<Change> changes;
  const auto list = state.find("changes");
  if (list == state.end() || !list->is_array()) return damaged();
  for (const auto& entry : *list) {
    const auto has = [&](const char* key) { return entry.is_object() && entry.contains(key); };
    if (!has("interface") || !has("ifindex") || !has("setting") || !has("to") ||
        !entry["interface"].is_string() || !entry["ifindex"].is_number_unsigned() ||
        !entry["setting"].is_string() || !has("before") || !entry["to"].is_number_unsigned() ||
        !entry["before"].is_number_unsigned()) {
      return damaged();
    }
    changes.push_back({entry["interface"].get<std::string>(), entry["ifindex"].get<std::uint32_t>(),
                       entry["setting"].get<std::string>(), entry["to"].get<std::uint64_t>(),
                       entry["before"].get<std::uint64_t>()});
  }
  return changes;
}

/// Replaces the state file; without changes there is none.
Status save(const std::string& path, const std::vector<Change>& changes) {
  const auto failed = [&](int error) {
    return fail_errno(fmt::format("the state file '{}' cannot be written", path), error);
  };
  if (changes.empty()) {
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? Status{} : failed(errno);
  }
  nlohmann::json state = {{"version", kStateVersion},
                          {"about", "settings that weir changed; 'weir detach' gives them back"},
                          {"changes", nlohmann::json::array()}};
  for (const Change& change : changes) {
    state["changes"].push_back({{"interface", change.interface},
                                {"ifindex", change.ifindex},
                                {"setting", change.setting},
                                {"to", change.to},
                                {"before", change.before}});
  }
  const std::string text = state.dump(2) + "\n";
  const std::string partial = path + ".partial";
  const int fd =
      ::open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return failed(errno);
  // Synced: after a power cut the interfaces are as at boot, after a crash of ours they are not.
  const bool written =
      ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) {
    ::unlink(partial.c_str());
    return failed(error);
  }
  return ::rename(partial.c_str(), path.c_str()) == 0 ? Status{} : failed(errno);
}

/// Gives one setting back, whatever the interface is called by now; what somebody else has changed
/// since is his.
Status undo(const Change& change) {
  std::array<char, IF_NAMESIZE> name{};
  if (if_indextoname(change.ifindex, name.data()) == nullptr) return {};  // it is gone
  WEIR_ASSIGN(const Device device, Device::open(name.data()));
  const auto now = read(device, change.setting);
  if (!now || now->value != change.to) return {};
  if (const int error = write(device, change.setting, change.before); error != 0) {
    return fail(fmt::format("interface '{}': {} cannot be given back: {}; set it to {} by hand",
                            name.data(), change.setting, std::strerror(error), change.before));
  }
  return {};
}

/// Newest first. A failure does not keep the rest from being given back; `left` gets what could not
/// be, and the first failure is told.
Status undo_all(const std::vector<Change>& changes, std::vector<Change>& left) {
  Status status;
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    Status undone = undo(*change);
    if (undone) continue;
    left.insert(left.begin(), *change);
    if (status) status = std::move(undone);
  }
  return status;
}

Status check_pair(const InterfaceFacts& wan, const LinkFacts& wan_link, const InterfaceFacts& lan,
                  const LinkFacts& lan_link) {
  if (wan.ifindex == lan.ifindex) {
    return fail(
        fmt::format("interface '{}' is given for both sides: a wire has two ends; name "
                    "another one for one of them",
                    wan.name));
  }
  if (wan_link.master != 0 && wan_link.master == lan_link.master) {
    return fail(
        fmt::format("interfaces '{0}' and '{1}' are in the same bridge, which would carry "
                    "each frame a second time; run 'ip link set dev {0} nomaster' and 'ip "
                    "link set dev {1} nomaster'",
                    wan.name, lan.name));
  }
  if (wan.mtu != lan.mtu) {
    const auto& [large, small] = wan.mtu > lan.mtu ? std::pair(wan, lan) : std::pair(lan, wan);
    return fail(
        fmt::format("interface '{}' has MTU {} and '{}' has {}: frames in between would be "
                    "lost; run 'ip link set dev {} mtu {}'",
                    large.name, large.mtu, small.name, small.mtu, large.name, small.mtu));
  }
  return {};
}

/// The interfaces that there are, as they stand.
struct Ends {
  std::vector<InterfaceFacts> facts;
  std::vector<LinkFacts> links;
  std::vector<Device> devices;
};

Result<Ends> look(const std::array<std::string, kSides>& interfaces) {
  Ends ends;
  for (const std::string& name : interfaces) {
    if (name.empty()) continue;
    WEIR_ASSIGN(ends.facts.emplace_back(), inspect(name));
    WEIR_ASSIGN(Device device, Device::open(name));
    WEIR_ASSIGN(ends.links.emplace_back(), device.link());
    ends.devices.push_back(std::move(device));
  }
  if (ends.facts.size() == kSides)
    WEIR_TRY(check_pair(ends.facts[0], ends.links[0], ends.facts[1], ends.links[1]));
  return ends;
}

/// A veth's far end where it is in this namespace, else empty.
std::string far_end(const LinkFacts& link) {
  char name[IF_NAMESIZE] = {};
  if (link.kind != "veth" || link.peer_is_away || link.peer == 0) return {};
  return if_indextoname(link.peer, name) == nullptr ? std::string() : name;
}

/// veth hands a redirected frame on only where its far end polls; it vanishes uncounted otherwise.
Status check_far_end(const std::string& name, const LinkFacts& link,
                     std::vector<std::string>& warnings) {
  if (link.kind != "veth") return {};
  constexpr const char* kRemedy = "'ethtool -K FAR_END gro on', or any XDP program there";
  if (link.peer_is_away) {
    warnings.push_back(fmt::format(
        "interface '{}' is a veth whose far end is in another namespace: frames reach it only "
        "where it has NAPI; there run {}",
        name, kRemedy));
    return {};
  }
  const std::string peer_name = far_end(link);
  if (peer_name.empty()) return {};
  WEIR_ASSIGN(const Device peer, Device::open(peer_name));
  WEIR_ASSIGN(const LinkFacts peer_link, peer.link());
  const auto features = peer.features();
  const auto gro = features.find("rx-gro");
  if (!peer_link.has_xdp && (gro == features.end() || !gro->second.on)) {
    warnings.push_back(
        fmt::format("interface '{}' is a veth whose far end '{}' has no NAPI: frames to it vanish; "
                    "run {}",
                    name, peer_name, kRemedy));
  }
  return {};
}

/// What has to be changed of a device; warns of what cannot be.
void plan(const Device& device, const Tuning& tuning, bool wire, std::vector<Change>& changes,
          std::vector<std::string>& warnings) {
  const auto want = [&](const char* setting, std::uint64_t to) {
    const auto now = read(device, setting);
    if (!now || now->value == to) return;
    if (now->fixed) {
      warnings.push_back(
          fmt::format("interface '{}': {} is on and cannot be turned off: frames "
                      "may not be what was on the wire",
                      device.name(), setting));
      return;
    }
    changes.push_back({device.name(), device.ifindex(), setting, to, now->value});
  };
  for (const char* offload : kOffloads) want(offload, 0);
  const std::array numbers = {tuning.napi_defer_hard_irqs, tuning.gro_flush_ns};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (numbers[i] == 0) continue;
    if (read(device, kNumbers[i])) {
      want(kNumbers[i], numbers[i]);
    } else {
      warnings.push_back(
          fmt::format("interface '{}' has no {} in /sys/class/net: it stays as it is",
                      device.name(), kNumbers[i]));
    }
  }
  if (!wire) return;
  want(kPromiscuous, 1);
  for (const char* offload : kWireOffloads) want(offload, 0);
}

Status change_all(const std::vector<Change>& changes, std::vector<std::string>& warnings) {
  for (const Change& change : changes) {
    WEIR_ASSIGN(const Device device, Device::open(change.interface));
    const int error = write(device, change.setting, change.to);
    if (error != 0 && change.setting == kPromiscuous) {
      return fail(
          fmt::format("interface '{}' cannot be made promiscuous: {}; CAP_NET_ADMIN is "
                      "needed, run as root",
                      change.interface, std::strerror(error)));
    }
    const auto now = read(device, change.setting);
    if (now && now->value == change.to) continue;
    warnings.push_back(fmt::format("interface '{}': {} could not be set to {}{}{}",
                                   change.interface, change.setting, change.to,
                                   error != 0 ? ": " : "", error != 0 ? std::strerror(error) : ""));
  }
  return {};
}

/// What an earlier run left: ours is taken over, that of other interfaces is given back.
Result<std::vector<Change>> inherit(const std::string& state_file,
                                    const std::vector<InterfaceFacts>& ours,
                                    std::vector<std::string>& warnings) {
  WEIR_ASSIGN(const std::vector<Change> earlier, load(state_file));
  std::vector<Change> kept;
  std::vector<Change> others;
  for (const Change& change : earlier) {
    const bool mine = std::any_of(ours.begin(), ours.end(), [&](const InterfaceFacts& facts) {
      return facts.ifindex == change.ifindex;
    });
    (mine ? kept : others).push_back(change);
  }
  if (const Status undone = undo_all(others, kept); !undone) {
    warnings.push_back(undone.error().message);
  }
  return kept;
}

}  // namespace

Result<InterfaceFacts> inspect(const std::string& interface) {
  WEIR_ASSIGN(const Device device, Device::open(interface));
  InterfaceFacts facts;
  facts.name = interface;
  facts.ifindex = device.ifindex();
  const auto flags = device.flags();
  const auto mtu = device.mtu();
  if (facts.ifindex == 0 || !flags || !mtu) {
    return fail(
        fmt::format("interface '{}' does not exist: an Ethernet interface is expected; "
                    "'ip link' lists them",
                    interface));
  }
  if (device.hardware_type() != ARPHRD_ETHER) {
    return fail(
        fmt::format("interface '{}' is no Ethernet interface (hardware type {}): name "
                    "one of those",
                    interface, device.hardware_type().value_or(0)));
  }
  facts.up = (*flags & IFF_UP) != 0;
  if (!facts.up) {
    return fail(fmt::format("interface '{0}' is down: it must be up; run 'ip link set dev {0} up'",
                            interface));
  }
  facts.carrier = (*flags & IFF_RUNNING) != 0;
  facts.mtu = *mtu;
  if (facts.mtu > kMtuMax) {
    return fail(
        fmt::format("interface '{0}' has MTU {1}: XDP takes at most {2}; run 'ip link set "
                    "dev {0} mtu {2}' or less, and the same on the other side",
                    interface, facts.mtu, kMtuMax));
  }
  facts.driver = device.driver();
  if (const auto queues = device.queues(); queues && queues->rx > 0) {
    facts.rx_queues = queues->rx;
    facts.tx_queues = queues->tx;
  } else {
    WEIR_ASSIGN(const LinkFacts link, device.link());
    facts.rx_queues = link.rx_queues;
    facts.tx_queues = link.tx_queues;
  }
  return facts;
}

std::optional<UnfinishedFrames> unfinished_frames(const std::string& interface) {
  const auto device = Device::open(interface);
  if (!device) return std::nullopt;
  const std::string driver = device->driver();
  if (driver != "veth" && driver != "virtio_net") return std::nullopt;
  const auto link = device->link();
  const std::string peer = link ? far_end(*link) : std::string();
  if (peer.empty())
    return UnfinishedFrames{
        fmt::format("{}: frames of its neighbours may have no checksums yet, or be of many "
                    "segments, and TCP that guard holds back is then lost",
                    driver),
        "at the sender run 'ethtool -K IF tx off gso off tso off'"};
  const auto far = Device::open(peer);
  std::string on;
  if (far)
    for (const auto& [feature, state] : far->features())
      if (state.on && (feature.starts_with("tx-checksum-") || feature == "tx-tcp-segmentation" ||
                       feature == "tx-tcp6-segmentation" || feature == "tx-udp-segmentation"))
        on += (on.empty() ? "" : ", ") + feature;
  if (far && on.empty()) return std::nullopt;
  return UnfinishedFrames{
      fmt::format("{}: frames from its far end '{}' are unfinished ({}), and TCP that guard holds "
                  "back is lost",
                  driver, peer, on),
      fmt::format("run 'ethtool -K {} tx off gso off tso off'", peer)};
}

Status HostSettings::check(const std::array<std::string, kSides>& interfaces) {
  const auto ends = look(interfaces);
  return ends ? Status{} : tl::unexpected(ends.error());
}

Status HostSettings::apply(const std::array<std::string, kSides>& interfaces, const Tuning& tuning,
                           const std::string& state_file, std::vector<std::string>& warnings) {
  WEIR_ASSIGN(const Ends ends, look(interfaces));
  const auto& [facts, links, devices] = ends;
  WEIR_ASSIGN(const std::vector<Change> kept, inherit(state_file, facts, warnings));
  std::vector<Change> changes;
  const bool wire = facts.size() == kSides;
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (wire) WEIR_TRY(check_far_end(facts[i].name, links[i], warnings));
    plan(devices[i], tuning, wire, changes, warnings);
  }
  std::vector<Change> all = kept;
  for (const Change& change : changes) {
    const bool known =
        std::any_of(kept.begin(), kept.end(), [&](const Change& old) { return same(old, change); });
    if (!known) all.push_back(change);
  }
  // Before the first change: one that was not made yet is not undone either.
  WEIR_TRY(save(state_file, all));
  if (Status changed = change_all(changes, warnings); !changed) {
    // Nothing may be left half done; what an earlier run changed stays in the file.
    std::vector<Change> left = kept;
    if (const Status undone = undo_all(changes, left); !undone) {
      warnings.push_back(undone.error().message);
    }
    WEIR_TRY(save(state_file, left));
    return changed;
  }
  return {};
}

Status HostSettings::restore(const std::string& state_file) {
  WEIR_ASSIGN(const std::vector<Change> changes, load(state_file));
  std::vector<Change> left;
  Status status = undo_all(changes, left);
  WEIR_TRY(save(state_file, left));
  return status;
}

}  // namespace weir::io
