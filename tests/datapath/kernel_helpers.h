// SPDX-License-Identifier: BSD-2-Clause
/// What the tests of the kernel datapath look at and put in its way.
///
/// Errors    an unexpected failure aborts the test program (`WEIR_CHECK`).
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "support/packet_builder.h"

namespace weir::datapath {

/// The program's id on an interface; 0: none.
inline std::uint32_t program_on(const char* interface) {
  std::uint32_t id = 0;
  WEIR_CHECK(bpf_xdp_query_id(static_cast<int>(if_nametoindex(interface)), 0, &id) == 0);
  return id;
}

/// How the program is attached, an XDP_ATTACHED_* number.
inline int xdp_mode(const char* interface) {
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  WEIR_CHECK(bpf_xdp_query(static_cast<int>(if_nametoindex(interface)), 0, &query) == 0);
  return query.attach_mode;
}

/// What is pinned, by name: the kernel's number of the map or link.
inline std::map<std::string, std::uint32_t> pin_ids(const std::string& directory) {
  std::map<std::string, std::uint32_t> ids;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const int fd = bpf_obj_get(entry.path().c_str());
    WEIR_CHECK(fd >= 0);
    const bool link = entry.path().filename().string().starts_with("link_") ||
                      entry.path().filename().string().starts_with("errors_");
    bpf_link_info link_info{};
    bpf_map_info map_info{};
    std::uint32_t bytes = link ? sizeof link_info : sizeof map_info;
    void* const info = link ? static_cast<void*>(&link_info) : &map_info;
    WEIR_CHECK(bpf_obj_get_info_by_fd(fd, info, &bytes) == 0);
    ids[entry.path().filename()] = link ? link_info.id : map_info.id;
    close(fd);
  }
  return ids;
}

inline std::set<std::string> pins_in(const char* directory) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    names.insert(entry.path().filename());
  return names;
}

/// The kernel frees maps and programs a grace period after the last reference: waits for that.
inline bool gone_soon(const std::function<bool()>& gone) {
  for (int i = 0; i < 5'000 && !gone(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  return gone();
}

/// Another XDP program: `return XDP_PASS`.
class OtherProgram {
 public:
  explicit OtherProgram(const char* interface)
      : ifindex_(static_cast<int>(if_nametoindex(interface))) {
    const bpf_insn code[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS},
                             {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    const int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", code, 2, nullptr);
    WEIR_CHECK(fd >= 0 && bpf_xdp_attach(ifindex_, fd, 0, nullptr) == 0);
    close(fd);
  }
  ~OtherProgram() { bpf_xdp_detach(ifindex_, 0, nullptr); }
  OtherProgram(const OtherProgram&) = delete;
  OtherProgram& operator=(const OtherProgram&) = delete;

 private:
  int ifindex_;
};

/// Sends `frame` `times` times into the WAN interface, as if it had been received there.
inline void run_live(int program_fd, const test::Bytes& frame, std::uint32_t times) {
  xdp_md context{};
  context.data_end = static_cast<std::uint32_t>(frame.size());
  context.ingress_ifindex = if_nametoindex("wan");
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<std::uint32_t>(frame.size()), .ctx_in = &context,
              .ctx_size_in = sizeof context, .repeat = static_cast<int>(times),
              .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
  WEIR_CHECK(bpf_prog_test_run_opts(program_fd, &options) == 0);
}

}  // namespace weir::datapath
