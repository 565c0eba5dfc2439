#include "base/unix_socket.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iomanip>
#include <sstream>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// Room for the descriptors of one message, aligned as the kernel wants it.
struct alignas(cmsghdr) Control {
  std::array<std::byte, CMSG_SPACE(kMaxDescriptors * sizeof(int))> bytes{};
};

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

// A name of the abstract namespace follows a zero byte and ends where the length says.
Result<Address> AddressOf(const std::string& name) {
  Address made;
  if (name.empty() || name.size() >= sizeof(made.address.sun_path)) {
    return InvalidArgument(StrCat("a unix socket's name has 1 to ",
                                  sizeof(made.address.sun_path) - 1, " bytes, not ", name.size()));
  }
  made.address.sun_family = AF_UNIX;
  std::memcpy(made.address.sun_path + 1, name.data(), name.size());
  made.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return made;
}

Socket NewSocket() {
  return Socket(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

Result<std::string> RandomName() {
  std::array<uint8_t, 16> random;
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return SocketError("getrandom", errno);
  }
  std::ostringstream name;
  name << "pipeserve-" << std::hex << std::setfill('0');
  for (const uint8_t byte : random) name << std::setw(2) << static_cast<int>(byte);
  return name.str();
}

// True when a process of this user made the other end.
bool IsSameUser(const Socket& socket) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  return getsockopt(socket.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
         peer.uid == geteuid();
}

// Every descriptor that came along, so that none stays open by mistake.
std::vector<FileDescriptor> TakeDescriptors(msghdr& message) {
  std::vector<FileDescriptor> taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
      taken.emplace_back(fd);
    }
  }
  return taken;
}

Status Wait(const Socket& socket, short events, const WaitLimit& limit) {
  pollfd polled{.fd = socket.fd(), .events = events, .revents = 0};
  return PollUntil(std::span(&polled, 1), limit);
}

}  // namespace

Result<UnixListener> UnixListener::Open() {
  PIPESERVE_ASSIGN_OR_RETURN(std::string name, RandomName());
  PIPESERVE_ASSIGN_OR_RETURN(const Address address, AddressOf(name));
  Socket socket = NewSocket();
  if (!socket.is_open() || bind(socket.fd(), address.get(), address.length) != 0 ||
      listen(socket.fd(), SOMAXCONN) != 0) {
    return SocketError("cannot listen at a unix socket", errno);
  }
  return UnixListener(std::move(socket), std::move(name));
}

Result<Socket> UnixListener::AcceptWaiting() const {
  PIPESERVE_ASSIGN_OR_RETURN(Socket accepted, pipeserve::AcceptWaiting(socket_));
  if (accepted.is_open() && !IsSameUser(accepted)) return Socket();
  return accepted;
}

Result<Socket> DialUnix(const std::string& name) {
  PIPESERVE_ASSIGN_OR_RETURN(const Address address, AddressOf(name));
  Socket socket = NewSocket();
  if (!socket.is_open()) return SocketError("socket", errno);
  // Unlike TCP's, this connect() is done or has failed.
  if (connect(socket.fd(), address.get(), address.length) != 0) {
    return SocketError(StrCat("cannot connect to unix socket ", name), errno);
  }
  if (!IsSameUser(socket)) {
    return Status(StatusCode::kPermissionDenied,
                  StrCat("unix socket ", name, " belongs to another user"));
  }
  return socket;
}

Status SendMessage(const Socket& socket, std::span<const std::byte> bytes,
                   std::span<const int> descriptors, const WaitLimit& limit) {
  if (bytes.empty() || descriptors.size() > kMaxDescriptors) {
    return InvalidArgument(StrCat("a message has bytes and at most ", kMaxDescriptors,
                                  " descriptors, not ", bytes.size(), " bytes and ",
                                  descriptors.size(), " descriptors"));
  }
  iovec part{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  Control control;
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  while (sendmsg(socket.fd(), &message, MSG_NOSIGNAL) < 0) {
    if (errno == EMSGSIZE) {
      return InvalidArgument(StrCat(bytes.size(), " bytes are too much for one message"));
    }
    if (errno == EAGAIN) {
      PIPESERVE_RETURN_IF_ERROR(Wait(socket, POLLOUT, limit));
    } else if (errno != EINTR) {
      return SocketError("send a message", errno);
    }
  }
  return OkStatus();
}

Result<std::vector<FileDescriptor>> ReceiveMessage(const Socket& socket, std::span<std::byte> bytes,
                                                   size_t wanted_descriptors,
                                                   const WaitLimit& limit) {
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  Control control;
  msghdr message{};
  ssize_t received = -1;
  while (received < 0) {
    PIPESERVE_RETURN_IF_ERROR(Wait(socket, POLLIN, limit));
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.data();
    message.msg_controllen = control.bytes.size();
    received = recvmsg(socket.fd(), &message, MSG_CMSG_CLOEXEC);
    if (received < 0 && errno != EAGAIN && errno != EINTR) {
      return SocketError("receive a message", errno);
    }
  }
  std::vector<FileDescriptor> descriptors = TakeDescriptors(message);
  if (received == 0) return Unavailable("the connection was closed");
  const bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  if (cut || static_cast<size_t>(received) != bytes.size() ||
      descriptors.size() != wanted_descriptors) {
    return InvalidArgument(StrCat("a message of ", bytes.size(), " bytes and ", wanted_descriptors,
                                  " descriptors was wanted, ", received, " bytes and ",
                                  descriptors.size(), " descriptors came",
                                  cut ? ", and more" : ""));
  }
  return descriptors;
}

}  // namespace pipeserve
