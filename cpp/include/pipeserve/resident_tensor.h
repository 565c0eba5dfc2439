// An output that stays where it was computed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace [[gnu::visibility("default")]] pipeserve {

// A handle to an output that a call has kept for its request; made by Server::RunAndKeep() and
// SubmitAndKeep(). A later call of the same servable takes it without its bytes being moved. They
// are freed with the last reference to the handle, and when the request ends, however it ends; a
// tensor that was fetched before keeps them on its own. Thread-safe.
class ResidentTensor {
 public:
  virtual ~ResidentTensor() = default;

  // These never change, whether or not there are bytes.
  virtual DataType dtype() const = 0;
  virtual const Shape& shape() const = 0;
  // "float32[2,64] (output 0 of lm.step)".
  virtual std::string ToString() const = 0;

  // The tensor: read-only. Nothing is copied, but in a worker process, which gets a copy. Errors:
  // kFailedPrecondition (the request has ended, or the calling thread works for another one),
  // kDeadlineExceeded or kCancelled (the request was given up), kUnavailable (the servable that
  // computed it has been stopped).
  virtual Result<Tensor> Fetch() const = 0;

  // What stands for it among the values of a call, and of what a host function returns: the tensor
  // or, where that is in another process, one without bytes. Errors: those of Fetch().
  virtual Result<Tensor> AsArgument() const { return Fetch(); }
};

using ResidentTensors = std::vector<std::shared_ptr<const ResidentTensor>>;

}  // namespace pipeserve
