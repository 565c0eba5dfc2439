// What is common to all operators: plan it in phase 1, launch it in phase 2.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "call.h"
#include "view.h"

namespace pipeserve::ascend::sim {

struct TensorObject final : Object {
  static constexpr Kind kKind = Kind::kTensor;
  TensorObject() : Object(kKind) {}

  View view;
  std::shared_ptr<Block> block;  // Null for a tensor without elements.
  int needed_by = 0;             // Repeatable executors.
};

struct ScalarObject final : Object {
  static constexpr Kind kKind = Kind::kScalar;
  ScalarObject() : Object(kKind) {}

  abi::AclDataType type = abi::AclDataType::kUndefined;
  double real = 0;
  int64_t integer = 0;
};

struct IntArrayObject final : Object {
  static constexpr Kind kKind = Kind::kIntArray;
  IntArrayObject() : Object(kKind) {}

  std::vector<int64_t> values;
};

// What phase 1 makes of its arguments.
struct Plan {
  std::vector<std::shared_ptr<TensorObject>> inputs;
  std::shared_ptr<TensorObject> output;
  bool in_place_allowed = true;  // The output may be exactly an input.
  bool repeatable = true;
  std::function<void()> compute;
};

struct ExecutorObject final : Object {
  static constexpr Kind kKind = Kind::kExecutor;
  ExecutorObject() : Object(kKind) {}

  Function launch = Function::kCount;
  Plan plan;
  uint64_t workspace = 0;
  bool repeatable = false;
  const std::thread::id thread = std::this_thread::get_id();
};

// The tensors of an operator's arguments. Reports what is no tensor; false then.
bool FindTensors(Call& call, std::initializer_list<const abi::Tensor*> handles,
                 std::vector<std::shared_ptr<TensorObject>>* tensors);

// Phase 1's end: checks what is common, and makes the executor.
abi::AclCode Finish(Call& call, Plan plan, uint64_t* size, abi::OpExecutor** executor);

// Phase 2.
abi::AclCode Launch(Call& call, void* workspace, uint64_t size, abi::OpExecutor* executor,
                    abi::Stream* stream);

// Shapes, types or values that the operator does not take.
Failure Refuse(Call& call, const std::string& text);

}  // namespace pipeserve::ascend::sim
