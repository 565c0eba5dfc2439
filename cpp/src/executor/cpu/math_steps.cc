// Steps that compute: MatMul, element-wise operators with and without broadcasting.
#include <algorithm>
#include <array>
#include <utility>

#include "executor/cpu/elements.h"
#include "executor/cpu/fusion.h"
#include "executor/cpu/kernels.h"
#include "executor/cpu/step.h"

namespace pipeserve {
namespace {

using kernels::BroadcastShape;
using kernels::Following;
using kernels::MatMulShape;

// Below these a helper thread costs more than it brings.
constexpr int64_t kMultiplicationsPerThread = 1 << 20;
constexpr int64_t kElementsPerThread = 1 << 16;

// What follows a product, with where the rows that are added lie.
struct FollowingRow {
  kernels::FollowingStep step;
  Location row;
};

class MatMulStep final : public Step {
 public:
  MatMulStep(const StepContext& context, const MatMulShape& shape, kernels::Element element,
             std::vector<FollowingRow> following)
      : y_(context.to[0]),
        // A matrix times a column is computed as a row times the matrix.
        exchanged_(shape.n == 1 && shape.m > 1),
        shape_(exchanged_ ? kernels::Exchanged(shape) : shape),
        a_(context.from[exchanged_ ? 1 : 0]),
        b_(context.from[exchanged_ ? 0 : 1]),
        kernel_(context.kernels.matmul(element)),
        tiles_(kernels::MatMulTiles(shape_)),
        tile_scratch_(kernels::MatMulScratchBytes(shape_, element)),
        members_(context.threads),
        following_(std::move(following)) {
    const int64_t work = shape.m * shape.n * shape.k / std::max<int64_t>(tiles_, 1);
    grain_ = std::max<int64_t>(1, kMultiplicationsPerThread / std::max<int64_t>(work, 1));
  }

  size_t scratch_bytes() const override { return tile_scratch_ * static_cast<size_t>(members_); }

  Status Run(const Frame& frame) const override {
    std::array<kernels::FollowingStep, kMaxFollowing> following;
    for (size_t i = 0; i < following_.size(); ++i) {
      following[i] = following_[i].step;
      if (following[i].op == Following::kAddRow) following[i].row = frame.Read(following_[i].row);
    }
    const kernels::MatMulArguments arguments{frame.Read(a_),   frame.Read(b_),
                                             frame.Write(y_),  Scratch(frame),
                                             following.data(), static_cast<int>(following_.size())};
    frame.team->For(tiles_, grain_, [&](int64_t begin, int64_t end, int member) {
      kernels::MatMulArguments own = arguments;
      own.scratch = Scratch(frame) + tile_scratch_ * static_cast<size_t>(member);
      for (int64_t tile = begin; tile < end; ++tile) kernel_(shape_, own, tile);
    });
    return OkStatus();
  }

 private:
  const Location y_;
  const bool exchanged_;
  const MatMulShape shape_;
  const Location a_, b_;
  const kernels::MatMulKernel kernel_;
  const int64_t tiles_;
  const size_t tile_scratch_;
  const int members_;
  const std::vector<FollowingRow> following_;
  int64_t grain_ = 1;
};

class UnaryStep final : public Step {
 public:
  UnaryStep(const StepContext& context, kernels::UnaryKernel kernel, int64_t count)
      : x_(context.from[0]),
        y_(context.to[0]),
        kernel_(kernel),
        count_(count),
        element_size_(DataTypeSize(context.outputs[0].dtype)) {}

  Status Run(const Frame& frame) const override {
    const std::byte* x = frame.Read(x_);
    std::byte* y = frame.Write(y_);
    frame.team->For(count_, kElementsPerThread, [&](int64_t begin, int64_t end, int) {
      const size_t offset = static_cast<size_t>(begin) * element_size_;
      kernel_(x + offset, y + offset, end - begin);
    });
    return OkStatus();
  }

 private:
  const Location x_, y_;
  const kernels::UnaryKernel kernel_;
  const int64_t count_;
  const size_t element_size_;
};

class BinaryStep final : public Step {
 public:
  BinaryStep(const StepContext& context, kernels::BinaryKernel kernel, const BroadcastShape& shape)
      : a_(context.from[0]),
        b_(context.from[1]),
        y_(context.to[0]),
        kernel_(kernel),
        shape_(shape),
        count_(context.outputs[0].shape.num_elements()) {}

  Status Run(const Frame& frame) const override {
    const std::byte* a = frame.Read(a_);
    const std::byte* b = frame.Read(b_);
    std::byte* y = frame.Write(y_);
    frame.team->For(count_, kElementsPerThread,
                    [&](int64_t begin, int64_t end, int) { kernel_(shape_, a, b, y, begin, end); });
    return OkStatus();
  }

 private:
  const Location a_, b_, y_;
  const kernels::BinaryKernel kernel_;
  const BroadcastShape shape_;
  const int64_t count_;
};

using Strides = std::array<int64_t, Shape::kMaxRank>;

// How far `operand`, aligned with the innermost dimension of a result of rank `rank`, moves for a
// step along each of the result's dimensions.
Strides BroadcastStrides(const Shape& operand, size_t rank) {
  Strides strides{};
  int64_t stride = 1;
  for (size_t i = operand.rank(); i-- > 0;) {
    if (operand[i] != 1) strides[rank - operand.rank() + i] = stride;
    stride *= operand[i];
  }
  return strides;
}

// Leaves out dimensions of 1 and joins neighbours that both operands walk through without a jump.
BroadcastShape Collapse(const Shape& result, const Strides& a, const Strides& b) {
  BroadcastShape shape;
  shape.rank = 0;
  for (size_t i = 0; i < result.rank(); ++i) {
    if (result[i] == 1) continue;
    const int last = shape.rank - 1;
    const bool joins = last >= 0 && shape.stride_a[last] == a[i] * result[i] &&
                       shape.stride_b[last] == b[i] * result[i];
    const int at = joins ? last : shape.rank++;
    shape.dims[at] = joins ? shape.dims[at] * result[i] : result[i];
    shape.stride_a[at] = a[i];
    shape.stride_b[at] = b[i];
  }
  return shape.rank == 0 ? BroadcastShape{} : shape;
}

kernels::BinaryOp BinaryOpOf(OpType op) {
  if (op == OpType::kSub) return kernels::BinaryOp::kSub;
  return op == OpType::kMul ? kernels::BinaryOp::kMul : kernels::BinaryOp::kAdd;
}

std::vector<FollowingRow> FollowingRows(const StepContext& context) {
  std::vector<FollowingRow> rows;
  for (const FollowingNode& node : context.following) {
    FollowingRow& row = rows.emplace_back();
    if (node.op == OpType::kNeg || node.op == OpType::kReLU) {
      row.step.op = node.op == OpType::kNeg ? Following::kNeg : Following::kReLU;
      continue;
    }
    row.step.op = Following::kAddRow;
    row.step.row_stride = context.inputs[node.operand].shape.num_elements() == 1 ? 0 : 1;
    row.row = context.from[node.operand];
  }
  return rows;
}

}  // namespace

Result<std::unique_ptr<Step>> MakeMatMulStep(const StepContext& context) {
  const auto& attributes = std::get<MatMulAttributes>(context.node.attributes);
  const Shape& a = context.inputs[0].shape;
  const Shape& y = context.outputs[0].shape;
  const MatMulShape shape{y[0], a[attributes.transpose_a ? 0 : 1], y[1], attributes.transpose_a,
                          attributes.transpose_b};
  return std::unique_ptr<Step>(std::make_unique<MatMulStep>(
      context, shape, *ElementOf(context.inputs[0].dtype), FollowingRows(context)));
}

Result<std::unique_ptr<Step>> MakeUnaryStep(const StepContext& context) {
  const auto op =
      context.node.op == OpType::kNeg ? kernels::UnaryOp::kNeg : kernels::UnaryOp::kReLU;
  return std::unique_ptr<Step>(std::make_unique<UnaryStep>(
      context, context.kernels.unary(op, *ElementOf(context.inputs[0].dtype)),
      context.outputs[0].shape.num_elements()));
}

Result<std::unique_ptr<Step>> MakeBinaryStep(const StepContext& context) {
  const Shape& result = context.outputs[0].shape;
  const Strides a = BroadcastStrides(context.inputs[0].shape, result.rank());
  Strides b{};
  if (context.node.op == OpType::kBiasAdd) {
    b[1] = 1;
  } else {
    b = BroadcastStrides(context.inputs[1].shape, result.rank());
  }
  const auto kernel =
      context.kernels.binary(BinaryOpOf(context.node.op), *ElementOf(context.inputs[0].dtype));
  return std::unique_ptr<Step>(
      std::make_unique<BinaryStep>(context, kernel, Collapse(result, a, b)));
}

}  // namespace pipeserve
