// Which workers there are, and who has them.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/cancel_token.h"
#include "base/mutex.h"
#include "pipeserve/worker_pool.h"
#include "workers/worker.h"

namespace pipeserve {

// Thread-safe.
class WorkerRoster {
 public:
  WorkerRoster(MethodHost& method_host, WorkerPoolOptions pool_options)
      : host(method_host), options(std::move(pool_options)) {}

  // A worker that nobody else has until Return() or Discard(): the one that is free for longest;
  // callers get one in the order in which they came. Errors: kCancelled (the token was raised),
  // kUnavailable (closed, and none is left).
  Result<std::shared_ptr<Worker>> Take(CancelToken* cancelled) EXCLUDES(mutex_);
  void Return(std::shared_ptr<Worker> worker) EXCLUDES(mutex_);
  // It is never used again, and killed: `at_once`, or if its process does not end soon. How it has
  // ended, as soon as Remove() tells, or something that says little.
  std::string Discard(const std::shared_ptr<Worker>& worker, bool at_once) EXCLUDES(mutex_);

  Result<uint64_t> Add(WorkerChannel channel, FileDescriptor process) EXCLUDES(mutex_);
  void Remove(uint64_t number, const std::string& how) EXCLUDES(mutex_);
  void Close() EXCLUDES(mutex_);
  void EndWorkers() EXCLUDES(mutex_);

  // The method has a function that runs in workers.
  void AddStep(const std::string& method) EXCLUDES(mutex_);
  bool HasStep(const std::string& method) const EXCLUDES(mutex_);

  MethodHost& host;
  const WorkerPoolOptions options;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mutex_) = false;
  uint64_t last_number_ GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, std::shared_ptr<Worker>> workers_ GUARDED_BY(mutex_);  // Until they end.
  std::deque<std::shared_ptr<Worker>> idle_ GUARDED_BY(mutex_);
  uint64_t last_ticket_ GUARDED_BY(mutex_) = 0;
  std::deque<uint64_t> waiting_ GUARDED_BY(mutex_);          // Tickets.
  std::map<uint64_t, std::string> ends_ GUARDED_BY(mutex_);  // Of those that somebody has.
  std::set<uint64_t> taken_ GUARDED_BY(mutex_);
  std::set<std::string> methods_with_steps_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
