#include "executor/ascend/program.h"

#include <cstring>
#include <utility>

namespace pipeserve::ascend {
namespace {

constexpr size_t kAlignment = 64;  // Of values in pinned memory.

uint64_t SerialAt(std::span<const uint64_t> serials, size_t index) {
  return index < serials.size() ? serials[index] : 0;
}

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

Status Program::Enqueue(const Workbench& bench, const Streams::Events& events,
                        std::span<const Tensor> inputs, const CallContext& context, Call* call) {
  Streams& streams = bench.streams;
  for (const Buffer& place : context.places) bench.kept.Drop(place.data());
  PIPESERVE_RETURN_IF_ERROR(TakeInputs(bench, inputs, context, call));
  PIPESERVE_RETURN_IF_ERROR(streams.HandToCompute(events));
  PIPESERVE_RETURN_IF_ERROR(Launch(streams.compute(), bench.workspace));
  PIPESERVE_RETURN_IF_ERROR(KeepOutputs(bench, context, call));
  PIPESERVE_RETURN_IF_ERROR(streams.HandToDownload(events));
  if (context.outputs_wanted) PIPESERVE_RETURN_IF_ERROR(CopyBack(streams.download()));
  return streams.HandBack(events);
}

// What is on the device already is not copied there.
Status Program::TakeInputs(const Workbench& bench, std::span<const Tensor> inputs,
                           const CallContext& context, Call* call) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Port& port = inputs_[i];
    const uint64_t serial = SerialAt(context.input_serials, i);
    if (port.bytes == 0) continue;
    if (serial != 0 && port.held_serial == serial && port.held_epoch == bench.epoch) continue;
    port.held_serial = serial;
    port.held_epoch = bench.epoch;
    if (KeptValues::BlockPtr kept = bench.kept.Find(serial, port.bytes)) {
      PIPESERVE_RETURN_IF_ERROR(
          bench.streams.compute().CopyOnDevice(port.device, kept->data(), port.bytes));
      call->used.push_back(std::move(kept));
      continue;
    }
    std::byte* const staged = staging_.data() + port.staged;
    std::memcpy(staged, inputs[i].data(), port.bytes);
    PIPESERVE_RETURN_IF_ERROR(bench.streams.upload().CopyToDevice(port.device, staged, port.bytes));
  }
  return OkStatus();
}

Status Program::KeepOutputs(const Workbench& bench, const CallContext& context, Call* call) {
  call->made.resize(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Port& port = outputs_[i];
    if (port.bytes == 0 || SerialAt(context.output_serials, i) == 0) continue;
    PIPESERVE_ASSIGN_OR_RETURN(call->made[i], bench.kept.MakeRoom(port.bytes));
    if (call->made[i] == nullptr) continue;
    PIPESERVE_RETURN_IF_ERROR(
        bench.streams.compute().CopyOnDevice(call->made[i]->data(), port.device, port.bytes));
  }
  return OkStatus();
}

Status Program::CopyBack(Stream& stream) {
  for (const Port& port : outputs_) {
    if (port.bytes == 0) continue;
    std::byte* const staged = staging_.data() + port.staged;
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToHost(staged, port.device, port.bytes));
  }
  return OkStatus();
}

std::vector<Tensor> Program::TakeOutputs(std::span<const Buffer> places) const {
  std::vector<Tensor> outputs;
  outputs.reserve(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs.push_back(TakeOutput(outputs_[i], places, i));
  }
  return outputs;
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

void Program::Forget() {
  for (Port& port : inputs_) port.held_serial = 0;
}

}  // namespace pipeserve::ascend
