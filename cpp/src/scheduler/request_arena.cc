#include "scheduler/request_arena.h"

#include <utility>

namespace pipeserve {

RequestArena::RequestArena(RequestInfo info, std::vector<Instance> inputs, Done done)
    : given_up_(std::make_shared<std::atomic<bool>>(false)),
      context_{info.deadline, info.id, given_up_},
      instance_count_(inputs.size()),
      inputs_(std::move(inputs)),
      done_(std::move(done)) {}

Status RequestArena::status() const {
  MutexLock lock(mutex_);
  return status_;
}

std::optional<std::vector<Instance>> RequestArena::Begin() {
  MutexLock lock(mutex_);
  if (claimed_) return std::nullopt;
  return std::exchange(inputs_, {});
}

bool RequestArena::Claim(const Status& reason) {
  std::vector<Instance> unused;  // Freed without the lock, and before the answer.
  MutexLock lock(mutex_);
  if (std::exchange(claimed_, true)) return false;
  if (reason.ok()) return true;
  status_ = reason;
  *given_up_ = true;
  unused = std::exchange(inputs_, {});
  return true;
}

void RequestArena::Answer(std::vector<Result<Instance>> results) {
  std::exchange(done_, nullptr)(std::move(results));
}

void RequestArena::AnswerError(const Status& error) {
  Answer(std::vector<Result<Instance>>(instance_count_, error));
}

}  // namespace pipeserve
