// The shared memory of one epoch: what the server hands to the ranks of its host.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/shm_heap.h"
#include "agent/shm_ring.h"
#include "executor/group_epoch.h"
#include "graph/graph.h"

namespace pipeserve {

// A ring as the server holds it.
class ShmRingMemory {
 public:
  // Errors: those of SharedMemory::Create().
  static Result<ShmRingMemory> Create();

  ShmRing& operator*() const { return *reinterpret_cast<ShmRing*>(memory_.data()); }
  ShmRing* operator->() const { return &**this; }
  const SharedMemory& memory() const { return memory_; }

 private:
  explicit ShmRingMemory(SharedMemory memory) : memory_(std::move(memory)) {}
  SharedMemory memory_;
};

// One area for the inputs of all ranks, one for the outputs of the rank that is asked for them.
class ShmSpace {
 public:
  // Large enough for as many calls as can be under way. Errors: those of SharedMemory::Create().
  static Result<std::shared_ptr<ShmSpace>> Create(const std::vector<GraphSignature>& signatures);

  // Hands the areas and a ring to the agent that listens at `address`, without waiting for it.
  // Errors: kUnavailable (no such listener: the agent is on another host), kPermissionDenied.
  Status Offer(const std::string& address, const GroupEpoch& epoch,
               const ShmRingMemory& ring) const;

  // Room in the inputs' area for a tensor of a request, which may wait long before its calls: only
  // while half of the area is left for inputs that calls take from elsewhere.
  std::optional<Buffer> MakeRoom(size_t bytes);

  // Where `tensor` lies, which is copied unless it lies in an area already, or was copied for an
  // earlier call. `kept` holds what has to stay until every rank has run the call. Errors:
  // kResourceExhausted.
  Result<ShmBlock> Place(const Tensor& tensor, std::vector<Buffer>* kept);

  ShmHeap& inputs() { return *inputs_; }
  ShmHeap& outputs() { return *outputs_; }

 private:
  std::optional<ShmBlock> Find(const Tensor& tensor, std::vector<Buffer>* kept) const;

  ShmSpace(std::shared_ptr<ShmHeap> inputs, std::shared_ptr<ShmHeap> outputs)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

  const std::shared_ptr<ShmHeap> inputs_;
  const std::shared_ptr<ShmHeap> outputs_;
};

}  // namespace pipeserve
