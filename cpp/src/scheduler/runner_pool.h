// The requests that wait for a servable and the threads that run them.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "scheduler/callable.h"
#include "scheduler/servable.h"

namespace pipeserve {

struct Request {
  const Callable* callable = nullptr;
  std::vector<Instance> instances;
  CallContext context;
  Servable::Done done;
};

// Answers `request` with one and the same error for each instance.
void Refuse(Request request, const Status& error);

// "servable is not available"
Status NotAvailable();

// First come, first served. Thread-safe.
class RunnerPool {
 public:
  explicit RunnerPool(const SchedulerOptions& options);
  ~RunnerPool();  // Stop().

  // Errors: kResourceExhausted (the system gives no more threads).
  Status Start();

  // Answers `request` once: by running it, or with kResourceExhausted (the queue is full, at once),
  // kDeadlineExceeded or kCancelled (the deadline passed, the client left while it waited) or
  // kUnavailable (stopped).
  void Submit(Request request);

  // Refuses what comes and what waits, lets finish what runs. Every call returns when all is done.
  void Stop();

 private:
  enum class State { kRunning, kStopping, kStopped };

  void Serve();
  void RunOrRefuse(Request request);

  const SchedulerOptions options_;
  BoundedQueue<Request> queue_;
  std::atomic<bool> stopping_{false};
  Mutex mutex_;
  CondVar stopped_;
  State state_ GUARDED_BY(mutex_) = State::kRunning;
  std::vector<std::thread> runners_;  // Written by Start(), then only by the Stop() that joins.
};

}  // namespace pipeserve
