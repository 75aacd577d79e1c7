// SPDX-License-Identifier: BSD-2-Clause
#include "control/socket_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <tuple>
#include <vector>

#include "base/fd.h"

namespace weir::control {
namespace {

std::string answer_line(const Answer& answer) {
  Json json;
  if (answer) {
    json = {{"ok", true}};
    json.update(*answer);
  } else {
    constexpr const char* kKinds[] = {"failed", "bad_request", "not_permitted"};
    json = {{"ok", false},
            {"kind", kKinds[static_cast<std::size_t>(answer.error().kind)]},
            {"error", answer.error().message}};
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// Whether the peer may use verbs that change something.
bool may_change(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  return address;
}

/// Takes away a socket that a killed weir left; refuses to touch anything else.
Status clear_way(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (lstat(path.c_str(), &found) != 0) return {};
  if (!S_ISSOCK(found.st_mode)) {
    return fail(
        fmt::format("control socket {}: a file that is no socket stands there; move it "
                    "away, or set control.socket",
                    path));
  }
  const Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
    return fail(
        fmt::format("control socket {}: another weir answers there; stop it, or set "
                    "control.socket, control.run_dir and control.pin_directory",
                    path));
  }
  unlink(path.c_str());
  return {};
}

Result<Fd> listen_at(const std::string& path) {
  const sockaddr_un address = address_of(path);
  if (path.size() >= sizeof address.sun_path) {
    return fail(fmt::format("control socket {}: the path is longer than {} bytes", path,
                            sizeof address.sun_path - 1));
  }
  WEIR_TRY(clear_way(path, address));
  Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) return fail_errno("control socket", errno);
  constexpr mode_t kMode = 0660;
  constexpr int kBacklog = 64;
  fchmod(fd.get(), kMode);  // so that it is never wider, not even between bind and chmod
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), kMode) != 0 || listen(fd.get(), kBacklog) != 0) {
    return fail(fmt::format("control socket {}: {}; make its folder, or set control.socket", path,
                            std::strerror(errno)));
  }
  return fd;
}

}  // namespace

struct SocketServer::Loop {
  struct Client {
    Fd fd;
    bool may_change = false;
    std::string in;        // part of a line
    std::string out;       // an answer
    std::size_t sent = 0;  // bytes of it that are written
    PacketTime deadline;   // for the rest of the line, or for the reading of `out`
  };

  std::string path;
  Handler handler;
  Nanoseconds patience;
  Fd listener;
  Fd stop;                    // an eventfd
  std::list<Client> clients;  // the one that was heard of longest ago first

  ~Loop() { unlink(path.c_str()); }

  void run() {
    pthread_setname_np(pthread_self(), "weir-control");
    std::vector<pollfd> polled;
    for (;;) {
      polled.assign({{stop.get(), POLLIN, 0}, {listener.get(), POLLIN, 0}});
      for (const Client& client : clients) {
        const short wanted = client.out.empty() ? POLLIN : POLLOUT;
        polled.push_back({client.fd.get(), wanted, 0});
      }
      poll(polled.data(), polled.size(), timeout_ms());
      if (polled[0].revents != 0) return;
      serve({polled.begin() + 2, polled.end()});
      if (polled[1].revents != 0) accept_clients();
    }
  }

  /// To the earliest deadline.
  [[nodiscard]] int timeout_ms() const {
    if (clients.empty()) return -1;
    const PacketTime now = monotonic_now();
    Nanoseconds wait = patience;
    for (const Client& client : clients) wait = std::min(wait, client.deadline - now);
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(wait).count();
    return static_cast<int>(std::max<std::int64_t>(ms, 0)) + 1;
  }

  void accept_clients() {
    for (std::size_t i = 0; i < kClients; ++i) {  // a bound, for others wait too
      Fd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd.get() < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) make_room();
        return;
      }
      if (clients.size() >= kClients) clients.pop_front();
      const bool change = may_change(fd.get());
      clients.push_back({std::move(fd), change, {}, {}, 0, monotonic_now() + patience});
    }
  }

  /// Nobody can be let in for want of descriptors or memory: who was heard of longest ago goes;
  /// else a pause, for the listener stays readable.
  void make_room() {
    if (!clients.empty()) return clients.pop_front();
    constexpr int kPause_ms = 100;
    pollfd stopped{stop.get(), POLLIN, 0};
    poll(&stopped, 1, kPause_ms);
  }

  void serve(const std::vector<pollfd>& polled) {
    const PacketTime now = monotonic_now();
    auto client = clients.begin();
    for (const pollfd& poll : polled) {
      const auto here = client++;
      bool keep = true;
      if (poll.revents != 0) {
        keep = here->out.empty() ? read_from(*here) : pump(*here);
        if (keep) clients.splice(clients.end(), clients, here);
      }
      // Only now: what it sent may have waited here while another was answered.
      if (!keep || here->deadline <= now) clients.erase(here);
    }
  }

  /// False where the client is to be closed.
  bool read_from(Client& client) {
    char bytes[4096];
    const ssize_t got = read(client.fd.get(), bytes, sizeof bytes);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    client.in.append(bytes, static_cast<std::size_t>(got));
    return pump(client);
  }

  /// Answers what is whole, one request at a time: a client that never reads costs one answer.
  bool pump(Client& client) {
    for (;;) {
      if (!client.out.empty()) {
        if (!write_to(client)) return false;
        if (!client.out.empty()) return true;  // goes on when the client has read
      }
      const auto end = client.in.find('\n');
      if (end == std::string::npos && client.in.size() <= kLine_bytes) return true;
      if (end == std::string::npos) {
        client.out = answer_line(refuse(Refusal::bad_request, "the request is too long"));
        std::ignore = write_to(client);
        return false;
      }
      client.out = answer_line(answer(client.in.substr(0, end), client.may_change));
      client.in.erase(0, end + 1);
    }
  }

  /// Writes what the socket takes of `out`; false where the client is gone.
  [[nodiscard]] bool write_to(Client& client) const {
    const ssize_t sent = send(client.fd.get(), client.out.data() + client.sent,
                              client.out.size() - client.sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return errno == EAGAIN || errno == EINTR;
    client.sent += static_cast<std::size_t>(sent);
    client.deadline = monotonic_now() + patience;
    if (client.sent < client.out.size()) return true;
    client.out.clear();
    client.sent = 0;
    return true;
  }

  [[nodiscard]] Answer answer(const std::string& line, bool may_change) const {
    if (line.size() > kLine_bytes) {
      return refuse(Refusal::bad_request, "the request is too long");
    }
    const Json request = Json::parse(line, nullptr, false);
    if (!request.is_object() || !request.contains("verb") || !request["verb"].is_string()) {
      return refuse(Refusal::bad_request, "the request is no JSON object with a text 'verb'");
    }
    const auto verb = request["verb"].get<std::string>();
    if (is_change(verb) && !may_change) {
      return refuse(Refused::Kind::not_permitted,
                    fmt::format("'{}' is for root; run the command as root", verb));
    }
    return handled(verb, request);
  }

  /// A field of the wrong type throws where it is read: that is the client's fault, and its alone.
  [[nodiscard]] Answer handled(const std::string& verb, const Json& request) const try {
    return handler(request);
  } catch (const Json::type_error&) {
    return refuse(Refusal::bad_request, fmt::format("'{}' has a field of the wrong type", verb));
  } catch (const std::exception& fault) {
    return refuse(Refusal::failed, fmt::format("'{}' failed: {}", verb, fault.what()));
  }
};

SocketServer::SocketServer(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {
  thread_ = std::thread([this] { loop_->run(); });
}

SocketServer::~SocketServer() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto ignored = write(loop_->stop.get(), &one, sizeof one);
  thread_.join();
}

Result<std::unique_ptr<SocketServer>> SocketServer::start(const std::string& path, Handler handler,
                                                          Nanoseconds patience) {
  WEIR_ASSIGN(Fd listener, listen_at(path));
  Fd stop(eventfd(0, EFD_CLOEXEC));
  if (stop.get() < 0) {
    unlink(path.c_str());
    return fail_errno("control socket", errno);
  }
  auto loop = std::unique_ptr<Loop>(
      new Loop{path, std::move(handler), patience, std::move(listener), std::move(stop), {}});
  return std::unique_ptr<SocketServer>(new SocketServer(std::move(loop)));
}

}  // namespace weir::control
