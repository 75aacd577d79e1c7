// SPDX-License-Identifier: BSD-2-Clause
#include "larger_maps.h"

#include <bpf/btf.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

namespace weir::perf {

Status with_larger_maps(const std::string& from, const std::string& to, std::uint32_t entries,
                        std::uint32_t more_entries) {
  std::ifstream in(from, std::ios::binary);
  std::string file{std::istreambuf_iterator<char>(in), {}};
  if (!in) return fail_errno(fmt::format("read {}", from), errno);
  const std::unique_ptr<btf, decltype(&btf__free)> types(btf__parse_elf(from.c_str(), nullptr),
                                                         btf__free);
  if (!types) return fail_errno(fmt::format("read the types of {}", from), errno);
  // The types lie in the file as they do in memory, where it was made for this kind of machine.
  std::uint32_t bytes = 0;
  const auto* const raw = static_cast<const char*>(btf__raw_data(types.get(), &bytes));
  constexpr btf_endianness kOwn =
      std::endian::native == std::endian::little ? BTF_LITTLE_ENDIAN : BTF_BIG_ENDIAN;
  const auto section =
      raw == nullptr ? file.end() : std::search(file.begin(), file.end(), raw, raw + bytes);
  if (section == file.end() || btf__endianness(types.get()) != kOwn)
    return fail(fmt::format("the types in {} are not those of this machine", from));
  std::size_t grown = 0;
  for (std::uint32_t id = 1; id < btf__type_cnt(types.get()); ++id) {
    const btf_type* const type = btf__type_by_id(types.get(), id);
    if (!btf_is_array(type) || btf_array(type)->nelems != entries) continue;
    const char* const field =
        reinterpret_cast<const char*>(btf_array(type)) + offsetof(struct btf_array, nelems);
    WEIR_CHECK(field > raw && field < raw + bytes);
    std::memcpy(&*(section + (field - raw)), &more_entries, sizeof more_entries);
    ++grown;
  }
  if (grown == 0) return fail(fmt::format("{} has no map of {} entries", from, entries));
  std::ofstream out(to, std::ios::binary);
  if (!(out << file).flush()) return fail_errno(fmt::format("write {}", to), errno);
  return {};
}

}  // namespace weir::perf
