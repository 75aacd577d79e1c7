// SPDX-License-Identifier: BSD-2-Clause
#include "io/poll_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstring>
#include <filesystem>

namespace weir::io {
namespace {

constexpr const char* kFile = "weir-dpdk.so";

/// Where it may be, from the program's own folder.
constexpr const char* kModulePlaces[] = {"", "io", "../src/io", "../../src/io", WEIR_MODULE_PLACE};

}  // namespace

Result<const PollModule*> load_dpdk_module() {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  fs::path file;
  for (const char* place : kModulePlaces) {
    file = (folder / place / kFile).lexically_normal();
    if (fs::exists(file, error)) break;
    file.clear();
  }
  if (file.empty()) {
    return fail(fmt::format(
        "interfaces.backend is \"dpdk\", but this weir was built without DPDK ({} is "
        "nowhere near {}); install libdpdk-dev, build all of weir again and put that file "
        "beside the program, or set backend = \"af_xdp\"",
        kFile, folder.string()));
  }
  // NODELETE: the library's own threads and thread-local objects outlive the last use.
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    return fail(
        fmt::format("cannot load {}: {}; install Debian's package dpdk", file.string(), dlerror()));
  }
  using Entry = const PollModule* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, kPollModuleSymbol));
  const PollModule* module = entry != nullptr ? entry() : nullptr;
  if (module == nullptr || std::strcmp(module->built_as, WEIR_POLL_BUILD) != 0) {
    return fail(
        fmt::format("{} is of another build than this weir; install both together", file.string()));
  }
  return module;
}

}  // namespace weir::io
