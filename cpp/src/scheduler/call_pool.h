// The threads on which calls run that a pipeline function submits instead of waiting for them.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "scheduler/submitted_call.h"

namespace pipeserve {

// Calls begin in the order in which they were submitted. The threads start with the first call, so
// that a servable that never fans out has none. Thread-safe.
class CallPool {
 public:
  explicit CallPool(int threads) : thread_count_(threads), queue_(kCapacity) {}
  ~CallPool() { Stop(); }

  // Whether this thread is one of a pool. A call that it would submit runs at once instead: were
  // all threads to wait for others, none would be left to run them.
  static bool OnPoolThread();

  // Errors: kResourceExhausted (too many calls wait, or the system gives no threads), kUnavailable
  // (stopped).
  Status Submit(std::shared_ptr<SubmittedCall> call) EXCLUDES(mutex_);

  // Abandons what waits, lets finish what runs. Idempotent.
  void Stop() EXCLUDES(mutex_);

 private:
  static constexpr size_t kCapacity = 10'000;

  Status StartThreads() REQUIRES(mutex_);
  void Serve();

  const int thread_count_;
  BoundedQueue<std::shared_ptr<SubmittedCall>> queue_;
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
