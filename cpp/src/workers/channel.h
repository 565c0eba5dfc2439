// One end of the connection of front and worker.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "base/socket.h"
#include "workers/message.h"

namespace pipeserve {

// For one thread at a time.
class WorkerChannel {
 public:
  // `fd` is a connected stream socket, which the channel owns from now on. Errors: kInvalidArgument
  // (it is none).
  static Result<WorkerChannel> Open(int fd);

  // Errors: kInvalidArgument (too large: nothing has been sent), kUnavailable (the peer is gone, or
  // does not take it within a minute).
  Status Send(const WorkerMessage& message);

  // Waits until a message has begun to arrive. Errors: kUnavailable (the peer is gone),
  // kDeadlineExceeded, kAborted (interrupted).
  Status Await(const WaitLimit& limit);
  // The message that has begun to arrive. Errors: kUnavailable (the peer is gone, or does not
  // send all of it within a minute), kInvalidArgument (it is none).
  Result<WorkerMessage> Receive();

  const Socket& socket() const { return socket_; }
  // Wakes whoever waits at either end: the peer is gone.
  void Shutdown();

 private:
  explicit WorkerChannel(Socket socket);

  // From what has been read ahead, then from the socket.
  Status Fill(std::span<std::byte> bytes);

  // Enough for most fields; larger tensors are received where they are to be.
  static constexpr size_t kReadAhead = size_t{4} << 10;

  Socket socket_;
  std::unique_ptr<std::byte[]> ahead_;
  std::span<std::byte> waiting_;  // The part of it that nobody has taken.
};

}  // namespace pipeserve
