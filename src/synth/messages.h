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
#include "synth/profiles.h"
#include "synth/random.h"

namespace weir::synth {

struct Messages {
  const Profile* profile = nullptr;
  std::vector<std::string> targets;  ///< what it announces: rootdevice, uuid, urns
  std::vector<std::string> replies;  ///< by target
  std::vector<std::string> notifies;
  std::vector<std::string> byebyes;
  std::vector<std::string> updates;  ///< ssdp:update (UDA 1.1 on): it has moved to another address
};
/// The messages of a new device that lives at `address`.
Messages make_messages(Random& random, const Profile& profile, const Address& address);

struct Search {
  std::string target;  ///< empty: a bare start line
  unsigned mx = 3;
  bool unicast = false;
};
/// A search as control points send it: ST drawn as seen on real networks, with some ssdp:all.
Search pick_search(Random& random);
/// What a control point asks for next.
Search pick_search(Random& random, const Controller& controller);
std::string make_search(Random& random, const Search& search, const Address& host);
/// The same with the control point's own USER-AGENT, or none.
std::string make_search(const Controller& controller, const Search& search, const Address& host);

/// Damages a message: cut off, control bytes, a header without a colon, a wrong start line, an MX
/// below zero or beyond all numbers, a hundred headers, a very long one, ...
std::string damage(Random& random, std::string message);

/// Fills a message up to `length` bytes: a long header before its end, or bytes behind it.
std::string pad(Random& random, std::string message, std::size_t length);

/// `length` bytes that are no SSDP, with `first` in front.
std::string noise(Random& random, std::string first, std::size_t length);

}  // namespace weir::synth
