// SPDX-License-Identifier: BSD-2-Clause
/// The one place that says what a consistent model is; every importer ends here.
///
/// Checks    sizes within the limits of import.h; each tree's nodes form one tree with children
///           behind their parents; features, outputs and values in range; numbers finite;
///           classes, outputs and link fit together.
/// Errors    one sentence that begins with `name` and says where: "m.json: tree 3, node 17: ...".
#pragma once

#include <string>

#include "base/result.h"
#include "forest/model.h"

namespace weir::forest {

Status validate(const Model& model, const std::string& name);

/// Adds a tree given as nodes in any order, root first, children as indices into `nodes`: sorts
/// parents before children. Refuses indices out of range, two parents, cycles, unreached nodes.
/// `Node::value` must already index `Model::values`.
Status append_tree(Model& model, const std::vector<Node>& nodes, std::int32_t output,
                   const std::string& name);

}  // namespace weir::forest
