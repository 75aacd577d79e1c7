// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <utility>

#include "datapath/kernel_links.h"
#include "datapath/kernel_load.h"
#include "datapath/kernel_pins.h"
#include "kernel_model/object.h"

namespace weir::kernel_model {

namespace {

using datapath::Pins;
using datapath::Undo;
using Why = LoadError::Why;

// Errors and the summary alone: the verifier does not write down each instruction, but a line for
// each call, and fails where they do not fit.
constexpr std::uint32_t kLogOfErrors = 4;
constexpr int kNotSupported = 524;  // the kernel's ENOTSUPP

tl::unexpected<LoadError> refuse(Why why, std::string message) {
  return tl::unexpected<LoadError>(LoadError{why, std::move(message)});
}
tl::unexpected<LoadError> failed(const Error& error, Why why = Why::failed) {
  return refuse(why, error.message);
}

/// The number behind `word` in the text, or 0.
std::uint64_t number_after(std::string_view text, std::string_view word) {
  const std::size_t at = text.find(word);
  if (at == std::string_view::npos) return 0;
  std::uint64_t number = 0;
  for (std::size_t i = at + word.size(); i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
    number = number * 10 + static_cast<std::uint64_t>(text[i] - '0');
  return number;
}

Loaded<datapath::Port> find_port(const std::string& interface) {
  const auto ports = datapath::find_ports({interface, ""});
  if (!ports) return failed(ports.error(), Why::interface);
  return (*ports)[0];
}

std::string pins_of(const std::string& interface, const std::string& pins) {
  return pins + "/" + interface;
}

/// A pinned map of counters with this build's layout, or none.
Fd open_counters(const Pins& pins) {
  auto fd = pins.open("verdicts");
  bpf_map_info info{};
  std::uint32_t bytes = sizeof info;
  const bool fits = fd && *fd && bpf_obj_get_info_by_fd(fd->get(), &info, &bytes) == 0 &&
                    info.value_size == sizeof(weir_model_counter) &&
                    info.max_entries == WEIR_MODEL_VERDICTS;
  return fits ? std::move(*fd) : Fd{};
}

template <std::size_t kBytes>
void write_text(char (&to)[kBytes], const std::string& text) {
  std::strncpy(to, text.c_str(), kBytes - 1);
}

weir_model_about about(const Plan& plan, const Program& program, std::size_t instructions) {
  weir_model_about made{};
  made.loaded_ns =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  made.functions = plan.functions.size();
  made.instructions = instructions;
  made.verified = program.verified();
  made.reading = plan.reading;
  write_text(made.name, plan.model_name);
  write_text(made.sha256, plan.model_sha256);
  write_text(made.trained,
             plan.kind == Plan::Kind::linear
                 ? fmt::format("linear, {} outputs", plan.outputs)
                 : fmt::format("{} trees, {} splits", plan.calls.size(), plan.splits));
  return made;
}

/// Where the pinned link stands; the interface's number 0 where that is gone.
Loaded<bpf_link_info> link_info(const Pins& pins) {
  auto link = pins.open(datapath::link_name(Side::wan));
  if (!link) return failed(link.error());
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  if (*link && bpf_obj_get_info_by_fd(link->get(), &info, &bytes) != 0)
    return refuse(Why::failed, fmt::format("read what the link in {} is: {}", pins.directory(),
                                           std::strerror(errno)));
  return info;
}

Loaded<Fd> prepare(const Pins& pins, Undo& undo) {
  Fd lock;
  while (!lock) {
    if (const auto made = pins.prepare(undo); !made) return failed(made.error());
    auto taken = pins.lock();
    if (!taken) return failed(taken.error());
    lock = std::move(*taken);
  }
  return lock;
}

Status fill_about(const Program& program, const weir_model_about& value) {
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(program.map_fd("about"), &zero, &value, BPF_ANY) != 0)
    return fail_errno("write down what model was loaded", errno);
  return {};
}

}  // namespace

std::string explain(std::string_view log, int error) {
  if (error == EPERM)
    return "the kernel refused the model: Operation not permitted; it needs CAP_BPF, CAP_PERFMON "
           "and CAP_NET_ADMIN (or root)";
  if (log.starts_with("magic: ")) log = {};  // of the types, which were loaded before
  const std::string last = datapath::last_words(log, 1);
  const std::string verifier = last.empty() ? fmt::format("it said: {}", std::strerror(error))
                                            : fmt::format("its verifier said: {}", last);
  const auto because = [&](std::string_view reason) {
    return fmt::format("the kernel will not have this model: {} ({})", reason, verifier);
  };
  if (log.find("BPF program is too large") != std::string_view::npos)
    return because("its verifier gave up after a million instructions; use fewer or smaller trees");
  if (log.find("combined stack size") != std::string_view::npos)
    return because("its functions take more than 512 bytes of stack together; use fewer outputs");
  if (log.find("call stack of") != std::string_view::npos)
    return because("its functions call each other more than 8 deep; use shallower trees");
  if (log.find("too many subprograms") != std::string_view::npos)
    return because("it has more than 256 functions; use fewer trees");
  if (log.find("jumps is too complex") != std::string_view::npos)
    return because("its verifier has more branches open than it has room for; use smaller trees");
  if (log.find("global function") != std::string_view::npos ||
      log.find("Global function") != std::string_view::npos ||
      log.find("arg#0") != std::string_view::npos ||
      log.find("Arg#0 type PTR") != std::string_view::npos)  // 5.10
    return because("it does not know functions that take a pointer: kernel 5.13 does");
  if (error == E2BIG)
    return because("it has more than a million instructions; use fewer or smaller trees");
  if (error == kNotSupported || error == ENOMEM)
    return because(
        "there is no memory for the program's machine code; use fewer trees, or raise "
        "net.core.bpf_jit_limit");
  return because("its verifier found fault with the program");
}

void Program::Close::operator()(bpf_object* object) const noexcept { bpf_object__close(object); }

int Program::fd() const noexcept {
  return bpf_program__fd(bpf_object__find_program_by_name(object_.get(), "weir_kernel_model"));
}

int Program::map_fd(const char* name) const noexcept {
  return bpf_object__find_map_fd_by_name(object_.get(), name);
}

Loaded<Program> Program::load_object(std::span<const std::uint8_t> object, bool fragments,
                                     int counters) {
  datapath::quiet_libbpf();
  const auto log = std::make_unique_for_overwrite<char[]>(datapath::kVerifierLog_bytes);
  log[0] = '\0';
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "weir_kernel_mod",
              .kernel_log_buf = log.get(), .kernel_log_size = datapath::kVerifierLog_bytes,
              .kernel_log_level = kLogOfErrors);
  Program program;
  program.object_.reset(bpf_object__open_mem(object.data(), object.size(), &options));
  if (!program.object_)
    return refuse(Why::failed, fmt::format("open the model's object: {}", std::strerror(errno)));
  bpf_program* const entry =
      bpf_object__find_program_by_name(program.object_.get(), "weir_kernel_model");
  bpf_map* const verdicts = bpf_object__find_map_by_name(program.object_.get(), "verdicts");
  if (entry == nullptr || verdicts == nullptr)
    return refuse(Why::failed, "the model's object lacks weir's own program");
  if (fragments) bpf_program__set_flags(entry, bpf_program__flags(entry) | BPF_F_XDP_HAS_FRAGS);
  if (counters >= 0 && bpf_map__reuse_fd(verdicts, counters) != 0)
    return refuse(Why::failed, fmt::format("go on counting: {}", std::strerror(errno)));
  if (const int result = bpf_object__load(program.object_.get()); result != 0)
    return refuse(result == -EPERM ? Why::permission : Why::refused, explain(log.get(), -result));
  program.verified_ = number_after(log.get(), "processed ");
  return program;
}

Loaded<Program> Program::load(const Plan& plan, bool fragments, int counters) {
  const auto object = whole_object(assemble(plan), plan.reading);
  if (!object) return failed(object.error());
  return load_object(*object, fragments, counters);
}

Loaded<Attachment> attach(const Plan& plan, const AttachOptions& options) {
  const auto port = find_port(options.interface);
  if (!port) return tl::unexpected<LoadError>(port.error());
  const Pins pins(pins_of(options.interface, options.pins));
  Undo undo;
  const auto lock = prepare(pins, undo);
  if (!lock) return tl::unexpected<LoadError>(lock.error());
  const Code code = assemble(plan);
  const auto object = whole_object(code, plan.reading);
  if (!object) return failed(object.error());
  const Fd counters = open_counters(pins);
  const auto program = Program::load_object(*object, port->mtu > datapath::kPlainMtuMax,
                                            counters ? counters.get() : -1);
  if (!program) return tl::unexpected<LoadError>(program.error());
  if (const auto filled = fill_about(*program, about(plan, *program, code.instructions.size()));
      !filled)
    return failed(filled.error());
  const auto links = datapath::attach_links(program->fd(), {*port, datapath::Port{}},
                                            options.generic_only, pins, undo);
  if (!links) return failed(links.error(), Why::interface);
  for (const char* map : {"verdicts", "about"})
    if (const auto put = pins.put(map, program->map_fd(map), undo); !put)
      return failed(put.error());
  undo.commit();
  const bool native = links->mode == datapath::AttachMode::native;
  const bool stayed = links->replaced && !native;
  return Attachment{native, links->replaced,
                    stayed ? "the model before it runs in it; to try native mode, `weir "
                             "kernel-model detach` first"
                           : links->why_generic,
                    program->verified()};
}

Loaded<std::optional<State>> state(const std::string& interface, const std::string& pin_folder) {
  const Pins pins(pins_of(interface, pin_folder));
  const auto maps = std::pair(pins.open("verdicts"), pins.open("about"));
  if (!maps.first) return failed(maps.first.error());
  if (!maps.second) return failed(maps.second.error());
  if (!*maps.first || !*maps.second) return std::optional<State>{};
  State made;
  made.interface = interface;
  const auto link = link_info(pins);
  if (!link) return tl::unexpected<LoadError>(link.error());
  const unsigned ifindex = if_nametoindex(interface.c_str());
  made.program_id = link->prog_id;
  made.there = ifindex != 0 && link->xdp.ifindex == ifindex;
  bpf_xdp_query_opts query{};
  query.sz = sizeof query;
  if (made.there && bpf_xdp_query(static_cast<int>(ifindex), 0, &query) == 0)
    made.native = query.attach_mode != XDP_ATTACHED_SKB;
  const std::uint32_t zero = 0;
  if (bpf_map_lookup_elem(maps.second->get(), &zero, &made.about) != 0)
    return refuse(Why::failed,
                  fmt::format("read {}/about: {}", pins.directory(), std::strerror(errno)));
  const int cpus = libbpf_num_possible_cpus();
  std::vector<weir_model_counter> counted(static_cast<std::size_t>(std::max(cpus, 1)));
  made.counters.resize(counted.size());
  for (std::uint32_t verdict = 0; verdict < WEIR_MODEL_VERDICTS; ++verdict) {
    if (bpf_map_lookup_elem(maps.first->get(), &verdict, counted.data()) != 0)
      return refuse(Why::failed,
                    fmt::format("read {}/verdicts: {}", pins.directory(), std::strerror(errno)));
    for (std::size_t cpu = 0; cpu < counted.size(); ++cpu)
      made.counters[cpu][verdict] = counted[cpu];
  }
  return made;
}

std::vector<std::string> interfaces(const std::string& pins) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(pins, error))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

Loaded<bool> detach(const std::string& interface, const std::string& pin_folder) {
  const Pins pins(pins_of(interface, pin_folder));
  const auto lock = pins.lock();
  if (!lock) return failed(lock.error());
  if (!*lock) return false;
  const auto link = datapath::remove_link(pins, datapath::link_name(Side::wan));
  if (!link) return failed(link.error());
  const bool verdicts = pins.remove("verdicts"), about = pins.remove("about");
  pins.remove_directory();
  return *link || verdicts || about;
}

}  // namespace weir::kernel_model
