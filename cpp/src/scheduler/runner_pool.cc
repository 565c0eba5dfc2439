#include "scheduler/runner_pool.h"

#include <optional>
#include <system_error>
#include <utility>

#include "base/str_cat.h"
#include "scheduler/request_scope.h"

namespace pipeserve {

void Refuse(Request request, const Status& error) {
  request.done(std::vector<Result<Instance>>(request.instances.size(), error));
}

Status NotAvailable() { return Unavailable("servable is not available"); }

RunnerPool::RunnerPool(const SchedulerOptions& options)
    : options_(options), queue_(options.queue_capacity) {}

RunnerPool::~RunnerPool() { Stop(); }

Status RunnerPool::Start() {
  try {
    for (int i = 0; i < options_.max_inflight; ++i) {
      runners_.emplace_back([this] { Serve(); });
    }
  } catch (const std::system_error& error) {
    return ResourceExhausted(StrCat("started ", runners_.size(), " of ", options_.max_inflight,
                                    " runner threads: ", error.what()));
  }
  return OkStatus();
}

void RunnerPool::Submit(Request request) {
  if (queue_.TryPush(request)) return;
  if (stopping_) return Refuse(std::move(request), NotAvailable());
  Refuse(std::move(request),
         ResourceExhausted(StrCat("Serving Error: enqueued requests count exceeds the limit ",
                                  options_.queue_capacity)));
}

void RunnerPool::Serve() {
  while (std::optional<Request> request = queue_.Pop()) RunOrRefuse(*std::move(request));
}

void RunnerPool::RunOrRefuse(Request request) {
  if (stopping_) return Refuse(std::move(request), NotAvailable());
  if (request.context.deadline.HasPassed()) {
    return Refuse(std::move(request),
                  DeadlineExceeded("the request's deadline passed while it waited"));
  }
  if (request.context.cancelled != nullptr && *request.context.cancelled) {
    return Refuse(std::move(request), Cancelled("the request was cancelled while it waited"));
  }
  std::vector<Result<Instance>> results;
  {
    const RequestScope scope(request.context);
    results = request.callable->Run(std::move(request.instances), request.context);
  }
  request.done(std::move(results));
}

void RunnerPool::Stop() {
  {
    MutexLock lock(mutex_);
    if (state_ != State::kRunning) {
      while (state_ != State::kStopped) stopped_.Wait(mutex_);
      return;
    }
    state_ = State::kStopping;
  }
  stopping_ = true;
  queue_.Close();
  while (std::optional<Request> request = queue_.Pop()) {
    Refuse(*std::move(request), NotAvailable());
  }
  for (std::thread& runner : runners_) runner.join();
  {
    MutexLock lock(mutex_);
    state_ = State::kStopped;
  }
  stopped_.NotifyAll();
}

}  // namespace pipeserve
