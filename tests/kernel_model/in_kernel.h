// SPDX-License-Identifier: BSD-2-Clause
/// What the tests of kernel models share: plans that must, or must not, be made, and programs run on
/// a frame without an interface.
#pragma once

#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <unistd.h>

#include "kernel_model/load.h"
#include "packets.h"

namespace weir::kernel_model {

inline Plan plan_of(const forest::Model& model, const Options& options = {}) {
  auto plan = make_plan(model, options);
  EXPECT_TRUE(plan) << plan.error().message;
  return plan ? *plan : Plan{};
}

inline std::string error_of(const forest::Model& model, const Options& options = {}) {
  const auto plan = make_plan(model, options);
  EXPECT_FALSE(plan);
  return plan ? "" : plan.error().message;
}

class InKernel : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "BPF_PROG_TEST_RUN needs root";
  }

  static int run(const Program& program, const test::Bytes& frame) {
    bpf_test_run_opts options{};
    options.sz = sizeof options;
    options.data_in = frame.data();
    options.data_size_in = static_cast<std::uint32_t>(frame.size());
    options.repeat = 1;
    WEIR_CHECK(bpf_prog_test_run_opts(program.fd(), &options) == 0);
    return options.retval == XDP_DROP ? 1 : options.retval == XDP_PASS ? 0 : -1;
  }
};

}  // namespace weir::kernel_model
