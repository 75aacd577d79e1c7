// SPDX-License-Identifier: BSD-2-Clause
// Clients of the control socket, good and hostile, against the real server.
#include "control/socket_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "control/client.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

class SocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/weir-socket-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    path_ = folder_ + "/s";
    start();
  }
  void TearDown() override {
    server_.reset();
    for (const int fd : fds_) close(fd);
    EXPECT_FALSE(std::filesystem::exists(path_)) << "the socket is left behind";
    std::filesystem::remove_all(folder_);
  }
  void start(Nanoseconds patience = SocketServer::kPatience) {
    const auto answered = [](const Json& request) -> Answer {
      const auto verb = request["verb"].get<std::string>();
      if (verb == "long") return Json{{"text", std::string(kLong_bytes, 'x')}};
      if (verb == "slow") std::this_thread::sleep_for(kSlow);
      if (verb == "typed") return Json{{"text", request.value("text", std::string())}};
      if (verb == "throw") throw std::runtime_error("it threw");
      if (verb == "fail") return tl::unexpected(Refused{Refused::Kind::failed, "it failed"});
      return Json{{"echo", request}};
    };
    auto server = SocketServer::start(path_, answered, patience);
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
  }
  int connected() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    fds_.push_back(fd);
    return fd;
  }
  static std::string read_line(int fd) {
    std::string line;
    char byte = 0;
    while (read(fd, &byte, 1) == 1 && byte != '\n') line += byte;
    return line;
  }
  static void send_text(int fd, const std::string& text) {
    // A server that closes in the middle is allowed here.
    [[maybe_unused]] const auto sent = send(fd, text.data(), text.size(), MSG_NOSIGNAL);
  }

  /// More than any socket's buffers hold.
  static constexpr std::size_t kLong_bytes = 2'000'000;
  static constexpr auto kSlow = std::chrono::milliseconds(300);

  std::string folder_, path_;
  std::unique_ptr<SocketServer> server_;
  std::vector<int> fds_;
};

TEST_F(SocketTest, AnswersAndPassesErrorsOn) {
  const auto answer = ask(path_, {{"verb", "hello"}, {"n", 7}});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ((*answer)["echo"]["n"], 7);
  EXPECT_FALSE(answer->contains("ok"));
  const auto failed = ask(path_, {{"verb", "fail"}});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message, "it failed");
  EXPECT_EQ(failed.error().kind, AskError::Kind::failed);
  const auto nobody = ask(path_ + "x", {{"verb", "hello"}});
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().kind, AskError::Kind::not_running);
}

TEST_F(SocketTest, AnAnswerOfMegabytesArrivesWhole) {
  const auto answer = ask(path_, {{"verb", "long"}});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ((*answer)["text"].get<std::string>().size(), kLong_bytes);
}

TEST_F(SocketTest, OneConnectionMayAskAgainAndInPieces) {
  const int fd = connected();
  for (int i = 0; i < 3; ++i) {
    send_text(fd, "{\"verb\": \"he");
    send_text(fd, "llo\"}\n{\"verb\": \"again\"}\n");
    EXPECT_THAT(read_line(fd), HasSubstr("hello"));
    EXPECT_THAT(read_line(fd), HasSubstr("again"));
  }
}

TEST_F(SocketTest, HalfARequestStopsNobody) {
  for (int i = 0; i < 5; ++i) send_text(connected(), "{\"verb\": \"hel");
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, AThousandIdleClientsStopNobody) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;  // both ends are in this process
  setrlimit(RLIMIT_NOFILE, &files);
  for (int i = 0; i < 1'000; ++i) {
    connected();
    if (i % 100 == 0) {
      EXPECT_TRUE(ask(path_, {{"verb", "hello"}})) << i;
    }
  }
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, ClientsThatNeverReadStopNobody) {
  for (int i = 0; i < 10; ++i) send_text(connected(), "{\"verb\": \"long\"}\n");
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, WhoDoesNotFinishIsClosed) {
  server_.reset();
  start(std::chrono::milliseconds(50));
  const int half = connected();
  send_text(half, "{\"verb\": \"hel");
  const int unread = connected();
  send_text(unread, "{\"verb\": \"long\"}\n");
  for (const int fd : {half, unread}) {
    pollfd hung_up{fd, 0, 0};
    EXPECT_EQ(poll(&hung_up, 1, -1), 1);
    EXPECT_TRUE(hung_up.revents & POLLHUP);
  }
  EXPECT_EQ(read_line(half), "");  // unanswered
  EXPECT_LT(read_line(unread).size(), kLong_bytes);
}

TEST_F(SocketTest, WhoWaitedWhileAnotherWasServedIsServed) {
  server_.reset();
  start(kSlow / 4);
  std::vector<int> waiting(4);
  for (int& fd : waiting) fd = connected();
  for (const int fd : waiting) send_text(fd, "{\"verb\": \"slow\"}\n");
  for (const int fd : waiting) EXPECT_THAT(read_line(fd), HasSubstr("slow"));
}

TEST_F(SocketTest, AHugeLineIsRefusedAndCut) {
  const int fd = connected();
  send_text(fd, std::string(SocketServer::kLine_bytes + 4096, 'x'));
  const auto answer = Json::parse(read_line(fd), nullptr, false);
  ASSERT_TRUE(answer.is_object());
  EXPECT_EQ(answer["error"], "the request is too long");
  EXPECT_EQ(read_line(fd), "");  // closed
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, NoiseIsAnsweredAndChangesNothing) {
  const std::string deep(10'000, '[');
  for (const std::string& line :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"),
        std::string("{\"verb\": 3}"), std::string("\xff\xfe\x00x", 4), deep}) {
    const int fd = connected();
    send_text(fd, line + "\n");
    const auto answer = Json::parse(read_line(fd), nullptr, false);
    ASSERT_TRUE(answer.is_object()) << line.substr(0, 20);
    EXPECT_EQ(answer["kind"], "bad_request");
  }
  const int fd = connected();
  send_text(fd, std::string(16'000, '\n'));  // each an empty request
  for (int i = 0; i < 16'000; ++i) {
    ASSERT_THAT(read_line(fd), HasSubstr("bad_request")) << i;
  }
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, AFieldOfTheWrongTypeIsRefusedAndEndsNothing) {
  for (const Json& wrong : {Json(5), Json(nullptr), Json(true), Json::array(), Json::object()}) {
    const auto answer = ask(path_, {{"verb", "typed"}, {"text", wrong}});
    ASSERT_FALSE(answer) << wrong;
    EXPECT_EQ(answer.error().message, "'typed' has a field of the wrong type");
  }
  const auto answer = ask(path_, {{"verb", "throw"}});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "'throw' failed: it threw");
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, TheSocketIsForOwnerAndGroupAlone) {
  struct stat found {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0660U);
}

TEST_F(SocketTest, ChangesAreForRootAlone) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to become somebody else";
  ASSERT_EQ(chmod(path_.c_str(), 0666), 0);  // as if the group were his
  ASSERT_EQ(chmod(folder_.c_str(), 0755), 0);
  const pid_t child = fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(10);
    const auto change = ask(path_, {{"verb", "block.add"}});
    const bool refused = !change && change.error().kind == AskError::Kind::not_permitted;
    const bool read = ask(path_, {{"verb", "block.list"}}).has_value();
    _exit((refused ? 0 : 1) + (read ? 0 : 2));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "1: a change was not refused, 2: reading was";
}

TEST_F(SocketTest, ASecondServerIsRefusedAndHarmsNothing) {
  const auto second = SocketServer::start(path_, [](const Json&) -> Answer { return Json{}; });
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("another weir answers there"));
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
}

TEST_F(SocketTest, ASocketThatADeadServerLeftIsReplacedAndAFileIsNot) {
  server_.reset();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  const int left = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(left, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(left);
  start();
  EXPECT_TRUE(ask(path_, {{"verb", "hello"}}));
  server_.reset();

  std::ofstream(path_) << "somebody's";
  const auto refused = SocketServer::start(path_, [](const Json&) -> Answer { return Json{}; });
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("a file that is no socket stands there"));
  EXPECT_TRUE(std::filesystem::exists(path_));
  std::filesystem::remove(path_);
}

TEST_F(SocketTest, AnAnswerThatBreaksOffSaysWhatToDo) {
  server_.reset();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  std::thread server([listener] { close(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)); });
  const auto answer = ask(path_, Json{{"verb", "reload"}});
  server.join();
  close(listener);
  std::filesystem::remove(path_);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, AskError::Kind::failed);
  EXPECT_THAT(answer.error().message, HasSubstr("try again, and look at its log"));
}

}  // namespace
}  // namespace weir::control
