// SPDX-License-Identifier: BSD-2-Clause
// PMML 4.x: a TreeModel, or a MiningModel whose segments are TreeModels. A document type (DTD) is
// refused: it can name entities that expand without end, and no PMML needs one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "forest/formats.h"
#include "forest/import.h"
#include "forest/pmml.h"

namespace weir::forest {
namespace {

using pugi::xml_node;

/// pugixml's tree takes up to 16 times the text.
constexpr std::size_t kFile_bytes = std::size_t{64} << 20U;
constexpr std::size_t kChildrenMax = 1'024;
constexpr int kXmlLevelsMax = 1'024;

std::string_view attribute(const xml_node& at, const char* name, const char* other = "") {
  return at.attribute(name).as_string(other);
}

class Importer {
 public:
  explicit Importer(const std::string& name) { context_.name = name; }

  Result<Model> import(const xml_node& pmml) {
    WEIR_TRY(check_shape(pmml));
    model_.format = "PMML";
    model_.provenance = fmt::format("PMML {}", attribute(pmml, "version"));
    if (const xml_node application = pmml.child("Header").child("Application"))
      model_.provenance += fmt::format("; {} {}", attribute(application, "name").substr(0, 80),
                                       attribute(application, "version").substr(0, 80));
    if (pmml.child("TransformationDictionary").first_child())
      return refuse(pmml.child("TransformationDictionary"), "derived fields are not supported");
    dictionary_ = pmml.child("DataDictionary");
    xml_node found;
    for (const xml_node& child : pmml.children()) {
      const std::string_view kind = child.name();
      if (kind == "Header" || kind == "DataDictionary" || kind == "Extension" ||
          kind == "MiningBuildTask" || kind == "TransformationDictionary")
        continue;
      if (found) return refuse(child, "a second model in the file");
      found = child;
    }
    if (!found) return refuse(pmml, "there is no model in the file");
    const std::string_view kind = found.name();
    if (kind != "TreeModel" && kind != "MiningModel")
      return refuse(found, "the model is not supported (TreeModel and MiningModel are)");
    WEIR_TRY(read_schema(found));
    WEIR_TRY(read_function(found));
    model_.name = attribute(found, "modelName").substr(0, kNameMax_bytes);
    if (kind == "TreeModel") {
      WEIR_TRY(read_single(found));
    } else {
      WEIR_TRY(read_segments(found));
    }
    WEIR_TRY(read_targets(found));
    count_rows(kind == "TreeModel"
                   ? found
                   : found.child("Segmentation").child("Segment").child("TreeModel"));
    if (context_.null_predictions)
      model_.provenance +=
          "; the file has no prediction where a value is missing: here, it takes the later child";
    return std::move(model_);
  }

 private:
  /// The training rows of each class, as the leaves of a tree count them (of several trees the
  /// first, which saw as many as any); left alone where a leaf does not say.
  void count_rows(const xml_node& tree) {
    std::vector<double> rows(model_.classes.size(), 0.0);
    for (const auto& found : tree.select_nodes(".//Node[not(Node)]/ScoreDistribution")) {
      const auto c = context_.classes.find(attribute(found.node(), "value").data());
      const auto count = pmml_number(context_.name, found.node(), "recordCount");
      if (c == context_.classes.end() || !count || *count < 0) return;
      rows[c->second] += *count;
    }
    for (std::size_t c = 0; c < rows.size(); ++c) model_.classes[c].rows = rows[c];
  }

  [[nodiscard]] tl::unexpected<Error> refuse(const xml_node& at, const std::string& reason) const {
    return pmml_refuse(context_.name, at, reason);
  }

  /// What the conversion walks again and again is small: so it ends in bounded time.
  Status check_shape(const xml_node& root) {
    int level = 0;
    for (xml_node at = root; at;) {
      if (++level > kXmlLevelsMax)
        return refuse(at, fmt::format("nested deeper than {} levels", kXmlLevelsMax));
      const std::string_view kind = at.name();
      if (kind == "Node" || kind == "CompoundPredicate") {
        std::size_t children = 0;
        for ([[maybe_unused]] const xml_node& child : at.children())
          if (++children > kChildrenMax)
            return refuse(at, fmt::format("more than {} children", kChildrenMax));
      }
      if (at.first_child()) {
        at = at.first_child();
        continue;
      }
      --level;
      while (at && at != root && !at.next_sibling()) {
        at = at.parent();
        --level;
      }
      at = at == root ? xml_node() : at.next_sibling();
    }
    return {};
  }

  [[nodiscard]] xml_node data_field(std::string_view name) const {
    for (const xml_node& field : dictionary_.children("DataField"))
      if (attribute(field, "name") == name) return field;
    return {};
  }

  /// A field of numbers that are taken as they are.
  Status check_field(const xml_node& mining, const xml_node& data) const {
    const std::string_view type = attribute(data, "dataType");
    if (type != "double" && type != "float" && type != "integer")
      return refuse(data,
                    fmt::format("a feature of dataType '{}' is not supported", type.substr(0, 80)));
    if (attribute(data, "optype", "continuous") != "continuous")
      return refuse(data, fmt::format("a feature of optype {} is not supported",
                                      attribute(data, "optype").substr(0, 80)));
    if (attribute(mining, "outliers", "asIs") != "asIs")
      return refuse(mining, "treatment of outliers is not supported");
    const std::string_view invalid = attribute(mining, "invalidValueTreatment", "returnInvalid");
    if ((data.child("Interval") || data.child("Value")) && invalid != "asIs")
      return refuse(data,
                    "an Interval or Value makes other values invalid, which is not supported");
    return {};
  }

  Status read_schema(const xml_node& model) {
    const xml_node schema = model.child("MiningSchema");
    for (const xml_node& mining : schema.children("MiningField")) {
      const std::string name(attribute(mining, "name"));
      const std::string_view usage = attribute(mining, "usageType", "active");
      const xml_node data = data_field(name);
      if (!data)
        return refuse(mining,
                      fmt::format("field '{}' is not in the DataDictionary", name.substr(0, 80)));
      if (usage == "target" || usage == "predicted") {
        if (target_) return refuse(mining, "a second target");
        target_ = data;
        continue;
      }
      if (usage == "supplementary") continue;
      if (usage != "active")
        return refuse(mining, fmt::format("usageType {} is not supported", usage.substr(0, 80)));
      WEIR_TRY(check_field(mining, data));
      if (model_.features.size() == kFeaturesMax)
        return refuse(mining, fmt::format("more than {} features", kFeaturesMax));
      PmmlField field;
      field.feature = static_cast<std::int32_t>(model_.features.size());
      field.float32 = attribute(data, "dataType") == "float";
      WEIR_TRY(read_replacement(mining, field));
      if (!context_.fields.emplace(name, field).second)
        return refuse(mining, "the field stands twice");
      model_.features.push_back(name);
      model_.units.emplace_back();
    }
    return {};
  }

  Status read_replacement(const xml_node& mining, PmmlField& field) const {
    if (attribute(mining, "missingValueTreatment", "asIs") == "returnInvalid")
      return refuse(mining, "missingValueTreatment returnInvalid is not supported");
    if (!mining.attribute("missingValueReplacement")) return {};
    WEIR_ASSIGN(field.replacement, pmml_number(context_.name, mining, "missingValueReplacement"));
    return {};
  }

  Status read_function(const xml_node& model) {
    const std::string_view function = attribute(model, "functionName");
    if (function == "regression") return {};
    if (function != "classification")
      return refuse(model,
                    fmt::format("functionName '{}' is not supported", function.substr(0, 80)));
    for (const xml_node& value : target_.children("Value")) {
      const std::string name(attribute(value, "value"));
      if (model_.classes.size() == kClassesMax)
        return refuse(target_, fmt::format("more than {} classes", kClassesMax));
      if (!context_.classes.emplace(name, model_.classes.size()).second)
        return refuse(value, "the class stands twice");
      model_.classes.push_back({name, 0});
    }
    if (model_.classes.size() < 2)
      return refuse(target_ ? target_ : model,
                    "the target's DataField lists fewer than two classes (Value)");
    model_.outputs = static_cast<std::uint32_t>(model_.classes.size());
    return {};
  }

  /// What would change the meaning of a tree's or an ensemble's parts.
  Status check_children(const xml_node& model, std::string_view body) const {
    for (const xml_node& child : model.children()) {
      const std::string_view kind = child.name();
      const bool harmless = kind == "MiningSchema" || kind == "Output" || kind == "ModelStats" ||
                            kind == "Extension" || kind == "ModelExplanation" ||
                            kind == "ModelVerification" || kind == "Targets" || kind == body;
      const bool empty = kind == "LocalTransformations" && !child.first_child();
      if (!harmless && !empty) return refuse(child, "it is not supported");
    }
    return {};
  }

  Status read_single(const xml_node& tree) {
    WEIR_TRY(check_children(tree, "Node"));
    model_.vote = Vote::mean;
    return append_pmml_tree(tree, 1.0, context_, model_);
  }

  Status read_method(const xml_node& segmentation, bool& weighted) {
    const std::string_view method = attribute(segmentation, "multipleModelMethod");
    const bool classes = !model_.classes.empty();
    context_.single = false;
    weighted = method == "weightedAverage" || method == "weightedMajorityVote";
    context_.votes = method == "majorityVote" || method == "weightedMajorityVote";
    const bool known = method == "average" || method == "weightedAverage" ||
                       (method == "sum" && !classes) || (context_.votes && classes);
    if (!known)
      return refuse(segmentation, fmt::format("multipleModelMethod {} is not supported (average, "
                                              "weightedAverage, sum of regressions, "
                                              "majorityVote and weightedMajorityVote are)",
                                              method.substr(0, 80)));
    if (attribute(segmentation, "missingPredictionTreatment", "continue") != "continue")
      return refuse(segmentation, "missingPredictionTreatment is not supported");
    model_.vote = weighted || method == "sum" ? Vote::sum : Vote::mean;
    return {};
  }

  Status read_segments(const xml_node& mining) {
    WEIR_TRY(check_children(mining, "Segmentation"));
    const xml_node segmentation = mining.child("Segmentation");
    if (!segmentation) return refuse(mining, "it has no Segmentation");
    bool weighted = false;
    WEIR_TRY(read_method(segmentation, weighted));
    double total = 0;
    std::size_t count = 0;
    for (const xml_node& segment : segmentation.children("Segment")) {
      WEIR_ASSIGN(const double weight, weight_of(segment));
      total += weight;
      if (++count > kTreesMax) return refuse(segment, fmt::format("more than {} trees", kTreesMax));
    }
    if (weighted && total <= 0) return refuse(segmentation, "its weights add up to nothing");
    if (model_.vote == Vote::sum) model_.bias.assign(model_.outputs, 0.0);
    for (const xml_node& segment : segmentation.children("Segment")) {
      if (!segment.child("True"))
        return refuse(segment, "a segment whose predicate is not True is not supported");
      const xml_node tree = segment.child("TreeModel");
      if (!tree) return refuse(segment, "a segment that is no TreeModel is not supported");
      if (attribute(tree, "functionName") != attribute(mining, "functionName"))
        return refuse(tree, "its functionName is not the whole model's");
      WEIR_TRY(check_children(tree, "Node"));
      if (tree.child("Targets")) return refuse(tree, "Targets of a segment are not supported");
      WEIR_TRY(check_inner_schema(tree));
      WEIR_ASSIGN(const double weight, weight_of(segment));
      WEIR_TRY(append_pmml_tree(tree, weighted ? weight / total : 1.0, context_, model_));
    }
    return {};
  }

  Result<double> weight_of(const xml_node& segment) const {
    if (!segment.attribute("weight")) return 1.0;
    WEIR_ASSIGN(const double weight, pmml_number(context_.name, segment, "weight"));
    if (weight < 0) return refuse(segment, "a negative weight");
    return weight;
  }

  /// A segment sees the whole model's fields as they are.
  Status check_inner_schema(const xml_node& tree) const {
    for (const xml_node& mining : tree.child("MiningSchema").children("MiningField")) {
      for (const char* treatment : {"missingValueReplacement", "outliers"})
        if (mining.attribute(treatment))
          return refuse(mining, fmt::format("{} of a segment is not supported", treatment));
    }
    return {};
  }

  Status read_targets(const xml_node& model) {
    const xml_node targets = model.child("Targets");
    if (!targets) return {};
    for (const xml_node& target : targets.children("Target")) {
      for (const pugi::xml_attribute& a : target.attributes()) {
        const std::string_view key = a.name(), value = a.value();
        const bool neutral = key == "field" || key == "optype" ||
                             (key == "rescaleFactor" && (value == "1" || value == "1.0")) ||
                             (key == "rescaleConstant" && (value == "0" || value == "0.0"));
        if (neutral) continue;
        if (key != "rescaleConstant" || model_.vote != Vote::sum || !model_.classes.empty())
          return refuse(target, fmt::format("{} is not supported here", key.substr(0, 80)));
        WEIR_ASSIGN(model_.bias[0], pmml_number(context_.name, target, "rescaleConstant"));
      }
      if (!model_.classes.empty()) continue;  // priors: for a tree without a prediction
      if (target.first_child()) return refuse(target, "TargetValue is not supported");
    }
    return {};
  }

  PmmlContext context_;
  Model model_;
  xml_node dictionary_, target_;
};

}  // namespace

Result<Model> import_pmml(std::string_view text, const std::string& name) {
  if (text.size() > kFile_bytes)
    return fail(
        fmt::format("{}: {} bytes of XML, at most {} are read", name, text.size(), kFile_bytes));
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(text.data(), text.size(), pugi::parse_default | pugi::parse_doctype);
  if (!parsed)
    return fail(fmt::format("{}: byte {}: {}", name, parsed.offset, parsed.description()));
  for (const xml_node& child : document.children()) {
    if (child.type() == pugi::node_doctype)
      return fail(fmt::format(
          "{}: the file has a document type (DOCTYPE), which is refused; remove that line", name));
  }
  const xml_node root = document.document_element();
  if (std::string_view(root.name()) != "PMML")
    return fail(fmt::format("{}: an XML file, but its root is '{}' and not PMML", name,
                            std::string_view(root.name()).substr(0, 80)));
  return Importer(name).import(root);
}

}  // namespace weir::forest
