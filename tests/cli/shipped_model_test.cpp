// SPDX-License-Identifier: BSD-2-Clause
// The model in config/, with rules and tables as they are by default, on captures that it did not
// learn from: what must hold of it whoever trained it last. scripts/evaluate has the figures.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "support/process.h"
#include "synth/synth.h"

namespace weir {
namespace {

constexpr std::uint64_t kSeed = 20'261'126;

class ShippedModel : public testing::TestWithParam<synth::ScenarioInfo> {
 protected:
  ShippedModel()
      : path_(std::filesystem::temp_directory_path() /
              ("weir-shipped-" + std::to_string(getpid()) + ".pcapng")) {}
  ~ShippedModel() override { std::filesystem::remove(path_); }

  nlohmann::json replay(const synth::Options& options) {
    const auto written = synth::write(options, path_.string(), io::CaptureFormat::pcapng);
    EXPECT_TRUE(written.has_value());
    const auto ran =
        test::run({WEIR_PROGRAM, "replay", path_.string(), "--model", WEIR_MODEL, "--json"});
    EXPECT_EQ(ran.status, 0) << ran.err;
    return nlohmann::json::parse(ran.out);
  }

  const std::filesystem::path path_;
};

TEST_P(ShippedModel, KeepsWhatIsBenignAndStopsWhatIsNot) {
  const std::string name = GetParam().name;
  SCOPED_TRACE(name + ", seed " + std::to_string(kSeed));
  synth::Options options;
  options.scenarios = {name};
  options.seed = kSeed;
  options.seconds = GetParam().attack ? 20 : 600;
  options.packets = 2'500;
  options.rate_pps = 1'000;
  options.attackers = 100;
  options.lan = *Prefix::parse("10.20.0.0/16");
  if (GetParam().attack) options.scenarios.emplace_back("devices");
  // Clients would end the captures of attacks of few packets before these have begun.
  const bool few = name == "scan" || name == "search_group" || name == "imitation";
  if (GetParam().attack && !few) options.scenarios.emplace_back("clients");
  const nlohmann::json said = replay(options);
  std::uint64_t attack = 0, stopped = 0, benign = 0, lost = 0;
  for (const auto& label : said.at("labels")) {
    const std::uint64_t packets = label.at("packets"), forwarded = label.at("forwarded");
    if (label.at("label") == "attack") {
      attack += packets;
      stopped += packets - forwarded;
    } else {
      benign += packets;
      lost += packets - forwarded;
    }
  }
  EXPECT_LE(lost * 1'000, benign);
  if (!GetParam().attack) {
    EXPECT_EQ(said.at("blocks"), 0);
    return;
  }
  // Not so soon: low and slow attacks; fragments, which carry no port; answers to a port that is
  // open for them; and announcements at a pace that a relay of forty devices has too.
  const bool later = name.starts_with("slow") || name == "fragmented" || name == "answered" ||
                     name == "notify_group";
  if (later) return;
  EXPECT_GE(stopped * 3, attack * 2);
}

INSTANTIATE_TEST_SUITE_P(Synth, ShippedModel,
                         testing::ValuesIn(synth::scenarios().begin(), synth::scenarios().end()),
                         [](const auto& made) { return std::string(made.param.name); });

}  // namespace
}  // namespace weir
