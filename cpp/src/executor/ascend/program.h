// Something that runs on the device: its inputs are copied there, it runs, its outputs are copied
// back.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "executor/ascend/memory.h"
#include "executor/ascend/stream.h"
#include "executor/ascend/workspace.h"
#include "pipeserve/tensor.h"

namespace pipeserve::ascend {

// One value that crosses to or from the device.
struct Port {
  TensorInfo info;
  std::byte* device = nullptr;
  size_t bytes = 0;
  size_t staged = 0;  // Where it lies in pinned memory.
};

// Serves one call at a time.
class Program {
 public:
  virtual ~Program() = default;

  // `inputs` have the byte sizes of the input ports. `outputs` is replaced on success. Errors:
  // those of Stream::Synchronize() and of the runtime.
  Status Run(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs,
             std::span<const Buffer> places, const WaitFor& wait, std::vector<Tensor>* outputs);

 protected:
  // Enqueues what computes the outputs where the ports say.
  virtual Status Launch(Stream& stream, Workspace& workspace) = 0;

  // What a subclass says once of its values. Errors: kResourceExhausted, those of the runtime.
  Status SetPorts(Device& device, std::vector<Port> inputs, std::vector<Port> outputs);

 private:
  Status Enqueue(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs);
  Tensor TakeOutput(const Port& port, std::span<const Buffer> places, size_t index) const;

  PinnedBlock staging_;
  std::vector<Port> inputs_, outputs_;
};

}  // namespace pipeserve::ascend
