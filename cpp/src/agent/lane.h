// How the calls of a group travel to one rank, and its answers back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/executor.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// One call for one rank. `inputs` are from EncodeInputs() and shared by the ranks; null when this
// one takes none.
struct RankCall {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  GraphId graph = 0;
  bool wants_outputs = false;
  std::shared_ptr<const std::string> inputs;
};

struct RankReply {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  Status status;
  std::vector<Tensor> outputs;
};

// Thread-safe. Calls arrive in the order of Send(). No function blocks, and none reports to the
// listener on the calling thread.
class Lane {
 public:
  virtual ~Lane() = default;
  // A lane that is closed drops the call; whoever closed it knows.
  virtual void Send(RankCall call) = 0;
  // Ends the connection to the rank, which learns `reason`. The first reason stays.
  virtual void Close(const Status& reason) = 0;
};

// Where the answers of all lanes go. Called from any thread.
class LaneListener {
 public:
  virtual ~LaneListener() = default;
  virtual void OnReply(int rank, RankReply reply) = 0;
  // The rank of `epoch` is gone.
  virtual void OnClosed(int rank, uint64_t epoch, const Status& reason) = 0;
};

}  // namespace pipeserve
