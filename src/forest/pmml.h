// SPDX-License-Identifier: BSD-2-Clause
/// One PMML TreeModel: from nested nodes with predicates to comparisons.
///
/// Shape     PMML's nodes have any number of children, each with a predicate of three values (true,
///           false, unknown); the first true one is taken. Here each becomes a chain of
///           `value <= threshold`, subtrees written twice where a compound predicate needs it.
/// Errors    "m.pmml: byte 812 (Node): ...".
#pragma once

#include <map>
#include <optional>
#include <pugixml.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

/// Nodes may be nested as deep as this; they are converted by recursion.
inline constexpr std::size_t kPmmlLevelsMax = 256;

struct PmmlField {
  std::int32_t feature = -1;
  bool float32 = false;               ///< constants are rounded to float32
  std::optional<double> replacement;  ///< of a missing value
};

/// What all trees of a model share.
struct PmmlContext {
  std::string name;
  std::map<std::string, PmmlField> fields;
  std::map<std::string, std::size_t> classes;  ///< empty: a regression
  /// A leaf counts its score as one vote, whatever its distribution says.
  bool votes = false;
  /// The one tree of the model.
  bool single = true;
  /// Set where a tree gives no prediction for a missing value: weir then takes the last child.
  bool null_predictions = false;
};

tl::unexpected<Error> pmml_refuse(const std::string& name, const pugi::xml_node& at,
                                  const std::string& reason);
/// An attribute as a finite number.
Result<double> pmml_number(const std::string& name, const pugi::xml_node& at,
                           const char* attribute);
/// Appends the tree, its leaf values multiplied by `weight`.
Status append_pmml_tree(const pugi::xml_node& tree, double weight, PmmlContext& context,
                        Model& model);

}  // namespace weir::forest
