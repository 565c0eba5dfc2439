#include "wire/grpc_listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

#include "base/str_cat.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr std::chrono::milliseconds kPause{100};  // When there is no descriptor left.
constexpr std::chrono::seconds kLongestWait{1};   // Where nothing could be made to interrupt.
constexpr unsigned int kUnansweredMs = 20'000;    // For what was sent; then a peer is gone.

using AddressInfo = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// 0 is none.
uint64_t InodeOf(int fd) {
  struct stat found {};
  return ::fstat(fd, &found) == 0 ? found.st_ino : 0;
}

Socket NewSocket(int family) {
  return Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Result<AddressInfo> Resolve(std::string host, const std::string& port) {
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (error != 0) return Unavailable(StrCat(host, ": ", ::gai_strerror(error)));
  return AddressInfo(found, &::freeaddrinfo);
}

// Connections inherit what is set here.
void SetOptions(const Socket& socket, int family) {
  const int on = 1, off = 0;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnansweredMs, sizeof(kUnansweredMs));
  // As with gRPC itself, "[::]" is for IPv4, too.
  if (family == AF_INET6) ::setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
}

Status Listen(const Socket& socket, const sockaddr* address, socklen_t length) {
  if (!socket.is_open() || ::bind(socket.fd(), address, length) != 0 ||
      ::listen(socket.fd(), SOMAXCONN) != 0) {
    return SocketError("bind", errno);
  }
  return OkStatus();
}

uint16_t* PortOf(addrinfo& info) {
  return info.ai_family == AF_INET6 ? &reinterpret_cast<sockaddr_in6*>(info.ai_addr)->sin6_port
                                    : &reinterpret_cast<sockaddr_in*>(info.ai_addr)->sin_port;
}

}  // namespace

Result<std::unique_ptr<GrpcListener>> GrpcListener::Bind(
    const std::string& address, std::shared_ptr<grpc::ServerCredentials> credentials,
    int max_connections, grpc::ServerBuilder* builder) {
  std::unique_ptr<GrpcListener> listener(new GrpcListener(address, max_connections));
  PIPESERVE_RETURN_IF_ERROR(address.starts_with(kUnixPrefix)
                                ? listener->BindUnix(address.substr(kUnixPrefix.size()))
                                : listener->BindTcp());
  listener->grpc_ = builder->experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      std::move(credentials));
  return listener;
}

// A name may have several addresses, all of which get the same port.
Status GrpcListener::BindTcp() {
  const size_t colon = address_.rfind(':');
  if (colon == std::string::npos) return Unavailable(StrCat(address_, " has no port"));
  const std::string host = address_.substr(0, colon);
  PIPESERVE_ASSIGN_OR_RETURN(const AddressInfo found, Resolve(host, address_.substr(colon + 1)));
  uint16_t port = 0;  // In the network's order, as all are here.
  Status failed = Unavailable("no address");
  for (addrinfo* info = found.get(); info != nullptr; info = info->ai_next) {
    if (port != 0) *PortOf(*info) = port;
    Socket socket = NewSocket(info->ai_family);
    SetOptions(socket, info->ai_family);
    const Status status = Listen(socket, info->ai_addr, info->ai_addrlen);
    if (!status.ok()) {
      failed = status;
      continue;
    }
    if (port == 0) {
      socklen_t length = info->ai_addrlen;
      ::getsockname(socket.fd(), info->ai_addr, &length);
      port = *PortOf(*info);
    }
    listeners_.push_back(std::move(socket));
  }
  if (listeners_.empty()) return failed;
  address_ = StrCat(host, ":", ntohs(port));
  return OkStatus();
}

Status GrpcListener::BindUnix(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(name.sun_path)) {
    return Unavailable(
        StrCat("a unix socket's path has 1 to ", sizeof(name.sun_path) - 1, " bytes"));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  // One that an earlier process left; what is no socket stays, and cannot be bound.
  struct stat found {};
  if (::stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) ::unlink(path.c_str());
  Socket socket = NewSocket(AF_UNIX);
  PIPESERVE_RETURN_IF_ERROR(Listen(socket, reinterpret_cast<const sockaddr*>(&name), sizeof(name)));
  unix_path_ = path;
  listeners_.push_back(std::move(socket));
  return OkStatus();
}

GrpcListener::~GrpcListener() { Stop(); }

void GrpcListener::Start() {
  thread_ = std::jthread([this] { Run(); });
}

void GrpcListener::Stop() {
  stopping_ = true;
  stop_.Raise();
  if (thread_.joinable()) thread_.join();
  listeners_.clear();
  if (!unix_path_.empty()) ::unlink(std::exchange(unix_path_, "").c_str());
}

void GrpcListener::Run() {
  std::vector<pollfd> polled;
  for (const Socket& listener : listeners_) {
    polled.push_back({.fd = listener.fd(), .events = POLLIN, .revents = 0});
  }
  while (!stopping_) {
    const Status status = PollUntil(polled, {Deadline::After(kLongestWait), &stop_});
    if (!status.ok()) continue;
    for (size_t i = 0; i < polled.size(); ++i) {
      if (polled[i].revents == 0 || AcceptFrom(listeners_[i])) continue;
      (void)PollUntil({}, {Deadline::After(kPause), &stop_});  // Only waits.
    }
  }
}

bool GrpcListener::AcceptFrom(const Socket& listener) {
  Result<Socket> accepted = AcceptWaiting(listener);
  if (!accepted.ok()) {
    Log(LogLevel::kWarning, "cannot accept a connection",
        {{"address", address_}, {"error", accepted.status().message()}});
    return false;
  }
  if (!accepted->is_open() || !HasRoom()) return true;
  const int fd = accepted->Release();  // To gRPC.
  open_.push_back({.fd = fd, .inode = InodeOf(fd)});
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
  connection.listener_fd = listener.fd();
  connection.fd = fd;
  grpc_->HandleNewConnection(&connection);
  return true;
}

// gRPC does not tell when a connection ends, so that is looked at when it matters.
bool GrpcListener::HasRoom() {
  if (open_.size() >= max_connections_) {
    std::erase_if(open_, [](const Connection& c) { return InodeOf(c.fd) != c.inode; });
  }
  const bool full = open_.size() >= max_connections_;
  if (full && !std::exchange(full_, true)) {
    Log(LogLevel::kWarning, "connections are refused, there are as many as may be",
        {{"address", address_}, {"max_connections", std::to_string(max_connections_)}});
  }
  full_ = full;
  return !full;
}

}  // namespace pipeserve
