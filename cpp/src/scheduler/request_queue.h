// The requests that wait for a runner.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "scheduler/callable.h"
#include "scheduler/request_arena.h"

namespace pipeserve {

struct QueuedRequest {
  std::shared_ptr<RequestArena> arena;
  const Callable* callable = nullptr;
};

// First come, first served; whoever is given up leaves at once. Thread-safe.
class RequestQueue {
 public:
  enum class Push { kDone, kFull, kClosed };

  explicit RequestQueue(size_t capacity) : capacity_(capacity) {}

  // The number under which a request will wait. Numbers grow.
  uint64_t NextNumber() { return ++last_number_; }

  // Unless it is kDone, `request` is left untouched with the caller.
  Push TryPush(uint64_t number, QueuedRequest& request) EXCLUDES(mutex_);
  // Waits for the lowest number; nothing when the queue is closed.
  std::optional<QueuedRequest> Pop() EXCLUDES(mutex_);
  // Frees the place of a request, if it waits.
  void Remove(uint64_t number) EXCLUDES(mutex_);
  // Nothing is accepted any more. What has waited, in order.
  std::vector<QueuedRequest> Close() EXCLUDES(mutex_);

  size_t size() const EXCLUDES(mutex_);

 private:
  const size_t capacity_;
  std::atomic<uint64_t> last_number_{0};
  mutable Mutex mutex_;
  CondVar available_;
  std::map<uint64_t, QueuedRequest> waiting_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace pipeserve
