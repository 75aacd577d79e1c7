// SPDX-License-Identifier: BSD-2-Clause
#include "kernel_model/screen.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernel_model/load.h"
#include "kernel_model/object.h"

namespace weir::kernel_model {

int Screen::judge(const weir_header_features& features) const noexcept {
  Values values;
  std::copy_n(features.value, values.size(), values.begin());
  return kernel_model::judge(plan_, values);
}

Result<std::vector<std::uint8_t>> Screen::link(std::span<const std::uint8_t> program) const {
  const auto linked = model_object(assemble(plan_)).and_then([&](const Bytes& model) {
    return kernel_model::link(program, model);
  });
  if (!linked) return fail(fmt::format("the screen {}: {}", file_, linked.error().message));
  return *linked;
}

std::string Screen::explain(std::string_view log, int error) const {
  return fmt::format("the screen {}: {}", file_, kernel_model::explain(log, error));
}

std::string Screen::shape() const {
  return plan_.kind == Plan::Kind::linear
             ? fmt::format("linear, {} outputs", plan_.outputs)
             : fmt::format("{} trees, {} splits", plan_.calls.size(), plan_.splits);
}

Result<std::shared_ptr<const Screen>> make_screen(const forest::Model& model, Options options,
                                                  std::string file) {
  options.reading = WEIR_READING_exact;
  auto plan = make_plan(model, options);
  if (!plan) return fail(fmt::format("{} cannot be a screen: {}", file, plan.error().message));
  return std::make_shared<const Screen>(std::move(*plan), std::move(file));
}

}  // namespace weir::kernel_model
