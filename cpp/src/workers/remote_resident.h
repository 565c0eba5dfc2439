// A resident tensor of a request, in the worker that runs the request's function.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "workers/session_talk.h"

namespace pipeserve {

// Thread-safe. Its end is told to the front.
class RemoteResident final : public ResidentTensor,
                             public std::enable_shared_from_this<RemoteResident> {
 public:
  RemoteResident(std::shared_ptr<SessionTalk> session, const WorkerValue& value)
      : session_(std::move(session)), request_(session_->request()), value_(value) {}
  ~RemoteResident() override { session_->Release(value_.resident); }

  DataType dtype() const override { return value_.tensor.dtype(); }
  const Shape& shape() const override { return value_.tensor.shape(); }
  std::string ToString() const override { return value_.title; }

  // The front is asked once.
  Result<Tensor> Fetch() const override EXCLUDES(mutex_);
  // A tensor without bytes, by which OfArgument() finds this again.
  Result<Tensor> AsArgument() const override;

  // The resident that the tensor stands for; null for any other tensor.
  static const RemoteResident* OfArgument(const Tensor& tensor);
  const WorkerValue& value() const { return value_; }

 private:
  Status CheckRequest() const;
  Result<Tensor> AskFront() const;

  const std::shared_ptr<SessionTalk> session_;
  const uint64_t request_;
  const WorkerValue value_;
  mutable Mutex mutex_;  // Not held while the front is asked.
  mutable Tensor fetched_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
