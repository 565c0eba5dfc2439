// Builds graphs from weights and writes them as model files, whole or sharded.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace [[gnu::visibility("default")]] pipeserve {

// One entry per operand, one number per dimension, as MindSpore spells it: {{1, 8}, {8, 1}}.
using ShardStrategy = std::vector<std::vector<int64_t>>;

struct StridedSliceMasks {
  int64_t begin = 0, end = 0, ellipsis = 0, new_axis = 0, shrink_axis = 0;
};

struct StageOptions {
  int stages = 1;  // Of as many ranks each.
  // Else those of the first stage, which send on what others need of the inputs.
  bool all_stages_take_inputs = false;
};

// Not thread-safe. Every operator checks its operands at once and returns the new value. A
// non-empty `strategy` says how the operator is cut over the ranks.
// Errors: kInvalidArgument (an operand that does not fit, a name used twice).
class GraphBuilder {
 public:
  using Value = int32_t;

  explicit GraphBuilder(std::string name);
  ~GraphBuilder();
  GraphBuilder(GraphBuilder&&) noexcept;

  // A dimension of -1 is known only when a call comes.
  Result<Value> Input(const std::string& name, DataType dtype, const Shape& shape);
  Result<Value> Parameter(const std::string& name, const Tensor& weight);

  Result<Value> MatMul(Value a, Value b, bool transpose_a = false, bool transpose_b = false,
                       const ShardStrategy& strategy = {});
  Result<Value> Neg(Value x, const ShardStrategy& strategy = {});
  Result<Value> ReLU(Value x, const ShardStrategy& strategy = {});
  Result<Value> Add(Value a, Value b, const ShardStrategy& strategy = {});
  Result<Value> Sub(Value a, Value b, const ShardStrategy& strategy = {});
  Result<Value> Mul(Value a, Value b, const ShardStrategy& strategy = {});
  Result<Value> BiasAdd(Value x, Value bias, const ShardStrategy& strategy = {});
  // To another type of numbers. Floating point gets the nearest number, ties to even; integers lose
  // the fraction, and what is out of their range becomes the nearest that is in it.
  Result<Value> Cast(Value x, DataType to, const ShardStrategy& strategy = {});
  Result<Value> Reshape(Value x, std::span<const int64_t> dims);
  Result<Value> Transpose(Value x, std::span<const int64_t> perm);
  Result<Value> Concat(std::span<const Value> parts, int64_t axis);
  Result<std::vector<Value>> Split(Value x, int64_t axis, int64_t count);
  Result<Value> StridedSlice(Value x, std::span<const int64_t> begin, std::span<const int64_t> end,
                             std::span<const int64_t> strides, const StridedSliceMasks& masks = {});
  // The stage of operators that are added from now on; at first 0.
  void SetStage(int stage);
  // The results, in order; each call adds one.
  Status Output(Value x);

  // dtype and shape of a value.
  Result<TensorInfo> Info(Value x) const;

  // Writes one whole graph. Errors: kInvalidArgument (no output), kUnavailable (cannot write).
  Status Save(const std::string& path) const;
  // Writes DIR/device<r>/<name>.mindir and DIR/device<r>/group_config.pb for every rank; groups
  // of a group_config.pb that is already there are kept. Errors: those of the strategies and
  // stages, too.
  Status SaveSharded(const std::string& directory, int rank_size,
                     const StageOptions& options = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
