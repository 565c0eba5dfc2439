#include "executor/ascend/program.h"

#include <cstring>
#include <utility>

namespace pipeserve::ascend {
namespace {

constexpr size_t kAlignment = 64;  // Of values in pinned memory.

}  // namespace

Status Program::SetPorts(Device& device, std::vector<Port> inputs, std::vector<Port> outputs) {
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  size_t staged = 0;
  for (std::vector<Port>* ports : {&inputs_, &outputs_}) {
    for (Port& port : *ports) {
      port.staged = staged;
      staged += (port.bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
  }
  if (staged == 0) return OkStatus();
  PIPESERVE_ASSIGN_OR_RETURN(staging_, PinnedBlock::Allocate(device, staged));
  return OkStatus();
}

Status Program::Run(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs,
                    std::span<const Buffer> places, const WaitFor& wait,
                    std::vector<Tensor>* outputs) {
  const Status enqueued = Enqueue(stream, workspace, inputs);
  // Also after a failure: what has been enqueued works on memory that the next call writes to.
  const Status done = stream.Synchronize(wait);
  PIPESERVE_RETURN_IF_ERROR(enqueued);
  PIPESERVE_RETURN_IF_ERROR(done);
  std::vector<Tensor> made;
  made.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    made.push_back(TakeOutput(outputs_[i], places, i));
  }
  *outputs = std::move(made);
  return OkStatus();
}

Status Program::Enqueue(Stream& stream, Workspace& workspace, std::span<const Tensor> inputs) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const Port& port = inputs_[i];
    if (port.bytes == 0) continue;
    std::byte* const staged = staging_.data() + port.staged;
    std::memcpy(staged, inputs[i].data(), port.bytes);
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToDevice(port.device, staged, port.bytes));
  }
  PIPESERVE_RETURN_IF_ERROR(Launch(stream, workspace));
  for (const Port& port : outputs_) {
    if (port.bytes == 0) continue;
    std::byte* const staged = staging_.data() + port.staged;
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToHost(staged, port.device, port.bytes));
  }
  return OkStatus();
}

Tensor Program::TakeOutput(const Port& port, std::span<const Buffer> places, size_t index) const {
  const bool has_place = index < places.size() && places[index].size() == port.bytes;
  Tensor output = has_place ? Tensor(port.info.dtype, port.info.shape, places[index])
                            : Tensor(port.info.dtype, port.info.shape);
  if (port.bytes > 0) {
    std::memcpy(output.mutable_data(), staging_.data() + port.staged, port.bytes);
  }
  return output;
}

}  // namespace pipeserve::ascend
