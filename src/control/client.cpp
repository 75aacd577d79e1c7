// SPDX-License-Identifier: BSD-2-Clause
#include "control/client.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace weir::control {
namespace {

using Unanswered = AskError::Kind;

tl::unexpected<AskError> refuse(Unanswered kind, std::string message) {
  return tl::unexpected<AskError>(AskError{kind, std::move(message)});
}

/// Whoever answered may have ended in the middle, or closed on us for others.
constexpr const char* kAskAgain =
    "the weir there may be stopping, or serve too many others: try again, and look at its log";

tl::unexpected<AskError> broken(const std::string& path, int error) {
  const bool late = error == EAGAIN || error == EWOULDBLOCK;
  return refuse(Unanswered::failed,
                fmt::format("control socket {}: {}; {}", path,
                            late ? fmt::format("no answer within {} s", kAnswer_s)
                                 : std::system_category().message(error),
                            kAskAgain));
}

tl::expected<std::string, AskError> exchange(int fd, const std::string& path,
                                             const std::string& line) {
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = send(fd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return broken(path, errno);
    sent += static_cast<std::size_t>(n);
  }
  std::string answer;
  std::vector<char> bytes(1U << 16U);
  while (answer.empty() || answer.back() != '\n') {
    const ssize_t n = read(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return broken(path, errno);
    if (n == 0 || answer.size() > kAnswer_bytes) {
      return refuse(Unanswered::failed,
                    fmt::format("control socket {}: the answer broke off; {}", path, kAskAgain));
    }
    answer.append(bytes.data(), static_cast<std::size_t>(n));
  }
  return answer;
}

tl::expected<Json, AskError> ask_on(int fd, const std::string& path, const Json& request) {
  const auto text =
      exchange(fd, path, request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  if (!text) return tl::unexpected(text.error());
  Json answer = Json::parse(*text, nullptr, false);
  if (!answer.is_object() || !answer.contains("ok") || !answer["ok"].is_boolean()) {
    return refuse(Unanswered::failed,
                  fmt::format("control socket {}: what answers there is no weir", path));
  }
  if (answer["ok"].get<bool>()) {
    answer.erase("ok");
    return answer;
  }
  const std::string kind = answer.value("kind", "failed");
  const std::string message = answer.value("error", "refused without a reason");
  return refuse(kind == "bad_request"     ? Unanswered::bad_request
                : kind == "not_permitted" ? Unanswered::not_permitted
                                          : Unanswered::failed,
                message);
}

}  // namespace

tl::expected<Json, AskError> ask(const std::string& socket_path, const Json& request) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    return refuse(Unanswered::bad_request,
                  fmt::format("control socket {}: the path is longer than {} bytes", socket_path,
                              sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return broken(socket_path, errno);
  const timeval limit{.tv_sec = kAnswer_s, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  tl::expected<Json, AskError> answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    answer = ask_on(fd, socket_path, request);
  } else if (errno == ENOENT || errno == ECONNREFUSED) {
    answer = refuse(Unanswered::not_running,
                    fmt::format("no weir is running: nothing answers at {}", socket_path));
  } else if (errno == EACCES || errno == EPERM) {
    answer = refuse(
        Unanswered::not_permitted,
        fmt::format("control socket {}: not permitted; run the command as root", socket_path));
  } else {
    answer = broken(socket_path, errno);
  }
  close(fd);
  return answer;
}

}  // namespace weir::control
