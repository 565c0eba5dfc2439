#include "scheduler/request_arena.h"

#include <utility>

namespace pipeserve {

RequestArena::RequestArena(RequestInfo info, std::vector<Instance> inputs, Done done)
    : given_up_(std::make_shared<CancelToken>()),
      context_{info.deadline, info.id, given_up_},
      instance_count_(inputs.size()),
      account_(info.account != nullptr ? std::move(info.account) : std::make_shared<ByteAccount>()),
      inputs_(std::move(inputs)),
      ticket_(std::move(info.ticket)),
      done_(std::move(done)) {
  for (Instance& instance : inputs_) account_->Charge(instance);
}

std::vector<Result<Instance>> RequestArena::Charge(std::vector<Result<Instance>> results) const {
  for (Result<Instance>& result : results) {
    if (result.ok()) account_->Charge(*result);
  }
  return results;
}

Status RequestArena::status() const {
  if (!given_up_->raised()) return OkStatus();
  MutexLock lock(mutex_);
  return status_;
}

std::optional<std::vector<Instance>> RequestArena::Begin() {
  MutexLock lock(mutex_);
  if (claimed_) return std::nullopt;
  begun_ = true;
  return std::exchange(inputs_, {});
}

bool RequestArena::Claim(const Status& reason) {
  std::vector<Instance> unused;  // Freed without the lock, and before the answer.
  std::vector<std::weak_ptr<SubmittedCall>> calls;
  {
    MutexLock lock(mutex_);
    if (std::exchange(claimed_, true)) return false;
    if (reason.ok()) return true;
    status_ = reason;
    unused = std::exchange(inputs_, {});
    calls = calls_;  // They stay: what runs is still to be awaited.
  }
  given_up_->Raise();
  for (const auto& weak : calls) {
    if (const auto call = weak.lock()) call->Abandon(reason);
  }
  return true;
}

Status RequestArena::AddCall(const std::shared_ptr<SubmittedCall>& call) {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  if (calls_.size() >= next_sweep_) {
    std::erase_if(calls_, [](const auto& weak) { return weak.expired(); });
    next_sweep_ = 2 * calls_.size() + kFirstSweep;
  }
  calls_.push_back(call);
  return OkStatus();
}

void RequestArena::EndCalls() {
  std::vector<std::weak_ptr<SubmittedCall>> calls;
  {
    MutexLock lock(mutex_);
    calls = std::exchange(calls_, {});
  }
  for (const auto& weak : calls) {
    if (const auto call = weak.lock()) call->Cancel();
  }
  for (const auto& weak : calls) {
    if (const auto call = weak.lock()) call->AwaitEnd();
  }
}

void RequestArena::Answer(std::vector<Result<Instance>> results) {
  {
    MutexLock lock(mutex_);
    if (begun_ && !status_.ok()) {
      ticket_.ReturnPlace();
    } else {
      ticket_.Return();
    }
  }
  std::exchange(done_, nullptr)(std::move(results));
}

void RequestArena::AnswerError(const Status& error) {
  Answer(std::vector<Result<Instance>>(instance_count_, error));
}

}  // namespace pipeserve
