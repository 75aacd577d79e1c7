// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/object.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

#include "../../bpf/header_features.h"
#include "base/fd.h"
#include "datapath/kernel_load.h"
#include "kernel_model.skel.h"

namespace weir::kernel_model {

namespace {

constexpr const char* kTable_section = ".rodata.leaves";
constexpr const char* kTable = "weir_leaves";
constexpr const char* kText = ".text";
constexpr const char* kFile = "weir kernel-model";  // where a compiler names its source

struct FreeBtf {
  void operator()(btf* types) const noexcept { btf__free(types); }
};
using Types = std::unique_ptr<btf, FreeBtf>;

/// Types, and of each function its number.
struct Described {
  Types types;
  std::vector<std::uint32_t> functions;
};

/// Numbers of types are positive; a failure is negative, and one is enough to know.
class Describer {
 public:
  Describer() : types_(btf__new_empty()) {}

  Result<Described> describe(const Code& code) {
    if (!types_) return fail_errno("make types for the model's functions", errno);
    btf* t = types_.get();
    const int u32 = id(btf__add_int(t, "unsigned int", 4, 0));
    const int s32 = id(btf__add_int(t, "int", 4, BTF_INT_SIGNED));
    const int s64 = id(btf__add_int(t, "long long", 8, BTF_INT_SIGNED));
    const int u64 = id(btf__add_int(t, "unsigned long long", 8, 0));
    const int values = id(btf__add_array(t, u32, u32, WEIR_HEADER_SLOTS));
    const int features =
        id(btf__add_struct(t, "weir_header_features", sizeof(weir_header_features)));
    id(btf__add_field(t, "value", values, 0, 0));
    const int pointer = id(btf__add_ptr(t, features));
    Described made;
    for (const Code::Part& part : code.functions) {
      const bool main = part.name == "weir_model";
      const int proto = id(btf__add_func_proto(t, main ? s32 : s64));
      if (part.takes == Code::Takes::two_numbers) {
        id(btf__add_func_param(t, "a", u64));
        id(btf__add_func_param(t, "b", u64));
      } else {
        id(btf__add_func_param(t, "f", pointer));
        if (part.takes == Code::Takes::features_and_which) id(btf__add_func_param(t, "which", u32));
      }
      made.functions.push_back(static_cast<std::uint32_t>(
          id(btf__add_func(t, part.name.c_str(), BTF_FUNC_GLOBAL, proto))));
    }
    if (!code.table.empty()) {
      const auto bytes = static_cast<std::uint32_t>(8 * code.table.size());
      const int array =
          id(btf__add_array(t, u32, u64, static_cast<std::uint32_t>(code.table.size())));
      const int constant = id(btf__add_const(t, array));
      const int variable = id(btf__add_var(t, kTable, BTF_VAR_GLOBAL_ALLOCATED, constant));
      id(btf__add_datasec(t, kTable_section, bytes));
      id(btf__add_datasec_var_info(t, variable, 0, bytes));
    }
    if (failed_ != 0) return fail_errno("make types for the model's functions", -failed_);
    made.types = std::move(types_);
    return made;
  }

 private:
  int id(int result) noexcept {
    if (result < 0) failed_ = result;
    return result;
  }
  Types types_;
  int failed_ = 0;
};

template <typename T>
void append(Bytes& bytes, const T& value) {
  const std::size_t at = bytes.size();
  bytes.resize(at + sizeof value);
  std::memcpy(&bytes[at], &value, sizeof value);
}

/// .BTF.ext: which type each function has, and a line of source, by its place in .text. libbpf
/// wants lines of every function where one has them, as those of a compiler do: its own name.
Bytes function_types(const Code& code, const Described& described) {
  struct Head {
    std::uint16_t magic = 0xeb9f;
    std::uint8_t version = 1, flags = 0;
    std::uint32_t bytes = 24;
    std::uint32_t functions_at = 0, functions_bytes = 0;
    std::uint32_t lines_at = 0, lines_bytes = 0;
  } head;
  const auto text = [&](const char* word) {
    return static_cast<std::uint32_t>(btf__find_str(described.types.get(), word));
  };
  const auto count = static_cast<std::uint32_t>(code.functions.size());
  Bytes records, lines;
  append(records, std::array<std::uint32_t, 3>{8, text(kText), count});  // bytes of a record first
  append(lines, std::array<std::uint32_t, 3>{16, text(kText), count});
  for (std::size_t i = 0; i < code.functions.size(); ++i) {
    const Code::Part& part = code.functions[i];
    const auto at = static_cast<std::uint32_t>(8 * part.first);
    const auto line = static_cast<std::uint32_t>(i + 1) << 10U;  // above the column
    append(records, std::array<std::uint32_t, 2>{at, described.functions[i]});
    append(lines, std::array<std::uint32_t, 4>{at, text(kFile), text(part.name.c_str()), line});
  }
  head.functions_bytes = head.lines_at = static_cast<std::uint32_t>(records.size());
  head.lines_bytes = static_cast<std::uint32_t>(lines.size());
  Bytes made(sizeof head + records.size() + lines.size());
  std::memcpy(made.data(), &head, sizeof head);
  std::memcpy(&made[sizeof head], records.data(), records.size());
  std::memcpy(&made[sizeof head + records.size()], lines.data(), lines.size());
  return made;
}

/// Sections one behind the other, and the tables that name them.
class Elf {
 public:
  Elf() {
    names_.push_back(0);
    sections_.push_back({});
    bytes_.resize(sizeof(Elf64_Ehdr));
  }

  std::uint32_t name(const std::string& text) {
    const auto at = static_cast<std::uint32_t>(names_.size());
    names_.insert(names_.end(), text.begin(), text.end());
    names_.push_back(0);
    return at;
  }

  std::uint16_t add(const std::string& section, std::uint32_t type, std::uint64_t flags,
                    const void* data, std::size_t bytes, std::uint64_t entry = 0) {
    while (bytes_.size() % 8 != 0) bytes_.push_back(0);
    Elf64_Shdr header{};
    header.sh_name = name(section);
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_offset = bytes_.size();
    header.sh_size = bytes;
    header.sh_addralign = 8;
    header.sh_entsize = entry;
    const auto* from = static_cast<const std::uint8_t*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
    sections_.push_back(header);
    return static_cast<std::uint16_t>(sections_.size() - 1);
  }
  Elf64_Shdr& section(std::uint16_t number) { return sections_[number]; }

  Bytes finish(std::uint16_t symbols) {
    const std::string own = ".strtab";
    const std::uint32_t own_name = name(own);
    const Bytes names = names_;
    const std::uint16_t strings = add(own, SHT_STRTAB, 0, names.data(), names.size());
    sections_[strings].sh_name = own_name;
    sections_[strings].sh_addralign = 1;
    sections_[symbols].sh_link = strings;
    while (bytes_.size() % 8 != 0) bytes_.push_back(0);
    Elf64_Ehdr head{};
    std::memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
    head.e_ident[EI_VERSION] = EV_CURRENT;
    head.e_type = ET_REL;
    head.e_machine = EM_BPF;
    head.e_version = EV_CURRENT;
    head.e_shoff = bytes_.size();
    head.e_ehsize = sizeof head;
    head.e_shentsize = sizeof(Elf64_Shdr);
    head.e_shnum = static_cast<std::uint16_t>(sections_.size());
    head.e_shstrndx = strings;
    std::memcpy(bytes_.data(), &head, sizeof head);
    for (const Elf64_Shdr& header : sections_) append(bytes_, header);
    return std::move(bytes_);
  }

 private:
  Bytes names_, bytes_;
  std::vector<Elf64_Shdr> sections_;
};

Result<Fd> memory_file(std::span<const std::uint8_t> bytes) {
  Fd file(::memfd_create("weir-kernel-model", MFD_CLOEXEC));
  if (!file) return fail_errno("make a file in memory for the model's object", errno);
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written <= 0) return fail_errno("write the model's object into memory", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return file;
}

std::string path_of(const Fd& file) { return fmt::format("/proc/self/fd/{}", file.get()); }

Result<Bytes> contents(const Fd& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    return fail_errno("read the linked object from memory", errno);
  Bytes bytes(static_cast<std::size_t>(status.st_size));
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t got = ::pread(file.get(), &bytes[at], bytes.size() - at, static_cast<off_t>(at));
    if (got <= 0) return fail_errno("read the linked object from memory", errno);
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

/// Writes the first four bytes of a section.
bool set_constant(Bytes& object, std::string_view section, std::uint32_t value) {
  Elf64_Ehdr head{};
  std::memcpy(&head, object.data(), sizeof head);
  const auto header = [&](std::size_t number) {
    Elf64_Shdr made{};
    std::memcpy(&made, &object[head.e_shoff + number * sizeof made], sizeof made);
    return made;
  };
  const Elf64_Shdr names = header(head.e_shstrndx);
  for (std::size_t i = 0; i < head.e_shnum; ++i) {
    const Elf64_Shdr found = header(i);
    const auto* name = reinterpret_cast<const char*>(&object[names.sh_offset + found.sh_name]);
    if (section != name || found.sh_size < sizeof value) continue;
    std::memcpy(&object[found.sh_offset], &value, sizeof value);
    return true;
  }
  return false;
}

}  // namespace

Result<Bytes> model_object(const Code& code) {
  WEIR_ASSIGN(const Described described, Describer().describe(code));
  btf* const types = described.types.get();
  if (btf__add_str(types, kText) < 0 || btf__add_str(types, kFile) < 0)
    return fail_errno("name the model's section", errno);
  Elf elf;
  const std::uint16_t text = elf.add(kText, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR,
                                     code.instructions.data(), 8 * code.instructions.size());
  std::vector<Elf64_Sym> symbols(1);
  for (const Code::Part& part : code.functions) {
    Elf64_Sym symbol{};
    symbol.st_name = elf.name(part.name);
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
    symbol.st_shndx = text;
    symbol.st_value = 8 * part.first;
    symbol.st_size = 8 * part.count;
    symbols.push_back(symbol);
  }
  std::uint16_t relocations = 0;
  if (!code.table.empty()) {
    Elf64_Sym symbol{};
    symbol.st_name = elf.name(kTable);
    symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT);
    symbol.st_shndx =
        elf.add(kTable_section, SHT_PROGBITS, SHF_ALLOC, code.table.data(), 8 * code.table.size());
    symbol.st_size = 8 * code.table.size();
    std::vector<Elf64_Rel> uses;
    constexpr std::uint32_t kAddress = 1;  // R_BPF_64_64
    for (const std::size_t at : code.table_uses)
      uses.push_back({8 * at, ELF64_R_INFO(symbols.size(), kAddress)});
    symbols.push_back(symbol);
    relocations = elf.add(".rel.text", SHT_REL, SHF_INFO_LINK, uses.data(),
                          sizeof(Elf64_Rel) * uses.size(), sizeof(Elf64_Rel));
  }
  const std::uint16_t symbol_table = elf.add(".symtab", SHT_SYMTAB, 0, symbols.data(),
                                             sizeof(Elf64_Sym) * symbols.size(), sizeof(Elf64_Sym));
  elf.section(symbol_table).sh_info = 1;
  if (relocations != 0) {
    elf.section(relocations).sh_link = symbol_table;
    elf.section(relocations).sh_info = text;
  }
  std::uint32_t bytes = 0;
  const Bytes by_function = function_types(code, described);
  const void* const raw = btf__raw_data(types, &bytes);
  if (raw == nullptr) return fail_errno("write the types of the model's functions", errno);
  elf.add(".BTF", SHT_PROGBITS, 0, raw, bytes);
  elf.add(".BTF.ext", SHT_PROGBITS, 0, by_function.data(), by_function.size());
  return elf.finish(symbol_table);
}

Result<Bytes> link(std::span<const std::uint8_t> program, std::span<const std::uint8_t> model) {
  datapath::quiet_libbpf();
  WEIR_ASSIGN(const Fd first, memory_file(program));
  WEIR_ASSIGN(const Fd second, memory_file(model));
  WEIR_ASSIGN(const Fd out, memory_file({}));
  struct Free {
    void operator()(bpf_linker* linker) const noexcept { bpf_linker__free(linker); }
  };
  const std::unique_ptr<bpf_linker, Free> linker(bpf_linker__new(path_of(out).c_str(), nullptr));
  if (!linker) return fail_errno("begin to link the model's object", errno);
  for (const Fd* file : {&first, &second})
    if (const int result = bpf_linker__add_file(linker.get(), path_of(*file).c_str(), nullptr);
        result != 0)
      return fail_errno("link the model's object", -result);
  if (const int result = bpf_linker__finalize(linker.get()); result != 0)
    return fail_errno("finish the model's object", -result);
  return contents(out);
}

Result<Bytes> whole_object(const Code& code, weir_reading reading) {
  WEIR_ASSIGN(const Bytes model, model_object(code));
  std::size_t bytes = 0;
  const void* const program = kernel_model_bpf::elf_bytes(&bytes);
  WEIR_ASSIGN(Bytes made, link({static_cast<const std::uint8_t*>(program), bytes}, model));
  if (!set_constant(made, ".rodata.reading", static_cast<std::uint32_t>(reading)))
    return fail("the program of weir's own lacks the constant for how headers are read");
  return made;
}

}  // namespace weir::kernel_model
