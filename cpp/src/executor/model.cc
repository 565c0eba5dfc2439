#include "pipeserve/model.h"

#include <utility>

#include "base/available_cores.h"
#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "graph/model_file.h"

namespace pipeserve {
namespace {

Result<std::optional<Decryption>> DecryptionOf(const ModelOptions& options) {
  if (options.decryption_key.empty()) return std::optional<Decryption>();
  if (options.decryption_mode == "AES-GCM") {
    return std::optional(Decryption{options.decryption_key, DecryptMode::kAesGcm});
  }
  if (options.decryption_mode == "AES-CBC") {
    return std::optional(Decryption{options.decryption_key, DecryptMode::kAesCbc});
  }
  return InvalidArgument(
      StrCat("decryption_mode is \"", options.decryption_mode, "\", wanted is AES-GCM or AES-CBC"));
}

}  // namespace

class Model::Impl {
 public:
  explicit Impl(std::unique_ptr<CpuExecutor> executor) : executor_(std::move(executor)) {}

  std::unique_ptr<CpuExecutor> executor_;
};

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::~Model() = default;

Result<std::unique_ptr<Model>> Model::Load(const std::string& path, const ModelOptions& options) {
  ReadOptions read;
  PIPESERVE_ASSIGN_OR_RETURN(read.decryption, DecryptionOf(options));
  PIPESERVE_ASSIGN_OR_RETURN(Graph graph, ReadMindir(path, read));
  std::vector<Graph> graphs;
  graphs.push_back(std::move(graph));
  auto executor = CpuExecutor::Create(
      std::move(graphs),
      CpuExecutorOptions{options.threads.value_or(AvailableCores()), nullptr, 1});
  if (!executor.ok()) return executor.status().WithContext(path);
  return std::unique_ptr<Model>(new Model(std::make_unique<Impl>(*std::move(executor))));
}

const std::vector<TensorInfo>& Model::inputs() const {
  return impl_->executor_->signature(0).inputs;
}
const std::vector<TensorInfo>& Model::outputs() const {
  return impl_->executor_->signature(0).outputs;
}

Result<std::vector<Tensor>> Model::Run(std::span<const Tensor> inputs) {
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(impl_->executor_->Run(0, inputs, {}, &outputs));
  return outputs;
}

}  // namespace pipeserve
