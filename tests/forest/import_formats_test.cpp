// SPDX-License-Identifier: BSD-2-Clause
// Hostile and unsupported files of the formats that others write: each refused with file, place and
// reason.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "forest/evaluate.h"
#include "forest/import.h"
#include "forest/sample_models.h"

namespace weir::forest {
namespace {

std::string error_of(const std::string& bytes) {
  const auto model = parse_model(bytes, "dir/m");
  return model ? std::string("accepted") : model.error().message;
}

/// The sample with `from` replaced (the first of it), or the test fails.
std::string changed(std::string bytes, const std::string& from, const std::string& to) {
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at != std::string::npos) bytes.replace(at, from.size(), to);
  return bytes;
}

void expect(const std::string& bytes, const std::string& part) {
  const std::string error = error_of(bytes);
  EXPECT_NE(error.find(part), std::string::npos) << error;
  EXPECT_EQ(error.rfind("dir/m: ", 0), 0U) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

struct Edit {
  const char* from;
  const char* to;
  const char* error;
};

template <std::size_t N>
void expect_all(const char* format, const Edit (&edits)[N]) {
  const std::string sample = sample_model(format);
  for (const Edit& edit : edits) expect(changed(sample, edit.from, edit.to), edit.error);
}

TEST(ImportFormats, ReadsASampleOfEach) {
  for (const Sample& sample : sample_models()) {
    const auto model = parse_model(sample.bytes, "dir/m");
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->format, sample.format);
    EXPECT_EQ(model->sha256.size(), 64U);
  }
}

/// A tree as Nyoka writes one.
std::string nyoka(const char* first_class, const char* rows_of_first) {
  const auto leaf = [&](const char* score, const char* sign, const char* zero, const char* one) {
    return std::string("<Node score=\"") + score +
           "\"><SimplePredicate field=\"Source Port\" operator=\"" + sign +
           "\" value=\"1023.5\"/><ScoreDistribution value=\"" + first_class + "\" recordCount=\"" +
           zero + "\"/><ScoreDistribution value=\"1\" recordCount=\"" + one + "\"/></Node>";
  };
  return std::string(
             "<PMML version=\"4.4.1\"><Header/><DataDictionary>"
             "<DataField name=\"Source Port\" optype=\"continuous\" dataType=\"double\"/>"
             "<DataField name=\"your_target\" optype=\"categorical\" dataType=\"integer\"><Value "
             "value=\"") +
         first_class +
         "\"/><Value value=\"1\"/></DataField></DataDictionary><TreeModel "
         "functionName=\"classification\" missingValuePenalty=\"1.0\"><MiningSchema>"
         "<MiningField name=\"Source Port\"/><MiningField name=\"your_target\" "
         "usageType=\"target\"/></MiningSchema><Node><True/>" +
         leaf("1", "lessOrEqual", "1.0", "999.0") +
         leaf(first_class, "greaterThan", rows_of_first, "0.0") + "</Node></TreeModel></PMML>";
}

TEST(ImportFormats, PmmlTellsHowManyRowsOfEachClassItSaw) {
  const auto lopsided = parse_model(nyoka("0", "9.0"), "m");
  ASSERT_TRUE(lopsided) << lopsided.error().message;
  EXPECT_EQ(lopsided->classes[0].rows, 10);
  EXPECT_EQ(lopsided->classes[1].rows, 999);
  EXPECT_EQ(one_sided(*lopsided).find("99.01 % of the model's training rows are of class '1'"), 0U);
  const auto even = parse_model(nyoka("0", "999.0"), "m");
  ASSERT_TRUE(even);
  EXPECT_EQ(one_sided(*even), "");
}

TEST(ImportFormats, TheAttackMayBeTheFirstClass) {
  auto model = parse_model(nyoka("flood", "9.0"), "m");
  ASSERT_TRUE(model) << model.error().message;
  const auto score = [&](float port) {
    const auto evaluator = make_evaluator(*model);
    alignas(64) std::array<float, 16> column{port}, scores{};
    const float* columns[] = {column.data()};
    (*evaluator)->evaluate(columns, 1, scores.data());
    return scores[0];
  };
  const float before = score(80);
  ASSERT_TRUE(put_attack_last(*model, "flood"));
  EXPECT_EQ(model->classes[1].name, "flood");
  EXPECT_EQ(model->classes[1].rows, 10);
  EXPECT_NEAR(score(80), 1 - before, 1e-6);
  ASSERT_TRUE(put_attack_last(*model, "flood")) << "it is the last already";
  EXPECT_NEAR(score(80), 1 - before, 1e-6);
  EXPECT_EQ(put_attack_last(*model, "no").error().message,
            "model 'm' has the classes '1', 'flood', and the attack is to be 'no'; name one of two "
            "classes");
}

TEST(ImportFormats, RefusesEveryTruncation) {
  for (const Sample& sample : sample_models()) {
    // Behind the last byte that says something, a cut changes nothing.
    std::size_t end = sample.bytes.size();
    while (end != 0 && (sample.bytes[end - 1] == '\n' || sample.bytes[end - 1] == ' ')) --end;
    for (std::size_t size = 0; size < end; ++size) {
      const auto model = parse_model(sample.bytes.substr(0, size), "dir/m");
      ASSERT_FALSE(model) << sample.format << " cut to " << size << " of " << end << " bytes";
    }
  }
}

TEST(ImportFormats, RefusesPicklesByWhatTheyAre) {
  using namespace std::string_literals;
  for (const std::string& head :
       {"\x80\x04\x95"s, "\x80\x02}"s, "\x78\x9c-"s, "\x1f\x8b\x08"s, "BZh91"s, "\xfd\x37zXZ\0"s}) {
    expect(head, "Python pickle");
    expect(head, "would run code");
    expect(head, "scripts/export_sklearn.py");
  }
  // pickle.dumps of an object, a dictionary and a list in protocols 0 and 1; joblib's lzma and lz4.
  for (const std::string& old :
       {"ccopy_reg\n_reconstructor\np0\n."s, "csklearn.tree\nTree\n."s, "(dp0\nVa\np1\nI1\ns."s,
        "(lp0\nI1\na."s, "}q\0X\1\0\0\0aq\1K\1s."s, "]q\0K\1a."s, "\x5d\0\0\x80\0"s,
        "\x04\x22\x4d\x18"s})
    expect(old, "Python pickle");
}

TEST(ImportFormats, SaysWhatIsWrongInXgboost) {
  const Edit edits[] = {
      {"\"left_children\": [1,", "\"left_children\": [0,", "trees[0]: node 0: a child is 0"},
      {"\"left_children\": [1,", "\"left_children\": [5,", "a child is 5"},
      {"\"left_children\": [1,", "\"left_children\": [2,", "shares a child"},
      {"[2, -1, 4, -1, -1]", "[2, -1, 2, -1, -1]", "leads back"},
      {"[2, -1, 4, -1, -1]", "[2, -1, 4, -1]", "right_children: 4 elements for 5 nodes"},
      {"\"num_nodes\": \"5\"", "\"num_nodes\": \"4000000000\"", "tree_param.num_nodes: 4000000000"},
      {"\"num_feature\": \"2\", \"num_t", "\"num_feature\": \"-1\", \"num_t", "num_feature: -1"},
      {"\"num_deleted\": \"0\"", "\"num_deleted\": \"1\"", "5 nodes, of which the root leads to 5"},
      {"\"split_indices\": [0, 0, 1", "\"split_indices\": [0, 0, 2",
       "node 2: the feature's index is 2"},
      {"\"split_type\": [0, 0, 0", "\"split_type\": [1, 0, 0", "the split is categorical"},
      {"[5E-1, 1.5E-1", "[null, 1.5E-1", "split_conditions[0]: a finite number"},
      {"[5E-1, 1.5E-1", "[1E300, 1.5E-1", "node 0: the number in split_conditions is no float32"},
      {"\"gbtree\"}", "\"dart\"}", "booster \"dart\" is not supported"},
      {"binary:logistic", "count:poisson", "objective \"count:poisson\" is not supported"},
      {"\"int\"]", "\"c\"]", "feature_types[1]: categorical"},
      {"\"base_score\": \"5E-1\"", "\"base_score\": \"1\"", "base_score 1 is no probability"},
      {"\"base_score\": \"5E-1\"", "\"base_score\": \"[5E-1,6E-1]\"", "is not one number"},
      {"\"tree_info\": [0]", "\"tree_info\": [1]", "tree_info[0]: 1, but the model has 1 groups"},
      {"\"num_target\": \"1\"", "\"num_target\": \"2\"", "several targets"},
      {"\"size_leaf_vector\": \"0\"", "\"size_leaf_vector\": \"3\"", "leaves of several values"},
      {"[1, 0, 0, 0, 0], \"id\"", "[7, 0, 0, 0, 0], \"id\"", "default_left is 7"},
  };
  expect_all("XGBoost JSON", edits);
  expect("binf\1\2", "old binary format");
}

/// XGBClassifier(missing=0) keeps its trees as if nothing were special about zero.
TEST(ImportFormats, KnowsWhatXgboostTakesForMissing) {
  const std::string sample = sample_model("XGBoost JSON");
  const auto with = [&](const std::string& value) {
    return changed(sample, "\"attributes\": {",
                   R"("attributes": {"scikit_learn": "{\"base_score\": null, \"missing\": )" +
                       value + R"(, \"n_jobs\": null}", )");
  };
  for (const char* value : {"0.0", "-999", "Infinity"})
    expect(with(value), "trained with missing=");
  expect(with("-999"), "learner.attributes.scikit_learn: trained with missing=-999,");
  for (const char* value : {"NaN", "null"}) EXPECT_EQ(error_of(with(value)), "accepted") << value;
}

TEST(ImportFormats, NamesNumbersThatAreNoJson) {
  const std::string sample = sample_model("XGBoost JSON");
  for (const char* number : {"[NaN,", "[-Infinity,", "[Infinity,", "[-nan,"})
    expect(changed(sample, "[5E-1,", number), "NaN or Infinity stands where a number is expected");
  expect(changed(sample, "[5E-1,", "[x,"), "this is not valid JSON");
}

TEST(ImportFormats, BelievesNoSizeInUbjson) {
  using namespace std::string_literals;
  const std::string sample = sample_model("XGBoost UBJSON");
  expect(changed(sample, "#L\0\0\0\0\0\0\0\3"s, "#L\x7f\xff\xff\xff\xff\xff\xff\xff"s),
         "elements claimed");
  expect(changed(sample, "#L\0\0\0\0\0\0\0\3"s, "#L\x80\0\0\0\0\0\0\0"s),
         "a length of -9223372036854775808");
  expect("{L\x7f\xff\xff\xff\xff\xff\xff\xff"s, "a text of 9223372036854775807 bytes");
  expect("{i\1a" + std::string(100'000, '['), "nested deeper than 64 levels");
  expect("{i\1a[$Z#L\0\0\0\xff\0\0\0\0}"s, "elements claimed");
  expect("{i\1aZi\1aZ}"s, "key 'a' stands twice");
  expect("{i\1aZ}more"s, "behind the end");
  expect(changed(sample, "\x3f\0\0\0"s, "\x7f\xc0\0\0"s), "a finite number");  // 0.5 becomes NaN
}

TEST(ImportFormats, BoundsWhatJsonMayAllocate) {
  std::string lists = "{\"a\":[";
  for (int i = 0; i < 1'100'000; ++i) lists += "[],";
  expect(lists + "0]}", "more than 1000000 lists, objects and texts");
  // The rest is not read: were it, the missing end would be what is found.
  expect(lists, "more than 1000000 lists, objects and texts");
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
  expect(nested, "nested deeper than 64 levels");
}

TEST(ImportFormats, SaysWhatIsWrongInLightGbm) {
  const Edit edits[] = {
      {"left_child=1", "left_child=0", "lead in a circle"},
      {"left_child=1", "left_child=3", "node 3 of 3"},
      {"left_child=1 -1 -2", "left_child=1 -1 -9", "leaf 8 of 4"},
      {"left_child=1 -1 -2", "left_child=1 -1 -1", "the root leads to 6 of 7 nodes and leaves"},
      {"threshold=0.5", "threshold=nan", "line 15: threshold: nan is not finite"},
      {"threshold=0.5", "threshold=x", "'x' is no number"},
      {"threshold=0.5 -1 1e-35", "threshold=0.5 -1", "threshold: 2 values, 3 are expected"},
      {"decision_type=2", "decision_type=1", "line 16: decision_type: categorical"},
      {"decision_type=2", "decision_type=12", "12, which is unknown"},
      {"num_cat=0", "num_cat=1", "categorical"},
      {"is_linear=0", "is_linear=1", "linear trees"},
      {"num_leaves=4", "num_leaves=70000", "70000, allowed are 1 to 65535"},
      {"num_leaves=4", "num_leaves=99999999999999999999", "no number that fits"},
      {"split_feature=0", "split_feature=2", "2, there are 2 features"},
      {"Tree=1", "Tree=2", "Tree=1 is expected"},
      {"sigmoid:1", "sigmoid:2", "sigmoid:2 is not supported"},
      {"objective=binary", "objective=poisson", "'poisson'"},
      {"leaf_value=0.1", "leaf_value=inf", "not finite"},
      {"version=v4", "version=v9", "v2, v3 or v4"},
      {"max_feature_idx=1", "max_feature_idx=1\nmax_feature_idx=1", "stands twice"},
      {"end of trees", "", "'end of trees' is missing"},
  };
  expect_all("LightGBM text", edits);
}

TEST(ImportFormats, SaysWhatIsWrongInPmml) {
  const Edit edits[] = {
      {"value=\"2\"", "value=\"NaN\"", "value is 'NaN', a finite number"},
      {"value=\"2\"", "value=\"\"", "a finite number is expected"},
      {"field=\"a\"", "field=\"c\"", "field 'c' is no active numeric field"},
      {"operator=\"lessThan\"", "operator=\"near\"", "operator near is not supported"},
      {"booleanOperator=\"or\"", "booleanOperator=\"surrogate\"", "booleanOperator surrogate"},
      {"lastPrediction\" noTrue", "weightedConfidence\" noTrue",
       "missingValueStrategy weightedConfidence"},
      {"lastPrediction\" noTrue", "aggregateNodes\" noTrue", "missingValueStrategy aggregateNodes"},
      {"defaultChild=\"3\"", "defaultChild=\"9\"", "defaultChild '9' is none of its children"},
      {"multipleModelMethod=\"average\"", "multipleModelMethod=\"modelChain\"",
       "multipleModelMethod modelChain"},
      {"<Segment><True/>", "<Segment><False/>", "a segment whose predicate is not True"},
      {"score=\"p\"", "score=\"q\"", "score 'q' is no class"},
      {"recordCount=\"3\"", "recordCount=\"-3\"", "a negative share"},
      {"functionName=\"classification\"", "functionName=\"clustering\"",
       "functionName 'clustering'"},
      {"dataType=\"double\"", "dataType=\"string\"", "dataType 'string'"},
      {"optype=\"continuous\"", "optype=\"categorical\"", "optype categorical"},
      {"<Header/>", "<Header/><TransformationDictionary><DerivedField/></TransformationDictionary>",
       "derived fields"},
      {"<PMML version", "<!DOCTYPE PMML [<!ENTITY a \"b\">]><PMML version", "DOCTYPE"},
      {"</PMML>", "<TreeModel/></PMML>", "a second model"},
      {"<SimplePredicate field=\"b\"", "<SimpleSetPredicate field=\"b\"", "SimpleSetPredicate"},
  };
  expect_all("PMML", edits);
  expect("<?xml version=\"1.0\"?><html/>", "its root is 'html'");
  std::string deep = "<PMML>";
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  for (int i = 0; i < 100'000; ++i) deep += "</a>";
  expect(deep + "</PMML>", "nested deeper than 1024 levels");
}

TEST(ImportFormats, RefusesAPmmlTreeThatGrowsWithoutEnd) {
  // Each level asks two fields, and a missing value leads to a place of its own: the text doubles.
  std::string node, end;
  for (int i = 0; i < 40; ++i) {
    node +=
        R"(<Node id="1" score="n"><CompoundPredicate booleanOperator="or"><SimplePredicate field="a" operator="lessThan" value="2"/>
<SimplePredicate field="b" operator="lessThan" value="3"/></CompoundPredicate>)";
    end +=
        R"(</Node><Node id="2" score="p"><SimplePredicate field="a" operator="greaterThan" value="7"/></Node>)";
  }
  std::string sample = sample_model("PMML");
  sample = changed(sample, "missingValueReplacement=\"1\"", "");
  const std::size_t from = sample.find("<Node id=\"2\"");
  const std::size_t to = sample.find("</Node></TreeModel>");
  sample.replace(from, to - from, node + R"(<Node id="9" score="n"><True/></Node>)" + end);
  const std::string error = error_of(sample);
  EXPECT_NE(error.find("comparisons and leaves"), std::string::npos) << error;
}

TEST(ImportFormats, SaysWhatIsWrongInOnnx) {
  using namespace std::string_literals;
  const std::string sample = sample_model("ONNX");
  expect(changed(sample, "BRANCH_LT", "BRANCH_EQ"), "nodes_modes[1]: BRANCH_EQ is not supported");
  expect(changed(sample, "TreeEnsembleClassifier", "SVMClassifierXXXXXXXXX"),
         "the operator is not supported");
  expect(changed(sample, "SOFTMAX", "PROBITX"), "post_transform PROBITX");
  expect(changed(sample, "ai.onnx.ml", "ai.other.x"), "domain 'ai.other.x'");
  expect(changed(sample, "nodes_modes", "nodes_moods"), "attribute nodes_moods is not supported");
  // nodes_values: 0, 0.5, 0, 0; the threshold becomes NaN.
  expect(changed(sample, "\0\0\0\x3f"s, "\0\0\xc0\x7f"s), "is not a number");
  // classlabels_int64s: 10, 20, 30; the model's last becomes 31, which its ZipMap calls 30.
  expect(changed(sample, "\x40\x14\x40\x1e", "\x40\x14\x40\x1f"),
         "node 1 (ZipMap): it gives the scores other names");
  // A tag with a length of two gigabytes.
  expect("\x08\x07\x3a\xff\xff\xff\xff\x07"s, "cut off or damaged");
  expect("\x08\x07"s + std::string("\xca\x01\x00", 3), "\"functions\" is not supported");
  std::string many = "\x08\x07";
  for (int i = 0; i < 100'001; ++i) many += std::string("\x42\x00", 2);
  expect(many, "more than 100000 messages");
}

}  // namespace
}  // namespace weir::forest
