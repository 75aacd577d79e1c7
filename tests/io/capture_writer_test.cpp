// SPDX-License-Identifier: BSD-2-Clause
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "capture_bytes.h"
#include "io/capture.h"

namespace weir::io {
namespace {

using test::packet_of;
using testing::HasSubstr;
namespace fs = std::filesystem;

class Writer : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "weir-writer-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ / "out.pcap";
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
  fs::path path_;
};

struct Packet {
  std::vector<std::uint8_t> bytes;
  std::uint64_t ns;
  std::uint32_t interface;
  std::string comment;
};

CapturedPacket captured(const Packet& packet) {
  CapturedPacket p;
  p.bytes = packet.bytes;
  p.original_length = static_cast<std::uint32_t>(packet.bytes.size());
  p.interface = packet.interface;
  p.time = {packet.ns};
  p.comment = packet.comment;
  return p;
}

TEST_F(Writer, WhatIsWrittenIsRead) {
  std::vector<Packet> packets;
  // Of every length modulo 4, up to the largest, which is larger than the buffer's room.
  for (unsigned i = 0; i < 70; ++i)
    packets.push_back({packet_of(i, i), i * 1'234'567'891ULL, i % 2, std::string(i % 7, 'c')});
  packets.push_back({packet_of(kPacketMax_bytes), 1'700'000'000'123'456'789, 0, "large"});
  packets.push_back({packet_of(60), 1'700'000'000'123'456'790, 1, ""});
  const std::string names[] = {"wan", "lan0"};
  for (const CaptureFormat format : {CaptureFormat::pcap, CaptureFormat::pcapng}) {
    auto writer = CaptureWriter::create(path_, format, names);
    ASSERT_TRUE(writer) << writer.error().message;
    for (const Packet& packet : packets) ASSERT_TRUE((*writer)->write(captured(packet)));
    ASSERT_TRUE((*writer)->close());
    const bool ng = format == CaptureFormat::pcapng;
    auto reader = CaptureReader::open(path_);
    ASSERT_TRUE(reader) << reader.error().message;
    CapturedPacket p;
    for (const Packet& packet : packets) {
      ASSERT_EQ((*reader)->next(p), Step::packet);
      EXPECT_TRUE(std::ranges::equal(p.bytes, packet.bytes));
      EXPECT_EQ(p.time.ns, packet.ns);
      EXPECT_EQ(p.original_length, packet.bytes.size());
      EXPECT_EQ(p.interface, ng ? packet.interface : 0);
      EXPECT_EQ(p.comment, ng ? packet.comment : "");
    }
    EXPECT_EQ((*reader)->next(p), Step::end);
    EXPECT_EQ((*reader)->interfaces(), ng ? 2U : 1U);
    if (ng) {
      EXPECT_EQ((*reader)->interface_name(1), "lan0");
    }
  }
  EXPECT_EQ(files(), 1U);
}

TEST_F(Writer, TheSamePacketsGiveTheSameBytes) {
  const auto write = [&] {
    auto writer = CaptureWriter::create(path_, CaptureFormat::pcapng, {});
    EXPECT_TRUE((*writer)->write(captured({packet_of(61), 5, 0, "why"})));
    EXPECT_TRUE((*writer)->close());
    std::ifstream file(path_, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string first = write();
  EXPECT_GT(first.size(), 61U);
  EXPECT_EQ(write(), first);
  EXPECT_EQ(first.substr(8, 4), "\x4d\x3c\x2b\x1a");  // of one byte order, whatever the machine's
}

TEST_F(Writer, WithoutCloseNothingIsLeftAndWhatWasThereStays) {
  std::ofstream(path_) << "before";
  {
    auto writer = CaptureWriter::create(path_, CaptureFormat::pcap, {});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write(captured({packet_of(60), 1, 0, ""})));
  }
  EXPECT_EQ(files(), 1U);
  std::string text;
  std::ifstream(path_) >> text;
  EXPECT_EQ(text, "before");
}

TEST_F(Writer, AFullDiskIsSaidAndNothingIsLeft) {
  // A file size limit in place of a disk: the same error of `write` without root.
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1U << 20U, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  auto writer = CaptureWriter::create(path_, CaptureFormat::pcap, {});
  ASSERT_TRUE(writer);
  const auto packet = packet_of(1500);
  Status status;
  for (int i = 0; i < 2000 && status; ++i) status = (*writer)->write(captured({packet, 1, 0, ""}));
  const Status closed = (*writer)->close();
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("File too large after"));
  EXPECT_THAT(status.error().message, HasSubstr("packets; make room there"));
  ASSERT_FALSE(closed) << "an error is final";
  EXPECT_EQ(closed.error().message, status.error().message);
  EXPECT_EQ(files(), 0U);
}

TEST_F(Writer, ADeviceIsWrittenToAndStaysOne) {
  auto writer = CaptureWriter::create("/dev/full", CaptureFormat::pcap, {});
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE((*writer)->write(captured({packet_of(60), 1, 0, ""})));
  const Status closed = (*writer)->close();
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message,
              HasSubstr("capture '/dev/full' cannot be written: No space left on device after 1 "
                        "packets; make room there"));
  struct stat status {};
  ASSERT_EQ(stat("/dev/full", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST_F(Writer, ALinkStaysALink) {
  const fs::path real = folder_ / "real.pcap";
  std::ofstream(real) << "before";
  fs::create_symlink("real.pcap", path_);
  auto writer = CaptureWriter::create(path_, CaptureFormat::pcap, {});
  ASSERT_TRUE(writer);
  ASSERT_TRUE((*writer)->close());
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(fs::file_size(real), 24U);
}

TEST_F(Writer, SaysWhatTheFormatCannotHold) {
  const auto why = [&](CaptureFormat format, const Packet& packet) {
    auto writer = CaptureWriter::create(path_, format, {});
    EXPECT_TRUE(writer);
    const Status status = (*writer)->write(captured(packet));
    EXPECT_FALSE((*writer)->close());
    return status ? "written" : status.error().message;
  };
  EXPECT_THAT(why(CaptureFormat::pcap, {packet_of(60), UINT64_MAX, 0, ""}),
              HasSubstr("packet 1 is of a time after 2106"));
  EXPECT_THAT(why(CaptureFormat::pcap, {packet_of(kPacketMax_bytes + 1), 1, 0, ""}),
              HasSubstr("packet 1 has 262145 bytes, and at most 262144 fit"));
  EXPECT_THAT(why(CaptureFormat::pcapng, {packet_of(60), 1, 1, ""}),
              HasSubstr("packet 1 is of interface 1, and there are 1"));
  EXPECT_THAT(why(CaptureFormat::pcapng, {packet_of(60), 1, 0, std::string(65'536, 'c')}),
              HasSubstr("comment of packet 1 has 65536 bytes, and at most 65535 fit"));
  const auto nowhere = CaptureWriter::create(folder_ / "no" / "x.pcap", CaptureFormat::pcap, {});
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, HasSubstr("cannot be created: No such file or directory"));
  EXPECT_EQ(files(), 0U);
}

TEST_F(Writer, ReaderRefusesWhatIsNoFile) {
  const auto why = [](const std::string& path) {
    const auto reader = CaptureReader::open(path);
    return reader ? "opened" : reader.error().message;
  };
  EXPECT_THAT(why(folder_), HasSubstr("is no regular file"));
  EXPECT_THAT(why("/dev/null"), HasSubstr("is no regular file"));
  EXPECT_THAT(why(path_), HasSubstr("cannot be opened: No such file or directory"));
  std::ofstream{path_};
  EXPECT_THAT(why(path_), HasSubstr("is no capture: it has 0 bytes"));
}

}  // namespace
}  // namespace weir::io
