// SPDX-License-Identifier: BSD-2-Clause
#include "synth/load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/nearest.h"
#include "synth/messages.h"
#include "synth/profiles.h"
#include "synth/random.h"

namespace weir::synth {
namespace {

constexpr std::size_t kStamp_bytes = 24;
constexpr char kStampMark[] = {'w', 'e', 'i', 'r', 'l', 'o', 'a', 'd'};
constexpr std::uint16_t kStampEnd = 1;  // a flag
constexpr std::uint16_t kDiscardPort = 9;
constexpr unsigned kShareMax = 1000;

enum LoadFlow : std::uint8_t { kReply, kLoadSearch, kLoadNotify, kPlain };

void put_number(std::uint8_t* to, std::uint64_t value, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i)
    to[i] = static_cast<std::uint8_t>(value >> (8 * (bytes - 1 - i)));
}

std::uint64_t get_number(const std::uint8_t* from, std::size_t bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8U | from[i];
  return value;
}

/// The address that stands `distance` behind this one.
Address after(const Address& address, std::uint32_t distance) noexcept {
  std::array<std::uint8_t, 16> bytes;
  std::copy_n(address.bytes().begin(), bytes.size(), bytes.begin());
  const std::size_t low = address.is_v4() ? 12 : 8;  // what is counted up
  put_number(&bytes[low], get_number(&bytes[low], 16 - low) + distance, 16 - low);
  if (!address.is_v4()) return Address::v6(bytes.data());
  return Address::v4(be32::from_host(static_cast<std::uint32_t>(get_number(&bytes[12], 4))));
}

/// "reply=3,udp=1" as the flows' turns: each as often as its share, spread evenly.
Result<std::vector<std::uint8_t>> turns_of(std::string_view mix) {
  std::array<unsigned, kLoadFlows.size()> shares{};
  unsigned all = 0;
  for (auto rest = mix; !rest.empty();) {
    const auto end = std::min(rest.find(','), rest.size());
    const auto word = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto equals = std::min(word.find('='), word.size());
    const auto* const flow =
        std::find(kLoadFlows.begin(), kLoadFlows.end(), word.substr(0, equals));
    unsigned share = 0;
    const auto number = word.substr(std::min(equals + 1, word.size()));
    const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), share);
    if (flow == kLoadFlows.end() || error != std::errc{} || stop != number.data() + number.size() ||
        share > kShareMax) {
      return fail(
          fmt::format("--mix: '{}' is no share of a flow, as reply=3; flows are {}, shares 0 to {}",
                      word, fmt::join(kLoadFlows, ", "), kShareMax));
    }
    shares[static_cast<std::size_t>(flow - kLoadFlows.begin())] = share;
  }
  for (const unsigned share : shares) all += share;
  if (all == 0) return fail("--mix: every share is 0; give one flow a share, as reply=1");
  // Each turn goes to the flow that has waited longest for its share.
  std::vector<std::uint8_t> turns;
  std::array<int, kLoadFlows.size()> due{};
  while (turns.size() < all) {
    for (std::size_t flow = 0; flow < shares.size(); ++flow)
      due[flow] += static_cast<int>(shares[flow]);
    const auto next =
        static_cast<std::size_t>(std::max_element(due.begin(), due.end()) - due.begin());
    due[next] -= static_cast<int>(all);
    turns.push_back(static_cast<std::uint8_t>(next));
  }
  return turns;
}

}  // namespace

Result<Load> Load::make(const LoadOptions& options) {
  Load load(options);
  WEIR_ASSIGN(load.turns_, turns_of(options.mix));
  if (options.from.is_v4() != options.to.is_v4())
    return fail("--from and --to are of two families; both must be IPv4, or both IPv6");
  load.options_.sources = std::max(options.sources, 1U);
  Random random(options.seed);
  const Messages device = make_messages(random, all_profiles().front(), options.from);
  load.payloads_[kReply] = device.replies.front();
  load.payloads_[kLoadSearch] = make_search(random, Search{.target = "ssdp:all"}, options.to);
  load.payloads_[kLoadNotify] = device.notifies.front();
  load.payloads_[kPlain] = noise(random, "load", 100);
  return load;
}

std::size_t Load::stamp(std::span<const std::uint8_t> frame, std::uint16_t flow,
                        std::uint16_t flags, std::uint64_t number,
                        std::span<std::uint8_t> out) const noexcept {
  const std::size_t length = frame.size();
  WEIR_CHECK(length + kStamp_bytes <= out.size());
  std::memcpy(out.data(), frame.data(), length);
  std::uint8_t* const at = out.data() + length;
  std::memcpy(at, kStampMark, sizeof kStampMark);
  put_number(at + 8, options_.run, 4);
  put_number(at + 12, flow, 2);
  put_number(at + 14, flags, 2);
  put_number(at + 16, number, 8);
  return length + kStamp_bytes;
}

std::size_t Load::write(std::span<std::uint8_t> out) noexcept {
  const std::uint8_t flow = turns_[turn_];
  turn_ = turn_ + 1 == turns_.size() ? 0 : turn_ + 1;
  const Address source = after(options_.from, source_);
  source_ = source_ + 1 == options_.sources ? 0 : source_ + 1;
  Datagram d{.side = options_.side,
             .source = source,
             .destination = options_.to,
             .payload = payloads_[flow]};
  d.source_port = flow == kReply ? 1900 : 50'000;
  d.destination_port = flow == kReply ? 50'001 : flow == kPlain ? 51'820 : 1900;
  if (flow == kLoadNotify) {
    static const Address group4 = *Address::parse("239.255.255.250"),
                         group6 = *Address::parse("ff05::c");
    d.destination = source.is_v4() ? group4 : group6;
  }
  return stamp(writer_.write(d), flow, 0, sent_[flow]++, out);
}

std::size_t Load::write_end(std::span<std::uint8_t> out) noexcept {
  std::array<char, 8 * kLoadFlows.size()> totals;
  for (std::size_t i = 0; i < sent_.size(); ++i)
    put_number(reinterpret_cast<std::uint8_t*>(totals.data()) + 8 * i, sent_[i], 8);
  const Datagram d{.side = options_.side,
                   .source = options_.from,
                   .destination = options_.to,
                   .source_port = kDiscardPort,
                   .destination_port = kDiscardPort,
                   .payload = {totals.data(), totals.size()}};
  return stamp(writer_.write(d), 0, kStampEnd, 0, out);
}

void LoadTally::see(std::span<const std::uint8_t> frame, PacketTime now) noexcept {
  if (frame.size() < kStamp_bytes) {
    ++others_;
    return;
  }
  const std::uint8_t* const at = frame.data() + frame.size() - kStamp_bytes;
  if (std::memcmp(at, kStampMark, sizeof kStampMark) != 0) {
    ++others_;
    return;
  }
  const auto run = static_cast<std::uint32_t>(get_number(at + 8, 4));
  const std::uint64_t flow = get_number(at + 12, 2);
  if ((has_run_ && run != run_) || flow >= flows_.size()) {
    ++others_;
    return;
  }
  if (!has_run_) first_ = now;
  has_run_ = true;
  run_ = run;
  if ((get_number(at + 14, 2) & kStampEnd) != 0) {
    const std::size_t totals = 8 * flows_.size();
    if (frame.size() < kStamp_bytes + totals) return;
    for (std::size_t i = 0; i < flows_.size(); ++i)
      flows_[i].sent = get_number(at - totals + 8 * i, 8);
    ended_ = true;
    return;
  }
  last_ = now;
  const std::uint64_t number = get_number(at + 16, 8);
  LoadArrived& arrived = flows_[flow];
  arrived.packets += 1;
  arrived.bytes += frame.size();
  if (number < next_[flow]) {
    arrived.out_of_order += 1;
    return;
  }
  next_[flow] = number + 1;
  if (!ended_) arrived.sent = number + 1;
}

}  // namespace weir::synth
