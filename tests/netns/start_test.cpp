// SPDX-License-Identifier: BSD-2-Clause
// A start that is refused, whatever it finds and however late it fails: everything stays as it was.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "appliance.h"
#include "frames.h"

namespace weir::test {
namespace {

constexpr const char* kPins = "/sys/fs/bpf/weir";

std::string read(const std::filesystem::path& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Start : public testing::Test {
 protected:
  void SetUp() override {
    WEIR_NEEDS_PRIVILEGE();
    box_.emplace();
    box_->configure();
    taken_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{.sun_family = AF_UNIX, .sun_path = "/run/weir/taken.sock"};
    unlink(at.sun_path);
    ASSERT_EQ(bind(taken_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    ASSERT_EQ(listen(taken_, 8), 0);
  }
  void TearDown() override { close(taken_); }

  /// All that a start might change: interfaces with their programs, pins, the lists, and what weir
  /// wrote down.
  std::string everything() {
    std::string all;
    for (const char* interface : {"wan", "lan"}) {
      all += box_->wire.box.must(fmt::format("ethtool -k {}", interface));
      all += box_->wire.box.must(fmt::format("ip -details link show {}", interface));
    }
    if (std::filesystem::exists(kPins)) all += box_->wire.box.must(fmt::format("ls -1 {}", kPins));
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator("/run/weir"))
      if (entry.path().string().find(".host") != std::string::npos)
        files[entry.path().string()] = read(entry);
    for (const auto& [name, text] : files) all += name + text;
    const auto blocks =
        nlohmann::json::parse(box_->bare({"block", "list", "--json"}).out, nullptr, false);
    if (blocks.is_object())
      for (const auto& block : blocks["blocks"]) all += block["address"].get<std::string>() + "\n";
    return all + box_->bare({"allow", "list"}).out;
  }

  [[nodiscard]] int starts_and_fails() {
    const Ran ran = box_->bare({"run", "-c", Appliance::config_file()});
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    return ran.status;
  }

  /// Starts that are refused by the machine's state, by the configuration, and last of all: by who
  /// listens at its control socket, when the program is on the interfaces and all else is set up.
  void every_failure(const std::function<void()>& verify) {
    box_->wire.box.must("ip link set lan mtu 1400");
    prepared();
    EXPECT_EQ(starts_and_fails(), 2) << "MTU";
    verify();
    box_->wire.box.must("ip link set lan mtu 1500");
    const std::string allow = "[allow]\nprefixes = [\"198.51.100.0/24\"]\n";
    for (const std::string& more : {"[channels]\ncount = 3\n" + allow,
                                    "[control]\nsocket = \"/run/weir/taken.sock\"\n" + allow}) {
      box_->configure(more);
      prepared();
      EXPECT_EQ(starts_and_fails(), 2) << more;
      verify();
    }
    box_->configure();
  }

  std::function<void()> prepared = [] {};
  int taken_ = -1;  // somebody listens where weir is to
  std::optional<Appliance> box_;
};

TEST_F(Start, WhereNothingWas) {
  std::string before;
  prepared = [&] { before = everything(); };
  every_failure([&] { EXPECT_EQ(everything(), before); });
}

TEST_F(Start, OverTheWireOfAKilledWeir) {
  // Once with host settings to give back, once where somebody else had set them already.
  for (const bool changed : {true, false}) {
    if (!changed)
      for (const char* interface : {"wan", "lan"})
        box_->wire.box.must(fmt::format("ip link set {} promisc on", interface));
    ASSERT_TRUE(box_->start()) << box_->trouble();
    ASSERT_EQ(box_->weir({"block", "add", "203.0.113.1"}).status, 0);
    box_->stop(SIGKILL);
    std::string before;
    prepared = [&] { before = everything(); };
    every_failure([&] {
      const std::string now = everything();
      EXPECT_EQ(now, before);
      EXPECT_NE(now.find("prog/xdp"), std::string::npos) << "the wire is cut";
      EXPECT_NE(now.find("PROMISC"), std::string::npos);
    });
    // And the next start that is good takes over what the killed one left.
    ASSERT_TRUE(box_->start()) << box_->trouble();
    EXPECT_NE(box_->blocks().dump().find("203.0.113.1"), std::string::npos);
    EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
    EXPECT_EQ(box_->wire.box.must("ip link show wan").find("PROMISC") != std::string::npos,
              !changed);
  }
}

TEST_F(Start, OverSettingsThatAKilledWeirLeftWithoutItsProgram) {
  const std::string fresh = everything();
  ASSERT_TRUE(box_->start()) << box_->trouble();
  box_->stop(SIGKILL);
  std::filesystem::remove_all(kPins);
  ASSERT_TRUE(eventually([&] {
    return box_->wire.box.must("ip -details link show").find("prog/xdp") == std::string::npos;
  }));
  // No wire needs them any more: the first start that fails, or `weir detach`, gives them back.
  const auto left = [&] {
    return box_->wire.box.must("ip link show").find("PROMISC") != std::string::npos;
  };
  ASSERT_TRUE(left());
  const Ran detach = box_->weir({"detach"});
  EXPECT_EQ(detach.status, 0) << detach.err;
  EXPECT_EQ(detach.out,
            fmt::format("no weir ran or was attached; nothing of it is left in {}\n", kPins));
  EXPECT_FALSE(left());
  EXPECT_EQ(everything(), fresh);
  EXPECT_EQ(box_->weir({"detach"}).status, 3);
}

// What a start would refuse, `weir check` refuses in the same words, and changes nothing.
TEST_F(Start, IsRefusedByCheckAsWell) {
  const std::string before = everything();
  const auto both_refuse = [&](const std::string& what) {
    SCOPED_TRACE(what);
    const Ran check = box_->weir({"check"});
    const Ran start = box_->weir({"run"});
    EXPECT_EQ(check.status, 2);
    EXPECT_EQ(start.status, 2);
    EXPECT_EQ(std::count(start.err.begin(), start.err.end(), '\n'), 1) << start.err;
    EXPECT_TRUE(check.err.ends_with(start.err)) << check.err << start.err;  // behind its warnings
  };
  EXPECT_EQ(box_->weir({"check"}).status, 0);
  for (const std::string more :
       {"[channels]\ncount = 3", "[channels]\nframes = 4096\nring = 2048",
        "[control]\npin_directory = \"/run/weir/pins\"", "[control]\nsocket = \"/nowhere/s\"",
        "[control]\nsocket = \"/run/weir/weir.toml\""}) {
    box_->configure(more);
    both_refuse(more);
  }
  box_->configure();
  box_->wire.box.must("ip link set lan mtu 1400");
  both_refuse("MTU");
  box_->wire.box.must("ip link set lan mtu 1500");
  box_->wire.box.must("ip link add bridge0 type bridge");
  for (const char* interface : {"wan", "lan"})
    box_->wire.box.must(fmt::format("ip link set {} master bridge0", interface));
  both_refuse("one bridge");
  box_->wire.box.must("ip link del bridge0");
  {
    const Inside inside(box_->wire.box);
    const auto other = perf::Sink::attach("lan", true);
    ASSERT_TRUE(other) << other.error().message;
    both_refuse("another program");
  }
  EXPECT_EQ(everything(), before);
  // A weir that runs is no reason to refuse its own file.
  ASSERT_TRUE(box_->start()) << box_->trouble();
  EXPECT_EQ(box_->weir({"check"}).status, 0);
}

// The same pins by another folder, socket and name: the one that runs is not touched.
TEST_F(Start, OnThePinsOfAWeirThatRuns) {
  ASSERT_TRUE(box_->start()) << box_->trouble();
  const std::string before = everything();
  std::filesystem::create_directory("/run/weir/other");
  box_->configure("[control]\nrun_dir = \"/run/weir/other\"\nsocket = \"/run/weir/other/s\"\n");
  const std::string owner = fmt::format("process {}", box_->process().pid());
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run"}, {"detach"}, {"block", "add", "203.0.113.5"}}) {
    SCOPED_TRACE(command.front());
    const Ran ran = box_->weir(command);
    EXPECT_NE(ran.status, 0);
    EXPECT_NE(ran.err.find(owner), std::string::npos) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  std::filesystem::remove_all("/run/weir/other");
  EXPECT_EQ(everything(), before);
  box_->equip();
  box_->sink(Side::wan).record(true);
  box_->send(Side::lan, {search(Shape::ip4, 1)});
  EXPECT_EQ(box_->received(Side::wan, {search(Shape::ip4, 1)}).size(), 1U);
  EXPECT_EQ(box_->stop(SIGTERM), 0) << box_->trouble();
}

}  // namespace
}  // namespace weir::test
