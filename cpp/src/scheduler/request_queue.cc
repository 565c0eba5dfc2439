#include "scheduler/request_queue.h"

#include <utility>

namespace pipeserve {

RequestQueue::Push RequestQueue::TryPush(uint64_t number, QueuedRequest& request) {
  {
    MutexLock lock(mutex_);
    if (closed_) return Push::kClosed;
    if (waiting_.size() >= capacity_) return Push::kFull;
    waiting_.emplace(number, std::move(request));
  }
  available_.NotifyOne();
  return Push::kDone;
}

std::optional<QueuedRequest> RequestQueue::Pop() {
  MutexLock lock(mutex_);
  while (waiting_.empty()) {
    if (closed_) return std::nullopt;
    available_.Wait(mutex_);
  }
  return std::move(waiting_.extract(waiting_.begin()).mapped());
}

void RequestQueue::Remove(uint64_t number) {
  QueuedRequest removed;  // May be the last reference, so it goes without the lock.
  MutexLock lock(mutex_);
  const auto found = waiting_.find(number);
  if (found == waiting_.end()) return;
  removed = std::move(found->second);
  waiting_.erase(found);
}

std::vector<QueuedRequest> RequestQueue::Close() {
  std::vector<QueuedRequest> waited;
  {
    MutexLock lock(mutex_);
    closed_ = true;
    for (auto& [number, request] : waiting_) waited.push_back(std::move(request));
    waiting_.clear();
  }
  available_.NotifyAll();
  return waited;
}

size_t RequestQueue::size() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

}  // namespace pipeserve
