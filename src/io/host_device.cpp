// SPDX-License-Identifier: BSD-2-Clause
#include "io/host_device.h"

#include <fmt/format.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace weir::io {

namespace {

/// Room for an ethtool command with an array behind it, aligned for both.
template <typename Command>
class WithArray {
 public:
  explicit WithArray(std::size_t array_bytes)
      : words_((sizeof(Command) + array_bytes + sizeof(std::uint64_t) - 1) /
               sizeof(std::uint64_t)) {}
  Command* get() noexcept { return reinterpret_cast<Command*>(words_.data()); }
  Command* operator->() noexcept { return get(); }

 private:
  std::vector<std::uint64_t> words_;
};

constexpr std::size_t kFeaturesInBlock = 32;

std::uint32_t number_of(const rtattr* attribute) noexcept {
  std::uint32_t value = 0;
  if (RTA_PAYLOAD(attribute) >= sizeof value) {
    std::memcpy(&value, RTA_DATA(attribute), sizeof value);
  }
  return value;
}

/// Calls `use(type, attribute)` for each attribute in `length` bytes.
template <typename Use>
void each_attribute(const void* first, std::size_t length, Use use) {
  const auto* attribute = static_cast<const rtattr*>(first);
  for (auto left = static_cast<int>(length); RTA_OK(attribute, left);
       attribute = RTA_NEXT(attribute, left)) {
    use(attribute->rta_type & NLA_TYPE_MASK, attribute);
  }
}

LinkFacts parse_link(const nlmsghdr* message) {
  LinkFacts facts;
  const auto* const info = static_cast<const ifinfomsg*>(NLMSG_DATA(message));
  each_attribute(IFLA_RTA(info), IFLA_PAYLOAD(message), [&](int type, const rtattr* attribute) {
    switch (type) {
      case IFLA_MASTER:
        facts.master = number_of(attribute);
        break;
      case IFLA_LINK:
        facts.peer = number_of(attribute);
        break;
      case IFLA_LINK_NETNSID:
        facts.peer_is_away = true;
        break;
      case IFLA_NUM_RX_QUEUES:
        facts.rx_queues = number_of(attribute);
        break;
      case IFLA_NUM_TX_QUEUES:
        facts.tx_queues = number_of(attribute);
        break;
      case IFLA_XDP:
        each_attribute(RTA_DATA(attribute), RTA_PAYLOAD(attribute),
                       [&](int inner, const rtattr* value) {
                         if (inner == IFLA_XDP_ATTACHED && RTA_PAYLOAD(value) >= 1) {
                           facts.has_xdp = *static_cast<const std::uint8_t*>(RTA_DATA(value)) != 0;
                         }
                       });
        break;
      case IFLA_LINKINFO:
        each_attribute(RTA_DATA(attribute), RTA_PAYLOAD(attribute),
                       [&](int inner, const rtattr* value) {
                         if (inner != IFLA_INFO_KIND) return;
                         const auto* const text = static_cast<const char*>(RTA_DATA(value));
                         facts.kind.assign(text, strnlen(text, RTA_PAYLOAD(value)));
                       });
        break;
      default:
        break;
    }
  });
  return facts;
}

}  // namespace

Result<Device> Device::open(const std::string& name) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return fail_errno(fmt::format("interface '{}' cannot be asked about: socket", name), errno);
  }
  return Device(name, fd);
}

Device::Device(Device&& other) noexcept
    : name_(std::move(other.name_)), fd_(std::exchange(other.fd_, -1)) {}

Device::~Device() {
  if (fd_ >= 0) ::close(fd_);
}

int Device::ask(unsigned long request, ifreq& question) const noexcept {
  if (name_.size() >= IFNAMSIZ) return ENODEV;
  std::memcpy(question.ifr_name, name_.c_str(), name_.size() + 1);
  return ioctl(fd_, request, &question) == 0 ? 0 : errno;
}

int Device::ethtool(void* command) const noexcept {
  ifreq question{};
  question.ifr_data = static_cast<char*>(command);
  return ask(SIOCETHTOOL, question);
}

std::uint32_t Device::ifindex() const noexcept {
  ifreq question{};
  return ask(SIOCGIFINDEX, question) == 0 ? static_cast<std::uint32_t>(question.ifr_ifindex) : 0;
}

std::optional<unsigned> Device::flags() const noexcept {
  ifreq question{};
  if (ask(SIOCGIFFLAGS, question) != 0) return std::nullopt;
  return static_cast<unsigned short>(question.ifr_flags);
}

int Device::set_flags(unsigned bits, bool on) const noexcept {
  ifreq question{};
  if (const int error = ask(SIOCGIFFLAGS, question); error != 0) return error;
  const unsigned now = static_cast<unsigned short>(question.ifr_flags);
  question.ifr_flags = static_cast<short>(on ? now | bits : now & ~bits);
  return ask(SIOCSIFFLAGS, question);
}

std::optional<std::uint32_t> Device::mtu() const noexcept {
  ifreq question{};
  if (ask(SIOCGIFMTU, question) != 0) return std::nullopt;
  return static_cast<std::uint32_t>(question.ifr_mtu);
}

std::optional<unsigned> Device::hardware_type() const noexcept {
  ifreq question{};
  if (ask(SIOCGIFHWADDR, question) != 0) return std::nullopt;
  return question.ifr_hwaddr.sa_family;
}

std::optional<std::array<std::uint8_t, 6>> Device::mac() const noexcept {
  ifreq question{};
  if (ask(SIOCGIFHWADDR, question) != 0) return std::nullopt;
  std::array<std::uint8_t, 6> address{};
  std::memcpy(address.data(), question.ifr_hwaddr.sa_data, address.size());
  return address;
}

std::string Device::driver() const {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (ethtool(&info) != 0) return {};
  return {info.driver, strnlen(info.driver, sizeof info.driver)};
}

std::optional<Device::Queues> Device::queues() const noexcept {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ethtool(&channels) != 0) return std::nullopt;
  return Queues{channels.rx_count + channels.combined_count,
                channels.tx_count + channels.combined_count};
}

Result<LinkFacts> Device::link() const {
  const auto failed = [&](int error) {
    return fail_errno(fmt::format("interface '{}' cannot be asked about: rtnetlink", name_), error);
  };
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return failed(errno);
  struct {
    nlmsghdr header;
    ifinfomsg info;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.info.ifi_index = static_cast<int>(ifindex());
  alignas(nlmsghdr) std::array<char, 65536> reply{};
  ssize_t length = send(fd, &request, sizeof request, 0);
  if (length >= 0) length = recv(fd, reply.data(), reply.size(), 0);
  const int error = length < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) return failed(error);
  const auto* const message = reinterpret_cast<const nlmsghdr*>(reply.data());
  if (!NLMSG_OK(message, static_cast<std::uint32_t>(length))) return failed(EBADMSG);
  if (message->nlmsg_type == NLMSG_ERROR) {
    return failed(-static_cast<const nlmsgerr*>(NLMSG_DATA(message))->error);
  }
  if (message->nlmsg_type != RTM_NEWLINK) return failed(EBADMSG);
  return parse_link(message);
}

std::vector<std::string> Device::feature_names() const {
  WithArray<ethtool_sset_info> count(sizeof(std::uint32_t));
  count->cmd = ETHTOOL_GSSET_INFO;
  count->sset_mask = 1ULL << ETH_SS_FEATURES;
  if (ethtool(count.get()) != 0 || count->sset_mask == 0) return {};
  const std::uint32_t features = count->data[0];
  WithArray<ethtool_gstrings> strings(std::size_t{features} * ETH_GSTRING_LEN);
  strings->cmd = ETHTOOL_GSTRINGS;
  strings->string_set = ETH_SS_FEATURES;
  strings->len = features;
  if (ethtool(strings.get()) != 0) return {};
  std::vector<std::string> names;
  for (std::uint32_t i = 0; i < std::min(features, strings->len); ++i) {
    const auto* const text =
        reinterpret_cast<const char*>(strings->data) + std::size_t{i} * ETH_GSTRING_LEN;
    names.emplace_back(text, strnlen(text, ETH_GSTRING_LEN));
  }
  return names;
}

std::map<std::string, Feature> Device::features() const {
  const std::vector<std::string> names = feature_names();
  const std::size_t blocks = (names.size() + kFeaturesInBlock - 1) / kFeaturesInBlock;
  WithArray<ethtool_gfeatures> values(blocks * sizeof(ethtool_get_features_block));
  values->cmd = ETHTOOL_GFEATURES;
  values->size = static_cast<std::uint32_t>(blocks);
  if (names.empty() || ethtool(values.get()) != 0) return {};
  std::map<std::string, Feature> features;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const ethtool_get_features_block& block = values->features[i / kFeaturesInBlock];
    const std::uint32_t bit = 1U << (i % kFeaturesInBlock);
    features[names[i]] = {(block.active & bit) != 0,
                          (block.available & bit) == 0 || (block.never_changed & bit) != 0};
  }
  return features;
}

int Device::set_feature(const std::string& feature, bool on) const {
  const std::vector<std::string> names = feature_names();
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] != feature) continue;
    const std::size_t blocks = (names.size() + kFeaturesInBlock - 1) / kFeaturesInBlock;
    WithArray<ethtool_sfeatures> values(blocks * sizeof(ethtool_set_features_block));
    values->cmd = ETHTOOL_SFEATURES;
    values->size = static_cast<std::uint32_t>(blocks);
    const std::uint32_t bit = 1U << (i % kFeaturesInBlock);
    values->features[i / kFeaturesInBlock] = {bit, on ? bit : 0};
    return ethtool(values.get());
  }
  return EOPNOTSUPP;
}

}  // namespace weir::io
