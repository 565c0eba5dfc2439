// Collectives among the ranks of a servable, and messages from one to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/clock.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// One rank's end of the group. All ranks of `ranks` call the same operations in the same order,
// and any two ranks agree about the order of the messages and collectives between them; one thread
// at a time calls into one communicator, except Abort(), which any thread may call.
//
// `ranks` are global, ascending, and contain rank(); empty means all. Every operation returns an
// error on every member when one of them fails, aborts or does not come before the deadline:
// kDeadlineExceeded, kAborted (with the reason given to Abort), kUnavailable (a peer is gone).
// A rank that could finish before the failure may learn of it in its next operation only. Also
// kInvalidArgument (a wrong group or data type) and kFailedPrecondition (members disagree about the
// operation or its size; the message names both).
// A member that needs no result passes no `output`, and may return before the others have come.
// After an error the communicator stays broken and every later operation returns the same error.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Element-wise sum of every member's `input` into every member's `output` (may be the same
  // memory). Added in rank order, so all members get identical bits. float16 adds in float32.
  // Data types: float16, float32, int32.
  virtual Status AllReduceSum(std::span<const int32_t> ranks, DataType dtype, const void* input,
                              void* output, size_t count, Deadline deadline) = 0;

  // Concatenates every member's `bytes` bytes in rank order into `output`.
  virtual Status AllGather(std::span<const int32_t> ranks, const void* input, size_t bytes,
                           void* output, Deadline deadline) = 0;

  // Hands `bytes` bytes to rank `to` and does not wait until it takes them: kMostUntaken whole
  // messages to one rank may be on their way, of any size; only the next one waits for it.
  // Receive() takes the messages of one rank in the order in which they were sent. `tag` and the
  // size are what both sides must agree about. What a rank sent that left or broke may be lost.
  static constexpr size_t kMostUntaken = 4;
  virtual Status Send(int32_t to, int64_t tag, const void* input, size_t bytes,
                      Deadline deadline) = 0;
  virtual Status Receive(int32_t from, int64_t tag, void* output, size_t bytes,
                         Deadline deadline) = 0;

  // Makes the running and all later operations fail with `reason` on this rank, and lets the
  // peers know as soon as they would wait for it. Idempotent; the first reason stays.
  virtual void Abort(Status reason) = 0;
};

}  // namespace pipeserve
