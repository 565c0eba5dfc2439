// Where the answers of one rank lie until somebody takes them.
#pragma once

#include <array>
#include <cstdint>
#include <deque>

#include "agent/lane.h"
#include "base/mutex.h"

namespace pipeserve {

// The waiting half of a lane whose answers arrive on another thread. Thread-safe.
class ReplyBox {
 public:
  // A call is on its way. Sequences grow; some may travel elsewhere.
  void Sent(uint64_t sequence);
  // False when `reply` does not answer the oldest call that is on its way: the rank talks nonsense.
  bool Put(RankReply reply);

  // As in Lane.
  uint64_t answered() const;
  Status Await(uint64_t sequence, const CallContext& context);
  void Wake();
  RankReply Take(uint64_t sequence);
  void Drop(uint64_t sequence);
  void Close(const Status& reason);

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<uint64_t> unanswered_ GUARDED_BY(mutex_);
  uint64_t answered_ GUARDED_BY(mutex_) = 0;
  std::array<RankReply, kCallWindow> replies_ GUARDED_BY(mutex_);
  std::array<uint64_t, kCallWindow> dropped_ GUARDED_BY(mutex_) = {};  // Sequences.
  Status closed_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
