// SPDX-License-Identifier: BSD-2-Clause
#include "detect/scope.h"

namespace weir::detect {
namespace {

using packet::Method;

/// 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4 and groups; ::, ::1 and groups.
bool is_no_source(const Address& address) noexcept {
  const auto& b = address.bytes();
  if (address.is_v4()) return b[12] == 0 || b[12] == 127 || b[12] >= 224;
  if (b[0] == 0xff) return true;
  for (std::size_t i = 0; i < 15; ++i)
    if (b[i] != 0) return false;
  return b[15] <= 1;
}

/// `private_prefixes`, without a list to walk.
bool is_private(const Address& address) noexcept {
  const auto& b = address.bytes();
  if (!address.is_v4()) return (b[0] & 0xfeU) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0U) == 0x80);
  return b[12] == 10 || (b[12] == 172 && (b[13] & 0xf0U) == 16) || (b[12] == 192 && b[13] == 168) ||
         (b[12] == 169 && b[13] == 254);
}

}  // namespace

bool is_impossible(const Context& context) noexcept {
  if (context.method == Method::none) return false;
  if (is_no_source(context.source) || context.source_port == 0 || context.destination_port == 0)
    return true;
  return context.multicast &&
         (context.method == Method::reply || context.method == Method::malformed);
}

bool is_out_of_scope(const Context& context, const ScopeRules& rules) noexcept {
  if (context.method == Method::none || context.asked_same_side) return false;
  if (context.side == Side::lan)
    return rules.lan_unasked && !context.multicast && context.method == Method::reply;
  if (rules.wan_private && is_private(context.source)) return true;
  if (context.multicast) return rules.wan_multicast;
  if (context.method == Method::search) return rules.wan_search;
  return rules.wan_unasked;
}

}  // namespace weir::detect
