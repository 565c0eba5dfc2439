#include "workers/worker_function.h"

#include "base/str_cat.h"
#include "scheduler/request_scope.h"
#include "workers/conversation.h"
#include "workers/worker_roster.h"

namespace pipeserve {
namespace {

using Results = std::vector<Result<Instance>>;

// A request that has lost so many workers may be what kills them.
constexpr int kTries = 3;

bool IsReplayable(const RequestArena* arena) {
  return arena == nullptr || arena->context().replayable;
}

}  // namespace

Results WorkerFunction::Call(std::span<const Instance> instances) {
  WorkerConversation* const conversation = WorkerConversation::Current();
  if (conversation == nullptr || !conversation->is_of(*pool_)) return CallAnyWorker(instances);
  // What is lost with the worker is run again by whoever began the conversation.
  Result<Results> results = conversation->Call(key_, instances);
  if (results.ok()) return *std::move(results);
  return Results(instances.size(), results.status());
}

Results WorkerFunction::CallAnyWorker(std::span<const Instance> instances) {
  const RequestArena* const arena = RequestScope::Current();
  CancelToken* const cancelled = arena == nullptr ? nullptr : arena->context().cancelled.get();
  Status error;
  for (int tries = 1; tries <= kTries;) {
    Result<std::shared_ptr<Worker>> worker = pool_->Take(cancelled);
    if (!worker.ok()) {
      const Status reason = arena == nullptr ? OkStatus() : arena->status();
      return Results(instances.size(), reason.ok() ? worker.status() : reason);
    }
    WorkerConversation conversation(*pool_, *std::move(worker));
    Result<Results> results = conversation.Call(key_, instances);
    if (!conversation.is_lost()) {
      conversation.End();
      if (results.ok()) return *std::move(results);
      return Results(instances.size(), results.status());
    }
    const std::string how = conversation.EndLost();
    if (arena != nullptr && !arena->status().ok()) {
      return Results(instances.size(), arena->status());
    }
    if (!conversation.has_begun()) continue;  // It was gone before: nothing has been tried.
    error = Unavailable(StrCat(name_, " was lost with its worker process, which ", how));
    if (!IsReplayable(arena)) break;
    if (tries == kTries)
      error = Unavailable(StrCat(error.message(), ", as ", kTries - 1, " before"));
    ++tries;
  }
  return Results(instances.size(), error);
}

}  // namespace pipeserve
