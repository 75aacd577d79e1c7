// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "forest/evaluate.h"
#include "forest/import.h"
#include "forest/sha256.h"

namespace weir::forest {
namespace {

const std::string kStump =
    R"({"format": "weir-model", "version": 1, "kind": "trees", "name": "stump",
  "features": [{"name": "length", "unit": "bytes"}],
  "classes": [{"name": "benign", "rows": 60}, {"name": "attack", "rows": 40}],
  "outputs": 1, "link": "identity", "vote": "mean", "compare": "<=",
  "trees": [{"feature": [0, -1, -1], "threshold": [300.5, 0, 0], "left": [1, -1, -1],
             "right": [2, -1, -1], "values": [0.05, 0.925], "cover": [100, 60, 40]}])";

std::string sealed(const std::string& body) {
  return body + ", \"sha256\": \"" + sha256(body) + "\"}\n";
}

/// `kStump` with the first `from` replaced, complete but unsealed.
std::string changed(const std::string& from, const std::string& to) {
  std::string text = kStump + "}";
  text.replace(text.find(from), from.size(), to);
  return text;
}

std::string error_of(const std::string& text) {
  const auto model = parse_model(text, "m.json");
  return model ? std::string("accepted") : model.error().message;
}

TEST(Sha256, KnowsTheVectorsOfFips180) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

TEST(WeirJson, ReadsTheSmallestModel) {
  const auto model = parse_model(sealed(kStump), "dir/stump.json");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, "stump");
  EXPECT_EQ(model->features, std::vector<std::string>{"length"});
  EXPECT_EQ(model->units, std::vector<std::string>{"bytes"});
  ASSERT_EQ(model->classes.size(), 2U);
  EXPECT_EQ(model->classes[1].rows, 40);
  ASSERT_EQ(model->nodes.size(), 3U);
  EXPECT_EQ(model->nodes[0].threshold, 300.5);
  EXPECT_EQ(model->values, (std::vector<double>{0.05, 0.925}));
  EXPECT_EQ(model->sha256, sha256(sealed(kStump)));
}

TEST(WeirJson, KeepsTheModelsOwnThreshold) {
  const auto at = [](const std::string& threshold) {
    return changed("\"outputs\"", "\"threshold\": " + threshold + ", \"outputs\"");
  };
  const auto model = parse_model(at(R"({"on": "probability", "above": 0.9})"), "m.json");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->decision.on, Decision::On::probability);
  EXPECT_EQ(model->decision.above, 0.9);
  alignas(64) float lengths[kRowAlign] = {300, 301};  // of probability 0.05 and 0.925
  const float* columns[] = {lengths};
  float scores[2];
  make_scalar_evaluator(*model)->evaluate(columns, 2, scores);
  EXPECT_FLOAT_EQ(scores[0], 0.05F * 0.1F / (0.05F * 0.1F + 0.95F * 0.9F));
  EXPECT_FLOAT_EQ(scores[1], 0.925F * 0.1F / (0.925F * 0.1F + 0.075F * 0.9F));
  EXPECT_GT(scores[1], 0.5F);
  EXPECT_EQ(error_of(at(R"({"on": "probability", "above": 1})")),
            "m.json: a threshold of 1 on a probability, expected is one between 0 and 1");
  EXPECT_EQ(error_of(at(R"({"on": "margin", "above": 0})")),
            "m.json: a threshold on the margin goes with link sigmoid only");
  const std::string none = R"({"on": "probability", "above": 0.9}, "probabilities": false)";
  EXPECT_EQ(error_of(at(none)),
            "m.json: a threshold on a probability, and the model has none; put it on the margin");
  EXPECT_NE(error_of(at(R"({"on": "score", "above": 0.5})")).find("is none of"), std::string::npos);
  EXPECT_NE(error_of(at(R"({"above": 0.5})")).find("'on'"), std::string::npos);
}

TEST(WeirJson, RefusesAFileThatWasChangedAfterItWasSealed) {
  std::string text = sealed(kStump);
  text.replace(text.find("0.925"), 5, "0.125");
  EXPECT_NE(error_of(text).find("changed or damaged"), std::string::npos) << error_of(text);
}

TEST(WeirJson, RefusesEveryTruncation) {
  const std::string text = sealed(kStump);
  for (std::size_t size = 0; size + 2 < text.size(); ++size)
    EXPECT_FALSE(parse_model(text.substr(0, size), "m.json")) << size;
}

TEST(WeirJson, SaysFilePlaceAndReason) {
  const auto expect = [](const std::string& text, const std::string& part) {
    EXPECT_NE(error_of(text).find(part), std::string::npos) << error_of(text);
    EXPECT_EQ(error_of(text).rfind("m.json: ", 0), 0U) << error_of(text);
    EXPECT_EQ(error_of(text).find('\n'), std::string::npos) << error_of(text);
  };
  expect(changed("\"version\": 1", "\"version\": 2"), "version 2 of the model format");
  expect(changed("\"name\": \"stump\"", "\"nome\": \"stump\""), "unknown key 'nome'");
  expect(changed("\"name\": \"stump\"", "\"kind\": \"trees\""), "'kind' stands twice");
  expect("{\"a\": 1,\n \"a\": 2}", "line 2, column 4: key 'a' stands twice");
  expect(changed("[0, -1, -1]", "[1, -1, -1]"), "trees[0]: feature[0] is 1, allowed are -1 to 0");
  expect(changed("[0, -1, -1]", "[0, -1]"), "trees[0].threshold: 3 elements for 2 nodes");
  expect(changed("\"left\": [1", "\"left\": [3"), "left[0] is 3");
  expect(changed("\"left\": [1", "\"left\": [0"), "left[0] is 0");
  expect(changed("\"left\": [1", "\"left\": [2"), "two parents or leads back");
  expect(changed("[0.05, 0.925]", "[0.05]"), "1 values, but 2 leaves with 1 each");
  expect(changed("[300.5", "[1e999"), "m.json: ");
  expect(changed("[300.5", "[null"), "trees[0].threshold[0]: a finite number is expected here");
  expect(changed("\"<=\"", "\"=<\""), "compare: \"=<\" is none of \"<=\", \"<\"");
  expect(changed("\"outputs\": 1", "\"outputs\": 3"), "m.json: ");
  expect(changed("\"rows\": 60", "\"rows\": -1"), "class 'benign' has -1 training rows");
  expect(changed("\"attack\"", "\"benign\""), "class 'benign' stands twice");
  expect(changed("\"length\"", "\"\""), "a feature's name has 0 bytes");
  expect(changed("\"vote\": \"mean\", ", ""), "'vote' is missing");
  expect("[1, 2]", "not a model file");
  expect("{\"a\": 1}", "no model that weir knows");
  expect("{\"a\": \n  1,, }", "line 2, column 5");
  expect(std::string("{\"a\":") + std::string(100, '[') + std::string(100, ']') + "}",
         "nested deeper than 64 levels");
}

TEST(WeirJson, RefusesAPickleByName) {
  EXPECT_NE(error_of("\x80\x04\x95").find("scripts/export_sklearn.py"), std::string::npos);
  EXPECT_NE(error_of("\x78\x9c garbage").find("run code"), std::string::npos);
}

TEST(LoadModel, NamesAFileThatIsNotThere) {
  const auto model = load_model("/nonexistent/model.json");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().message,
            "read model /nonexistent/model.json: No such file or directory; name a model file that "
            "is there and may be read");
}

TEST(LoadModel, WhatIsNoRegularFileIsRefusedAndNeverWaitedFor) {
  char folder[] = "/tmp/weir-model-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string fifo = std::string(folder) + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string other = "it is a pipe, socket or device; name a regular file";
  EXPECT_EQ(load_model(fifo).error().message, "read model " + fifo + ": " + other);
  EXPECT_EQ(load_model("/dev/zero").error().message, "read model /dev/zero: " + other);
  EXPECT_EQ(load_model(folder).error().message,
            std::string("read model ") + folder + ": it is a folder; name a regular file");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace weir::forest
