// A model that was compiled beforehand.
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/ascend_executor.h"

namespace pipeserve::ascend::check {
namespace {

constexpr size_t kShown = 8;  // Of the numbers of an output.

Json Describe(const std::vector<TensorInfo>& infos) {
  Json described = Json::array();
  for (const TensorInfo& info : infos) described.push_back(info.ToString());
  return described;
}

// All ones, in every type a sum of which can be done in the head.
Tensor Ones(const TensorInfo& info) {
  Tensor tensor(info.dtype, info.shape);
  std::memset(tensor.mutable_data(), 0, tensor.byte_size());
  const auto count = static_cast<size_t>(info.shape.num_elements());
  if (info.dtype == DataType::kFloat32) std::fill_n(tensor.mutable_data_as<float>(), count, 1.0F);
  if (info.dtype == DataType::kInt32) std::fill_n(tensor.mutable_data_as<int32_t>(), count, 1);
  if (info.dtype == DataType::kFloat16) {
    constexpr uint16_t kOne = 0x3C00;
    std::fill_n(reinterpret_cast<uint16_t*>(tensor.mutable_data()), count, kOne);
  }
  return tensor;
}

Json FirstOf(const Tensor& tensor) {
  Json numbers = Json::array();
  if (tensor.dtype() != DataType::kFloat32) return numbers;
  const auto count = static_cast<size_t>(tensor.shape().num_elements());
  for (size_t i = 0; i < std::min(count, kShown); ++i) {
    numbers.push_back(tensor.data_as<float>()[i]);
  }
  return numbers;
}

Status CompareRuns(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(a[i].data(), b[i].data(), a[i].byte_size()) == 0) continue;
    return Internal(StrCat("output ", i, " differs between two runs of the same inputs"));
  }
  return OkStatus();
}

}  // namespace

Status CheckModel(const Options& options, Json& found) {
  AscendExecutorOptions ascend;
  ascend.library = options.library;
  ascend.device = options.device;
  std::vector<AscendModel> models;
  models.emplace_back(options.om);
  found["file"] = options.om;
  const Stopwatch loading;
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<AscendExecutor> executor,
                             AscendExecutor::Create(std::move(models), ascend));
  found["load_ms"] = loading.milliseconds();
  const GraphSignature& signature = executor->signature(0);
  found["inputs"] = Describe(signature.inputs);
  found["outputs"] = Describe(signature.outputs);
  std::vector<Tensor> inputs, first, second;
  for (const TensorInfo& info : signature.inputs) inputs.push_back(Ones(info));
  PIPESERVE_RETURN_IF_ERROR(executor->Run(0, inputs, {}, &first));
  const Stopwatch running;
  PIPESERVE_RETURN_IF_ERROR(executor->Run(0, inputs, {}, &second));
  found["run_ms"] = running.milliseconds();
  found["first_numbers_of_ones"] = Json::array();
  for (const Tensor& output : second) found["first_numbers_of_ones"].push_back(FirstOf(output));
  return CompareRuns(first, second);
}

}  // namespace pipeserve::ascend::check
