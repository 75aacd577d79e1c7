// SPDX-License-Identifier: BSD-2-Clause
#include "synth/profiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace weir::synth {
namespace {

using P = Profile;
using Style = Profile::Style;

// Urns, shortened here: S_ services, D_ devices of the UPnP forum.
#define WEIR_D(name) "urn:schemas-upnp-org:device:" name
#define WEIR_S(name) "urn:schemas-upnp-org:service:" name

// The services of an Internet gateway: the longest list that is common, and the favourite of
// reflection.
constexpr const char* kGateway = WEIR_D("InternetGatewayDevice:1");
constexpr const char* kGatewayServices = WEIR_D("WANDevice:1 ") WEIR_D("WANConnectionDevice:1 ")
    WEIR_S("Layer3Forwarding:1 ") WEIR_S("WANIPConnection:1 ") WEIR_S("WANPPPConnection:1 ")
        WEIR_S("WANCommonInterfaceConfig:1");
constexpr const char* kGateway2 = WEIR_D("InternetGatewayDevice:2");
constexpr const char* kGateway2Services =
    WEIR_D("WANDevice:2 ") WEIR_D("WANConnectionDevice:2 ") WEIR_S("WANIPConnection:2 ")
        WEIR_S("WANIPv6FirewallControl:1 ") WEIR_S("WANCommonInterfaceConfig:1");
constexpr const char* kRenderer = WEIR_D("MediaRenderer:1");
constexpr const char* kRendererServices =
    WEIR_S("RenderingControl:1 ") WEIR_S("AVTransport:1 ") WEIR_S("ConnectionManager:1");
constexpr const char* kServer = WEIR_D("MediaServer:1");
constexpr const char* kServerServices = WEIR_S("ContentDirectory:1 ")
    WEIR_S("ConnectionManager:1 ") "urn:microsoft.com:service:X_MS_MediaReceiverRegistrar:1";
constexpr const char* kDial = "urn:dial-multiscreen-org:service:dial:1";
constexpr const char* kWfa = "urn:schemas-wifialliance-org:device:WFADevice:1";
constexpr const char* kWfaServices = "urn:schemas-wifialliance-org:service:WFAWLANConfig:1";
constexpr const char* kBasic = WEIR_D("Basic:1");
constexpr const char* kPrinter = WEIR_D("Printer:1");
constexpr const char* kPrintServices = WEIR_S("PrintBasic:1");
constexpr const char* kBelkinServices =
    "urn:Belkin:service:WiFiSetup:1 urn:Belkin:service:timesync:1 urn:Belkin:service:basicevent:1 "
    "urn:Belkin:service:firmwareupdate:1 urn:Belkin:service:rules:1 urn:Belkin:service:metainfo:1 "
    "urn:Belkin:service:remoteaccess:1 urn:Belkin:service:deviceinfo:1 "
    "urn:Belkin:service:insight:1";
constexpr const char* kZoneServices =
    WEIR_S("AlarmClock:1 ") WEIR_S("MusicServices:1 ") WEIR_S("DeviceProperties:1 ")
        WEIR_S("SystemProperties:1 ") WEIR_S("ZoneGroupTopology:1 ") WEIR_D("MediaServer:1 ")
            WEIR_D("MediaRenderer:1 ") "urn:schemas-tencent-com:service:QPlay:1";

constexpr std::array<Profile, 38> kProfiles = {{
    // televisions and what is plugged into them
    {"samsung-tv", "television", "SHP, UPnP/1.0, Samsung UPnP SDK/1.0", "/smp_7_", 7676,
     "urn:samsung.com:device:RemoteControlReceiver:1",
     "urn:samsung.com:service:MultiScreenService:1 urn:samsung.com:device:MainTVServer2:1", 2, 2,
     30, P::plain, Style::upper},
    {"samsung-tizen", "television", "Samsung-Linux/4.1, UPnP/1.0, Samsung_UPnP_SDK/1.0", "/dmr",
     9197, kRenderer, kRendererServices, 2, 3, 60, P::off_port, Style::upper},
    {"lg-webos", "television", "WebOS/4.1.0 UPnP/1.0", "/", 1900, kRenderer, kRendererServices, 4,
     1, 60, P::off_port, Style::mixed},
    {"sony-bravia", "television", "Linux/4.9 UPnP/1.0 Sony-TV/1.0", "/dd.xml", 52323, kRenderer,
     "urn:schemas-sony-com:service:IRCC:1 urn:schemas-sony-com:service:ScalarWebAPI:1", 4, 2, 300,
     P::plain, Style::upper},
    {"philips-tv", "television", "Linux/4.9 UPnP/1.0 GUPnP/1.0.2", "/xml/device_description.xml",
     60006, kRenderer, kDial, 4, 1, 0, P::off_port, Style::mixed},
    {"panasonic-viera", "television", "FreeBSD/8.0 UPnP/1.0 Panasonic-MIL-DLNA-SV/1.0",
     "/nrc/ddd.xml", 55000, "urn:panasonic-com:device:p00RemoteController:1",
     "urn:panasonic-com:service:p00NetworkControl:1", 4, 2, 120, P::plain, Style::upper},
    {"roku", "stick", "Roku/9.3.0 UPnP/1.0 Roku/9.3.0", "/dial/dd.xml", 8060, "roku:ecp", kDial, 1,
     1, 0, P::plain, Style::mixed},
    {"cast-stick", "stick", "Linux/3.8.13, UPnP/1.0, Portable SDK for UPnP devices/1.6.18",
     "/ssdp/device-desc.xml", 8008, kDial, "", 4, 1, 0, P::off_port | P::nls, Style::upper},
    {"fire-stick", "stick", "UPnP/1.0 DIAL/1.7 AmazonOS/6.2", "/upnp/dev/dd.xml", 60000, kDial, "",
     4, 1, 300, P::off_port, Style::upper},
    // media servers and stores
    {"minidlna", "mediaserver", "Ubuntu/18.04 UPnP/1.0 MiniDLNA/1.2.1", "/rootDesc.xml", 8200,
     kServer, kServerServices, 4, 2, 30, P::plain, Style::upper},
    {"plex", "mediaserver", "Linux/5.4 UPnP/1.0 PlexMediaServer/1.32", "/DeviceDescription.xml",
     32469, kServer, kServerServices, 4, 1, 10, P::off_port, Style::upper},
    {"kodi", "mediaserver", "UPnP/1.0 DLNADOC/1.50 Kodi", "/", 1234, kRenderer, kRendererServices,
     4, 3, 60, P::plain, Style::mixed},
    {"windows-wmp", "mediaserver", "Windows NT/5.0, UPnP/1.0", "/desc.xml", 8200, kServer,
     kServerServices, 4, 1, 0, P::off_port, Style::upper},
    {"synology", "store", "Synology/DSM/192.168.1.20", "/ssdp/desc-DSM-eth0.xml", 5000, kBasic, "",
     4, 1, 0, P::plain, Style::upper},
    {"qnap", "store", "Linux/3.12.6, UPnP/1.0, TwonkyMedia UPnP SDK/1.1", "/dev0/desc.xml", 9000,
     kServer, kServerServices, 4, 3, 0, P::off_port, Style::upper},
    {"wd-store", "store", "Linux/3.2 UPnP/1.0 Twonky/8.5", "/nasdevicedescription.xml", 80, kBasic,
     kServer, 4, 2, 60, P::plain, Style::bare},
    // bridges and plugs
    {"hue-bridge", "bridge", "Linux/3.14.0 UPnP/1.0 IpBridge/1.26.0", "/description.xml", 80,
     WEIR_D("basic:1"), "", 4, 2, 60, P::late, Style::upper},
    {"home-hub", "bridge", "Linux/4.4, UPnP/1.0, Portable SDK for UPnP devices/1.8.4", "/hub.xml",
     39500, "urn:schemas-micasaverde-com:device:HomeAutomationGateway:1",
     "urn:schemas-micasaverde-org:service:HomeAutomationGateway:1", 4, 2, 0, P::off_port,
     Style::upper},
    {"wemo-plug", "plug", "Unspecified, UPnP/1.0, Unspecified", "/setup.xml", 49153,
     "urn:Belkin:device:controllee:1", kBelkinServices, 4, 1, 0, P::off_port | P::nls,
     Style::upper},
    {"wemo-link", "plug", "Linux/2.6.21, UPnP/1.0, Portable SDK for UPnP devices/1.6.18",
     "/setup.xml", 49152, "urn:Belkin:device:bridge:1", kBelkinServices, 4, 2, 0,
     P::off_port | P::nls, Style::upper},
    // speakers
    {"sonos", "speaker", "Linux UPnP/1.0 Sonos/70.3-88200 (ZPS1)", "/xml/device_description.xml",
     1400, WEIR_D("ZonePlayer:1"), kZoneServices, 1, 2, 0, P::plain, Style::upper},
    {"heos", "speaker", "LINUX UPnP/1.0 Denon-Heos/156", "/upnp/desc/aios_device/aios_device.xml",
     60006, "urn:schemas-denon-com:device:ACT-Denon:1", kRendererServices, 4, 2, 60, P::off_port,
     Style::upper},
    {"musiccast", "speaker", "Network_Module/1.0 (RX-V)", "/MediaRenderer/desc.xml", 49154,
     kRenderer, kRendererServices, 4, 2, 300, P::plain, Style::mixed},
    {"soundtouch", "speaker", "Linux UPnP/1.0 Cling/2.0", "/dev/desc", 8058, kRenderer,
     kRendererServices, 4, 1, 0, P::plain, Style::mixed},
    // consoles
    {"xbox", "console", "Microsoft-Windows/10.0 UPnP/1.0 Xbox/2.0", "/upnphost/udhisapi.dll", 2869,
     kRenderer, kRendererServices, 4, 2, 0, P::plain, Style::mixed},
    {"playstation", "console", "UPnP/1.0 DLNADOC/1.50 PlayStation/5.0", "/dd.xml", 9295, kDial, "",
     4, 1, 300, P::off_port, Style::upper},
    // printers
    {"laser-printer", "printer", "Network Printer Server UPnP/1.0 OS 1.29.00.45 06-17-2009",
     "/DeviceDescription.xml", 5200, kPrinter, kPrintServices, 4, 1, 0, P::plain, Style::upper},
    {"epson-printer", "printer", "Epson UPnP/1.0 Epson_Linux UPnP Server/1.0",
     "/PRESENTATION/DESC.XML", 80, kPrinter, kPrintServices, 4, 2, 300, P::plain, Style::upper},
    {"canon-printer", "printer", "Canon_IJ_UPnP/1.0 UPnP/1.0 IJ-UPnP/1.0", "/desc/device.xml", 80,
     kPrinter, "urn:schemas-canon-com:service:ICPO-SmartPhoneEOSSystemService:1", 1, 3, 120,
     P::off_port, Style::bare},
    // routers
    {"miniupnpd", "router", "Linux/3.10 UPnP/1.1 MiniUPnPd/1.9", "/rootDesc.xml", 5000, kGateway,
     kGatewayServices, 4, 2, 30, P::nls, Style::upper},
    {"old-miniupnpd", "router", "Linux/2.6 UPnP/1.0 miniupnpd/1.0", "/gatedesc.xml", 49152,
     kGateway, kGatewayServices, 4, 1, 60, P::off_port, Style::upper},
    {"fritzbox", "router", "AVM FRITZ!Box 7590 UPnP/1.0 AVM FRITZ!Box 7590 154.07.29",
     "/igddesc.xml", 49000, kGateway2, kGateway2Services, 4, 3, 300, P::plain, Style::upper},
    {"broadcom", "router", "POSIX, UPnP/1.0 Broadcom UPnP Stack/6.37", "/rootDesc.xml", 1990, kWfa,
     kWfaServices, 4, 2, 0, P::plain, Style::bare},
    {"realtek", "router", "RTL819x UPnP/1.0 RealTek/V1.3", "/simplecfg.xml", 52881, kGateway,
     kGatewayServices, 4, 1, 0, P::plain, Style::upper},
    // computers, phones, cameras
    {"windows-host", "computer", "Microsoft-Windows/10.0 UPnP/1.0 UPnP-Device-Host/1.0",
     "/upnphost/udhisapi.dll?content=uuid:", 2869, kServer, kServerServices, 1, 3, 0, P::plain,
     Style::mixed},
    {"android-renderer", "phone", "Linux/4.14 UPnP/1.0 Cling/2.0", "/upnp/dev/desc", 57645,
     kRenderer, kRendererServices, 4, 1, 60, P::off_port, Style::mixed},
    {"ip-camera", "camera", "Embedded HTTP Server, UPnP/1.0", "/rootdesc.xml", 80,
     WEIR_D("Basic:1.0"), "urn:schemas-dlink-com:service:CameraControl:1", 1, 4, 60, P::plain,
     Style::bare},
    {"video-recorder", "camera", "Linux/3.0.8 UPnP/1.0 NVR-Host/1.0", "/upnpdevicedesc.xml", 49152,
     WEIR_D("Basic:1"), "urn:schemas-upnp-org:service:EmbeddedNetDeviceControl:1", 4, 2, 30,
     P::off_port, Style::upper},
}};

constexpr std::array<Controller, 15> kControllers = {{
    {"chrome", "browser", kDial, 1, 1, 4, 1.0, 120, false, 0,
     "Google Chrome/120.0.6099.130 Windows"},
    {"edge", "browser", kDial, 1, 1, 4, 1.0, 60, false, 0, "Microsoft Edge/119.0.2151.97 Windows"},
    {"windows-igd", "windows", kGateway, 3, 1, 3, 3.0, 120, false, 0, nullptr},
    {"windows-discovery", "windows",
     "upnp:rootdevice urn:schemas-wifialliance-org:device:WFADevice:1 "
     "urn:schemas-upnp-org:device:MediaServer:1",
     3, 1, 3, 3.0, 60, true, 0.05, nullptr},
    {"phone-cast", "phone", kDial, 3, 1, 2, 0.5, 15, false, 0, nullptr},
    {"phone-remote", "phone", "roku:ecp urn:samsung.com:device:RemoteControlReceiver:1", 3, 4, 2,
     0.3, 5, true, 0.1, nullptr},
    {"video-app", "television", "urn:schemas-upnp-org:device:MediaServer:1 ssdp:all", 2, 4, 1, 1.0,
     15, true, 0.1, "Linux/4.9 UPnP/1.0 DLNADOC/1.50"},
    {"speaker-app", "speaker", WEIR_D("ZonePlayer:1"), 1, 4, 3, 0.2, 60, true, 0.05, nullptr},
    {"game-console", "console", "urn:schemas-upnp-org:device:MediaServer:1", 3, 4, 2, 1.0, 120,
     false, 0, "Xbox/2.0 UPnP/1.0 Xbox/2.0"},
    {"torrent-client", "computer",
     "urn:schemas-upnp-org:device:InternetGatewayDevice:1 "
     "urn:schemas-upnp-org:service:WANIPConnection:1 "
     "urn:schemas-upnp-org:service:WANPPPConnection:1 upnp:rootdevice",
     3, 2, 2, 0.1, 120, false, 0, nullptr},
    {"home-assistant", "automation", "ssdp:all", 4, 2, 2, 0.5, 120, true, 0.3, nullptr},
    {"plug-app", "automation", "urn:Belkin:device:** upnp:rootdevice", 2, 4, 3, 0.5, 10, true, 0.2,
     nullptr},
    {"light-app", "automation", WEIR_D("basic:1"), 1, 4, 3, 1.0, 30, false, 0.1, nullptr},
    {"upnp-browser", "automation", "ssdp:all upnp:rootdevice", 5, 4, 2, 0.5, 15, true, 0.15,
     "Linux/6.1 UPnP/1.1 controlpoint/2.3"},
    {"media-finder", "finder", "", 0, 64, 1, 1.0, 5, true, 0, nullptr, 32'412},
}};
#undef WEIR_D
#undef WEIR_S

bool names(std::span<const std::string> words, const char* name, const char* family) noexcept {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return word == name || word == family; });
}

template <typename List>
std::vector<std::uint32_t> choose(const List& list, std::span<const std::string> only,
                                  std::span<const std::string> without) {
  std::vector<std::uint32_t> chosen;
  for (std::uint32_t i = 0; i < list.size(); ++i) {
    const auto& entry = list[i];
    const bool in = only.empty() || names(only, entry.name, entry.family);
    if (in && !names(without, entry.name, entry.family)) chosen.push_back(i);
  }
  return chosen;
}

}  // namespace

std::span<const Profile> all_profiles() noexcept { return kProfiles; }
std::span<const Controller> all_controllers() noexcept { return kControllers; }

std::vector<std::uint32_t> choose_profiles(std::span<const std::string> only,
                                           std::span<const std::string> without) {
  std::vector<std::uint32_t> chosen = choose(kProfiles, only, without);
  if (chosen.empty()) chosen = choose(kProfiles, {}, without);  // `only` names control points
  return chosen;
}

std::vector<std::uint32_t> choose_controllers(std::span<const std::string> only,
                                              std::span<const std::string> without) {
  std::vector<std::uint32_t> chosen = choose(kControllers, only, without);
  if (chosen.empty()) chosen = choose(kControllers, {}, without);
  return chosen;
}

Status check_names(std::span<const std::string> words) {
  std::set<std::string> known;
  for (const Profile& p : kProfiles) known.insert({p.name, p.family});
  for (const Controller& c : kControllers) known.insert({c.name, c.family});
  for (const std::string& word : words) {
    if (known.count(word) != 0) continue;
    return fail(fmt::format(
        "'{}' is no device, control point or family of them; weir synth --list names all", word));
  }
  return {};
}

}  // namespace weir::synth
