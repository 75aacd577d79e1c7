// SPDX-License-Identifier: BSD-2-Clause
/// A model as the datapath's screen: compiled as a kernel model is, asked natively through the same
/// plan. What a kernel model drops is suspicious here, and goes to userspace.
///
/// Errors    one sentence: what of a model cannot be computed from headers alone.
/// Threads   immutable after `make_screen`.
#pragma once

#include <memory>
#include <string>

#include "datapath/screen.h"
#include "kernel_model/plan.h"

namespace weir::kernel_model {

class Screen final : public datapath::Screen {
 public:
  Screen(Plan plan, std::string file) : plan_(std::move(plan)), file_(std::move(file)) {}
  [[nodiscard]] int judge(const weir_header_features& features) const noexcept override;
  [[nodiscard]] Result<std::vector<std::uint8_t>> link(
      std::span<const std::uint8_t> program) const override;
  [[nodiscard]] std::string explain(std::string_view log, int error) const override;

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  /// Kind and size, for people: "3 trees, 21 splits".
  [[nodiscard]] std::string shape() const;

 private:
  Plan plan_;
  std::string file_;
};

/// Headers are read as their standards say (`Options::reading` is not for screens). `file` is where
/// the model was read from: each error begins with it.
Result<std::shared_ptr<const Screen>> make_screen(const forest::Model& model, Options options,
                                                  std::string file);

}  // namespace weir::kernel_model
