// SPDX-License-Identifier: BSD-2-Clause
#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/result.h"

namespace weir::test {

namespace {

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> part{};
  off_t at = 0;
  for (ssize_t got; (got = pread(fd, part.data(), part.size(), at)) > 0; at += got)
    text.append(part.data(), static_cast<std::size_t>(got));
  return text;
}

}  // namespace

Process::Process(const std::vector<std::string>& command, int netns_fd)
    : out_fd_(memfd_create("stdout", MFD_CLOEXEC)), err_fd_(memfd_create("stderr", MFD_CLOEXEC)) {
  WEIR_CHECK(out_fd_ >= 0 && err_fd_ >= 0 && !command.empty());
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_ = fork();
  WEIR_CHECK(pid_ >= 0);
  if (pid_ > 0) return;

  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (netns_fd >= 0 && setns(netns_fd, CLONE_NEWNET) != 0) _exit(126);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  // Appending, so that what one process writes through two descriptors never overlaps.
  fcntl(out_fd_, F_SETFL, O_APPEND);
  fcntl(err_fd_, F_SETFL, O_APPEND);
  dup2(null, STDIN_FILENO);
  dup2(out_fd_, STDOUT_FILENO);
  dup2(err_fd_, STDERR_FILENO);
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  execvp(argv[0], argv.data());
  dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
  _exit(127);
}

Process::~Process() {
  if (!status_) {
    kill(pid_, SIGKILL);
    wait(std::chrono::seconds(10));
  }
  close(out_fd_);
  close(err_fd_);
}

void Process::signal(int number) const noexcept {
  if (!status_) kill(pid_, number);
}

std::optional<int> Process::wait(std::chrono::milliseconds at_most) {
  if (status_) return status_;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  WEIR_CHECK(fd >= 0);
  pollfd ended{fd, POLLIN, 0};
  const int ready = poll(&ended, 1, static_cast<int>(at_most.count()));
  close(fd);
  if (ready <= 0) return std::nullopt;
  int raw = 0;
  WEIR_CHECK(waitpid(pid_, &raw, 0) == pid_);
  status_ = WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
  return status_;
}

bool Process::running() { return !wait(std::chrono::milliseconds(0)); }
std::string Process::out() const { return read_all(out_fd_); }
std::string Process::err() const { return read_all(err_fd_); }

Ran run(const std::vector<std::string>& command, int netns_fd) {
  Process process(command, netns_fd);
  const std::optional<int> status = process.wait(std::chrono::seconds(30));
  return {status.value_or(-1), process.out(), process.err()};
}

}  // namespace weir::test
