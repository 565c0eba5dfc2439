// Sockets with deadlines; how TCP ones are opened.
#pragma once

#include <poll.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/interrupt.h"
#include "pipeserve/status.h"

namespace pipeserve {

// Every Socket is non-blocking and closed on exec.
using Socket = FileDescriptor;

// Listens at "ip:port" ("[ip]:port" for IPv6). Errors: kInvalidArgument (no such form),
// kUnavailable (the port cannot be bound).
Result<Socket> ListenAt(const std::string& address);

// Whether only this host reaches what listens at "host:port".
bool IsLoopbackAddress(std::string_view address);

// The "ip:port" that a listening socket is bound to.
Result<std::string> BoundAddress(const Socket& socket);

// A connection to `address`. Errors: kInvalidArgument, kUnavailable (nobody listens),
// kDeadlineExceeded, kAborted (interrupted).
Result<Socket> Dial(const std::string& address, const WaitLimit& limit);

// The next waiting connection; a closed Socket when none waits. Errors: kUnavailable.
Result<Socket> AcceptWaiting(const Socket& listener);

// poll() until one of `polled` is ready. Errors: kDeadlineExceeded, kAborted (interrupted),
// kInternal.
Status PollUntil(std::span<pollfd> polled, const WaitLimit& limit);

// What is there to receive, up to `bytes.size()` bytes: 0 when nothing is there yet. Errors:
// kUnavailable (the connection is closed or broken).
Result<size_t> ReceiveSome(const Socket& socket, std::span<std::byte> bytes);

// Exactly these bytes. Errors: kUnavailable, kDeadlineExceeded, kAborted (interrupted).
Status SendAll(const Socket& socket, std::span<const std::byte> bytes, const WaitLimit& limit);
Status ReceiveAll(const Socket& socket, std::span<std::byte> bytes, const WaitLimit& limit);

// Ends a connection for both sides at once, and does not close it: a thread that waits on it wakes
// up, as does the peer. May be called for a closed Socket.
void ResetConnection(const Socket& socket);

// `context` with what errno says about it.
Status SocketError(const std::string& context, int error);

}  // namespace pipeserve
