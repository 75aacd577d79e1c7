// SPDX-License-Identifier: BSD-2-Clause
// `weir model show` and `weir model test`, as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/process.h"

namespace weir::test {
namespace {

using ::testing::HasSubstr;

constexpr const char* kModel =
    R"({"format": "weir-model", "version": 1, "kind": "trees", "name": "stump",
"provenance": {"trainer": "a person"}, "features": [{"name": "length", "unit": "bytes"}, {"name": "ttl"}],
"classes": [{"name": "benign", "rows": 9960}, {"name": "attack", "rows": 40}], "outputs": 1,
"link": "identity", "vote": "mean", "compare": "<=", "trees": [{"feature": [0, -1, -1],
"threshold": [300.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1], "values": [0.0625, 0.75],
"cover": [100, 60, 40]}]})";

class ModelCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir-model-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    model_ = file("stump.json", kModel);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  Ran test(const std::string& rows, std::vector<std::string> more = {}) {
    std::vector<std::string> all{WEIR_PROGRAM, "model", "test", model_, file("rows.csv", rows)};
    all.insert(all.end(), more.begin(), more.end());
    return run(all);
  }
  std::string folder_, model_;
};

TEST_F(ModelCommand, ShowsShapeFeaturesAndBalanceAndWarnsOfAOneSidedOne) {
  const Ran ran = run({WEIR_PROGRAM, "model", "show", model_});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("1 trees, 3 nodes, 2 leaves, depth 1 at most"));
  EXPECT_THAT(ran.out, HasSubstr("benign: 9960 training rows (99.60 %)"));
  EXPECT_THAT(ran.out, HasSubstr("length (bytes): 1 splits"));
  EXPECT_THAT(ran.out, HasSubstr("ttl: 0 splits, never asked"));
  EXPECT_THAT(ran.out, HasSubstr("trainer: a person"));
  EXPECT_THAT(ran.err, HasSubstr("99.60 % of the model's training rows are of class 'benign'"));
}

TEST_F(ModelCommand, RefusesABrokenModelInOneLine) {
  const Ran ran = run({WEIR_PROGRAM, "model", "show", file("broken.json", "{\"format\": ")});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("broken.json: line 1, column"));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
}

TEST_F(ModelCommand, ScoresRowsByColumnNameInAnyOrder) {
  const Ran ran = test("ttl,other,length\n64,x,300.5\n64,x,301\n1,y,\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "1,0.0625,benign\n2,0.75,attack\n3,0.75,attack\n");
}

TEST_F(ModelCommand, ComparesWithScoresAndClassNames) {
  const Ran ran =
      test("ttl,length,expected\n64,300,0.0625\n64,301,attack\n64,1,attack\n64,1,0.5\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.out, HasSubstr("3,0.0625,benign,expected attack\n"));
  EXPECT_THAT(ran.err, HasSubstr("4 rows scored, 2 not as expected"));
}

TEST_F(ModelCommand, ScoresMoreRowsThanABatch) {
  std::string rows = "length,ttl,expected\n";
  for (int r = 0; r < 5000; ++r) rows += r % 3 == 0 ? "400,1,0.75\n" : "200,1,0.0625\n";
  const Ran ran = test(rows, {"-q"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("5000 rows scored, 0 not as expected"));
}

TEST_F(ModelCommand, ExplainsARow) {
  const Ran ran = test("ttl,length\n64,1400\n", {"-q", "--explain", "1"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("row 1: margin 0.75 = 0.3375 expected"));
  EXPECT_THAT(ran.out, HasSubstr("+0.4125  length = 1400 bytes"));
  EXPECT_THAT(ran.out, HasSubstr("votes: 1 trees for, 0 against"));
  EXPECT_THAT(ran.out, HasSubstr("deciding path (tree 0): length > 300.5 bytes"));
}

/// pandas.DataFrame.to_csv quotes what has a comma.
TEST_F(ModelCommand, ReadsQuotedFields) {
  std::string text = kModel;
  text.replace(text.find("attack"), 6, R"(bad, \"really\")");
  model_ = file("quoted.json", text);
  const Ran ran =
      test("ttl,\"length\",expected\n64,\"301\",\"bad, \"\"really\"\"\"\n64,1,benign\n", {"-q"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("2 rows scored, 0 not as expected"));
}

/// A regressor's large values have float32's relative precision.
TEST_F(ModelCommand, ComparesLargeScoresRelatively) {
  model_ = file("regressor.json",
                R"({"format": "weir-model", "version": 1, "kind": "linear",
"features": [{"name": "length"}], "outputs": 1, "link": "identity", "bias": [0.1], "weights": [1234567.89]})");
  const Ran ran = test("length,expected\n3,3703703.77\n3,3703707.77\n0.25,308642.0725\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.out, HasSubstr(",expected 3703707.77\n"));
  EXPECT_THAT(ran.err, HasSubstr("3 rows scored, 1 not as expected"));
}

TEST_F(ModelCommand, ExplainsTheClassThatWasChosen) {
  model_ = file("three.json", R"({"format": "weir-model", "version": 1, "kind": "trees",
"features": [{"name": "length"}], "classes": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "outputs": 3,
"link": "identity", "vote": "mean", "compare": "<=", "trees": [{"feature": [0, -1, -1],
"threshold": [10, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1],
"values": [0.75, 0.25, 0, 0, 0.125, 0.875], "cover": [100, 50, 50]}]})");
  const Ran ran = test("length\n1\n11\n", {"-q", "--explain", "1"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("class a: row 1: margin 0.75 = 0.375 expected"));
  EXPECT_THAT(ran.out, HasSubstr("votes: 1 trees for, 0 against"));
}

TEST_F(ModelCommand, SaysWhereTheRowsAreWrong) {
  const auto refused = [&](const std::string& rows, const std::string& part) {
    const Ran ran = test(rows);
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr(part));
  };
  refused("ttl,size\n1,2\n", "line 1: the column 'length' stands 0 times");
  refused("ttl,length\n1,2\n1,2,3\n", "line 3: 3 fields, the header has 2");
  refused("ttl,length\n1,2x\n", "line 2, column 'length': '2x' is no number");
  refused("ttl,length\n", "no rows behind the header");
  refused("", "the file is empty");
}

}  // namespace
}  // namespace weir::test
