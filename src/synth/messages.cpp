// SPDX-License-Identifier: BSD-2-Clause
#include "synth/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace weir::synth {
namespace {

using Style = Profile::Style;

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

std::string join(const char* start, const std::vector<Header>& headers, Style style) {
  std::string text(start);
  text.reserve(512);
  for (const Header& header : headers) {
    const std::string_view name(header.name);
    if (header.value.empty() && name != "EXT") continue;
    const std::size_t at = text.size();
    text += name;
    if (style == Style::mixed && name.size() > 3) {
      for (std::size_t i = at + 1; i < text.size(); ++i) {
        char& c = text[i];
        if (text[i - 1] != '-' && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
      }
    }
    text += style == Style::bare ? ":" : ": ";
    text += header.value;
    text += "\r\n";
  }
  return text += "\r\n";
}

struct Identity {
  std::string uuid, location, server, nls, bridge;
  unsigned max_age = 1800, boot = 0;
};

std::string usn_of(const Identity& who, const std::string& target) {
  return target == who.uuid ? who.uuid : who.uuid + "::" + target;
}

std::string make_reply(const Profile& p, const Identity& who, const std::string& target) {
  std::vector<Header> headers;
  const std::string age = fmt::format("max-age={}", who.max_age);
  if (p.has(Profile::late)) headers.push_back({"HOST", "239.255.255.250:1900"});
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
    headers.push_back({"BOOTID.UPNP.ORG", fmt::format("{}", who.boot)});
    headers.push_back({"CONFIGID.UPNP.ORG", "1"});
  }
  headers.push_back({"HUE-BRIDGEID", who.bridge});
  return join("HTTP/1.1 200 OK\r\n", headers, p.style);
}

enum class Says : std::uint8_t { alive, byebye, update };

std::string make_notify(const Profile& p, const Identity& who, const std::string& target, Says says,
                        const std::string& host) {
  std::vector<Header> headers = {{"HOST", host}};
  if (says == Says::alive) {
    headers.push_back({"CACHE-CONTROL", fmt::format("max-age={}", who.max_age)});
    headers.push_back({"LOCATION", who.location});
    headers.push_back({"SERVER", who.server});
    if (!who.nls.empty()) headers.push_back({"01-NLS", who.nls});
  }
  if (says == Says::update) {
    headers.push_back({"LOCATION", who.location});
    headers.push_back({"BOOTID.UPNP.ORG", fmt::format("{}", who.boot)});
    headers.push_back({"CONFIGID.UPNP.ORG", "1"});
    headers.push_back({"NEXTBOOTID.UPNP.ORG", fmt::format("{}", who.boot + 1)});
  }
  const char* const nts = says == Says::alive    ? "ssdp:alive"
                          : says == Says::byebye ? "ssdp:byebye"
                                                 : "ssdp:update";
  headers.push_back({"NT", target});
  headers.push_back({"NTS", nts});
  headers.push_back({"USN", usn_of(who, target)});
  return join("NOTIFY * HTTP/1.1\r\n", headers, p.style);
}

std::string bracketed(const Address& address) {
  return address.is_v4() ? address.text() : "[" + address.text() + "]";
}

}  // namespace

Messages make_messages(Random& random, const Profile& p, const Address& address) {
  Identity who;
  who.uuid = make_uuid(random);
  who.location = fmt::format("http://{}:{}{}", bracketed(address), p.http_port, p.location_path);
  who.server = p.server;
  who.max_age = std::array{100U, 120U, 300U, 900U, 1800U, 1800U, 3600U}[random.below(7)];
  if (p.has(Profile::nls)) who.nls = make_uuid(random).substr(5);
  who.boot = random.between(1, 2'000);
  if (p.has(Profile::late)) who.bridge = fmt::format("{:016X}", random.next());

  Messages m;
  m.profile = &p;
  m.targets = {"upnp:rootdevice", who.uuid, p.device};
  for (std::string& service : words(p.services)) m.targets.push_back(std::move(service));
  const std::string host =
      address.is_v4() ? std::string("239.255.255.250:1900") : std::string("[FF02::C]:1900");
  for (const std::string& target : m.targets) {
    m.replies.push_back(make_reply(p, who, target));
    m.notifies.push_back(make_notify(p, who, target, Says::alive, host));
    m.byebyes.push_back(make_notify(p, who, target, Says::byebye, host));
    m.updates.push_back(make_notify(p, who, target, Says::update, host));
  }
  return m;
}

Search pick_search(Random& random) {
  const auto all = all_controllers();
  Search search;
  while (search.target.empty())
    search = pick_search(random, all[random.below(static_cast<std::uint32_t>(all.size()))]);
  return search;
}

Search pick_search(Random& random, const Controller& controller) {
  std::vector<std::string> targets = words(controller.targets);
  Search search;
  if (targets.empty()) return search;
  search.target = std::move(targets[random.below(static_cast<std::uint32_t>(targets.size()))]);
  search.mx = controller.mx;
  return search;
}

namespace {
std::string search_text(const Search& search, const Address& host, const char* user_agent,
                        Style style) {
  if (search.target.empty()) return "M-SEARCH * HTTP/1.1\r\n\r\n";
  std::vector<Header> headers = {{"HOST", fmt::format("{}:1900", bracketed(host))},
                                 {"MAN", "\"ssdp:discover\""}};
  if (!search.unicast) headers.push_back({"MX", fmt::format("{}", search.mx)});
  headers.push_back({"ST", search.target});
  if (user_agent != nullptr) headers.push_back({"USER-AGENT", user_agent});
  return join("M-SEARCH * HTTP/1.1\r\n", headers, style);
}
}  // namespace

std::string make_search(Random& random, const Search& search, const Address& host) {
  const char* const agent = random.chance(0.7) ? nullptr : "Linux/6.1 UPnP/1.1 controlpoint/2.3";
  return search_text(search, host, agent, random.chance(0.2) ? Style::mixed : Style::upper);
}

std::string make_search(const Controller& controller, const Search& search, const Address& host) {
  return search_text(search, host, controller.user_agent, Style::upper);
}

std::string damage(Random& random, std::string message) {
  const auto at = [&] { return random.below(static_cast<std::uint32_t>(message.size())); };
  const auto before_end = [&](const std::string& headers) {
    return message.insert(message.size() - 2, headers);
  };
  std::string many;
  switch (random.below(9)) {
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
      for (int i = 0; i < 120; ++i) many += "X: 1\r\n";
      return before_end(many);
    case 5:
      return before_end("X-LONG: " + std::string(700, 'a') + "\xc3\xa9\r\n");
    case 6:
      return "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMX: -1\r\nbroken\r\n\r\n";
    case 7:
      return "M-SEARCH * HTTP/1.1 HOST: 239.255.255.250:1900 MX: 99999999999999999999";
    default:
      for (int i = 0; i < 16; ++i) message[at()] = static_cast<char>(random.next());
      return message;
  }
}

std::string pad(Random& random, std::string message, std::size_t length) {
  if (message.size() + 16 >= length) return message;
  const std::size_t missing = length - message.size();
  if (random.chance(0.5)) return message + std::string(missing, ' ');
  const std::string header = "X-PAD: ";
  return message.insert(message.size() - 2,
                        header + std::string(missing - header.size() - 2, 'p') + "\r\n");
}

std::string noise(Random& random, std::string first, std::size_t length) {
  const std::size_t start = first.size();
  first.resize(length);
  for (std::size_t at = start; at < length; at += sizeof(std::uint64_t)) {
    std::uint64_t word = random.next();
    for (std::size_t i = at; i < std::min(at + sizeof word, length); ++i, word >>= 8U)
      first[i] = static_cast<char>(word);
  }
  return first;
}

}  // namespace weir::synth
