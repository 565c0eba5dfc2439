#include "scheduler/request_arena.h"

#include <utility>

namespace pipeserve {

RequestArena::RequestArena(RequestInfo info, std::vector<Instance> inputs, Done done)
    : given_up_(std::make_shared<CancelToken>()),
      context_{.deadline = info.deadline,
               .request_id = info.id,
               .cancelled = given_up_,
               .replayable = info.replayable},
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
  std::vector<std::shared_ptr<SubmittedCall>> calls;
  std::vector<std::shared_ptr<KeptOutput>> kept;
  {
    MutexLock lock(mutex_);
    if (std::exchange(claimed_, true)) return false;
    if (reason.ok()) return true;
    status_ = reason;
    unused = std::exchange(inputs_, {});
    calls = calls_.Alive();  // They stay: what runs is still to be awaited.
    kept = kept_.Alive();
  }
  given_up_->Raise();
  for (const auto& call : calls) call->Abandon(reason);
  for (const auto& output : kept) output->End(reason);
  return true;
}

Status RequestArena::AddCall(const std::shared_ptr<SubmittedCall>& call) {
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  calls_.Add(call);
  return OkStatus();
}

Result<ResidentTensors> RequestArena::Keep(const std::shared_ptr<const OutputOrigin>& origin,
                                           Instance outputs) {
  account_->Charge(outputs);
  std::vector<std::shared_ptr<KeptOutput>> kept;
  kept.reserve(outputs.size());
  for (Tensor& output : outputs) {
    kept.push_back(
        std::make_shared<KeptOutput>(origin, kept.size(), this, std::exchange(output, {})));
  }
  MutexLock lock(mutex_);
  if (!status_.ok()) return status_;
  for (const auto& output : kept) kept_.Add(output);
  return ResidentTensors(kept.begin(), kept.end());
}

void RequestArena::End() {
  std::vector<std::shared_ptr<SubmittedCall>> calls;
  {
    MutexLock lock(mutex_);
    calls = calls_.Alive();
  }
  for (const auto& call : calls) call->Cancel();
  for (const auto& call : calls) call->AwaitEnd();
  std::vector<std::shared_ptr<KeptOutput>> kept;
  {
    MutexLock lock(mutex_);
    kept = kept_.Alive();
  }
  for (const auto& output : kept) output->End(FailedPrecondition("its request has ended"));
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
