// SPDX-License-Identifier: BSD-2-Clause
// Every real capture there is, packet by packet as libpcap reads it. The captures are no part of
// the repository: WEIR_DATA names their folder, or it is beside the source tree.
#include <gtest/gtest.h>
#include <pcap/pcap.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "io/capture.h"

namespace weir::io {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> captures() {
  const char* const named = std::getenv("WEIR_DATA");
  const fs::path folder = named != nullptr ? fs::path(named) : fs::path(WEIR_DATA_DEFAULT);
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::recursive_directory_iterator(folder, none)) {
    const auto kind = entry.path().extension();
    if (kind == ".pcap" || kind == ".pcapng") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST(RealCaptures, ReadAsByLibpcap) {
  const auto files = captures();
  if (files.empty()) GTEST_SKIP() << "no captures in WEIR_DATA or " << WEIR_DATA_DEFAULT;
  for (const fs::path& file : files) {
    SCOPED_TRACE(file.filename());
    char why[PCAP_ERRBUF_SIZE] = {};
    pcap_t* const reference =
        pcap_open_offline_with_tstamp_precision(file.c_str(), PCAP_TSTAMP_PRECISION_NANO, why);
    ASSERT_NE(reference, nullptr) << why;
    const std::size_t added = pcap_datalink(reference) == DLT_EN10MB ? 0 : 14;
    auto reader = CaptureReader::open(file);
    ASSERT_TRUE(reader) << reader.error().message;
    CapturedPacket packet;
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    while (pcap_next_ex(reference, &header, &data) == 1) {
      ASSERT_EQ((*reader)->next(packet), Step::packet) << (*reader)->error().message;
      ASSERT_EQ(packet.bytes.size(), header->caplen + added);
      ASSERT_TRUE(std::equal(data, data + header->caplen, packet.bytes.begin() + added));
      ASSERT_EQ(packet.original_length, header->len + added);
      ASSERT_EQ(packet.time.ns, static_cast<std::uint64_t>(header->ts.tv_sec) * 1'000'000'000U +
                                    static_cast<std::uint64_t>(header->ts.tv_usec));
    }
    EXPECT_EQ((*reader)->next(packet), Step::end) << (*reader)->error().message;
    pcap_close(reference);
  }
}

}  // namespace
}  // namespace weir::io
