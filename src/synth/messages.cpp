// SPDX-License-Identifier: BSD-2-Clause
#include "synth/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace weir::synth {
namespace {

using Style = Profile::Style;

// The services of an Internet gateway: the longest list that is common, and the favourite of
// reflection.
constexpr const char* kGatewayServices =
    "urn:schemas-upnp-org:device:WANDevice:1 urn:schemas-upnp-org:device:WANConnectionDevice:1 "
    "urn:schemas-upnp-org:service:Layer3Forwarding:1 "
    "urn:schemas-upnp-org:service:WANIPConnection:1 "
    "urn:schemas-upnp-org:service:WANPPPConnection:1 "
    "urn:schemas-upnp-org:service:WANCommonInterfaceConfig:1";
constexpr const char* kGateway = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";
constexpr const char* kRenderer = "urn:schemas-upnp-org:device:MediaRenderer:1";
constexpr const char* kRendererServices =
    "urn:schemas-upnp-org:service:RenderingControl:1 urn:schemas-upnp-org:service:AVTransport:1 "
    "urn:schemas-upnp-org:service:ConnectionManager:1";
constexpr const char* kServer = "urn:schemas-upnp-org:device:MediaServer:1";
constexpr const char* kServerServices =
    "urn:schemas-upnp-org:service:ContentDirectory:1 "
    "urn:schemas-upnp-org:service:ConnectionManager:1 "
    "urn:microsoft.com:service:X_MS_MediaReceiverRegistrar:1";
constexpr const char* kDial = "urn:dial-multiscreen-org:service:dial:1";

constexpr std::array<Profile, 20> kProfiles = {{
    {"Linux/3.10 UPnP/1.1 MiniUPnPd/1.9", "/rootDesc.xml", 5000, kGateway, kGatewayServices, 4,
     false, false, Style::upper},
    {"Linux/3.14.0 UPnP/1.0 IpBridge/1.26.0", "/description.xml", 80,
     "urn:schemas-upnp-org:device:basic:1", "", 4, false, true, Style::upper},
    {"Linux/2.6.39, UPnP/1.0, Portable SDK for UPnP devices/1.6.18", "/dd.xml", 49152, kRenderer,
     kRendererServices, 4, true, false, Style::upper},
    {"Microsoft-Windows/10.0 UPnP/1.0 UPnP-Device-Host/1.0", "/upnphost/udhisapi.dll?content=uuid:",
     2869, kServer, kServerServices, 1, false, false, Style::mixed},
    {"Linux UPnP/1.0 Cling/2.0", "/dev/desc", 8058, kRenderer, kRendererServices, 4, false, false,
     Style::mixed},
    {"POSIX, UPnP/1.0 Broadcom UPnP Stack/6.37", "/rootDesc.xml", 1990,
     "urn:schemas-wifialliance-org:device:WFADevice:1",
     "urn:schemas-wifialliance-org:service:WFAWLANConfig:1", 4, false, false, Style::bare},
    {"Unspecified, UPnP/1.0, Unspecified", "/setup.xml", 49153, "urn:Belkin:device:controllee:1",
     "urn:Belkin:service:WiFiSetup:1 urn:Belkin:service:timesync:1 urn:Belkin:service:basicevent:1 "
     "urn:Belkin:service:firmwareupdate:1 urn:Belkin:service:rules:1 urn:Belkin:service:metainfo:1 "
     "urn:Belkin:service:remoteaccess:1 urn:Belkin:service:deviceinfo:1 "
     "urn:Belkin:service:insight:1",
     4, true, false, Style::upper},
    {"Linux/2.6 UPnP/1.0 miniupnpd/1.0", "/gatedesc.xml", 49152, kGateway, kGatewayServices, 4,
     true, false, Style::upper},
    {"Network Printer Server UPnP/1.0 OS 1.29.00.45 06-17-2009", "/DeviceDescription.xml", 5200,
     "urn:schemas-upnp-org:device:Printer:1", "urn:schemas-upnp-org:service:PrintBasic:1", 4, false,
     false, Style::upper},
    {"Linux/4.9 UPnP/1.0 GUPnP/1.0.2", "/xml/device_description.xml", 60006, kRenderer, kDial, 4,
     true, false, Style::mixed},
    {"Roku/9.3.0 UPnP/1.0 Roku/9.3.0", "/dial/dd.xml", 8060, "roku:ecp", kDial, 1, false, false,
     Style::mixed},
    {"SHP, UPnP/1.0, Samsung UPnP SDK/1.0", "/smp_7_", 7676,
     "urn:samsung.com:device:RemoteControlReceiver:1",
     "urn:samsung.com:service:MultiScreenService:1 urn:samsung.com:device:MainTVServer2:1", 2,
     false, false, Style::upper},
    {"Linux UPnP/1.0 Sonos/70.3-88200 (ZPS1)", "/xml/device_description.xml", 1400,
     "urn:schemas-upnp-org:device:ZonePlayer:1",
     "urn:schemas-upnp-org:service:AlarmClock:1 urn:schemas-upnp-org:service:MusicServices:1 "
     "urn:schemas-upnp-org:service:DeviceProperties:1 "
     "urn:schemas-upnp-org:service:SystemProperties:1 "
     "urn:schemas-upnp-org:service:ZoneGroupTopology:1 urn:schemas-tencent-com:service:QPlay:1 "
     "urn:schemas-upnp-org:device:MediaServer:1 urn:schemas-upnp-org:device:MediaRenderer:1",
     1, false, false, Style::upper},
    {"Synology/DSM/192.168.1.20", "/ssdp/desc-DSM-eth0.xml", 5000,
     "urn:schemas-upnp-org:device:Basic:1", "", 4, false, false, Style::upper},
    {"AVM FRITZ!Box 7590 UPnP/1.0 AVM FRITZ!Box 7590 154.07.29", "/igddesc.xml", 49000, kGateway,
     kGatewayServices, 4, false, false, Style::upper},
    {"WebOS/4.1.0 UPnP/1.0", "/", 1900, kRenderer, kRendererServices, 4, true, false, Style::mixed},
    {"Embedded HTTP Server, UPnP/1.0", "/rootdesc.xml", 80, "urn:schemas-upnp-org:device:Basic:1.0",
     "", 1, false, false, Style::bare},
    {"Windows NT/5.0, UPnP/1.0", "/desc.xml", 8200, kServer, kServerServices, 4, true, false,
     Style::upper},
    {"Ubuntu/18.04 UPnP/1.0 MiniDLNA/1.2.1", "/rootDesc.xml", 8200, kServer, kServerServices, 4,
     false, false, Style::upper},
    {"RTL819x UPnP/1.0 RealTek/V1.3", "/simplecfg.xml", 52881, kGateway, kGatewayServices, 4, false,
     false, Style::upper},
}};

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    list.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return list;
}

std::string make_uuid(Random& random) {
  const std::uint64_t a = random.next();
  const std::uint64_t b = random.next();
  return fmt::format("uuid:{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", a >> 32U, (a >> 16U) & 0xffffU,
                     a & 0xffffU, b >> 48U, b & 0xffffffffffffULL);
}

/// Headers in the order and case of a stack; what a stack leaves out is empty.
struct Header {
  const char* name;
  std::string value;
};

std::string join(std::string start, const std::vector<Header>& headers, Style style) {
  for (const Header& header : headers) {
    if (header.value.empty() && std::string_view(header.name) != "EXT") continue;
    std::string name = header.name;
    if (style == Style::mixed) {
      bool first = true;
      for (char& c : name) {
        if (!first && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
        first = c == '-';
      }
      if (name.size() <= 3) name = header.name;
    }
    start += name + (style == Style::bare ? ":" : ": ") + header.value + "\r\n";
  }
  return start + "\r\n";
}

struct Identity {
  std::string uuid, location, server, nls, bridge;
  unsigned max_age;
};

std::string usn_of(const Identity& who, const std::string& target) {
  return target == who.uuid ? who.uuid : who.uuid + "::" + target;
}

std::string make_reply(const Profile& p, const Identity& who, const std::string& target) {
  std::vector<Header> headers;
  const std::string age = fmt::format("max-age={}", who.max_age);
  if (p.late) headers.push_back({"HOST", "239.255.255.250:1900"});
  if (p.style == Style::mixed) {
    headers.insert(headers.end(), {{"ST", target}, {"USN", usn_of(who, target)}});
    headers.insert(headers.end(),
                   {{"LOCATION", who.location}, {"EXT", ""}, {"SERVER", who.server}});
    headers.push_back({"CACHE-CONTROL", age});
  } else {
    headers.insert(headers.end(), {{"CACHE-CONTROL", age}, {"ST", target}});
    headers.push_back({"USN", usn_of(who, target)});
    headers.insert(headers.end(),
                   {{"EXT", ""}, {"SERVER", who.server}, {"LOCATION", who.location}});
  }
  if (!who.nls.empty()) {
    headers.push_back({"OPT", "\"http://schemas.upnp.org/upnp/1/0/\"; ns=01"});
    headers.push_back({"01-NLS", who.nls});
  }
  headers.push_back({"HUE-BRIDGEID", who.bridge});
  return join("HTTP/1.1 200 OK\r\n", headers, p.style);
}

std::string make_notify(const Profile& p, const Identity& who, const std::string& target,
                        bool alive, const std::string& host) {
  std::vector<Header> headers = {{"HOST", host}};
  if (alive) {
    headers.push_back({"CACHE-CONTROL", fmt::format("max-age={}", who.max_age)});
    headers.push_back({"LOCATION", who.location});
    headers.push_back({"SERVER", who.server});
    if (!who.nls.empty()) headers.push_back({"01-NLS", who.nls});
  }
  headers.insert(headers.end(), {{"NT", target},
                                 {"NTS", alive ? "ssdp:alive" : "ssdp:byebye"},
                                 {"USN", usn_of(who, target)}});
  return join("NOTIFY * HTTP/1.1\r\n", headers, p.style);
}

std::string bracketed(const Address& address) {
  return address.is_v4() ? address.text() : "[" + address.text() + "]";
}

}  // namespace

std::size_t profile_count() noexcept { return kProfiles.size(); }
const Profile& profile(std::size_t number) noexcept { return kProfiles[number]; }

std::size_t pick_profile(Random& random, Profiles of) noexcept {
  if (of == Profiles::all) return random.below(static_cast<std::uint32_t>(kProfiles.size()));
  const std::size_t half = random.below(static_cast<std::uint32_t>(kProfiles.size() / 2));
  return half * 2 + (of == Profiles::odd ? 1 : 0);
}

Messages make_messages(Random& random, std::size_t profile_number, const Address& address) {
  const Profile& p = kProfiles[profile_number];
  Identity who;
  who.uuid = make_uuid(random);
  who.location = fmt::format("http://{}:{}{}", bracketed(address), p.http_port, p.location_path);
  who.server = p.server;
  who.max_age = std::array{100U, 120U, 300U, 900U, 1800U, 1800U, 3600U}[random.below(7)];
  if (random.chance(0.3)) who.nls = make_uuid(random).substr(5);
  if (p.late) who.bridge = fmt::format("{:016X}", random.next());

  Messages m;
  m.profile = &p;
  m.targets = {"upnp:rootdevice", who.uuid, p.device};
  for (std::string& service : words(p.services)) m.targets.push_back(std::move(service));
  const std::string host =
      address.is_v4() ? std::string("239.255.255.250:1900") : std::string("[FF02::C]:1900");
  for (const std::string& target : m.targets) {
    m.replies.push_back(make_reply(p, who, target));
    m.notifies.push_back(make_notify(p, who, target, true, host));
    m.byebyes.push_back(make_notify(p, who, target, false, host));
  }
  return m;
}

Search pick_search(Random& random) {
  // By how often they were seen; ssdp:all is rare in captures, but what control points such as Home
  // Assistant send, so that it must not look like an attack by itself.
  constexpr std::array<const char*, 20> kTargets = {
      kGateway,
      kGateway,
      kGateway,
      kDial,
      kDial,
      kDial,
      "upnp:rootdevice",
      "upnp:rootdevice",
      "ssdp:all",
      "ssdp:all",
      "ssdp:all",
      "urn:schemas-upnp-org:service:WANIPConnection:1",
      "urn:schemas-upnp-org:service:WANPPPConnection:1",
      kRenderer,
      kServer,
      "urn:Belkin:device:**",
      "roku:ecp",
      "urn:schemas-upnp-org:device:basic:1",
      "urn:schemas-wifialliance-org:device:WFADevice:1",
      "urn:schemas-upnp-org:device:ZonePlayer:1"};
  Search search;
  search.target = kTargets[random.below(kTargets.size())];
  search.mx = std::array{3U, 3U, 3U, 1U, 1U, 2U, 5U}[random.below(7)];
  return search;
}

std::string make_search(Random& random, const Search& search, const Address& host) {
  std::vector<Header> headers = {{"HOST", fmt::format("{}:1900", bracketed(host))},
                                 {"MAN", "\"ssdp:discover\""}};
  if (!search.unicast) headers.push_back({"MX", fmt::format("{}", search.mx)});
  headers.push_back({"ST", search.target});
  if (random.chance(0.3)) {
    headers.push_back({"USER-AGENT", random.chance(0.5) ? "Google Chrome/120.0.6099.130 Windows"
                                                        : "Linux/6.1 UPnP/1.1 controlpoint/2.3"});
  }
  return join("M-SEARCH * HTTP/1.1\r\n", headers, random.chance(0.2) ? Style::mixed : Style::upper);
}

std::string damage(Random& random, std::string message) {
  const auto at = [&] { return random.below(static_cast<std::uint32_t>(message.size())); };
  switch (random.below(6)) {
    case 0:
      return message.substr(0, 12 + at() / 2);
    case 1:
      for (int i = 0; i < 8; ++i) message[18 + at() % (message.size() - 18)] = '\0';
      return message;
    case 2:
      return message.insert(message.find("\r\n") + 2, "no header here\r\n");
    case 3:
      return message.replace(message.find("HTTP/1.1"), 8, "HTTP/9.Z");
    case 4:
      for (int i = 0; i < 60; ++i) message.insert(message.size() - 2, "X: 1\r\n");
      return message;
    default:
      for (int i = 0; i < 16; ++i) message[at()] = static_cast<char>(random.next());
      return message;
  }
}

std::string noise(Random& random, std::string first, std::size_t length) {
  const std::size_t start = first.size();
  first.resize(length);
  for (std::size_t at = start; at < length; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random.next();
    std::memcpy(first.data() + at, &word, std::min(sizeof word, length - at));
  }
  return first;
}

}  // namespace weir::synth
