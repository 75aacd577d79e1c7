// SPDX-License-Identifier: BSD-2-Clause
// Model files come from other people: whatever stands in one, it is a consistent model or a
// sentence with the file's name; and what was read can be evaluated.
#include <array>
#include <cmath>
#include <string>

#include "base/result.h"
#include "forest/evaluate.h"
#include "forest/import.h"
#include "forest/sample_models.h"
#include "fuzz.h"

namespace {

using weir::forest::kRowAlign;
using weir::forest::Model;

const std::string kName = "a/model.file";

void evaluate(const Model& model) {
  constexpr std::size_t kRows = 8;
  alignas(64) std::array<float, kRowAlign> column{0.0F,   -0.0F,  1.0F,     -1.0F,
                                                  1e-35F, 1e-45F, INFINITY, NAN};
  const std::vector<const float*> columns(model.features.size(), column.data());
  std::vector<float> scores(kRows * weir::forest::score_columns(model));
  weir::forest::make_scalar_evaluator(model)->evaluate(columns.data(), kRows, scores.data());
  if (model.classes.empty() || model.kind == Model::Kind::linear) return;
  for (const float score : scores) WEIR_CHECK(!std::isnan(score));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const weir::Result<Model> model = weir::forest::parse_model(bytes, kName);
  if (model) {
    evaluate(*model);
    return 0;
  }
  const std::string& message = model.error().message;
  WEIR_CHECK(message.starts_with(kName + ": ") && message.size() > kName.size() + 4);
  WEIR_CHECK(message.size() < 1'000 && message.find('\n') == std::string::npos);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (const weir::forest::Sample& sample : weir::forest::sample_models()) {
    const auto model = weir::forest::parse_model(sample.bytes, kName);
    if (!model) weir::check_failed(model.error().message.c_str(), __FILE__, __LINE__);
    seeds.emplace_back(sample.bytes.begin(), sample.bytes.end());
  }
  return seeds;
}
