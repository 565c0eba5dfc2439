#include "base/socket.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <system_error>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

using AddressInfo = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Result<AddressInfo> ParseAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const addrinfo hints{.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                       .ai_family = AF_UNSPEC,
                       .ai_socktype = SOCK_STREAM,
                       .ai_protocol = 0,
                       .ai_addrlen = 0,
                       .ai_addr = nullptr,
                       .ai_canonname = nullptr,
                       .ai_next = nullptr};
  addrinfo* found = nullptr;
  if (colon == std::string::npos || host.empty() || colon + 1 == address.size() ||
      getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) {
    return InvalidArgument(StrCat("address \"", address, "\" is not of the form ip:port"));
  }
  return AddressInfo(found, &freeaddrinfo);
}

Socket NewSocket(const addrinfo& address) {
  return Socket(socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Status SetOption(const Socket& socket, int level, int option) {
  const int on = 1;
  if (setsockopt(socket.fd(), level, option, &on, sizeof(on)) == 0) return OkStatus();
  return SocketError("setsockopt", errno);
}

Status WaitFor(const Socket& socket, short events, const WaitLimit& limit) {
  pollfd polled{.fd = socket.fd(), .events = events, .revents = 0};
  return PollUntil(std::span(&polled, 1), limit);
}

Status Poll(std::span<pollfd> polled, Deadline deadline) {
  while (true) {
    timespec wait{};
    if (!deadline.is_infinite()) {
      const Duration remaining = deadline.Remaining();
      const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(remaining);
      wait = {.tv_sec = seconds.count(), .tv_nsec = (remaining - seconds).count()};
    }
    const int ready =
        ppoll(polled.data(), polled.size(), deadline.is_infinite() ? nullptr : &wait, nullptr);
    if (ready > 0) return OkStatus();
    if (ready == 0) return DeadlineExceeded("the deadline passed");
    if (errno != EINTR) return Internal(SocketError("poll", errno).message());
  }
}

}  // namespace

Status SocketError(const std::string& context, int error) {
  return Unavailable(StrCat(context, ": ", std::generic_category().message(error)));
}

Result<Socket> ListenAt(const std::string& address) {
  PIPESERVE_ASSIGN_OR_RETURN(const AddressInfo info, ParseAddress(address));
  Socket socket = NewSocket(*info);
  if (!socket.is_open()) return SocketError("socket", errno);
  PIPESERVE_RETURN_IF_ERROR(SetOption(socket, SOL_SOCKET, SO_REUSEADDR));
  // Accepted connections inherit it.
  PIPESERVE_RETURN_IF_ERROR(SetOption(socket, IPPROTO_TCP, TCP_NODELAY));
  if (bind(socket.fd(), info->ai_addr, info->ai_addrlen) != 0 ||
      listen(socket.fd(), SOMAXCONN) != 0) {
    return SocketError(StrCat("cannot listen at ", address), errno);
  }
  return socket;
}

bool IsLoopbackAddress(std::string_view address) {
  return address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("localhost:");
}

Result<std::string> BoundAddress(const Socket& socket) {
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&bound), &length) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&bound), length, host, sizeof(host), port,
                  sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return SocketError("getsockname", errno);
  }
  return bound.ss_family == AF_INET6 ? StrCat("[", host, "]:", port) : StrCat(host, ":", port);
}

Result<Socket> Dial(const std::string& address, const WaitLimit& limit) {
  PIPESERVE_ASSIGN_OR_RETURN(const AddressInfo info, ParseAddress(address));
  Socket socket = NewSocket(*info);
  if (!socket.is_open()) return SocketError("socket", errno);
  int error = connect(socket.fd(), info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
  // An interrupted connect() goes on by itself, like one that is in progress.
  if (error == EINPROGRESS || error == EINTR) {
    PIPESERVE_RETURN_IF_ERROR(WaitFor(socket, POLLOUT, limit));
    socklen_t length = sizeof(error);
    if (getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  }
  if (error != 0) return SocketError(StrCat("cannot connect to ", address), error);
  PIPESERVE_RETURN_IF_ERROR(SetOption(socket, IPPROTO_TCP, TCP_NODELAY));
  return socket;
}

Result<Socket> AcceptWaiting(const Socket& listener) {
  Socket socket(accept4(listener.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket.is_open()) return socket;
  // accept() also reports errors of the connection that it would have given; the next may be fine.
  // Only these say that the listener itself, or this process, cannot go on.
  constexpr int kLasting[] = {EBADF, EINVAL, ENOTSOCK, EMFILE, ENFILE, ENOBUFS, ENOMEM};
  if (std::ranges::find(kLasting, errno) != std::end(kLasting)) return SocketError("accept", errno);
  return Socket();
}

Status PollUntil(std::span<pollfd> polled, const WaitLimit& limit) {
  if (limit.interrupt == nullptr) return Poll(polled, limit.deadline);
  std::vector<pollfd> all(polled.begin(), polled.end());
  all.push_back({.fd = limit.interrupt->fd(), .events = POLLIN, .revents = 0});
  PIPESERVE_RETURN_IF_ERROR(Poll(all, limit.deadline));
  if (all.back().revents != 0) return Aborted("the wait was interrupted");
  std::copy_n(all.begin(), polled.size(), polled.begin());
  return OkStatus();
}

Result<size_t> ReceiveSome(const Socket& socket, std::span<std::byte> bytes) {
  const ssize_t received = recv(socket.fd(), bytes.data(), bytes.size(), 0);
  if (received > 0) return static_cast<size_t>(received);
  if (received == 0) return Unavailable("the connection was closed");
  if (errno == EAGAIN || errno == EINTR) return size_t{0};
  return SocketError("receive", errno);
}

Status SendAll(const Socket& socket, std::span<const std::byte> bytes, const WaitLimit& limit) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(sent);
    } else if (errno == EAGAIN) {
      PIPESERVE_RETURN_IF_ERROR(WaitFor(socket, POLLOUT, limit));
    } else if (errno != EINTR) {
      return SocketError("send", errno);
    }
  }
  return OkStatus();
}

Status ReceiveAll(const Socket& socket, std::span<std::byte> bytes, const WaitLimit& limit) {
  while (!bytes.empty()) {
    PIPESERVE_RETURN_IF_ERROR(WaitFor(socket, POLLIN, limit));
    PIPESERVE_ASSIGN_OR_RETURN(const size_t received, ReceiveSome(socket, bytes));
    bytes = bytes.subspan(received);
  }
  return OkStatus();
}

void ResetConnection(const Socket& socket) {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};  // Dissolves the association.
  if (socket.is_open()) connect(socket.fd(), &nobody, sizeof(nobody));
}

}  // namespace pipeserve
