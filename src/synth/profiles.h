// SPDX-License-Identifier: BSD-2-Clause
/// Who lives on a network: devices as they are sold, and the control points that look for them.
///
/// Source    SERVER strings, services, periods and copies as real networks and the stacks' sources
///           show them; UPnP Device Architecture 1.0 to 2.0 for the rest. The texts are written for
///           this file; none is a copy of a capture.
/// Names     every entry has a name and belongs to a family ("television", "router", ...): either
///           may be asked for, or left out, so that a test's devices never occurred in training.
/// Owner     constant data.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::synth {

/// One kind of device.
struct Profile {
  const char* name;
  const char* family;
  const char* server;         ///< the SERVER header
  const char* location_path;  ///< behind http://ADDRESS:PORT
  std::uint16_t http_port;
  const char* device;    ///< urn of its root device
  const char* services;  ///< urns of what else it announces, separated by spaces
  std::uint8_t ttl;      ///< of its NOTIFYs; replies have 64 or 128
  std::uint8_t copies;   ///< of every NOTIFY in a burst
  double period_s;       ///< between bursts; 0: each device has one of its own
  enum Habit : std::uint8_t {
    plain = 0,
    off_port = 1,  ///< answers from an ephemeral port (libupnp opens a new socket)
    late = 2,      ///< answers up to 22 s after the search, whatever MX is
    nls = 4,       ///< tells its boot by 01-NLS, and by BOOTID.UPNP.ORG (UDA 1.1 on)
  };
  std::uint8_t habits;                                           ///< `Habit` bits
  enum class Style : std::uint8_t { upper, mixed, bare } style;  ///< of its headers

  [[nodiscard]] bool has(Habit habit) const noexcept { return (habits & habit) != 0; }
};
std::span<const Profile> all_profiles() noexcept;

/// One kind of control point.
struct Controller {
  const char* name;
  const char* family;
  const char* targets;  ///< ST values, separated by spaces: it asks for all of them in turn
  unsigned mx;
  std::uint8_t ttl;     ///< of its searches
  std::uint8_t copies;  ///< of each search, `copy_gap_s` apart
  double copy_gap_s;
  double period_s;         ///< between searches
  bool keeps_port;         ///< one socket for its life; else a new one for each search
  double unicast;          ///< share of its searches that ask one known device again
  const char* user_agent;  ///< nullptr: it sends none
  /// 0: SSDP's own. Else it borrows the search for a protocol of its own: a bare M-SEARCH to this
  /// port of the subnet's broadcast address.
  std::uint16_t broadcast_port = 0;
};
std::span<const Controller> all_controllers() noexcept;

/// Numbers of the profiles whose name or family is in `only` (empty: all) and not in `without`.
std::vector<std::uint32_t> choose_profiles(std::span<const std::string> only,
                                           std::span<const std::string> without);
/// The same of controllers; names that are a device's leave them all.
std::vector<std::uint32_t> choose_controllers(std::span<const std::string> only,
                                              std::span<const std::string> without);
/// Whether every word is a name or a family of either; else which one is not, and what there is.
Status check_names(std::span<const std::string> words);

}  // namespace weir::synth
