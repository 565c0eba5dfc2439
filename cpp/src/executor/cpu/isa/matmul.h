// Products of matrices, tile by tile, with what follows them.
#pragma once

#include "executor/cpu/isa/elementwise.h"
#include "executor/cpu/isa/lanes.h"
#include "executor/cpu/isa/thin_matmul.h"
#include "executor/cpu/kernels.h"

namespace pipeserve::kernels {
namespace {

// A tile is at most 128 x 256; this deep, Eigen's packed operands fit the stack.
constexpr int64_t kDepth = 256;

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<RowMajor, Eigen::Unaligned, Eigen::OuterStride<>>;
using ConstView = Eigen::Map<const RowMajor, Eigen::Unaligned, Eigen::OuterStride<>>;

template <typename A, typename B>
void Multiply(const A& a, const B& b, View& y, bool accumulate) {
  if (accumulate) {
    y.noalias() += a * b;
  } else {
    y.noalias() = a * b;
  }
}

void MultiplyWide(int64_t k, const Stored<float>& a, const Stored<float>& b,
                  const Target<float>& y) {
  View out(y.data, y.rows, y.columns, Eigen::OuterStride<>(y.stride));
  const ConstView left(a.data, a.transposed ? k : y.rows, a.transposed ? y.rows : k,
                       Eigen::OuterStride<>(a.stride));
  const ConstView right(b.data, b.transposed ? y.columns : k, b.transposed ? k : y.columns,
                        Eigen::OuterStride<>(b.stride));
  if (a.transposed) {
    if (b.transposed) return Multiply(left.transpose(), right.transpose(), out, y.accumulate);
    return Multiply(left.transpose(), right, out, y.accumulate);
  }
  if (b.transposed) return Multiply(left, right.transpose(), out, y.accumulate);
  Multiply(left, right, out, y.accumulate);
}
// Integers are rare: they do without what Eigen would take to compile.
void MultiplyWide(int64_t k, const Stored<uint32_t>& a, const Stored<uint32_t>& b,
                  const Target<uint32_t>& y) {
  MultiplyPanels<uint32_t, 6, 2>(k, a, b, y);
}

// The shape of the whole product chooses, so that the bits do not depend on how it is cut.
template <typename T>
void MultiplyPart(const MatMulShape& shape, int64_t depth, const Stored<T>& a, const Stored<T>& b,
                  const Target<T>& y) {
  if (shape.m == 1) return MultiplyRow(depth, a.data, b, y);
  if (shape.n <= kThinColumns) return MultiplyThin(depth, a, b, y);
  MultiplyWide(depth, a, b, y);
}

template <typename T>
void SetZero(const Target<T>& y) {
  for (int64_t i = 0; i < y.rows; ++i) {
    for (int64_t j = 0; j < y.columns; ++j) y.data[i * y.stride + j] = 0;
  }
}

// Does to a tile of a product what follows it, row by row while the row is in the nearest cache.
// These are the loops of the operators on their own, on values rounded to T before and after each:
// the bits are those of running one operator after the other.
template <typename T>
void Follow(const MatMulArguments& arguments, const MatMulTile& tile, T* y, int64_t stride) {
  int64_t rows = tile.rows, columns = tile.columns;
  bool by_element = stride == columns && columns <= kThinColumns;
  for (int s = 0; s < arguments.following_count; ++s) {
    const FollowingStep& step = arguments.following[s];
    by_element = by_element && (step.op != Following::kAddRow || step.row_stride == 0);
  }
  if (by_element) {  // Short rows that lie side by side are one long row.
    columns *= rows;
    rows = 1;
  }
  for (int64_t i = 0; i < rows; ++i) {
    T* row = y + i * stride;
    for (int s = 0; s < arguments.following_count; ++s) {
      const FollowingStep& step = arguments.following[s];
      if (step.op == Following::kAddRow) {
        const T* added = static_cast<const T*>(step.row) + tile.column * step.row_stride;
        BinaryRun<T, Add>(row, 1, added, step.row_stride, row, columns);
      } else {
        UnaryFor<T>(step.op == Following::kNeg ? UnaryOp::kNeg : UnaryOp::kReLU)(row, row, columns);
      }
    }
  }
}

template <typename T>
Stored<T> OperandA(const MatMulShape& shape, const void* a) {
  return {static_cast<const T*>(a), shape.transpose_a ? shape.m : shape.k, shape.transpose_a};
}
template <typename T>
Stored<T> OperandB(const MatMulShape& shape, const void* b) {
  return {static_cast<const T*>(b), shape.transpose_b ? shape.k : shape.n, shape.transpose_b};
}
// The part of an operand that starts at (row, column) of what it stands for.
template <typename T>
Stored<T> Part(const Stored<T>& whole, int64_t row, int64_t column) {
  return {whole.At(row, column), whole.stride, whole.transposed};
}

template <typename T>
void MatMul(const MatMulShape& shape, const MatMulArguments& arguments, int64_t index) {
  const MatMulTile tile = MatMulTileAt(shape, index);
  const Stored<T> a = OperandA<T>(shape, arguments.a), b = OperandB<T>(shape, arguments.b);
  Target<T> y{static_cast<T*>(arguments.y) + tile.row * shape.n + tile.column, shape.n, tile.rows,
              tile.columns, false};
  if (shape.k == 0) SetZero(y);
  const int64_t depth = shape.m == 1 ? shape.k : kDepth;
  for (int64_t k = 0; k < shape.k; k += depth) {
    y.accumulate = k > 0;
    MultiplyPart(shape, Min(depth, shape.k - k), Part(a, tile.row, k), Part(b, k, tile.column), y);
  }
  Follow(arguments, tile, y.data, y.stride);
}

void WidenRun(const Eigen::half* from, float* to, int64_t count) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(halves));
  }
#endif
  for (; i < count; ++i) to[i] = static_cast<float>(from[i]);
}

void NarrowRun(const float* from, Eigen::half* to, int64_t count) {
  int64_t i = 0;
#ifdef __F16C__
  for (; i + 8 <= count; i += 8) {
    const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), halves);
  }
#endif
  for (; i < count; ++i) to[i] = static_cast<Eigen::half>(from[i]);
}

// Widens `rows` x `columns` of what `part` stands for into `scratch`, in the order it is stored.
Stored<float> Widen(const Stored<Eigen::half>& part, int64_t rows, int64_t columns,
                    float* scratch) {
  if (part.transposed) {
    const int64_t swapped = rows;
    rows = columns;
    columns = swapped;
  }
  for (int64_t i = 0; i < rows; ++i) {
    WidenRun(part.data + i * part.stride, scratch + i * columns, columns);
  }
  return {scratch, columns, part.transposed};
}

void MatMulHalf(const MatMulShape& shape, const MatMulArguments& arguments, int64_t index) {
  using Eigen::half;
  const MatMulTile tile = MatMulTileAt(shape, index);
  const Stored<half> a = OperandA<half>(shape, arguments.a), b = OperandB<half>(shape, arguments.b);
  const int64_t depth = WidenedDepth(shape);
  float* sums = static_cast<float*>(arguments.scratch);
  float* wide_a = sums + tile.rows * tile.columns;
  float* wide_b = wide_a + tile.rows * depth;
  Target<float> sum{sums, tile.columns, tile.rows, tile.columns, false};
  if (shape.k == 0) SetZero(sum);
  for (int64_t k = 0; k < shape.k; k += depth) {
    const int64_t deep = Min(depth, shape.k - k);
    sum.accumulate = k > 0;
    MultiplyPart(shape, deep, Widen(Part(a, tile.row, k), tile.rows, deep, wide_a),
                 Widen(Part(b, k, tile.column), deep, tile.columns, wide_b), sum);
  }
  half* y = static_cast<half*>(arguments.y) + tile.row * shape.n + tile.column;
  for (int64_t i = 0; i < tile.rows; ++i) {
    NarrowRun(sums + i * tile.columns, y + i * shape.n, tile.columns);
  }
  Follow(arguments, tile, y, shape.n);
}

MatMulKernel SelectMatMul(Element element) {
  switch (element) {
    case Element::kFloat16:
      return MatMulHalf;
    case Element::kFloat32:
      return MatMul<float>;
    case Element::kInt32:
      return MatMul<uint32_t>;
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace pipeserve::kernels
