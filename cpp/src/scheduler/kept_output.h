// An output that a request keeps: the bytes behind a handle, and who may use them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/mutex.h"
#include "executor/executor.h"
#include "pipeserve/resident_tensor.h"

namespace pipeserve {

class RequestArena;

// A servable as its outputs know it; one object for each.
struct KeepingServable {
  std::string title;  // "lm version 1"
  // A request of another servable may keep outputs of this one for longer than it is loaded.
  std::weak_ptr<const Executor> executor;
};

// What the outputs of one method have in common.
struct OutputOrigin {
  std::shared_ptr<const KeepingServable> servable;
  std::string method;  // "lm.step"
};

// Thread-safe.
class KeptOutput final : public ResidentTensor {
 public:
  // Output number `index` of a call on behalf of `arena`, which calls End() before it is gone.
  KeptOutput(std::shared_ptr<const OutputOrigin> origin, size_t index, const RequestArena* arena,
             Tensor tensor);

  DataType dtype() const override { return dtype_; }
  const Shape& shape() const override { return shape_; }
  std::string ToString() const override;
  Result<Tensor> Fetch() const override EXCLUDES(mutex_);

  // Whether the calling thread may give it to a call of `servable`. Errors: kInvalidArgument (it is
  // another's), those of Fetch().
  Status CheckUse(const KeepingServable& servable) const EXCLUDES(mutex_);

  // Frees the bytes; from now on every use fails with `reason`. The first reason stays.
  void End(const Status& reason) EXCLUDES(mutex_);

 private:
  Status Check() const REQUIRES(mutex_);

  const std::shared_ptr<const OutputOrigin> origin_;
  const size_t index_;
  const RequestArena* const arena_;  // To be compared, while end_ is success.
  const DataType dtype_;
  const Shape shape_;
  mutable Mutex mutex_;
  Tensor tensor_ GUARDED_BY(mutex_);
  Status end_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
