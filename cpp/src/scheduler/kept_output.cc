#include "scheduler/kept_output.h"

#include <utility>

#include "base/str_cat.h"
#include "scheduler/request_scope.h"

namespace pipeserve {

KeptOutput::KeptOutput(std::shared_ptr<const OutputOrigin> origin, size_t index,
                       const RequestArena* arena, Tensor tensor)
    : origin_(std::move(origin)),
      index_(index),
      arena_(arena),
      dtype_(tensor.dtype()),
      shape_(tensor.shape()),
      tensor_(std::move(tensor)) {}

std::string KeptOutput::ToString() const {
  return StrCat(DataTypeName(dtype_), shape_, " (output ", index_, " of ", origin_->method, ")");
}

Result<Tensor> KeptOutput::Fetch() const {
  MutexLock lock(mutex_);
  PIPESERVE_RETURN_IF_ERROR(Check());
  return tensor_;
}

Status KeptOutput::CheckUse(const KeepingServable& servable) const {
  MutexLock lock(mutex_);
  PIPESERVE_RETURN_IF_ERROR(Check());
  if (&servable == origin_->servable.get()) return OkStatus();
  return InvalidArgument(StrCat(ToString(), " is kept by ", origin_->servable->title,
                                ", a call of ", servable.title, " cannot take it"));
}

Status KeptOutput::Check() const {
  if (!end_.ok()) return end_.WithContext(ToString());
  const RequestArena* const current = RequestScope::Current();
  if (current != nullptr && current != arena_) {
    return FailedPrecondition(
        StrCat(ToString(), " is kept for another request than the one that uses it"));
  }
  if (!origin_->servable->executor.expired()) return OkStatus();
  return Unavailable(
      StrCat(ToString(), " is lost, ", origin_->servable->title, " has been stopped"));
}

void KeptOutput::End(const Status& reason) {
  Tensor unused;  // Freed without the lock.
  MutexLock lock(mutex_);
  if (!end_.ok()) return;
  end_ = reason;
  std::swap(unused, tensor_);
}

}  // namespace pipeserve
