// SPDX-License-Identifier: BSD-2-Clause
#include "detect/policy.h"

namespace weir::detect {

const char* name(Reason reason) noexcept {
  switch (reason) {
#define WEIR_REASON_NAME(number, name, help) \
  case Reason::name:                         \
    return #name;
    WEIR_REASONS(WEIR_REASON_NAME)
#undef WEIR_REASON_NAME
  }
  return "unknown";
}

const char* help(Reason reason) noexcept {
  switch (reason) {
#define WEIR_REASON_HELP(number, name, help) \
  case Reason::name:                         \
    return help;
    WEIR_REASONS(WEIR_REASON_HELP)
#undef WEIR_REASON_HELP
  }
  return "a reason that this build does not know";
}

std::span<const ReasonInfo> all_reasons() noexcept {
#define WEIR_REASON_INFO(number, name, help) {Reason::name, #name, help},
  static constexpr ReasonInfo kReasons[] = {WEIR_REASONS(WEIR_REASON_INFO)};
#undef WEIR_REASON_INFO
  return kReasons;
}

bool is_drop(Reason reason) noexcept {
  switch (reason) {
    case Reason::scored:
    case Reason::blocked:
    case Reason::impossible:
    case Reason::scope:
    case Reason::victim:
    case Reason::network:
    case Reason::limit:
    case Reason::blind:
    case Reason::crowd:
      return true;
    default:
      return false;
  }
}

}  // namespace weir::detect
