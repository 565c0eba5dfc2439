// One node of a planned graph: its kernel, bound to resolved shapes and to where its operands lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/clock.h"
#include "executor/communicator.h"
#include "executor/cpu/kernels.h"
#include "executor/cpu/thread_team.h"
#include "executor/loaded_graph.h"
#include "graph/graph.h"
#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Where the bytes of a value are while a plan runs.
struct Location {
  enum class Place : uint8_t { kInput, kConstant, kWorkspace, kOutput };
  Place place = Place::kWorkspace;
  size_t index = 0;   // Of the input or output.
  size_t offset = 0;  // In the workspace.
  const std::byte* constant = nullptr;
};

// What one run of a plan works on.
struct Frame {
  std::span<const Tensor> inputs;
  std::span<Tensor> outputs;
  std::byte* workspace = nullptr;
  ThreadTeam* team = nullptr;
  Communicator* communicator = nullptr;  // Set when the plan meets other ranks.
  Deadline deadline;

  const std::byte* Read(const Location& location) const;
  std::byte* Write(const Location& location) const;
};

class Step {
 public:
  virtual ~Step() = default;

  // Bytes of the workspace that the step needs for itself while it runs.
  virtual size_t scratch_bytes() const { return 0; }
  void set_scratch_offset(size_t offset) { scratch_offset_ = offset; }

  virtual Status Run(const Frame& frame) const = 0;
  // Instead of Run() when nobody reads what the step writes: what other ranks need of this one.
  virtual Status Contribute(const Frame& frame) const { return Run(frame); }

 protected:
  std::byte* Scratch(const Frame& frame) const { return frame.workspace + scratch_offset_; }

 private:
  size_t scratch_offset_ = 0;
};

// An operator that is done to the result of a node in the same pass.
struct FollowingNode {
  OpType op = OpType::kNeg;
  size_t operand = 0;  // Of an operator with two, the other one: its index in inputs and from.
};

// A node with everything known about it. The infos and locations are in the node's operand order;
// operands of what follows come after them, and the outputs are those of the last to follow.
struct StepContext {
  const Node& node;
  const kernels::KernelTable& kernels;
  std::vector<TensorInfo> inputs, outputs;
  std::vector<Location> from, to;
  std::vector<FollowingNode> following;
  int threads = 1;
  int rank_size = 1;
};

// Errors: kUnimplemented (no kernel for the data type), kInvalidArgument.
Result<std::unique_ptr<Step>> MakeStep(const StepContext& context);

// Whether `node` has a kernel for these operands; shapes may still have unknown dimensions.
Status CheckSupported(const Node& node, std::span<const TensorInfo> inputs);

// A step that copies `bytes` bytes.
std::unique_ptr<Step> MakeCopyStep(const Location& from, const Location& to, size_t bytes);

// One factory for each kind of node; see MakeStep().
Result<std::unique_ptr<Step>> MakeMatMulStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeUnaryStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeBinaryStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeCastStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeSumStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeTransposeStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeSliceStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeConcatStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeSplitStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeAllReduceStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeAllGatherStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeSendStep(const StepContext& context);
Result<std::unique_ptr<Step>> MakeReceiveStep(const StepContext& context);

}  // namespace pipeserve
