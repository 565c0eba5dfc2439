#include "graph/reference_interpreter.h"

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <span>

#include "base/str_cat.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

using Index = std::vector<int64_t>;
using Inputs = std::vector<FloatTensor>;

size_t Offset(const Shape& shape, const Index& index) {
  int64_t offset = 0;
  for (size_t i = 0; i < shape.rank(); ++i) offset = offset * shape[i] + index[i];
  return static_cast<size_t>(offset);
}

// A tensor whose element at each index is `element` of it.
FloatTensor Fill(const Shape& shape, const std::function<float(const Index&)>& element) {
  FloatTensor tensor{shape, {}};
  Index index(shape.rank(), 0);
  for (int64_t n = 0; n < shape.num_elements(); ++n) {
    int64_t rest = n;
    for (size_t i = shape.rank(); i-- > 0; rest /= shape[i]) index[i] = rest % shape[i];
    tensor.data.push_back(element(index));
  }
  return tensor;
}

float At(const FloatTensor& tensor, const Index& index) {
  return tensor.data[Offset(tensor.shape, index)];
}

// The element that meets `index` of a result when dimensions from `lead` on are the operand's.
float Broadcast(const FloatTensor& tensor, const Index& index, size_t lead) {
  Index own;
  for (size_t i = 0; i < tensor.shape.rank(); ++i) {
    own.push_back(tensor.shape[i] == 1 ? 0 : index[lead + i]);
  }
  return At(tensor, own);
}

FloatTensor MatMul(const Node& node, const Inputs& in, const Shape& shape) {
  const auto& attributes = std::get<MatMulAttributes>(node.attributes);
  const bool ta = attributes.transpose_a, tb = attributes.transpose_b;
  return Fill(shape, [&](const Index& at) {
    float sum = 0;
    for (int64_t k = 0; k < in[0].shape[ta ? 0 : 1]; ++k) {
      sum += At(in[0], ta ? Index{k, at[0]} : Index{at[0], k}) *
             At(in[1], tb ? Index{at[1], k} : Index{k, at[1]});
    }
    return sum;
  });
}

FloatTensor Binary(OpType op, const Inputs& in, const Shape& shape) {
  return Fill(shape, [&](const Index& at) {
    const float a = Broadcast(in[0], at, shape.rank() - in[0].shape.rank());
    if (op == OpType::kBiasAdd) return a + in[1].data[static_cast<size_t>(at[1])];
    const float b = Broadcast(in[1], at, shape.rank() - in[1].shape.rank());
    return op == OpType::kAdd ? a + b : op == OpType::kSub ? a - b : a * b;
  });
}

FloatTensor Sum(const Node& node, const FloatTensor& x, const Shape& shape) {
  const auto& attributes = std::get<ReduceAttributes>(node.attributes);
  const std::vector<bool> summed = *ResolveReduction(attributes, x.shape);
  FloatTensor sums = Fill(shape, [](const Index&) { return 0.0f; });
  Fill(x.shape, [&](const Index& from) {
    Index to;
    for (size_t i = 0; i < from.size(); ++i) {
      if (!summed[i] || attributes.keep_dims) to.push_back(summed[i] ? 0 : from[i]);
    }
    return sums.data[Offset(shape, to)] += At(x, from);
  });
  return sums;
}

FloatTensor Transpose(const Node& node, const FloatTensor& x, const Shape& shape) {
  const std::vector<int64_t>& perm = std::get<TransposeAttributes>(node.attributes).perm;
  return Fill(shape, [&](const Index& at) {
    Index from(at.size());
    for (size_t i = 0; i < at.size(); ++i) from[static_cast<size_t>(perm[i])] = at[i];
    return At(x, from);
  });
}

FloatTensor Concat(const Inputs& in, int64_t axis, const Shape& shape) {
  const auto dim = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.rank()) : axis);
  return Fill(shape, [&](Index at) {
    size_t part = 0;
    while (at[dim] >= in[part].shape[dim]) at[dim] -= in[part++].shape[dim];
    return At(in[part], at);
  });
}

FloatTensor SplitPart(const FloatTensor& x, int64_t axis, int64_t part, const Shape& shape) {
  const auto dim = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(shape.rank()) : axis);
  return Fill(shape, [&](Index at) {
    at[dim] += part * shape[dim];
    return At(x, at);
  });
}

FloatTensor Slice(const Node& node, const FloatTensor& x, const Shape& shape) {
  const SliceSpec spec = *ResolveSlice(std::get<StridedSliceAttributes>(node.attributes), x.shape);
  FloatTensor slice = Fill(Shape(std::span<const int64_t>(spec.sizes)), [&](Index at) {
    for (size_t i = 0; i < at.size(); ++i) at[i] = spec.begin[i] + at[i] * spec.strides[i];
    return At(x, at);
  });
  slice.shape = shape;
  return slice;
}

// `in` holds this rank's operands; for collectives it holds the operand of each group member.
FloatTensor Compute(const Node& node, const Inputs& in, const Shape& shape, int64_t result) {
  switch (node.op) {
    case OpType::kMatMul:
      return MatMul(node, in, shape);
    case OpType::kNeg:
      return Fill(shape, [&](const Index& at) { return -At(in[0], at); });
    case OpType::kCast:  // Of whole numbers, which all types have.
      return in[0];
    case OpType::kReLU:
      return Fill(shape, [&](const Index& at) { return std::max(0.0f, At(in[0], at)); });
    case OpType::kAdd:
    case OpType::kSub:
    case OpType::kMul:
    case OpType::kBiasAdd:
      return Binary(node.op, in, shape);
    case OpType::kReduceSum:
      return Sum(node, in[0], shape);
    case OpType::kReshape:
      return {shape, in[0].data};
    case OpType::kTranspose:
      return Transpose(node, in[0], shape);
    case OpType::kConcat:
      return Concat(in, std::get<AxisAttributes>(node.attributes).axis, shape);
    case OpType::kSplit:
      return SplitPart(in[0], std::get<AxisAttributes>(node.attributes).axis, result, shape);
    case OpType::kStridedSlice:
      return Slice(node, in[0], shape);
    case OpType::kAllReduce:
      return Fill(shape, [&](const Index& at) {
        float sum = 0;
        for (const FloatTensor& each : in) sum += At(each, at);
        return sum;
      });
    case OpType::kAllGather:
      return Concat(in, 0, shape);
    case OpType::kSend:
      break;  // It has no result.
    case OpType::kReceive:
      return in[0];
  }
  return {};
}

class LockStep {
 public:
  explicit LockStep(const std::vector<Graph>& ranks) : ranks_(ranks), values_(ranks.size()) {}

  Status Start(const Inputs& inputs) {
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      const Graph& graph = ranks_[rank];
      std::vector<TensorInfo> infos;
      for (size_t i = 0; i < graph.inputs.size(); ++i) {
        infos.push_back({"", DataType::kFloat32, inputs[i].shape});
      }
      PIPESERVE_ASSIGN_OR_RETURN(auto inferred,
                                 InferShapes(graph, infos, static_cast<int>(ranks_.size())));
      infos_.push_back(std::move(inferred));
      values_[rank].resize(graph.values.size());
      for (size_t i = 0; i < graph.inputs.size(); ++i) Value(rank, graph.inputs[i]) = inputs[i];
      for (const auto& [id, tensor] : graph.constants) {
        const float* data = tensor.data_as<float>();
        Value(rank, id) = {tensor.shape(), {data, data + tensor.shape().num_elements()}};
      }
    }
    return OkStatus();
  }

  // Node `i` of ranks `begin` to `end`.
  Status Step(size_t i, size_t begin, size_t end) {
    for (size_t rank = begin; rank < end; ++rank) {
      const Node& node = ranks_[rank].nodes[i];
      PIPESERVE_ASSIGN_OR_RETURN(const Inputs in, InputsOf(rank, node));
      if (node.op == OpType::kSend) {
        const auto& message = std::get<MessageAttributes>(node.attributes);
        mail_[{static_cast<int32_t>(rank), message.peer}].push_back({message.tag, in[0]});
      }
      for (size_t k = 0; k < node.outputs.size(); ++k) {
        const ValueId id = node.outputs[k];
        Value(rank, id) =
            Compute(node, in, infos_[rank][static_cast<size_t>(id)].shape, static_cast<int64_t>(k));
      }
    }
    return OkStatus();
  }

  std::vector<Inputs> Outputs() {
    std::vector<Inputs> outputs(ranks_.size());
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      for (const ValueId id : ranks_[rank].outputs) outputs[rank].push_back(Value(rank, id));
    }
    return outputs;
  }

 private:
  FloatTensor& Value(size_t rank, ValueId id) { return values_[rank][static_cast<size_t>(id)]; }

  Result<Inputs> InputsOf(size_t rank, const Node& node) {
    Inputs in;
    if (node.op == OpType::kReceive)
      return Take(rank, std::get<MessageAttributes>(node.attributes));
    const auto* group = std::get_if<CollectiveAttributes>(&node.attributes);
    if (group == nullptr) {
      for (const ValueId id : node.inputs) in.push_back(Value(rank, id));
      return in;
    }
    std::vector<int32_t> members = group->ranks;
    for (size_t i = 0; group->ranks.empty() && i < ranks_.size(); ++i) {
      members.push_back(static_cast<int32_t>(i));
    }
    const auto self = static_cast<int32_t>(rank);
    if (std::find(members.begin(), members.end(), self) == members.end()) {
      return Internal(StrCat("rank ", rank, " is not in its own group ", group->group));
    }
    for (const int32_t member : members) {
      in.push_back(Value(static_cast<size_t>(member), node.inputs[0]));
    }
    return in;
  }

  Result<Inputs> Take(size_t rank, const MessageAttributes& message) {
    auto& waiting = mail_[{message.peer, static_cast<int32_t>(rank)}];
    if (waiting.empty() || waiting.front().first != message.tag) {
      return Internal(StrCat("message ", message.tag, " of rank ", message.peer,
                             " is not the next one for rank ", rank));
    }
    Inputs in{std::move(waiting.front().second)};
    waiting.pop_front();
    if (in[0].shape != message.shape) return Internal("a message has another shape than it says");
    return in;
  }

  const std::vector<Graph>& ranks_;
  std::map<std::pair<int32_t, int32_t>, std::deque<std::pair<int64_t, FloatTensor>>> mail_;
  std::vector<std::vector<TensorInfo>> infos_;
  std::vector<Inputs> values_;
};

}  // namespace

Result<std::vector<std::vector<FloatTensor>>> RunInLockStep(const std::vector<Graph>& ranks,
                                                            const std::vector<FloatTensor>& inputs,
                                                            size_t stages) {
  LockStep run(ranks);
  PIPESERVE_RETURN_IF_ERROR(run.Start(inputs));
  const size_t width = ranks.size() / stages;
  for (size_t begin = 0; begin < ranks.size(); begin += width) {
    for (size_t i = 0; i < ranks[begin].nodes.size(); ++i) {
      PIPESERVE_RETURN_IF_ERROR(run.Step(i, begin, begin + width));
    }
  }
  return run.Outputs();
}

}  // namespace pipeserve
