// The threads that run the requests of a servable, and what ends those that wait too long.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/timer.h"
#include "scheduler/call_gate.h"
#include "scheduler/callable.h"
#include "scheduler/request_arena.h"
#include "scheduler/request_queue.h"
#include "scheduler/servable.h"
#include "scheduler/weak_list.h"

namespace pipeserve {

// "servable is not available"
Status NotAvailable();

// First come, first served. Thread-safe.
class RunnerPool {
 public:
  // `timer` outlives the pool.
  RunnerPool(const SchedulerOptions& options, Timer& timer);
  ~RunnerPool();  // Stop().

  // Errors: kResourceExhausted (the system gives no more threads).
  Status Start();

  // Has the request answered once: by running it, or with kResourceExhausted (the queue is full, at
  // once), kDeadlineExceeded (at its deadline, whether it waits or runs), kCancelled (as soon as
  // the client has left) or kUnavailable (stopped). One that ends while it waits leaves the queue
  // and never runs; one that runs keeps its runner until it returns.
  void Submit(const Callable& callable, RequestInfo info, std::vector<Instance> inputs,
              RequestArena::Done done);

  // Runs the request on the calling thread, beside what the runners do, and returns its answer:
  // that of Submit(), but the queue neither delays nor refuses it, and the thread comes back with
  // an early answer only when the callable has returned.
  std::vector<Result<Instance>> RunHere(const Callable& callable, RequestInfo info,
                                        std::vector<Instance> inputs);

  // Answers all requests that wait or run, and every later one, with `reason`. What runs goes on
  // until it notices.
  void GiveUpAll(const Status& reason);

  size_t waiting() const { return queue_->size(); }
  int max_inflight() const { return options_.max_inflight; }

  // Refuses what comes and what waits, lets finish what runs. Every call returns when all is done.
  void Stop();

 private:
  enum class State { kRunning, kStopping, kStopped };

  // Has GiveUpAll() find the request, or gives it up when that has been called.
  void Register(const std::shared_ptr<RequestArena>& arena, uint64_t number) EXCLUDES(mutex_);
  // Gives the request up when its deadline passes or its client leaves (null: it stays).
  void Watch(const std::shared_ptr<RequestArena>& arena, uint64_t number, CancelToken* cancel);
  void Serve();
  void Run(const QueuedRequest& request);
  // Whether the request's deadline has passed; then it is answered, if nobody has yet.
  bool EndedLate(RequestArena& arena) const;

  const SchedulerOptions options_;
  Timer& timer_;
  const std::shared_ptr<RequestQueue> queue_;  // Shared with those who give requests up.
  CallGate direct_;                            // Callers inside RunHere().
  Mutex mutex_;
  CondVar stopped_;
  State state_ GUARDED_BY(mutex_) = State::kRunning;
  WeakList<RequestArena> requests_ GUARDED_BY(mutex_);
  Status given_up_ GUARDED_BY(mutex_);  // See GiveUpAll(); success before.
  std::vector<std::thread> runners_;    // Written by Start(), then only by the Stop() that joins.
};

}  // namespace pipeserve
