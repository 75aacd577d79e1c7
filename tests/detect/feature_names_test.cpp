// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include "detect/extractor.h"

namespace weir::detect {
namespace {

TEST(Features, OfAModelAreKnownByTheNamesThatItHas) {
  std::vector<std::string> names = {" Source Port",   "Destination Port", "Protocol", "IP TTL",
                                    "source_packets", "Flow IAT Mean",    "mine"};
  const std::vector<FeatureName> given = {{"mine", "anomalies"}};
  ASSERT_TRUE(name_features(names, given, "model.features"));
  EXPECT_EQ(names, (std::vector<std::string>{"source_port", "dest_port", "ip_protocol", "ip_ttl",
                                             "source_packets", "Flow IAT Mean", "anomalies"}));
  const std::vector<FeatureName> nobodys = {{"Sauce Port", "source_port"}};
  const std::vector<FeatureName> nothing = {{"Flow IAT Mean", "source_gap"}};
  EXPECT_EQ(name_features(names, nobodys, "model.features").error().message,
            "model.features names 'Sauce Port', which the model does not ask for");
  EXPECT_EQ(
      name_features(names, nothing, "screen.features").error().message,
      "screen.features has 'source_gap' for 'Flow IAT Mean', which is no feature; `weir model "
      "features` lists them; did you mean source_gap_s?");
}

}  // namespace
}  // namespace weir::detect
