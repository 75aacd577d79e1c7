// SPDX-License-Identifier: BSD-2-Clause
// ONNX: one model operator between the graph's input and its outputs, and around it only operators
// that change nothing: Identity and Cast, ZipMap (names columns), Normalizer (L1, of scores that
// sum to one anyway). A model may name its features in metadata_props, "feature_names":
// "name,name,...".
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "forest/formats.h"
#include "forest/import.h"
#include "forest/onnx_node.h"
#include "forest/onnx_scan.h"
#include "onnx.pb.h"

namespace weir::forest {
namespace {

constexpr std::int64_t kFloat = onnx::TensorProto::FLOAT;

enum class Role : std::uint8_t { input, label, scores };

bool is_model(const std::string& op) {
  return op == "TreeEnsembleClassifier" || op == "TreeEnsembleRegressor" ||
         op == "LinearClassifier" || op == "LinearRegressor";
}

class Graph {
 public:
  Graph(const onnx::GraphProto& graph, std::string name) : graph_(graph), name_(std::move(name)) {}

  Result<Model> import() {
    WEIR_TRY(read_input());
    for (int n = 0; n < graph_.node_size(); ++n) {
      const onnx::NodeProto& proto = graph_.node(n);
      const OnnxNode node(proto,
                          fmt::format("{}: node {} ({})", name_, n, proto.op_type().substr(0, 80)));
      WEIR_TRY(visit(proto, node));
    }
    if (!found_)
      return fail(
          fmt::format("{}: the graph has none of TreeEnsembleClassifier, TreeEnsembleRegressor, "
                      "LinearClassifier and "
                      "LinearRegressor",
                      name_));
    for (const onnx::ValueInfoProto& output : graph_.output()) {
      const auto role = roles_.find(output.name());
      if (role == roles_.end() || role->second == Role::input)
        return fail(fmt::format("{}: output '{}' does not come from the model", name_,
                                output.name().substr(0, 80)));
    }
    return std::move(model_);
  }

 private:
  Status read_input() {
    std::set<std::string> constants;
    for (const onnx::TensorProto& tensor : graph_.initializer()) constants.insert(tensor.name());
    for (const onnx::ValueInfoProto& input : graph_.input()) {
      if (constants.contains(input.name())) continue;
      if (!roles_.empty())
        return fail(
            fmt::format("{}: several inputs; one tensor with all features is expected", name_));
      if (!input.type().has_tensor_type() || input.type().tensor_type().elem_type() != kFloat)
        return fail(fmt::format("{}: input '{}' is no tensor of FLOAT, which weir's features are",
                                name_, input.name().substr(0, 80)));
      const onnx::TensorShapeProto& shape = input.type().tensor_type().shape();
      if (shape.dim_size() == 2 && shape.dim(1).dim_value() > 0) {
        if (shape.dim(1).dim_value() > static_cast<std::int64_t>(kFeaturesMax))
          return fail(fmt::format("{}: {} features, at most {} are supported", name_,
                                  shape.dim(1).dim_value(), kFeaturesMax));
        features_ = static_cast<std::size_t>(shape.dim(1).dim_value());
      }
      roles_[input.name()] = Role::input;
    }
    if (roles_.empty()) return fail(fmt::format("{}: the graph has no input", name_));
    return {};
  }

  Status visit(const onnx::NodeProto& proto, const OnnxNode& node) {
    if (!proto.domain().empty() && proto.domain() != "ai.onnx" && proto.domain() != "ai.onnx.ml")
      return node.refuse(fmt::format("domain '{}' is not supported", proto.domain().substr(0, 80)));
    const std::string& op = proto.op_type();
    if (!is_model(op) && op != "Identity" && op != "Cast" && op != "ZipMap" && op != "Normalizer")
      return node.refuse("the operator is not supported");
    if (proto.input_size() != 1 || proto.output_size() < 1)
      return node.refuse(
          fmt::format("{} inputs and {} outputs", proto.input_size(), proto.output_size()));
    const auto from = roles_.find(proto.input(0));
    if (from == roles_.end())
      return node.refuse(fmt::format("its input '{}' does not come from the graph's input",
                                     proto.input(0).substr(0, 80)));
    const Role role = from->second;
    if (is_model(op)) return read_model(proto, node, role);
    if (proto.output_size() != 1) return node.refuse("more than one output");
    if (op == "Cast") WEIR_TRY(check_cast(node, role));
    if ((op == "ZipMap" || op == "Normalizer") && role != Role::scores)
      return node.refuse("it does not stand behind the model's scores");
    if (op == "Normalizer") WEIR_TRY(check_normalizer(node));
    if (op == "ZipMap") WEIR_TRY(check_zip_map(node));
    return give(proto.output(0), role, node);
  }

  Status give(const std::string& tensor, Role role, const OnnxNode& node) {
    if (tensor.empty()) return {};
    if (!roles_.emplace(tensor, role).second)
      return node.refuse(fmt::format("output '{}' was there already", tensor.substr(0, 80)));
    return {};
  }

  static Status check_cast(const OnnxNode& node, Role role) {
    WEIR_ASSIGN(const std::int64_t to, node.integer("to", 0));
    if (role == Role::label || to == kFloat ||
        (role == Role::scores && to == onnx::TensorProto::DOUBLE))
      return {};
    return node.refuse(fmt::format("a cast to type {} changes values, which is not supported", to));
  }

  Status check_normalizer(const OnnxNode& node) const {
    WEIR_ASSIGN(const std::string norm, node.text("norm", "MAX"));
    const bool sums_to_one =
        model_.link == Link::softmax || (model_.link == Link::sigmoid && model_.outputs == 1);
    if (norm == "L1" && sums_to_one) return {};
    return node.refuse(fmt::format("norm {} of these scores is not supported", norm.substr(0, 80)));
  }

  /// It gives each score a name: the class's own.
  Status check_zip_map(const OnnxNode& node) const {
    Model named;
    WEIR_TRY(onnx_classes(node, "classlabels_strings", "classlabels_int64s", named));
    const auto same = [](const ClassShare& a, const ClassShare& b) { return a.name == b.name; };
    if (std::equal(named.classes.begin(), named.classes.end(), model_.classes.begin(),
                   model_.classes.end(), same))
      return {};
    return node.refuse("it gives the scores other names than the model's classes have");
  }

  Status read_model(const onnx::NodeProto& proto, const OnnxNode& node, Role role) {
    if (found_) return node.refuse("a second model in the graph");
    if (role != Role::input) return node.refuse("its input is another model's output");
    found_ = true;
    const bool trees = proto.op_type().starts_with("Tree");
    WEIR_TRY(trees ? import_onnx_trees(node, features_, model_)
                   : import_onnx_linear(node, features_, model_));
    if (!trees) {
      const std::size_t features = model_.weights.size() / model_.outputs;
      for (std::size_t f = 0; f < features; ++f) model_.features.push_back(fmt::format("f{}", f));
    }
    model_.units.assign(model_.features.size(), "");
    const bool classifier = proto.op_type().ends_with("Classifier");
    WEIR_TRY(give(proto.output(0), classifier ? Role::label : Role::scores, node));
    if (classifier && proto.output_size() > 1) WEIR_TRY(give(proto.output(1), Role::scores, node));
    return {};
  }

  const onnx::GraphProto& graph_;
  std::string name_;
  std::map<std::string, Role> roles_;
  std::size_t features_ = 0;
  bool found_ = false;
  Model model_;
};

/// Each domain that a node is of must be imported: where one is not, the file was cut off.
Status check_opsets(const onnx::ModelProto& model, const std::string& name) {
  const auto domain_of = [](const std::string& text) {
    return text == "ai.onnx" ? std::string() : text;
  };
  std::set<std::string> domains;
  for (const onnx::OperatorSetIdProto& opset : model.opset_import()) {
    domains.insert(domain_of(opset.domain()));
    if (opset.domain() == "ai.onnx.ml" && opset.version() > 4)
      return fail(
          fmt::format("{}: ai.onnx.ml {} is not supported, 1 to 4 are", name, opset.version()));
  }
  for (const onnx::NodeProto& node : model.graph().node()) {
    if (!domains.contains(domain_of(node.domain())))
      return fail(
          fmt::format("{}: no opset_import for the domain '{}'; the file is cut off or damaged",
                      name, node.domain().substr(0, 80)));
  }
  return {};
}

Status name_features(const std::string& list, const std::string& name, Model& model) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t comma = std::min(list.find(',', at), list.size());
    names.push_back(list.substr(at, comma - at));
    at = comma + 1;
  }
  if (names.size() != model.features.size())
    return fail(fmt::format("{}: metadata feature_names: {} names for {} features", name,
                            names.size(), model.features.size()));
  model.features = std::move(names);
  return {};
}

}  // namespace

Result<Model> import_onnx(std::string_view bytes, const std::string& name) {
  WEIR_TRY(scan_onnx(bytes, name));
  onnx::ModelProto proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(fmt::format(
        "{}: looks like ONNX, but protobuf cannot read it; the file is cut off or damaged", name));
  WEIR_TRY(check_opsets(proto, name));
  WEIR_ASSIGN(Model model, Graph(proto.graph(), name).import());
  model.format = "ONNX";
  model.provenance = fmt::format("{} {}", proto.producer_name().substr(0, 80),
                                 proto.producer_version().substr(0, 80));
  for (const onnx::StringStringEntryProto& entry : proto.metadata_props())
    if (entry.key() == "feature_names") WEIR_TRY(name_features(entry.value(), name, model));
  return model;
}

}  // namespace weir::forest
