#include "agent/shm_space.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <span>

#include "base/counters.h"
#include "base/mutex.h"
#include "base/unix_socket.h"

namespace pipeserve {
namespace {

// For tensors whose size only a call tells; a larger one goes over the stream.
constexpr size_t kUnknownBytes = size_t{256} << 10;
// Room for the inputs of requests that wait, too, as long as they are small.
constexpr size_t kMinArea = size_t{8} << 20;
constexpr size_t kMaxArea = size_t{1} << 30;
// Calls that lag behind, calls that are waited for, and results that a pipeline still holds.
constexpr size_t kCallsUnderWay = 16;

// Stays with a tensor's bytes, so that they are copied once in an epoch however many calls take
// them. Thread-safe.
class CopyInArea final : public BufferCompanion {
 public:
  CopyInArea(const ShmHeap* heap, Buffer copy) : heap_(heap), copy_(std::move(copy)) {}

  // Nothing when the copy lies elsewhere.
  std::optional<Buffer> In(const ShmHeap* heap) const {
    MutexLock lock(mutex_);
    return heap_ == heap ? std::optional(copy_) : std::nullopt;
  }
  void Replace(const ShmHeap* heap, Buffer copy) const {
    MutexLock lock(mutex_);
    heap_ = heap;
    std::swap(copy_, copy);  // The one before is freed without the lock.
  }

 private:
  mutable Mutex mutex_;
  mutable const ShmHeap* heap_ GUARDED_BY(mutex_);  // Alive while the copy is.
  mutable Buffer copy_ GUARDED_BY(mutex_);
};

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

Status ShmSpace::Offer(const std::string& address, const GroupEpoch& epoch,
                       const ShmRingMemory& ring) const {
  PIPESERVE_ASSIGN_OR_RETURN(const Socket socket, DialUnix(address));
  PIPESERVE_ASSIGN_OR_RETURN(const Proof proof, ShmOffer::Prove(epoch));
  const ShmOffer offer{.epoch = epoch.number,
                       .ring_bytes = ring.memory().size(),
                       .input_bytes = inputs_->memory().size(),
                       .output_bytes = outputs_->memory().size(),
                       .proof = proof};
  const std::array<int, 3> descriptors = {ring.memory().fd(), inputs_->memory().fd(),
                                          outputs_->memory().fd()};
  // The message waits in the agent's socket until it looks.
  return SendMessage(socket, std::as_bytes(std::span(&offer, 1)), descriptors,
                     Deadline::After(std::chrono::seconds(1)));
}

std::optional<Buffer> ShmSpace::MakeRoom(size_t bytes) {
  if (inputs_->free_bytes() < inputs_->memory().size() / 2 + bytes) return std::nullopt;
  Result<Buffer> room = inputs_->Allocate(bytes);
  if (!room.ok()) return std::nullopt;
  return *std::move(room);
}

Result<ShmBlock> ShmSpace::Place(const Tensor& tensor, std::vector<Buffer>* kept) {
  if (const std::optional<ShmBlock> block = Find(tensor, kept)) return *block;
  PIPESERVE_ASSIGN_OR_RETURN(Buffer copy, inputs_->Allocate(tensor.byte_size()));
  if (tensor.byte_size() > 0) std::memcpy(copy.mutable_data(), tensor.data(), tensor.byte_size());
  CountCopy(tensor.byte_size());
  if (const auto* earlier = dynamic_cast<const CopyInArea*>(tensor.buffer().companion())) {
    earlier->Replace(inputs_.get(), copy);
  } else {
    tensor.buffer().Attach(std::make_unique<CopyInArea>(inputs_.get(), copy));
  }
  const ShmBlock block{.area = ShmBlock::kInputs,
                       .offset = *inputs_->OffsetOf(copy.data(), copy.size()),
                       .bytes = copy.size(),
                       .serial = ShmHeap::SerialOf(copy)};
  kept->push_back(std::move(copy));
  return block;
}

std::optional<ShmBlock> ShmSpace::Find(const Tensor& tensor, std::vector<Buffer>* kept) const {
  Buffer buffer = tensor.buffer();
  if (const auto* earlier = dynamic_cast<const CopyInArea*>(buffer.companion())) {
    std::optional<Buffer> copy = earlier->In(inputs_.get());
    if (copy.has_value()) buffer = *std::move(copy);
  }
  for (const auto area : {ShmBlock::kInputs, ShmBlock::kOutputs}) {
    const ShmHeap& heap = area == ShmBlock::kInputs ? *inputs_ : *outputs_;
    const std::optional<size_t> offset = heap.OffsetOf(buffer.data(), buffer.size());
    if (!offset.has_value()) continue;
    const ShmBlock block{.area = area,
                         .offset = *offset,
                         .bytes = buffer.size(),
                         .serial = ShmHeap::SerialOf(buffer)};
    kept->push_back(std::move(buffer));
    return block;
  }
  return std::nullopt;
}

}  // namespace pipeserve
