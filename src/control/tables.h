// SPDX-License-Identifier: BSD-2-Clause
/// What people ask of the block- and allowlist, as JSON: the same whether a running weir answers or
/// a command works on the pinned tables itself.
///
/// Requests  {"verb": "block.list"}
///           {"verb": "block.add", "address": A, "scope": "ssdp"|"all", "for_ms": N (0: for ever)}
///           {"verb": "block.del", "address": A, "scope": S (may be left out: whatever it has)}
///           A is an address, or a /24 or /64; "target": "victim" makes it the address attacked.
///           {"verb": "allow.list"}, {"verb": "allow.add"|"allow.del", "prefix": P}
/// Errors    one sentence; `Refused::bad_request` where the request itself is wrong.
/// Threads   the caller's: the one that may change the datapath.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "datapath/datapath.h"

namespace weir::control {

using Json = nlohmann::ordered_json;

struct Refused {
  enum class Kind : std::uint8_t { failed, bad_request, not_permitted } kind = Kind::failed;
  std::string message;
};
using Refusal = Refused::Kind;
using Answer = tl::expected<Json, Refused>;

inline tl::unexpected<Refused> refuse(Refusal kind, std::string message) {
  return tl::unexpected<Refused>(Refused{kind, std::move(message)});
}

/// Answers a request of the list above; an empty optional where the verb is none of them.
std::optional<Answer> answer_tables(datapath::Datapath& datapath, const Json& request,
                                    PacketTime now);

/// Whether the verb changes something, and so is for root alone.
bool is_change(std::string_view verb) noexcept;

/// A duration as people write it: "90s", "10m", "4h", "7d", "1h30m"; "forever" is 0.
Result<std::uint64_t> parse_duration_ms(std::string_view text);
/// The shortest form of that, to the second: "1h30m"; "forever" for 0.
std::string duration_text(std::uint64_t ms);

}  // namespace weir::control
