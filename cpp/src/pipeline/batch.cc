#include "pipeline/batch.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/counters.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr int64_t kOpen = Shape::kUnknownDim;

// Of one input gathered from several instances: what a model file claims must not cost more.
constexpr int64_t kMaxBatchBytes = int64_t{4} << 30;

// "kMSI_Float32": how the original's messages print a data type.
std::string OriginalName(DataType dtype) {
  std::string name(DataTypeName(dtype));
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return "kMSI_" + name;
}

// Lets the batch dimension of one tensor decide, or checks it against what others decided.
Status MergeBatchDim(const Shape& shape, std::string_view what, int64_t* batch_size) {
  const int64_t dim = shape.rank() == 0 ? 0 : shape[0];
  if (shape.rank() > 0 && dim == 0) return InvalidArgument("Servable batch size cannot be 0");
  if (shape.rank() == 0 || (dim != kOpen && *batch_size != kOpen && dim != *batch_size)) {
    const int64_t wanted = *batch_size == kOpen ? 1 : *batch_size;
    return InvalidArgument(
        StrCat("Servable batch size ", wanted, " not match model ", what, " shape ", shape));
  }
  if (dim != kOpen) *batch_size = dim;
  return OkStatus();
}

bool SameBytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.byte_size() != b.byte_size()) return false;
  if (a.data() == b.data() || a.byte_size() == 0) return true;
  return std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

// One instance as a batch of one. An instance that brings the batch dimension itself keeps it.
Tensor WithBatchDim(const TensorInfo& info, const Tensor& instance) {
  if (instance.shape().rank() + 1 != info.shape.rank()) return instance;
  Shape shape{1};
  for (const int64_t dim : instance.shape().dims()) shape.Append(dim);
  return Tensor(instance.dtype(), shape, instance.buffer());
}

Tensor Concatenate(const TensorInfo& info, std::span<const Instance> instances, size_t input,
                   size_t batch_size) {
  Tensor batch(info.dtype, info.shape);
  const size_t bytes = batch.byte_size() / batch_size;
  if (bytes == 0) return batch;
  CountCopy(batch.byte_size());
  auto* out = static_cast<std::byte*>(batch.mutable_data());
  for (size_t i = 0; i < batch_size; ++i) {
    const Instance& instance = instances[i < instances.size() ? i : 0];
    std::memcpy(out + i * bytes, instance[input].data(), bytes);
  }
  return batch;
}

}  // namespace

Result<BatchLayout> BatchLayout::Create(const ServableSpec& spec,
                                        std::span<const GraphSignature> graphs) {
  BatchLayout layout(spec.with_batch_dim, spec.without_batch_dim_inputs);
  if (!spec.with_batch_dim) return layout;
  int64_t common = kOpen;
  for (size_t k = 0; k < graphs.size(); ++k) {
    Result<int64_t> own = layout.BatchSizeOf(graphs[k]);
    if (!own.ok()) return own.status().WithContext(StrCat("subgraph ", k));
    if (*own == kOpen) continue;
    if (common != kOpen && *own != common) {
      return InvalidArgument(StrCat("Expect batch size to be same, subgraph ", k, " has ", *own,
                                    ", those before it have ", common));
    }
    common = *own;
  }
  if (common > std::numeric_limits<int>::max()) {
    return InvalidArgument(StrCat("Servable batch size ", common, " is too large"));
  }
  layout.batch_size_ = common == kOpen ? 1 : static_cast<int>(common);
  for (const GraphSignature& graph : graphs) {
    PIPESERVE_RETURN_IF_ERROR(layout.CheckGatherable(graph));
  }
  return layout;
}

bool BatchLayout::HasBatchDim(size_t input) const {
  const auto& without = without_batch_dim_inputs_;
  return with_batch_dim_ &&
         std::find(without.begin(), without.end(), static_cast<int>(input)) == without.end();
}

Result<int64_t> BatchLayout::BatchSizeOf(const GraphSignature& graph) const {
  int64_t batch_size = kOpen;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    if (!HasBatchDim(i)) continue;
    PIPESERVE_RETURN_IF_ERROR(MergeBatchDim(graph.inputs[i].shape, "input", &batch_size));
  }
  for (const TensorInfo& output : graph.outputs) {
    PIPESERVE_RETURN_IF_ERROR(MergeBatchDim(output.shape, "output", &batch_size));
  }
  return batch_size;
}

Status BatchLayout::CheckGatherable(const GraphSignature& graph) const {
  if (batch_size_ == 1) return OkStatus();
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const TensorInfo& info = graph.inputs[i];
    if (!HasBatchDim(i)) continue;
    if (info.byte_size() < 0) {
      return Unimplemented(StrCat("input ", i, " is ", info.ToString(), ", a batch of ",
                                  batch_size_, " instances needs known dimensions"));
    }
    if (info.byte_size() > kMaxBatchBytes) {
      return InvalidArgument(StrCat("input ", i, " is ", info.ToString(), ", ", info.byte_size(),
                                    " bytes, a batch may have ", kMaxBatchBytes));
    }
  }
  return OkStatus();
}

Status BatchLayout::CheckInputs(const GraphSignature& graph,
                                std::span<const Tensor> instance) const {
  if (instance.size() < graph.inputs.size()) {
    return InvalidArgument(StrCat("Given model inputs size ", instance.size(),
                                  " less than model inputs size ", graph.inputs.size()));
  }
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const TensorInfo& info = graph.inputs[i];
    const Tensor& given = instance[i];
    const int64_t total = info.byte_size();
    const int64_t wanted = HasBatchDim(i) && total > 0 ? total / batch_size_ : total;
    if (wanted >= 0 && given.byte_size() != static_cast<size_t>(wanted)) {
      return InvalidArgument(StrCat("Given model input ", i, " size ", given.byte_size(),
                                    " not match the size ", wanted,
                                    " defined in model: ", WantedAndCame(i, info, given)));
    }
    if (given.dtype() != info.dtype) {
      return InvalidArgument(StrCat("Given model input ", i, " data type ",
                                    OriginalName(given.dtype()), " not match the data type ",
                                    OriginalName(info.dtype),
                                    " defined in model: ", WantedAndCame(i, info, given)));
    }
  }
  return OkStatus();
}

std::string BatchLayout::WantedAndCame(size_t input, const TensorInfo& wanted,
                                       const Tensor& came) const {
  std::string text = StrCat("input ", wanted.name, " is ", came.ToString(), ", the graph wants ",
                            wanted.ToString());
  if (HasBatchDim(input)) text += StrCat(" for ", batch_size_, " instances");
  return text;
}

bool BatchLayout::CanShareCall(const Instance& a, const Instance& b) const {
  PIPESERVE_DCHECK(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (!HasBatchDim(i) && !SameBytes(a[i], b[i])) return false;
  }
  return true;
}

std::vector<Tensor> BatchLayout::Gather(const GraphSignature& graph,
                                        std::span<const Instance> instances) const {
  const size_t count = graph.inputs.size();
  std::vector<Tensor> inputs;
  inputs.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const TensorInfo& info = graph.inputs[i];
    if (!HasBatchDim(i)) {
      inputs.push_back(instances[0][i]);
    } else if (batch_size_ == 1) {
      inputs.push_back(WithBatchDim(info, instances[0][i]));
    } else {
      inputs.push_back(Concatenate(info, instances, i, static_cast<size_t>(batch_size_)));
    }
  }
  return inputs;
}

Result<std::vector<Instance>> BatchLayout::Scatter(std::span<const Tensor> outputs,
                                                   size_t count) const {
  std::vector<Instance> instances(count);
  for (Instance& instance : instances) instance.reserve(outputs.size());
  for (size_t k = 0; k < outputs.size(); ++k) {
    const Tensor& output = outputs[k];
    if (!with_batch_dim_) {
      instances[0].push_back(output);
      continue;
    }
    const Shape& shape = output.shape();
    if (shape.rank() == 0 || shape[0] != batch_size_) {
      return Internal(StrCat("output ", k, " is ", output.ToString(), ", wanted a batch of ",
                             batch_size_, " instances"));
    }
    const Shape one(shape.dims().subspan(1));
    const size_t bytes = output.byte_size() / static_cast<size_t>(batch_size_);
    for (size_t i = 0; i < count; ++i) {
      instances[i].emplace_back(
          output.dtype(), one,
          batch_size_ == 1 ? output.buffer() : output.buffer().Slice(i * bytes, bytes));
    }
  }
  return instances;
}

}  // namespace pipeserve
