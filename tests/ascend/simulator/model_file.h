// What stands in for an .om file: a small text.
//
//   pipeserve-sim-model
//   input x float32 2,3
//   input y float32 3,4
//   output z float32 2,4
//   matmul x y z
//
// Operations: "neg x z", "matmul x y z". A dim of -1 stands for a dynamic shape.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "stream.h"
#include "view.h"

namespace pipeserve::ascend::sim {

struct ModelTensor {
  std::string name;
  abi::AclDataType type;
  std::vector<int64_t> dims;

  size_t size() const;  // In bytes; 0 for a dynamic shape.
};

struct Model {
  uint32_t id = 0;
  std::shared_ptr<ContextObject> context;
  Point last_run;
  std::vector<ModelTensor> inputs;
  std::vector<ModelTensor> outputs;
  std::string operation;

  // With the data of inputs and outputs, in their order.
  void Run(const std::vector<const std::byte*>& inputs, std::byte* output) const;
};

// Null, with the reason, for what is no such file.
std::shared_ptr<Model> ReadModel(const std::string& path, std::string* why);

}  // namespace pipeserve::ascend::sim
