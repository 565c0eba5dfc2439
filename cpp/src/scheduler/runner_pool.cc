#include "scheduler/runner_pool.h"

#include <future>
#include <optional>
#include <system_error>
#include <utility>

#include "base/str_cat.h"
#include "scheduler/request_scope.h"

namespace pipeserve {
namespace {

// The place in the queue is free before the client hears of it, so that its next request fits.
void GiveUp(RequestArena& arena, RequestQueue& queue, uint64_t number, const Status& reason) {
  if (!arena.Claim(reason)) return;
  queue.Remove(number);
  arena.AnswerError(reason);
}

Status TooLate() { return DeadlineExceeded("the request's deadline passed before it was done"); }

}  // namespace

Status NotAvailable() { return Unavailable("servable is not available"); }

RunnerPool::RunnerPool(const SchedulerOptions& options, Timer& timer)
    : options_(options),
      timer_(timer),
      queue_(std::make_shared<RequestQueue>(options.queue_capacity)) {}

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

void RunnerPool::Submit(const Callable& callable, RequestInfo info, std::vector<Instance> inputs,
                        RequestArena::Done done) {
  const std::shared_ptr<CancelToken> cancel = info.cancel;
  const auto arena =
      std::make_shared<RequestArena>(std::move(info), std::move(inputs), std::move(done));
  const uint64_t number = queue_->NextNumber();
  Watch(arena, number, cancel.get());
  Register(arena, number);
  QueuedRequest request{arena, &callable};
  const RequestQueue::Push push = queue_->TryPush(number, request);
  // One that was given up just before has not found itself in the queue.
  if (arena->context().is_cancelled()) return queue_->Remove(number);
  if (push == RequestQueue::Push::kDone) return;
  GiveUp(*arena, *queue_, number,
         push == RequestQueue::Push::kClosed
             ? NotAvailable()
             : ResourceExhausted(StrCat("Serving Error: enqueued requests count exceeds the limit ",
                                        options_.queue_capacity)));
}

std::vector<Result<Instance>> RunnerPool::RunHere(const Callable& callable, RequestInfo info,
                                                  std::vector<Instance> inputs) {
  if (!direct_.Enter()) {
    info.ticket.Return();
    return std::vector<Result<Instance>>(inputs.size(), NotAvailable());
  }
  const std::shared_ptr<CancelToken> cancel = info.cancel;
  // Shared, because who sets it may still be at it when its value has been taken here.
  const auto answer = std::make_shared<std::promise<std::vector<Result<Instance>>>>();
  auto results = answer->get_future();
  const auto arena = std::make_shared<RequestArena>(
      std::move(info), std::move(inputs),
      [answer](std::vector<Result<Instance>> given) { answer->set_value(std::move(given)); });
  const uint64_t number = queue_->NextNumber();
  Watch(arena, number, cancel.get());
  Register(arena, number);
  Run({arena, &callable});
  results.wait();  // For whoever has claimed the answer and may still be about to give it.
  direct_.Leave();
  return results.get();
}

void RunnerPool::Register(const std::shared_ptr<RequestArena>& arena, uint64_t number) {
  Status given_up;
  {
    MutexLock lock(mutex_);
    requests_.Add(arena);
    given_up = given_up_;
  }
  if (!given_up.ok()) GiveUp(*arena, *queue_, number, given_up);
}

void RunnerPool::GiveUpAll(const Status& reason) {
  std::vector<std::shared_ptr<RequestArena>> requests;
  {
    MutexLock lock(mutex_);
    given_up_ = reason;
    requests = requests_.Alive();
  }
  // One that waits keeps its place in the queue until a runner drops it.
  for (const auto& request : requests) {
    if (request->Claim(reason)) request->AnswerError(reason);
  }
}

void RunnerPool::Watch(const std::shared_ptr<RequestArena>& arena, uint64_t number,
                       CancelToken* cancel) {
  // What is called later finds the request gone when it was answered before.
  const auto give_up = [weak = std::weak_ptr(arena), queue = queue_, number](const Status& reason) {
    if (const auto found = weak.lock()) GiveUp(*found, *queue, number, reason);
  };
  arena->set_deadline_entry(
      timer_.Add(arena->context().deadline, [give_up] { give_up(TooLate()); }));
  if (cancel == nullptr) return;
  cancel->Listen([give_up] { give_up(Cancelled("the client has left")); });
}

void RunnerPool::Serve() {
  while (const std::optional<QueuedRequest> request = queue_->Pop()) Run(*request);
}

void RunnerPool::Run(const QueuedRequest& request) {
  RequestArena& arena = *request.arena;
  if (EndedLate(arena)) return;
  std::optional<std::vector<Instance>> inputs = arena.Begin();
  if (!inputs.has_value()) return;
  std::vector<Result<Instance>> results;
  {
    const RequestScope scope(arena);
    results = arena.Charge(request.callable->Run(*std::move(inputs), arena.context()));
  }
  arena.End();
  // What fails because time is up would say so in words of its own.
  if (EndedLate(arena)) return;
  if (arena.Claim(OkStatus())) arena.Answer(std::move(results));
}

// The timer may be a moment late.
bool RunnerPool::EndedLate(RequestArena& arena) const {
  if (!arena.context().deadline.HasPassed(timer_.clock())) return false;
  if (arena.Claim(TooLate())) arena.AnswerError(TooLate());
  return true;
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
  for (const QueuedRequest& request : queue_->Close()) {
    if (request.arena->Claim(NotAvailable())) request.arena->AnswerError(NotAvailable());
  }
  for (std::thread& runner : runners_) runner.join();
  direct_.Close();
  {
    MutexLock lock(mutex_);
    state_ = State::kStopped;
  }
  stopped_.NotifyAll();
}

}  // namespace pipeserve
