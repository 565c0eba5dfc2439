// TCP sockets with deadlines.
#pragma once

#include <poll.h>

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "base/clock.h"
#include "pipeserve/status.h"

namespace pipeserve {

// Owns a file descriptor. Every Socket is non-blocking and closed on exec.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket();

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Listens at "ip:port" ("[ip]:port" for IPv6). Errors: kInvalidArgument (no such form),
// kUnavailable (the port cannot be bound).
Result<Socket> ListenAt(const std::string& address);

// The "ip:port" that a listening socket is bound to.
Result<std::string> BoundAddress(const Socket& socket);

// A connection to `address`. Errors: kInvalidArgument, kUnavailable (nobody listens),
// kDeadlineExceeded.
Result<Socket> Dial(const std::string& address, Deadline deadline);

// The next waiting connection; a closed Socket when none waits. Errors: kUnavailable.
Result<Socket> AcceptWaiting(const Socket& listener);

// poll() until one of `polled` is ready. Errors: kDeadlineExceeded, kInternal.
Status PollUntil(std::span<pollfd> polled, Deadline deadline);

// What is there to receive, up to `bytes.size()` bytes: 0 when nothing is there yet. Errors:
// kUnavailable (the connection is closed or broken).
Result<size_t> ReceiveSome(const Socket& socket, std::span<std::byte> bytes);

// Exactly these bytes. Errors: kUnavailable, kDeadlineExceeded.
Status SendAll(const Socket& socket, std::span<const std::byte> bytes, Deadline deadline);
Status ReceiveAll(const Socket& socket, std::span<std::byte> bytes, Deadline deadline);

// `context` with what errno says about it.
Status SocketError(const std::string& context, int error);

}  // namespace pipeserve
