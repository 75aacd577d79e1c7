// SPDX-License-Identifier: BSD-2-Clause
#include <gtest/gtest.h>

#include "cases.h"
#include "datapath/native.h"

namespace weir::datapath {
namespace {

TEST(Cases, EndAsWrittenInTheNativeBuild) {
  for (const test::Case& given : test::cases()) {
    SCOPED_TRACE(given.description);
    Native native(test::config_of(given));
    test::fill(native, given);
    const PacketTime now{1'000'000'000'000};
    for (const Side side : {Side::wan, Side::lan}) native.set_socket(side, 0, given.socket);
    if (!given.beating) native.set_heartbeat(0, {1});
    const test::Bytes bytes = given.frame.build();
    for (const Side side : {Side::wan, Side::lan}) {
      packet::Frame frame;
      frame.data = bytes.data();
      frame.length = static_cast<std::uint32_t>(bytes.size());
      frame.time = now;
      frame.side = side;
      packet::Headers headers;
      EXPECT_STREQ(name(native.judge(frame, headers)), name(given.outcome));
    }
  }
}

}  // namespace
}  // namespace weir::datapath
