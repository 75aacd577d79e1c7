// SPDX-License-Identifier: BSD-2-Clause
#include "forest/onnx_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "forest/import.h"
#include "onnx.pb.h"

namespace weir::forest {
namespace {

using onnx::AttributeProto;

}  // namespace

const std::string& OnnxNode::op() const { return node_->op_type(); }

tl::unexpected<Error> OnnxNode::refuse(const std::string& reason) const {
  return fail(fmt::format("{}: {}", where_, reason));
}

const AttributeProto* OnnxNode::find(const char* name) const {
  for (const AttributeProto& attribute : node_->attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

Result<std::vector<std::int64_t>> OnnxNode::integers(const char* name) const {
  const AttributeProto* a = find(name);
  if (a == nullptr) return std::vector<std::int64_t>{};
  if (a->type() != AttributeProto::INTS)
    return refuse(fmt::format("{}: is no list of integers", name));
  if (static_cast<std::size_t>(a->ints_size()) > kValuesMax)
    return refuse(fmt::format("{}: more than {} elements", name, kValuesMax));
  return std::vector<std::int64_t>(a->ints().begin(), a->ints().end());
}

Result<std::vector<float>> OnnxNode::floats(const char* name) const {
  const AttributeProto* a = find(name);
  if (a == nullptr) return std::vector<float>{};
  if (a->type() != AttributeProto::FLOATS)
    return refuse(fmt::format("{}: is no list of floats", name));
  if (static_cast<std::size_t>(a->floats_size()) > kValuesMax)
    return refuse(fmt::format("{}: more than {} elements", name, kValuesMax));
  for (int i = 0; i < a->floats_size(); ++i)
    if (std::isnan(a->floats(i))) return refuse(fmt::format("{}[{}] is not a number", name, i));
  return std::vector<float>(a->floats().begin(), a->floats().end());
}

Result<std::vector<std::string>> OnnxNode::strings(const char* name) const {
  const AttributeProto* a = find(name);
  if (a == nullptr) return std::vector<std::string>{};
  if (a->type() != AttributeProto::STRINGS)
    return refuse(fmt::format("{}: is no list of texts", name));
  return std::vector<std::string>(a->strings().begin(), a->strings().end());
}

Result<std::string> OnnxNode::text(const char* name, const char* other) const {
  const AttributeProto* a = find(name);
  if (a == nullptr) return std::string(other);
  if (a->type() != AttributeProto::STRING) return refuse(fmt::format("{}: is no text", name));
  return a->s();
}

Result<std::int64_t> OnnxNode::integer(const char* name, std::int64_t other) const {
  const AttributeProto* a = find(name);
  if (a == nullptr) return other;
  if (a->type() != AttributeProto::INT) return refuse(fmt::format("{}: is no integer", name));
  return a->i();
}

Status OnnxNode::only(std::initializer_list<const char*> known) const {
  for (int i = 0; i < node_->attribute_size(); ++i) {
    const std::string& name = node_->attribute(i).name();
    if (std::none_of(known.begin(), known.end(), [&](const char* k) { return name == k; }))
      return refuse(fmt::format("attribute {} is not supported", name.substr(0, 80)));
    for (int j = 0; j < i; ++j)
      if (node_->attribute(j).name() == name)
        return refuse(fmt::format("attribute {} stands twice", name));
  }
  return {};
}

Status onnx_classes(const OnnxNode& node, const char* strings, const char* integers, Model& model) {
  WEIR_ASSIGN(const auto texts, node.strings(strings));
  WEIR_ASSIGN(const auto numbers, node.integers(integers));
  if (texts.empty() == numbers.empty())
    return node.refuse(fmt::format("exactly one of {} and {} is expected", strings, integers));
  for (const std::string& text : texts) model.classes.push_back({text, 0});
  for (const std::int64_t number : numbers) model.classes.push_back({fmt::format("{}", number), 0});
  if (model.classes.size() < 2) return node.refuse("a classifier with one class");
  return {};
}

Status import_onnx_linear(const OnnxNode& node, std::size_t features, Model& model) {
  const bool classifier = node.op() == "LinearClassifier";
  model.kind = Model::Kind::linear;
  if (classifier) {
    WEIR_TRY(node.only({"coefficients", "intercepts", "classlabels_strings", "classlabels_ints",
                        "multi_class", "post_transform"}));
    WEIR_TRY(onnx_classes(node, "classlabels_strings", "classlabels_ints", model));
  } else {
    WEIR_TRY(node.only({"coefficients", "intercepts", "targets", "post_transform"}));
  }
  WEIR_ASSIGN(const auto coefficients, node.floats("coefficients"));
  WEIR_ASSIGN(auto intercepts, node.floats("intercepts"));
  WEIR_ASSIGN(const std::int64_t targets, node.integer("targets", 1));
  if (!classifier && intercepts.empty()) {
    if (targets < 1 || targets > 256) return node.refuse(fmt::format("{} targets", targets));
    intercepts.assign(static_cast<std::size_t>(targets), 0.0F);
  }
  std::size_t rows = intercepts.size();
  if (rows == 0 || coefficients.empty() || coefficients.size() % rows != 0 ||
      (features != 0 && coefficients.size() != rows * features) ||
      (!classifier && rows != static_cast<std::size_t>(targets)))
    return node.refuse(fmt::format("{} coefficients and {} intercepts for {} features",
                                   coefficients.size(), rows, features));
  model.weights.assign(coefficients.begin(), coefficients.end());
  model.bias.assign(intercepts.begin(), intercepts.end());
  WEIR_ASSIGN(const std::string post, node.text("post_transform", "NONE"));
  const auto mirrored = [&] {
    const std::size_t n = coefficients.size() / 2;
    for (std::size_t f = 0; f < n; ++f)
      if (coefficients[f] != -coefficients[n + f]) return false;
    return intercepts[0] == -intercepts[1];
  };
  if (!classifier && post == "NONE") {
    model.link = Link::identity;
  } else if (classifier && post == "SOFTMAX" && rows == model.classes.size()) {
    model.link = Link::softmax;
  } else if (classifier && post == "LOGISTIC" && model.classes.size() == 2 && rows == 1) {
    model.link = Link::sigmoid;
  } else if (classifier && post == "LOGISTIC" && model.classes.size() == 2 && rows == 2 &&
             mirrored()) {
    // The second row alone says it: sigmoid(-m) is 1 - sigmoid(m).
    model.link = Link::sigmoid;
    model.weights.erase(
        model.weights.begin(),
        model.weights.begin() + static_cast<std::ptrdiff_t>(coefficients.size() / 2));
    model.bias.erase(model.bias.begin());
    rows = 1;
  } else {
    return node.refuse(fmt::format(
        "post_transform {} with {} rows of coefficients and {} classes is not supported", post,
        rows, model.classes.size()));
  }
  model.outputs = static_cast<std::uint32_t>(rows);
  return {};
}

}  // namespace weir::forest
