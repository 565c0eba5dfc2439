// How the calls of a group travel to one rank, and its answers back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/shm_block.h"
#include "executor/executor.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

class ShmSpace;

// Calls that a lane keeps at most: sent, and not yet taken or given up by whoever waits for them.
inline constexpr uint64_t kCallWindow = 16;

// The inputs of one call, for all its ranks: made ready once for all lanes of a kind. Filled by the
// one thread that sends the call, and kept until every rank has answered.
class CallInputs {
 public:
  explicit CallInputs(std::span<const Tensor> tensors) : tensors_(tensors) {}

  // What the caller lent: valid while the call is being sent.
  std::span<const Tensor> tensors() const { return tensors_; }
  // As from EncodeInputs().
  const std::shared_ptr<const std::string>& Encoded();
  // In the shared memory of the ranks on this host. Errors: kResourceExhausted (no room).
  Result<std::span<const ShmBlock>> Placed(ShmSpace& space);

 private:
  Status Place(ShmSpace& space);

  const std::span<const Tensor> tensors_;
  std::shared_ptr<const std::string> encoded_;
  std::optional<Status> placed_;
  std::vector<ShmBlock> blocks_;
  std::vector<Buffer> kept_;  // What the blocks refer to.
};

// One call for one rank.
struct RankCall {
  uint64_t sequence = 0;  // Grows by one from call to call; the first of a lane is any.
  uint64_t epoch = 0;
  GraphId graph = 0;
  bool wants_outputs = false;
  bool keeps_outputs = false;    // For later calls to take.
  CallInputs* inputs = nullptr;  // Valid inside Send(); null when this rank takes none.
};

struct RankReply {
  uint64_t sequence = 0;
  Status status = {};
  std::vector<Tensor> outputs = {};
};

// Thread-safe. Calls are run, and answered, in the order of Send().
class Lane {
 public:
  virtual ~Lane() = default;

  // Room for an input of a later call, in memory that the rank reads; nothing when there is none,
  // or little is left for the calls themselves.
  virtual std::optional<Buffer> MakeRoom(size_t /*bytes*/) { return std::nullopt; }

  // Never blocks. At most kCallWindow calls ahead of the oldest that is still waited for. A lane
  // that is closed drops the call.
  virtual void Send(const RankCall& call) = 0;

  // The newest call that has been answered, and with it all before; 0 before the first.
  virtual uint64_t answered() const = 0;
  // Returns when `sequence` has been answered. Errors: kDeadlineExceeded and kCancelled (as
  // `context` says); the reason of Close().
  virtual Status Await(uint64_t sequence, const CallContext& context) = 0;
  // Lets all who wait look whether they have been cancelled.
  virtual void Wake() = 0;
  // The answer, once: after a successful Await(), and before kCallWindow later calls are sent.
  virtual RankReply Take(uint64_t sequence) = 0;
  // Instead of Take(): nobody wants the answer, which goes as soon as it has come and somebody
  // looks at answered().
  virtual void Drop(uint64_t sequence) = 0;

  // Ends the connection to the rank, which learns `reason`, and every wait. The first reason stays.
  virtual void Close(const Status& reason) = 0;
};

}  // namespace pipeserve
