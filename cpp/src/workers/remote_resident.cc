#include "workers/remote_resident.h"

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// Marks the bytes, of which there are none, as standing for a resident.
class ResidentMark final : public BufferCompanion {
 public:
  explicit ResidentMark(std::shared_ptr<const RemoteResident> resident)
      : resident_(std::move(resident)) {}
  const RemoteResident* resident() const { return resident_.get(); }

 private:
  const std::shared_ptr<const RemoteResident> resident_;
};

}  // namespace

Status RemoteResident::CheckRequest() const {
  if (session_->request() == request_) return OkStatus();
  return FailedPrecondition(StrCat(ToString(), ": its request has ended"));
}

Result<Tensor> RemoteResident::Fetch() const {
  PIPESERVE_RETURN_IF_ERROR(CheckRequest());
  {
    MutexLock lock(mutex_);
    if (!fetched_.empty()) return fetched_;
  }
  PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, AskFront());
  MutexLock lock(mutex_);
  if (fetched_.empty()) fetched_ = std::move(tensor);
  return fetched_;
}

Result<Tensor> RemoteResident::AskFront() const {
  PIPESERVE_ASSIGN_OR_RETURN(
      const WorkerMessage reply,
      session_->Ask({.kind = WorkerMessageKind::kFetch, .number = value_.resident}));
  if (reply.instances.size() == 1 && reply.instances[0].ok() && reply.instances[0]->size() == 1) {
    return reply.instances[0]->front().tensor;
  }
  return Internal(StrCat(ToString(), ": the front has sent something else"));
}

Result<Tensor> RemoteResident::AsArgument() const {
  PIPESERVE_RETURN_IF_ERROR(CheckRequest());
  Buffer nothing = Buffer::Wrap(nullptr, 0, nullptr);
  nothing.Attach(std::make_unique<ResidentMark>(shared_from_this()));
  return Tensor(dtype(), shape(), std::move(nothing));
}

const RemoteResident* RemoteResident::OfArgument(const Tensor& tensor) {
  const auto* const mark = dynamic_cast<const ResidentMark*>(tensor.buffer().companion());
  return mark == nullptr ? nullptr : mark->resident();
}

}  // namespace pipeserve
