// SPDX-License-Identifier: BSD-2-Clause
#include "datapath/datapath.h"

namespace weir::datapath {

namespace {

struct Entry {
  const char* name = nullptr;
  const char* help = nullptr;
};

constexpr std::array<Entry, kOutcomes> kEntries = [] {
  std::array<Entry, kOutcomes> entries{};
#define WEIR_OUTCOME_ENTRY(number, name, effect, help) entries[number] = {#name, help};
  WEIR_OUTCOMES(WEIR_OUTCOME_ENTRY)
#undef WEIR_OUTCOME_ENTRY
  return entries;
}();

const Entry& entry(Outcome outcome) noexcept {
  const auto number = static_cast<std::size_t>(outcome);
  WEIR_CHECK(number < kOutcomes && kEntries[number].name != nullptr);
  return kEntries[number];
}

}  // namespace

const char* name(Outcome outcome) noexcept { return entry(outcome).name; }
const char* help(Outcome outcome) noexcept { return entry(outcome).help; }

}  // namespace weir::datapath
