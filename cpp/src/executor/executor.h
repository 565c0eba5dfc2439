// What runs graphs: one device of this process, or a group of remote agents. The scheduler sees
// no difference.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/cancel_token.h"
#include "base/clock.h"
#include "graph/graph.h"
#include "pipeserve/host_lock.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// What a call carries besides its tensors.
struct CallContext {
  Deadline deadline = {};  // Of the request; a call that has started on ranks still finishes there.
  uint64_t request_id = 0;  // For logs.
  // Raised once nobody waits for the result: a call that still waits, for its turn or for others,
  // returns. Null: never.
  std::shared_ptr<CancelToken> cancelled = nullptr;
  // What the calling thread holds, for the scheduler to give up during the call. Null: nothing.
  HostLock* host_lock = nullptr;
  // Where outputs are wanted, in their order; none: nowhere in particular. An executor that can
  // computes an output in the place of its size and returns that buffer; else it leaves it alone.
  std::span<const Buffer> places = {};
  // False: the call is not made a second time when a group of agents is lost under it.
  bool replayable = true;
  // False: nobody reads the outputs, which may be left out. What other ranks need of this one is
  // done all the same.
  bool outputs_wanted = true;
  // The outputs are kept to become inputs of later calls.
  bool keeps_outputs = false;
  // One number for each input, and for each output that comes back as an input, in their order; 0,
  // or none at all: it has none. A number stands for the same bytes for as long as the executor's
  // group lasts, so what an executor still has where it computes need not be taken there again.
  std::span<const uint64_t> input_serials = {};
  std::span<const uint64_t> output_serials = {};

  bool is_cancelled() const { return cancelled != nullptr && cancelled->raised(); }
};

using GraphId = int32_t;

// Runs the graphs of one servable on one device. Thread-safe.
class Executor {
 public:
  virtual ~Executor() = default;

  virtual int graph_count() const = 0;
  // `graph` is in [0, graph_count()). The reference lives as long as the executor.
  virtual const GraphSignature& signature(GraphId graph) const = 0;

  // `bytes` bytes, not cleared, for what will be an input: where this reads it without a copy.
  virtual Buffer MakeRoom(size_t bytes) { return Buffer::Allocate(bytes); }

  // Whether Run() computes `graph` on the calling thread and its helpers and waits for nobody else,
  // neither for other calls nor for other processes.
  virtual bool RunsAlone(GraphId /*graph*/) const { return false; }

  // Runs `graph` on `inputs`, in signature order, and replaces `outputs`, whose capacity is reused.
  // Inputs are borrowed, never written. Input shapes may differ from the signature when the byte
  // size is the same (the original compares bytes and data type only); a dynamic dimension takes
  // what comes.
  //
  // Errors: kInvalidArgument (wrong count, size or dtype, or no such graph), kDeadlineExceeded,
  // kCancelled, kUnavailable (the device or group is gone; another executor may still
  // succeed), kAborted (a peer failed inside a collective).
  virtual Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                     std::vector<Tensor>* outputs) = 0;
};

}  // namespace pipeserve
