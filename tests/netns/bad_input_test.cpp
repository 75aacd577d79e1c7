// SPDX-License-Identifier: BSD-2-Clause
// What is wrong from the start: one line on stderr, status 2, and nothing left behind.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "appliance.h"

namespace weir::test {
namespace {

class BadInput : public testing::Test {
 protected:
  void SetUp() override {
    WEIR_NEEDS_PRIVILEGE();
    box_.emplace();
  }

  /// `weir run` must refuse with one line that holds each of `words`.
  void refuses(std::initializer_list<std::string_view> words) {
    const Ran ran = box_->bare({"run", "-c", Appliance::config_file()});
    EXPECT_EQ(ran.status, 2) << ran.err;
    std::string problem = ran.err;
    EXPECT_EQ(std::count(problem.begin(), problem.end(), '\n'), 1) << problem;
    for (const std::string_view word : words)
      EXPECT_NE(problem.find(word), std::string::npos) << "'" << word << "' is not in: " << problem;
    nothing_is_left();
  }

  void nothing_is_left() {
    const std::string links = box_->wire.box.must("ip -details link show");
    EXPECT_EQ(links.find("prog/xdp"), std::string::npos) << links;
    EXPECT_EQ(links.find("PROMISC"), std::string::npos) << links;
    // The kernel itself puts iterators named *.debug into a new bpffs.
    for (const auto& left : std::filesystem::recursive_directory_iterator("/sys/fs/bpf"))
      EXPECT_TRUE(left.is_directory() || left.path().extension() == ".debug")
          << left.path() << " is left";
  }

  static void write(const std::string& text) { std::ofstream(Appliance::config_file()) << text; }

  std::optional<Appliance> box_;
};

TEST_F(BadInput, AnInterfaceThatIsMissing) {
  box_->configure();
  std::ifstream file(Appliance::config_file());
  std::string text{std::istreambuf_iterator<char>(file), {}};
  write(text.replace(text.find("\"wan\""), 5, "\"nosuch0\""));
  refuses({"weir: /run/weir/weir.toml: interfaces.wan: ", "'nosuch0' does not exist"});
}

TEST_F(BadInput, AnInterfaceThatIsDown) {
  box_->configure();
  box_->wire.box.must("ip link set lan down");
  refuses({"weir: /run/weir/weir.toml: interfaces.lan: ", "is down"});
  box_->wire.box.must("ip link set lan up");
}

TEST_F(BadInput, AnInterfaceThatHasAnotherProgram) {
  box_->configure();
  const Inside inside(box_->wire.box);
  {
    auto other = perf::Sink::attach("lan", true);
    ASSERT_TRUE(other) << other.error().message;
    const Ran ran = box_->bare({"run", "-c", Appliance::config_file()});
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_NE(ran.err.find("lan"), std::string::npos) << ran.err;
    // The other program is still there, and still alone.
    EXPECT_NE(box_->wire.box.must("ip link show lan").find("prog/xdp"), std::string::npos);
    EXPECT_EQ(box_->wire.box.must("ip link show wan").find("prog/xdp"), std::string::npos);
  }
  nothing_is_left();
}

TEST_F(BadInput, AModelThatIsBroken) {
  const std::string model = "/run/weir/broken.json";
  for (const std::string text : {"", "{", "[]", "{\"format\": 7}"}) {
    std::ofstream(model) << text;
    write(
        fmt::format("[interfaces]\nwan = \"wan\"\nlan = \"lan\"\n[model]\npath = \"{}\"\n", model));
    refuses({"broken.json"});
  }
  write("[interfaces]\nwan = \"wan\"\nlan = \"lan\"\n[model]\npath = \"/run/weir/nosuch.json\"\n");
  refuses({"nosuch.json"});
}

TEST_F(BadInput, AConfigurationThatIsBroken) {
  write("[interfaces]\nwan = \"wan\"\nlan = \"lan\"\n[steer]\nudp_port = [1900]\n");
  refuses({"weir.toml:5", "udp_port", "udp_ports"});
  write("[interfaces]\nwan = \"wan\"\nlan = \"lan\"\n[fail]\nfail_mode = \"ajar\"\n");
  refuses({"weir.toml:5", "ajar", "open", "closed"});
  write("[interfaces\n");
  refuses({"weir.toml:1"});
  std::filesystem::remove(Appliance::config_file());
  refuses({"weir.toml"});
}

TEST_F(BadInput, ASecondWeirOnTheSameInterfaces) {
  box_->configure();
  ASSERT_TRUE(box_->start()) << box_->trouble();
  const Ran second = box_->bare({"run", "-c", Appliance::config_file()});
  EXPECT_EQ(second.status, 2) << second.err;
  EXPECT_EQ(std::count(second.err.begin(), second.err.end(), '\n'), 1) << second.err;
  EXPECT_TRUE(box_->process().running());
  EXPECT_EQ(box_->bare({"status", "--json"}).status, 0) << "the first one was harmed";
}

}  // namespace
}  // namespace weir::test
