// SPDX-License-Identifier: BSD-2-Clause
/// What devices say: the messages of one device, put together from the banner of its stack and the
/// list of its services.
///
/// Source    SERVER strings, header sets, their order and case, as seen on real networks and in the
///           stacks' sources; UPnP Device Architecture 1.0 to 2.0 for the rest.
/// Owner     values.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "synth/random.h"
#include "synth/synth.h"

namespace weir::synth {

/// One kind of device, as it is sold.
struct Profile {
  const char* server;
  const char* location_path;  ///< behind http://ADDRESS:PORT
  std::uint16_t http_port;
  const char* device;    ///< urn of its root device
  const char* services;  ///< urns of what else it announces, separated by spaces
  std::uint8_t ttl;      ///< of its NOTIFYs; replies have 64 or 128
  bool off_port;         ///< answers from an ephemeral port (libupnp opens a new socket)
  bool late;             ///< answers up to 22 s after the search, whatever MX is
  enum class Style : std::uint8_t { upper, mixed, bare } style;  ///< of its headers
};

/// How many profiles there are, and which of them an option admits.
std::size_t profile_count() noexcept;
const Profile& profile(std::size_t number) noexcept;
std::size_t pick_profile(Random& random, Profiles of) noexcept;

struct Messages {
  const Profile* profile = nullptr;
  std::vector<std::string> targets;  ///< what it announces: rootdevice, uuid, urns
  std::vector<std::string> replies;  ///< by target
  std::vector<std::string> notifies;
  std::vector<std::string> byebyes;
};
/// The messages of a new device that lives at `address`.
Messages make_messages(Random& random, std::size_t profile_number, const Address& address);

struct Search {
  std::string target;
  unsigned mx = 3;
  bool unicast = false;
};
/// A search as control points send it: ST drawn as seen on real networks, with some ssdp:all.
Search pick_search(Random& random);
std::string make_search(Random& random, const Search& search, const Address& host);

/// Damages a message: cut off, control bytes, a header without a colon, a wrong start line, ...
std::string damage(Random& random, std::string message);

/// `length` bytes that are no SSDP, with `first` in front.
std::string noise(Random& random, std::string first, std::size_t length);

}  // namespace weir::synth
