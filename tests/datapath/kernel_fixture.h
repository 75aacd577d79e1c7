// SPDX-License-Identifier: BSD-2-Clause
/// A box between two ends for the tests of the kernel datapath: interfaces `wan` and `lan`, and a
/// pin directory that no test leaves behind.
///
/// Threads   one owner.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "datapath/kernel.h"
#include "kernel_helpers.h"
#include "support/wire.h"

namespace weir::datapath {

using test::address;
using test::Bytes;
using test::PacketBuilder;
using testing::HasSubstr;
using testing::IsEmpty;

inline constexpr const char* kPins = "/sys/fs/bpf/weir-test";

inline Block block(const Address& source, weir_scope scope = WEIR_SCOPE_ssdp) {
  Block made;
  made.source = source;
  made.value.scope = scope;
  return made;
}

inline Address numbered(std::uint32_t n, bool six) {
  if (!six) return Address::v4(be32::from_host(0x0a000000U + n));
  std::array<std::uint8_t, 16> bytes = {0x20, 1, 0x0d, 0xb8};
  std::memcpy(&bytes[12], &n, sizeof n);
  return Address::v6(bytes.data());
}

inline std::set<std::string> pins() { return pins_in(kPins); }

class KernelTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { mounts_ = test::own_mounts(); }
  void SetUp() override {
    if (!mounts_) GTEST_SKIP() << mounts_.error().message;
    wire_ = std::make_unique<test::Wire>();
    wire_->silence();
    inside_ = std::make_unique<test::Inside>(wire_->box);
    options_.pin_directory = kPins;
    options_.interfaces = {"wan", "lan"};
  }
  void TearDown() override {
    if (mounts_) static_cast<void>(Kernel::remove(kPins, false));
  }
  std::unique_ptr<Kernel> attach() {
    auto kernel = Kernel::attach(config_, options_);
    EXPECT_TRUE(kernel) << kernel.error().message;
    EXPECT_TRUE(kernel && (*kernel)->keep());
    return kernel ? std::move(*kernel) : nullptr;
  }
  std::string error() {
    auto kernel = Kernel::attach(config_, options_);
    EXPECT_FALSE(kernel);
    return kernel ? "" : kernel.error().message;
  }

  static inline Status mounts_;
  std::unique_ptr<test::Wire> wire_;
  std::unique_ptr<test::Inside> inside_;
  Config config_;
  KernelOptions options_;
};

}  // namespace weir::datapath
