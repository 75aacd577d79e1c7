// SPDX-License-Identifier: BSD-2-Clause
/// A model in the kernel: loaded, attached to an interface, looked at, taken away.
///
/// Pins      a folder of a bpffs for each interface, with `link`, `verdicts` and `about`: what is
///           attached outlives the process that attached it.
/// Swap      a new model is loaded and complete before it takes the old one's place in the link, in
///           one step: every packet is judged by one of the two. Counters go on.
/// Errors    `LoadError` says whether the kernel will not have the model (then its verifier's
///           reason, in words), or what else is wrong. Nothing is attached then that was not
///           before, and what was attached stays.
/// Threads   any; the pin folder is locked while it is changed.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../../bpf/kernel_model.h"
#include "base/fd.h"
#include "base/result.h"
#include "kernel_model/plan.h"

struct bpf_object;

namespace weir::kernel_model {

inline constexpr const char* kDefaultPins = "/sys/fs/bpf/weir-kernel-model";

struct LoadError {
  enum class Why : std::uint8_t {
    refused,  ///< the kernel's verifier or limits: the model could be judged by sockets instead
    permission,
    interface,  ///< none of this name, or somebody else's program is there
    failed
  };
  Why why = Why::failed;
  std::string message;
};
template <typename T>
using Loaded = tl::expected<T, LoadError>;

/// The program in this process; attached to nothing.
class Program {
 public:
  /// `fragments`: frames of more than a page, which not every driver and kernel knows.
  /// `counters`: a map of an earlier program to go on counting in, or none.
  static Loaded<Program> load(const Plan& plan, bool fragments = false, int counters = -1);
  /// The same of an object that `whole_object`, or a compiler from the C of `emit`, has made.
  static Loaded<Program> load_object(std::span<const std::uint8_t> object, bool fragments = false,
                                     int counters = -1);

  [[nodiscard]] int fd() const noexcept;
  [[nodiscard]] int map_fd(const char* name) const noexcept;
  /// Instructions that the verifier went through; its limit is a million.
  [[nodiscard]] std::uint64_t verified() const noexcept { return verified_; }

 private:
  struct Close {
    void operator()(bpf_object* object) const noexcept;
  };
  std::unique_ptr<bpf_object, Close> object_;
  std::uint64_t verified_ = 0;
};

struct AttachOptions {
  std::string interface;
  std::string pins = kDefaultPins;
  bool generic_only = false;
};
struct Attachment {
  bool native = false;
  bool replaced = false;    ///< another model was there
  std::string why_generic;  ///< why native mode was not to be had
  std::uint64_t verified = 0;
};
Loaded<Attachment> attach(const Plan& plan, const AttachOptions& options);

struct State {
  std::string interface;
  bool there = false;  ///< the interface still exists and carries the program
  bool native = false;
  std::uint32_t program_id = 0;
  weir_model_about about{};
  /// By CPU, then by enum weir_model_verdict.
  std::vector<std::array<weir_model_counter, WEIR_MODEL_VERDICTS>> counters;
};
/// None where nothing is loaded on this interface.
Loaded<std::optional<State>> state(const std::string& interface, const std::string& pins);
/// The interfaces that have a folder of pins.
std::vector<std::string> interfaces(const std::string& pins);
/// False where nothing was there.
Loaded<bool> detach(const std::string& interface, const std::string& pins);

/// Why the kernel refused, in words, from the verifier's log and an errno value.
std::string explain(std::string_view log, int error);

}  // namespace weir::kernel_model
