// A rank's end of the shared-memory lane: what the server posted, and where answers go.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/shm_block.h"
#include "agent/shm_ring.h"
#include "base/shared_memory.h"
#include "base/unix_socket.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Of one epoch. One thread takes calls, one answers them; any thread may Wake() the first.
class ShmCalls : public std::enable_shared_from_this<ShmCalls> {
 public:
  // A posted call, checked. Inputs lie in shared memory, which they keep mapped.
  struct Call {
    uint64_t sequence = 0;
    uint64_t epoch = 0;
    int32_t graph = 0;
    std::vector<Tensor> inputs;
    std::vector<Buffer> outputs;  // To be filled; none when they are not wanted.
    // Of the inputs and the outputs; see ShmBlock.
    std::array<uint64_t, kShmTensors> input_serials{}, output_serials{};
  };

  // Takes what the server of `epoch` has sent to `listener`. Errors: kDeadlineExceeded, kAborted
  // (interrupted), kInvalidArgument (not an offer), kResourceExhausted (it cannot be mapped).
  static Result<std::shared_ptr<ShmCalls>> Accept(const UnixListener& listener,
                                                  const GroupEpoch& epoch, const WaitLimit& limit);

  // The call with that number, or nothing when it has not been posted; no call is 0. Errors:
  // kInvalidArgument (what is posted cannot be a call).
  Result<std::optional<Call>> Find(uint64_t sequence);
  // The number of the first call of this epoch; 0 before it is sent.
  uint64_t first_sequence() const { return ring().first_sequence.load(std::memory_order_acquire); }

  // `outputs` fill call.outputs exactly, or are not wanted. Those that lie elsewhere are copied.
  void Answer(const Call& call, const Status& status, const std::vector<Tensor>& outputs);

  // Sleep until something was posted, or Wake() was called, since signal() was read.
  uint32_t signal() const { return ring().posted.value(); }
  void WaitWhile(uint32_t seen) { (void)ring().posted.WaitWhile(seen, Deadline::Infinite()); }
  void Wake() { ring().posted.Alarm(); }

 private:
  ShmCalls(SharedMemory ring, SharedMemory inputs, SharedMemory outputs);

  ShmRing& ring() const { return *reinterpret_cast<ShmRing*>(ring_.data()); }
  static Status FillOutputs(const Call& call, const std::vector<Tensor>& outputs, ShmReply* reply);
  Result<Buffer> Map(const ShmBlock& block);
  Result<Tensor> Input(const ShmTensorHead& head, const ShmBlock& block);

  const SharedMemory ring_;
  const SharedMemory inputs_;
  const SharedMemory outputs_;
};

}  // namespace pipeserve
