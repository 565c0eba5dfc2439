#include "agent/shm_space.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <span>

#include "base/unix_socket.h"

namespace pipeserve {
namespace {

// For tensors whose size only a call tells; a larger one goes over the stream.
constexpr size_t kUnknownBytes = size_t{256} << 10;
constexpr size_t kMinArea = size_t{1} << 20;
constexpr size_t kMaxArea = size_t{1} << 30;
// Calls that lag behind, calls that are waited for, and results that a pipeline still holds.
constexpr size_t kCallsUnderWay = 16;

size_t BytesOf(const std::vector<TensorInfo>& infos) {
  size_t bytes = 0;
  for (const TensorInfo& info : infos) {
    const int64_t size = info.byte_size();
    bytes += (size < 0 ? kUnknownBytes : static_cast<size_t>(size)) + ShmHeap::kAlignment;
  }
  return bytes;
}

size_t AreaBytes(size_t largest_call) {
  return std::clamp(std::min(largest_call, kMaxArea) * kCallsUnderWay, kMinArea, kMaxArea);
}

}  // namespace

Result<ShmRingMemory> ShmRingMemory::Create() {
  PIPESERVE_ASSIGN_OR_RETURN(SharedMemory memory,
                             SharedMemory::Create("pipeserve-ring", sizeof(ShmRing)));
  new (memory.data()) ShmRing;
  return ShmRingMemory(std::move(memory));
}

Result<std::shared_ptr<ShmSpace>> ShmSpace::Create(const std::vector<GraphSignature>& signatures) {
  size_t inputs = 0, outputs = 0;
  for (const GraphSignature& signature : signatures) {
    inputs = std::max(inputs, BytesOf(signature.inputs));
    outputs = std::max(outputs, BytesOf(signature.outputs));
  }
  PIPESERVE_ASSIGN_OR_RETURN(auto input_heap,
                             ShmHeap::Create("pipeserve-inputs", AreaBytes(inputs)));
  PIPESERVE_ASSIGN_OR_RETURN(auto output_heap,
                             ShmHeap::Create("pipeserve-outputs", AreaBytes(outputs)));
  return std::shared_ptr<ShmSpace>(new ShmSpace(std::move(input_heap), std::move(output_heap)));
}

Status ShmSpace::Offer(const std::string& address, uint64_t epoch,
                       const ShmRingMemory& ring) const {
  PIPESERVE_ASSIGN_OR_RETURN(const Socket socket, DialUnix(address));
  const ShmOffer offer{.epoch = epoch,
                       .ring_bytes = ring.memory().size(),
                       .input_bytes = inputs_->memory().size(),
                       .output_bytes = outputs_->memory().size()};
  const std::array<int, 3> descriptors = {ring.memory().fd(), inputs_->memory().fd(),
                                          outputs_->memory().fd()};
  // The message waits in the agent's socket until it looks.
  return SendMessage(socket, std::as_bytes(std::span(&offer, 1)), descriptors,
                     Deadline::After(std::chrono::seconds(1)));
}

Result<ShmBlock> ShmSpace::Place(const Tensor& tensor, std::vector<Buffer>* kept) {
  ShmBlock block{.area = ShmBlock::kInputs, .offset = 0, .bytes = tensor.byte_size()};
  for (const auto area : {ShmBlock::kInputs, ShmBlock::kOutputs}) {
    const ShmHeap& heap = area == ShmBlock::kInputs ? *inputs_ : *outputs_;
    if (const auto offset = heap.OffsetOf(tensor.data(), tensor.byte_size())) {
      block.area = area;
      block.offset = *offset;
      kept->push_back(tensor.buffer());
      return block;
    }
  }
  PIPESERVE_ASSIGN_OR_RETURN(Buffer copy, inputs_->Allocate(tensor.byte_size()));
  if (tensor.byte_size() > 0) std::memcpy(copy.mutable_data(), tensor.data(), tensor.byte_size());
  block.offset = *inputs_->OffsetOf(copy.data(), copy.size());
  kept->push_back(std::move(copy));
  return block;
}

}  // namespace pipeserve
