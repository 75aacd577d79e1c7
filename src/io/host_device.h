// SPDX-License-Identifier: BSD-2-Clause
/// One network device as the kernel tells of it and lets it be set: ioctl and rtnetlink. Inside of
/// io/host.h.
///
/// Shape     a handle of a name and a socket; every call asks the kernel anew.
/// Errors    a call that a driver does not know is no error: the device has not got the thing.
/// Threads   one owner.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

struct ifreq;

namespace weir::io {

/// What rtnetlink says of a link.
struct LinkFacts {
  std::string kind;           ///< "veth", "bridge", ...; empty for hardware
  std::uint32_t master = 0;   ///< the bridge or bond that it belongs to; 0: none
  std::uint32_t peer = 0;     ///< IFLA_LINK: veth's far end; 0: none
  bool peer_is_away = false;  ///< in another network namespace
  bool has_xdp = false;
  std::uint32_t rx_queues = 0, tx_queues = 0;  ///< as many as it was made with
};

/// A feature bit of 'ethtool -k'.
struct Feature {
  bool on = false;
  bool fixed = false;  ///< cannot be changed
};

class Device {
 public:
  /// The error is that of a system without sockets.
  static Result<Device> open(const std::string& name);
  Device(Device&& other) noexcept;
  Device& operator=(Device&&) = delete;
  ~Device();

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// 0 where there is no such interface.
  [[nodiscard]] std::uint32_t ifindex() const noexcept;
  [[nodiscard]] std::optional<unsigned> flags() const noexcept;  ///< IFF_*
  /// Sets or clears IFF_* bits; errno, or 0.
  [[nodiscard]] int set_flags(unsigned bits, bool on) const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> mtu() const noexcept;
  [[nodiscard]] std::optional<unsigned> hardware_type() const noexcept;  ///< ARPHRD_*
  [[nodiscard]] std::optional<std::array<std::uint8_t, 6>> mac() const noexcept;
  [[nodiscard]] std::string driver() const;
  struct Queues {
    std::uint32_t rx = 0, tx = 0;
  };
  /// As they are in use now ('ethtool -l'); empty where the driver does not tell.
  [[nodiscard]] std::optional<Queues> queues() const noexcept;
  [[nodiscard]] Result<LinkFacts> link() const;

  /// All features by name; empty where the driver does not tell.
  [[nodiscard]] std::map<std::string, Feature> features() const;
  /// Asks for a feature to be on or off; errno, or 0. Look at `features` for what came of it.
  [[nodiscard]] int set_feature(const std::string& feature, bool on) const;

 private:
  Device(std::string name, int fd) noexcept : name_(std::move(name)), fd_(fd) {}
  int ask(unsigned long request, ifreq& question) const noexcept;
  int ethtool(void* command) const noexcept;
  [[nodiscard]] std::vector<std::string> feature_names() const;

  std::string name_;
  int fd_ = -1;
};

}  // namespace weir::io
