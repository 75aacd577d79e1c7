// SPDX-License-Identifier: BSD-2-Clause
#include "forest/sample_models.h"

#include <bit>
#include <cstdint>
#include <initializer_list>

#include "base/result.h"
#include "onnx.pb.h"

namespace weir::forest {
namespace {

const std::string kWeir =
    R"({"format": "weir-model", "version": 1, "kind": "trees", "features": [{"name": "a", "unit": "bytes"}, {"name": "b"}],
"classes": [{"name": "no", "rows": 60}, {"name": "yes", "rows": 40}], "outputs": 1, "link": "identity", "vote": "mean",
"compare": "<=", "trees": [{"feature": [0, 1, -1, -1, -1], "threshold": [300.5, "inf", 0, 0, 0],
"left": [1, 2, -1, -1, -1], "right": [4, 3, -1, -1, -1], "missing_left": [0, 1, 0, 0, 0],
"values": [0.05, 0.5, 0.925], "cover": [100, 70, 40, 30, 30]}]})";

const std::string kLinear =
    R"({"format": "weir-model", "version": 1, "kind": "linear", "features": [{"name": "a"}, {"name": "b"}],
"outputs": 1, "link": "sigmoid", "classes": [{"name": "0"}, {"name": "1"}], "bias": [0.5], "weights": [1, -2e3],
"threshold": {"on": "margin", "above": 1.5}})";

const std::string kLightGbm = R"(tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=a b
feature_infos=[0:1] [0:1]

Tree=0
num_leaves=4
num_cat=0
split_feature=0 1 0
threshold=0.5 -1 1e-35
decision_type=2 4 10
left_child=1 -1 -2
right_child=2 -3 -4
leaf_value=0.1 -0.2 0.3 -0.4
leaf_count=1 2 3 4
internal_count=10 4 6
is_linear=0

Tree=1
num_leaves=1
num_cat=0
leaf_value=0.25

end of trees
)";

const std::string kPmml = R"(<?xml version="1.0"?>
<PMML version="4.4"><Header/><DataDictionary>
<DataField name="a" optype="continuous" dataType="double"/><DataField name="b" optype="continuous" dataType="float"/>
<DataField name="y" optype="categorical" dataType="string"><Value value="n"/><Value value="p"/></DataField></DataDictionary>
<MiningModel functionName="classification"><MiningSchema><MiningField name="a"/>
<MiningField name="b" missingValueReplacement="1"/><MiningField name="y" usageType="target"/></MiningSchema>
<Segmentation multipleModelMethod="average"><Segment><True/>
<TreeModel functionName="classification" missingValueStrategy="lastPrediction" noTrueChildStrategy="returnLastPrediction">
<MiningSchema/><Node id="1" score="n" recordCount="10"><True/>
<Node id="2" score="p"><CompoundPredicate booleanOperator="or"><SimplePredicate field="a" operator="lessThan" value="2"/>
<SimplePredicate field="b" operator="equal" value="3"/></CompoundPredicate><ScoreDistribution value="n" recordCount="1"/>
<ScoreDistribution value="p" recordCount="3"/></Node>
<Node id="3" score="n"><SimplePredicate field="a" operator="isNotMissing"/></Node></Node></TreeModel></Segment>
<Segment><True/><TreeModel functionName="classification" missingValueStrategy="defaultChild"><MiningSchema/>
<Node id="1" score="n" defaultChild="3"><True/>
<Node id="2" score="p"><SimplePredicate field="a" operator="greaterThan" value="-1"/></Node>
<Node id="3" score="n"><SimplePredicate field="a" operator="lessOrEqual" value="-1"/></Node></Node></TreeModel></Segment>
</Segmentation></MiningModel></PMML>
)";

const std::string kXgboost =
    R"({"learner": {"attributes": {"best_iteration": "0"}, "feature_names": ["a", "b"], "feature_types": ["float", "int"],
"gradient_booster": {"model": {"gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "1"}, "tree_info": [0],
"trees": [{"default_left": [1, 0, 0, 0, 0], "id": 0, "left_children": [1, -1, 3, -1, -1], "right_children": [2, -1, 4, -1, -1],
"parents": [2147483647, 0, 0, 2, 2], "split_conditions": [5E-1, 1.5E-1, 2E0, -1E-1, 3E-2],
"split_indices": [0, 0, 1, 0, 0], "split_type": [0, 0, 0, 0, 0], "sum_hessian": [10, 4, 6, 3, 3],
"tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": "5", "size_leaf_vector": "0"}}]}, "name": "gbtree"},
"learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "2", "num_target": "1"},
"objective": {"name": "binary:logistic"}}, "version": [1, 7, 4]})";

std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
  return text;
}

std::string ubj_key(const std::string& key) { return 'L' + big_endian(key.size(), 8) + key; }
std::string ubj_text(const std::string& text) { return 'S' + ubj_key(text); }
std::string ubj_ints(std::initializer_list<std::int32_t> list) {
  std::string text = "[$l#L" + big_endian(list.size(), 8);
  for (const std::int32_t v : list) text += big_endian(static_cast<std::uint32_t>(v), 4);
  return text;
}

/// The shape of XGBoost's writer: typed arrays with counts, lengths as int64.
std::string ubjson() {
  std::string floats = "[$d#L" + big_endian(3, 8);
  for (const float v : {0.5F, -0.25F, 0.75F})
    floats += big_endian(std::bit_cast<std::uint32_t>(v), 4);
  const std::string tree = '{' + ubj_key("default_left") + "[$U#L" + big_endian(3, 8) +
                           std::string("\1\0\0", 3) + ubj_key("left_children") +
                           ubj_ints({1, -1, -1}) + ubj_key("right_children") +
                           ubj_ints({2, -1, -1}) + ubj_key("split_indices") + ubj_ints({0, 0, 0}) +
                           ubj_key("split_conditions") + floats + ubj_key("tree_param") + '{' +
                           ubj_key("num_nodes") + ubj_text("3") + "}}";
  const std::string booster = '{' + ubj_key("model") + '{' + ubj_key("tree_info") + ubj_ints({0}) +
                              ubj_key("trees") + "[#L" + big_endian(1, 8) + tree + '}' +
                              ubj_key("name") + ubj_text("gbtree") + '}';
  return '{' + ubj_key("learner") + '{' + ubj_key("gradient_booster") + booster +
         ubj_key("learner_model_param") + '{' + ubj_key("base_score") + ubj_text("2E-1") +
         ubj_key("num_class") + ubj_text("0") + ubj_key("num_feature") + ubj_text("1") + '}' +
         ubj_key("objective") + '{' + ubj_key("name") + ubj_text("reg:squarederror") + "}}}";
}

void add_ints(onnx::NodeProto* node, const char* name, std::initializer_list<std::int64_t> list) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(onnx::AttributeProto::INTS);
  for (const std::int64_t v : list) a->add_ints(v);
}

void add_floats(onnx::NodeProto* node, const char* name, std::initializer_list<float> list) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(onnx::AttributeProto::FLOATS);
  for (const float v : list) a->add_floats(v);
}

void add_texts(onnx::NodeProto* node, const char* name, std::initializer_list<const char*> list) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(onnx::AttributeProto::STRINGS);
  for (const char* v : list) a->add_strings(v);
}

void set_text(onnx::NodeProto* node, const char* name, const char* value) {
  onnx::AttributeProto* a = node->add_attribute();
  a->set_name(name);
  a->set_type(onnx::AttributeProto::STRING);
  a->set_s(value);
}

onnx::NodeProto* begin_onnx(onnx::ModelProto& model, const char* op) {
  model.set_ir_version(7);
  onnx::OperatorSetIdProto* opset = model.add_opset_import();
  opset->set_domain("ai.onnx.ml");
  opset->set_version(1);
  onnx::GraphProto* graph = model.mutable_graph();
  graph->set_name("g");
  onnx::ValueInfoProto* input = graph->add_input();
  input->set_name("x");
  onnx::TypeProto::Tensor* type = input->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape()->add_dim();
  type->mutable_shape()->add_dim()->set_dim_value(2);
  onnx::NodeProto* node = graph->add_node();
  node->set_op_type(op);
  node->set_domain("ai.onnx.ml");
  node->add_input("x");
  return node;
}

std::string onnx_trees() {
  onnx::ModelProto model;
  onnx::NodeProto* node = begin_onnx(model, "TreeEnsembleClassifier");
  node->add_output("label");
  node->add_output("scores");
  model.mutable_graph()->add_output()->set_name("label");
  add_ints(node, "nodes_treeids", {0, 0, 0, 1});
  add_ints(node, "nodes_nodeids", {1, 0, 2, 0});
  add_ints(node, "nodes_featureids", {0, 1, 0, 0});
  add_floats(node, "nodes_values", {0.0F, 0.5F, 0.0F, 0.0F});
  add_texts(node, "nodes_modes", {"LEAF", "BRANCH_LT", "LEAF", "LEAF"});
  add_ints(node, "nodes_truenodeids", {0, 1, 0, 0});
  add_ints(node, "nodes_falsenodeids", {0, 2, 0, 0});
  add_ints(node, "class_treeids", {0, 0, 1});
  add_ints(node, "class_nodeids", {1, 2, 0});
  add_ints(node, "class_ids", {0, 2, 1});
  add_floats(node, "class_weights", {0.5F, 0.25F, 0.125F});
  add_ints(node, "classlabels_int64s", {10, 20, 30});
  set_text(node, "post_transform", "SOFTMAX");
  onnx::NodeProto* names = model.mutable_graph()->add_node();
  names->set_op_type("ZipMap");
  names->set_domain("ai.onnx.ml");
  names->add_input("scores");
  names->add_output("named");
  add_ints(names, "classlabels_int64s", {10, 20, 30});
  model.mutable_graph()->add_output()->set_name("named");
  return model.SerializeAsString();
}

std::string onnx_linear() {
  onnx::ModelProto model;
  onnx::NodeProto* node = begin_onnx(model, "LinearClassifier");
  node->add_output("label");
  model.mutable_graph()->add_output()->set_name("label");
  add_floats(node, "coefficients", {-1.0F, 2.0F, 1.0F, -2.0F});
  add_floats(node, "intercepts", {0.5F, -0.5F});
  add_texts(node, "classlabels_strings", {"no", "yes"});
  set_text(node, "post_transform", "LOGISTIC");
  return model.SerializeAsString();
}

}  // namespace

std::vector<Sample> sample_models() {
  return {{"weir JSON", kWeir},         {"weir JSON", kLinear}, {"XGBoost JSON", kXgboost},
          {"XGBoost UBJSON", ubjson()}, {"ONNX", onnx_trees()}, {"ONNX", onnx_linear()},
          {"LightGBM text", kLightGbm}, {"PMML", kPmml}};
}

std::string sample_model(const std::string& format) {
  for (Sample& sample : sample_models())
    if (sample.format == format) return sample.bytes;
  check_failed("no sample of this format", __FILE__, __LINE__);
}

}  // namespace weir::forest
