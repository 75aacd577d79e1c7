// SPDX-License-Identifier: BSD-2-Clause
/// An ONNX operator's attributes, read with their types checked, and the two kinds of model
/// operators.
///
/// Owner     refers to the parsed file, which must outlive it.
/// Errors    "m.onnx: node 2 (TreeEnsembleClassifier): nodes_modes: ...".
/// Threads   values; no shared state.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "forest/model.h"

namespace onnx {
class AttributeProto;
class NodeProto;
}  // namespace onnx

namespace weir::forest {

class OnnxNode {
 public:
  OnnxNode(const onnx::NodeProto& node, std::string where)
      : node_(&node), where_(std::move(where)) {}

  [[nodiscard]] const std::string& op() const;
  [[nodiscard]] bool has(const char* name) const { return find(name) != nullptr; }
  /// Each returns what stands for "left out" where the attribute is: empty, or `other`.
  [[nodiscard]] Result<std::vector<std::int64_t>> integers(const char* name) const;
  [[nodiscard]] Result<std::vector<float>> floats(const char* name) const;  ///< finite ones
  [[nodiscard]] Result<std::vector<std::string>> strings(const char* name) const;
  [[nodiscard]] Result<std::string> text(const char* name, const char* other) const;
  [[nodiscard]] Result<std::int64_t> integer(const char* name, std::int64_t other) const;
  /// Refuses attributes that are not in `known`, by name.
  [[nodiscard]] Status only(std::initializer_list<const char*> known) const;
  [[nodiscard]] tl::unexpected<Error> refuse(const std::string& reason) const;
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

 private:
  [[nodiscard]] const onnx::AttributeProto* find(const char* name) const;
  const onnx::NodeProto* node_;
  std::string where_;
};

/// The classes of a classifier, from its labels; an error where there are none.
Status onnx_classes(const OnnxNode& node, const char* strings, const char* integers, Model& model);

/// Fills the model but for names and format. `features`: columns of the graph's input, 0 where it
/// does not say.
Status import_onnx_trees(const OnnxNode& node, std::size_t features, Model& model);
Status import_onnx_linear(const OnnxNode& node, std::size_t features, Model& model);

}  // namespace weir::forest
