// SPDX-License-Identifier: BSD-2-Clause
// The limits of import.h: what is one beyond is refused in a sentence with the limit, what is on it
// is read.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "forest/import.h"
#include "forest/validate.h"

namespace weir::forest {
namespace {

/// One leaf after another, to the right: `depth` levels.
Model chain(std::size_t depth) {
  Model m;
  m.features = {"a"};
  m.units = {""};
  m.classes = {{"no", 0}, {"yes", 0}};
  m.values = {0.25};
  m.trees = {{0, Tree::kAllOutputs}};
  for (std::size_t level = 0; level < depth; ++level) {
    const auto next = static_cast<std::uint32_t>(m.nodes.size()) + 1;
    m.nodes.push_back({static_cast<double>(level), 0, next, next + 1, 0, false, 0});
    m.nodes.push_back({0, -1, 0, 0, 0, false, 0});
  }
  m.nodes.push_back({0, -1, 0, 0, 0, false, 0});
  return m;
}

/// Every node but the last `leaves` splits: as flat as it can be.
Model flat(std::size_t leaves) {
  Model m = chain(0);
  m.nodes.clear();
  for (std::size_t n = 0; n < leaves - 1; ++n) {
    const auto left = static_cast<std::uint32_t>(2 * n + 1);
    m.nodes.push_back({static_cast<double>(n), 0, left, left + 1, 0, false, 0});
  }
  m.nodes.resize(2 * leaves - 1);
  return m;
}

void refused(const Model& model, const std::string& with) {
  const Status status = validate(model, "dir/m");
  ASSERT_FALSE(status) << with;
  EXPECT_NE(status.error().message.find(with), std::string::npos) << status.error().message;
  EXPECT_EQ(status.error().message.rfind("dir/m: ", 0), 0U) << status.error().message;
}

TEST(Limits, OfDepthAndLeaves) {
  EXPECT_TRUE(validate(chain(kDepthMax), "m"));
  refused(chain(kDepthMax + 1), "deeper than 4096 levels");
  EXPECT_TRUE(validate(flat(kLeavesPerTreeMax), "m"));
  refused(flat(kLeavesPerTreeMax + 1), "65536 leaves, at most 65535");
}

TEST(Limits, OfTreesNodesAndValues) {
  Model model = flat(1);
  model.trees.assign(kTreesMax + 1, model.trees[0]);
  refused(model, "10001 trees, at most 10000");
  model = flat(1);
  model.nodes.resize(kNodesMax + 1);
  refused(model, fmt::format("{} nodes, at most {}", kNodesMax + 1, kNodesMax));
  model = flat(1);
  model.values.resize(kValuesMax + 1);
  refused(model, fmt::format("{} leaf values, at most {}", kValuesMax + 1, kValuesMax));
}

TEST(Limits, OfFeaturesClassesAndNames) {
  Model model = flat(1);
  for (std::size_t f = 1; f < kFeaturesMax; ++f) model.features.push_back(std::to_string(f));
  model.units.resize(kFeaturesMax);
  EXPECT_TRUE(validate(model, "m"));
  model.features.emplace_back("one more");
  model.units.emplace_back();
  refused(model, "4096 features, at most 4095");
  model = flat(1);
  model.classes.resize(kClassesMax + 1);
  refused(model, "257 classes, 2 to 256");
  model = flat(1);
  model.features[0] = std::string(kNameMax_bytes + 1, 'x');
  refused(model, "a feature's name has 257 bytes");
}

TEST(Limits, OfTheFile) {
  const std::string most = fmt::format("{}", kModelFile_bytes);
  const auto parsed = parse_model(std::string(kModelFile_bytes + 1, ' '), "m");
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message.find("at most " + most), std::string::npos);
  char path[] = "/tmp/weir-limits-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  const int made = ftruncate(fd, static_cast<off_t>(kModelFile_bytes + 1));  // takes no disk
  close(fd);
  const auto loaded = load_model(path);
  unlink(path);
  ASSERT_EQ(made, 0);
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("larger than " + most), std::string::npos)
      << loaded.error().message;
  EXPECT_NE(loaded.error().message.find(path), std::string::npos);
}

}  // namespace
}  // namespace weir::forest
