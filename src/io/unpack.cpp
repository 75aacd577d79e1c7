// SPDX-License-Identifier: BSD-2-Clause
#include "io/unpack.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace weir::io::detail {

namespace {

constexpr std::size_t kFirst_bytes = std::size_t{1} << 24U;
constexpr std::size_t kMost_bytes = std::size_t{16} << 30U;

/// Memory that grows by doubling, up to a limit: pages that nobody wrote to cost nothing.
class Growing {
 public:
  explicit Growing(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  ~Growing() {
    if (at_ != nullptr) munmap(at_, size_);
  }
  Growing(const Growing&) = delete;
  Growing& operator=(const Growing&) = delete;

  /// Makes `room` at least 1.
  Status grow() {
    if (used_ < size_) return {};
    const std::size_t size = std::min(max_bytes_, size_ == 0 ? kFirst_bytes : size_ * 2);
    if (size == size_)
      return fail(fmt::format(
          "unpacks to more than the {} MiB that may be unpacked into this machine's memory; unpack "
          "it into a file first",
          max_bytes_ >> 20U));
    void* const at = at_ == nullptr ? mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                    : mremap(at_, size_, size, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) return fail_errno(fmt::format("needs {} bytes of memory", size), errno);
    at_ = at;
    size_ = size;
    return {};
  }
  [[nodiscard]] std::span<std::uint8_t> room() const noexcept {
    return {static_cast<std::uint8_t*>(at_) + used_, size_ - used_};
  }
  void use(std::size_t bytes) noexcept { used_ += bytes; }

  Mapping finish() noexcept {
    if (used_ == 0) return {};
    void* const at = mremap(at_, size_, used_, MREMAP_MAYMOVE);  // shrinks: it does not fail
    at_ = nullptr;
    return Mapping::adopt(at, used_);
  }

 private:
  const std::size_t max_bytes_;
  void* at_ = nullptr;
  std::size_t size_ = 0, used_ = 0;
};

std::string cut_off(std::size_t size) {
  return fmt::format(
      "is cut off: its compressed data go on behind the file's end at {} bytes; copy "
      "or capture it again",
      size);
}

std::string damaged(std::size_t offset, const char* why) {
  return fmt::format(
      "is damaged: its compressed data are wrong near offset {} ({}); copy or capture "
      "it again",
      offset, why);
}

Status gunzip(std::span<const std::uint8_t> file, Growing& out) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;  // the largest window; a gzip header is expected
  if (inflateInit2(&stream, kGzip) != Z_OK) return fail("needs memory to be unpacked");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  std::size_t done = 0;                                 // of the file
  constexpr std::size_t kStep = std::size_t{1} << 30U;  // zlib counts in 32 bits
  while (true) {
    WEIR_TRY(out.grow());
    const auto room = out.room();
    const std::size_t give = std::min(file.size() - done, kStep);
    const std::size_t take = std::min(room.size(), kStep);
    stream.next_in = const_cast<Bytef*>(file.data() + done);  // zlib reads only
    stream.avail_in = static_cast<uInt>(give);
    stream.next_out = room.data();
    stream.avail_out = static_cast<uInt>(take);
    const int result = inflate(&stream, Z_NO_FLUSH);
    done += give - stream.avail_in;
    out.use(take - stream.avail_out);
    if (result == Z_STREAM_END) {
      if (done == file.size()) return {};
      if (packing_of(file.subspan(done)) != Packing::gzip)
        return fail(damaged(done, "what follows the first member is no gzip"));
      inflateReset(&stream);
    } else if (result == Z_BUF_ERROR || (result == Z_OK && stream.avail_out > 0)) {
      if (done == file.size()) return fail(cut_off(file.size()));
    } else if (result != Z_OK) {
      return fail(damaged(done, stream.msg != nullptr ? stream.msg : "zlib gives no reason"));
    }
  }
}

Status unzstd(std::span<const std::uint8_t> file, Growing& out) {
  const std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                             ZSTD_freeDStream);
  if (!stream) return fail("needs memory to be unpacked");
  ZSTD_inBuffer in{file.data(), file.size(), 0};
  while (true) {
    WEIR_TRY(out.grow());
    ZSTD_outBuffer room{out.room().data(), out.room().size(), 0};
    const std::size_t more = ZSTD_decompressStream(stream.get(), &room, &in);
    out.use(room.pos);
    if (ZSTD_isError(more) != 0) return fail(damaged(in.pos, ZSTD_getErrorName(more)));
    if (more == 0 && in.pos == in.size) return {};
    if (in.pos == in.size && room.pos < room.size) return fail(cut_off(file.size()));
  }
}

}  // namespace

Packing packing_of(std::span<const std::uint8_t> file) noexcept {
  if (file.size() >= 2 && file[0] == 0x1f && file[1] == 0x8b) return Packing::gzip;
  if (file.size() >= 4 && file[0] == 0x28 && file[1] == 0xb5 && file[2] == 0x2f && file[3] == 0xfd)
    return Packing::zstd;
  return Packing::none;
}

std::size_t unpacked_max_bytes() noexcept {
  const auto pages = static_cast<std::size_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  const auto page_bytes = static_cast<std::size_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
  return std::min(kMost_bytes, pages * page_bytes / 2);
}

Result<Mapping> unpack(std::span<const std::uint8_t> file, Packing packing, std::size_t max_bytes) {
  Growing out(max_bytes);
  WEIR_TRY(packing == Packing::gzip ? gunzip(file, out) : unzstd(file, out));
  return out.finish();
}

}  // namespace weir::io::detail
