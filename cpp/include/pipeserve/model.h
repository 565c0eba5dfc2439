// One model file, loaded and run on the CPU of this process: no server, no pipeline.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct ModelOptions {
  std::string decryption_key = {};          // Empty: not encrypted.
  std::string decryption_mode = "AES-GCM";  // Or "AES-CBC".
  std::optional<int> threads = {};          // Of one run; without, the cores this process may use.
};

// Thread-safe.
class Model {
 public:
  // Errors: kNotFound, kInvalidArgument, kUnimplemented, each naming the file and what is wrong.
  static Result<std::unique_ptr<Model>> Load(const std::string& path,
                                             const ModelOptions& options = {});
  ~Model();

  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;
  // Errors: kInvalidArgument (count, dtype or size of the inputs).
  Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs);

 private:
  class Impl;
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
