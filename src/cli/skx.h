// SPDX-License-Identifier: BSD-2-Clause
/// What SkimXDP's program makes of a model: its verdict for a row of header features.
///
/// Trees     a threshold is cut to the integer towards zero, and compared as C compares (the 32-bit
///           unsigned features unsigned). A leaf is its likeliest class, the first of equals; the
///           packet is dropped where more than half of the trees (rounded down) say the last class.
/// Linear    each coefficient is multiplied by 10^4 and cut to the integer towards zero; the sum is
///           one C expression: `int`, until a feature of `unsigned int` makes it unsigned (then any
///           sum but 0 is above 0), or a coefficient that no `int` holds makes it `long`. Overflow
///           wraps, as in the code that clang makes of it.
/// Errors    a model that SkimXDP's exporter does not know: one sentence.
/// Threads   immutable after `make`.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "forest/model.h"
#include "packet/headers.h"

namespace weir::cli {

/// A value of C's `int`, `unsigned int` or `long`, on a machine where they have 4, 4 and 8 bytes.
struct CInteger {
  enum class Type : std::uint8_t { int32, uint32, int64 };
  std::int64_t value = 0;
  Type type = Type::int32;
};

class Skx {
 public:
  /// `model` must live longer. `places[f]`: the header feature that the model's feature f is.
  static Result<Skx> make(const forest::Model& model, std::vector<weir_header_feature> places);

  /// Whether its program drops a packet of these features.
  [[nodiscard]] bool drops(const packet::HeaderFeatures& features) const;
  /// The same with one of its rules alone, and all else as it was trained. Trees: the vote by
  /// majority. Linear: coefficients cut, in numbers that do not overflow.
  [[nodiscard]] bool drops_by_rule(const packet::HeaderFeatures& features) const;

 private:
  Skx(const forest::Model& model, std::vector<weir_header_feature> places)
      : model_(&model), places_(std::move(places)) {}
  Status cut_coefficients();
  [[nodiscard]] bool votes(const packet::HeaderFeatures& features, bool cut) const;
  [[nodiscard]] CInteger feature(const packet::HeaderFeatures& features, std::size_t f) const;

  const forest::Model* model_;
  std::vector<weir_header_feature> places_;
  std::vector<CInteger> coefficients_;  // linear: of the features, then the intercept
  CInteger threshold_;
};

}  // namespace weir::cli
