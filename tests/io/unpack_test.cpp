// SPDX-License-Identifier: BSD-2-Clause
// Compressed captures: whole, cut off at every place, damaged, and too large.
#include "io/unpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

#include "capture_bytes.h"
#include "io/capture.h"

namespace weir::io {
namespace {

using test::Bytes;

using testing::HasSubstr;
using Data = std::vector<std::uint8_t>;

constexpr unsigned kPackets = 300;

Data capture() {
  Bytes file;
  file.pcap_header(0xa1b2c3d4, 1);
  std::mt19937 random(4);
  for (unsigned i = 0; i < kPackets; ++i) {
    Data packet(60);
    for (auto& byte : packet) byte = static_cast<std::uint8_t>(random());
    file.pcap_packet(i, 0, packet);
  }
  return {file.get().begin(), file.get().end()};
}

Data gzip(std::span<const std::uint8_t> data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  Data out(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.erase(out.begin() + static_cast<std::ptrdiff_t>(stream.total_out), out.end());
  deflateEnd(&stream);
  return out;
}

Data zstd(std::span<const std::uint8_t> data) {
  Data out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

struct Packer {
  const char* name;
  Data (*pack)(std::span<const std::uint8_t>);
  detail::Packing packing;
};

class UnpackTest : public testing::TestWithParam<Packer> {
 protected:
  static std::string refusal(std::span<const std::uint8_t> file) {
    const auto reader = CaptureReader::over(file, "x");
    return reader ? "none" : reader.error().message;
  }
};

TEST_P(UnpackTest, TheCaptureInsideIsRead) {
  const Data plain = capture();
  const std::span<const std::uint8_t> whole(plain);
  // As one piece, and as two that were compressed apart and put together.
  Data joined = GetParam().pack(whole.first(1000));
  const Data rest = GetParam().pack(whole.subspan(1000));
  joined.insert(joined.end(), rest.begin(), rest.end());
  for (const Data& file : {GetParam().pack(whole), joined}) {
    auto packed = CaptureReader::over(file, "x");
    ASSERT_TRUE(packed) << packed.error().message;
    auto reference = CaptureReader::over(plain, "y");
    ASSERT_TRUE(reference);
    CapturedPacket a;
    CapturedPacket b;
    while ((*reference)->next(b) == Step::packet) {
      ASSERT_EQ((*packed)->next(a), Step::packet);
      EXPECT_EQ(a.time.ns, b.time.ns);
      EXPECT_TRUE(std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end()));
    }
    EXPECT_EQ((*packed)->next(a), Step::end);
    EXPECT_EQ((*packed)->packets(), kPackets);
  }
}

TEST_P(UnpackTest, WhatIsCutOffIsRefusedAtEveryLength) {
  const Data file = GetParam().pack(capture());
  for (std::size_t length = 4; length < file.size(); length += 1 + length / 7)
    EXPECT_THAT(refusal(std::span(file).first(length)), HasSubstr("'x' is cut off")) << length;
}

TEST_P(UnpackTest, DamageIsRefusedOrHarmless) {
  const Data file = GetParam().pack(capture());
  std::mt19937 random(7);
  unsigned refused = 0;
  for (int round = 0; round < 300; ++round) {
    Data damaged = file;
    damaged[4 + random() % (damaged.size() - 4)] ^= static_cast<std::uint8_t>(1 + random() % 255);
    refused += refusal(damaged) == "none" ? 0 : 1;
  }
  EXPECT_GT(refused, 0U);
}

TEST_P(UnpackTest, MoreThanTheLimitIsRefusedWithTheRemedy) {
  const Data plain(std::size_t{40} << 20U, 0);
  const auto unpacked =
      detail::unpack(GetParam().pack(plain), GetParam().packing, std::size_t{20} << 20U);
  ASSERT_FALSE(unpacked);
  EXPECT_THAT(unpacked.error().message, HasSubstr("more than the 20 MiB"));
  EXPECT_THAT(unpacked.error().message, HasSubstr("unpack it into a file first"));
}

TEST_P(UnpackTest, WhatIsNoCaptureInsideIsSaidSo) {
  EXPECT_THAT(refusal(GetParam().pack(Data(100, 'a'))), HasSubstr("starts with 61 61 61 61"));
  EXPECT_THAT(refusal(GetParam().pack(Data())), HasSubstr("has 0 bytes"));
}

INSTANTIATE_TEST_SUITE_P(Packers, UnpackTest,
                         testing::Values(Packer{"gzip", gzip, detail::Packing::gzip},
                                         Packer{"zstd", zstd, detail::Packing::zstd}),
                         [](const auto& packer) { return std::string(packer.param.name); });

}  // namespace
}  // namespace weir::io
