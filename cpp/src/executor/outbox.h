// Messages that are on their way to peers which have not taken them yet.
#pragma once

#include <deque>
#include <functional>
#include <span>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "executor/collective_call.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// A message, and how far it is on its way.
struct Outgoing {
  CollectiveCall call;
  std::span<const std::byte> bytes;
  size_t done = 0;  // As its carrier counts.
};

// How the bytes of messages get to a peer.
class Carrier {
 public:
  virtual ~Carrier() = default;

  // A number that changes when a peer takes something, or Wake() is called.
  virtual uint32_t Signal() = 0;
  // Moves what goes of `message` without waiting; true when that is all of it. One thread at a time
  // for a peer.
  virtual Result<bool> Carry(int32_t peer, Outgoing* message) = 0;
  // Waits until Signal() is not `seen`, or one of `peers` may take more.
  virtual Status AwaitRoom(uint32_t seen, std::span<const int32_t> peers) = 0;
  // Ends AwaitRoom(). Called by any thread.
  virtual void Wake() = 0;
};

// Hands messages over while the rank itself goes on: what a peer does not take at once is copied,
// and a thread, which there is from the first such message on, carries it further.
class Outbox {
 public:
  // `on_error` is called by the thread, once, with what broke a message. Both outlive this.
  Outbox(int rank, int size, Carrier* carrier, std::function<void(Status)> on_error);
  ~Outbox();  // What has not been handed over is dropped.

  // For one thread at a time.
  Status Send(int32_t peer, const CollectiveCall& call, const void* input, Deadline deadline)
      EXCLUDES(mutex_);
  // Waits until nothing is on its way to `peer`; `call` is what has to wait for that.
  Status AwaitEmpty(int32_t peer, const CollectiveCall& call, Deadline deadline) EXCLUDES(mutex_);

  // Everything that waits here, now or later, returns `reason`. Idempotent, from any thread.
  void Stop(const Status& reason) EXCLUDES(mutex_);

 private:
  struct Kept {
    Outgoing message;
    Buffer copy;
  };

  Status AwaitAtMost(size_t count, int32_t peer, const CollectiveCall& call, Deadline deadline)
      EXCLUDES(mutex_);
  void Keep(int32_t peer, Outgoing message) EXCLUDES(mutex_);
  void Run() EXCLUDES(mutex_);
  // The peers that messages are kept for, once there are some; none when the outbox stops.
  std::vector<int32_t> AwaitPeers() EXCLUDES(mutex_);
  // True when something got further.
  Result<bool> CarryFirst(int32_t peer) EXCLUDES(mutex_);

  const int rank_;
  Carrier* const carrier_;
  const std::function<void(Status)> on_error_;
  Mutex mutex_;
  CondVar changed_;
  // By peer. The first of each belongs to the thread, which removes it; the others wait.
  std::vector<std::deque<Kept>> kept_ GUARDED_BY(mutex_);
  Status stopped_ GUARDED_BY(mutex_);
  std::jthread thread_;  // Last: it uses the others.
};

}  // namespace pipeserve
