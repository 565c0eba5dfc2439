// Unix-domain sockets: how processes of one host and user hand each other file descriptors.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/socket.h"

namespace pipeserve {

// Waits for connections at a random name that is in no file system (Linux's abstract namespace) and
// ends with the process.
class UnixListener {
 public:
  // Errors: kUnavailable (no descriptors, no entropy).
  static Result<UnixListener> Open();

  const std::string& name() const { return name_; }  // To be told to peers, for DialUnix().
  const Socket& socket() const { return socket_; }   // Readable when somebody dials.

  // The next waiting connection of a process of this user; a closed Socket when none waits, or when
  // a stranger was turned away. Errors: kUnavailable.
  Result<Socket> AcceptWaiting() const;

 private:
  UnixListener(Socket socket, std::string name)
      : socket_(std::move(socket)), name_(std::move(name)) {}

  Socket socket_;
  std::string name_;
};

// A connection to the listener of that name. Errors: kInvalidArgument (no possible name),
// kUnavailable (nobody listens, or too many wait), kPermissionDenied (another user listens).
Result<Socket> DialUnix(const std::string& name);

// Descriptors that one message can carry.
constexpr size_t kMaxDescriptors = 16;

// One message, whole, with copies of `descriptors`, which stay the caller's. Errors:
// kInvalidArgument (nothing to send, too much for one message), kUnavailable (the peer is gone),
// kDeadlineExceeded, kAborted (interrupted).
Status SendMessage(const Socket& socket, std::span<const std::byte> bytes,
                   std::span<const int> descriptors, const WaitLimit& limit);

// The next message, which fills `bytes` exactly and brings as many descriptors as are wanted
// (closed on exec). Errors: kInvalidArgument (another message came; what it brought is closed),
// kUnavailable (the peer is gone), kDeadlineExceeded, kAborted (interrupted).
Result<std::vector<FileDescriptor>> ReceiveMessage(const Socket& socket, std::span<std::byte> bytes,
                                                   size_t wanted_descriptors,
                                                   const WaitLimit& limit);

}  // namespace pipeserve
