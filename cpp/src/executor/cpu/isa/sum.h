// Sums over some dimensions of a tensor, in an order that every instruction set keeps.
#pragma once

#include "executor/cpu/isa/lanes.h"
#include "executor/cpu/kernels.h"

namespace pipeserve::kernels {
namespace {

// Sums that run side by side, so that they fit vector registers.
constexpr int64_t kSums = 16;
constexpr int64_t kColumns = 128;

int64_t Count(const GatherShape& shape, int rank) {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= shape.dims[i];
  return count;
}

// How far element `index` of the first `rank` dimensions is from the first element.
int64_t OffsetOf(const GatherShape& shape, int rank, int64_t index) {
  int64_t offset = 0;
  for (int i = rank - 1; i >= 0; --i) {
    offset += index % shape.dims[i] * shape.strides[i];
    index /= shape.dims[i];
  }
  return offset;
}

template <typename T, typename Total>
Total SumOfRun(const T* x, int64_t count) {
  Total lanes[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (int64_t lane = 0; lane < kSums; ++lane) lanes[lane] += static_cast<Total>(x[i + lane]);
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += static_cast<Total>(x[i]);
  for (int64_t width = kSums / 2; width > 0; width /= 2) {
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

// The innermost dimension of the source is summed over: one element of the result after another.
template <typename T, typename Total>
void SumRuns(const SumShape& shape, const T* x, T* y, int64_t begin, int64_t end) {
  const int last = shape.summed.rank - 1;
  const int64_t runs = Count(shape.summed, last);
  for (int64_t i = begin; i < end; ++i) {
    const T* from = x + OffsetOf(shape.kept, shape.kept.rank, i);
    Total sum{};
    for (int64_t run = 0; run < runs; ++run) {
      sum += SumOfRun<T, Total>(from + OffsetOf(shape.summed, last, run), shape.summed.dims[last]);
    }
    y[i] = static_cast<T>(sum);
  }
}

// The innermost dimension of the source is kept: many neighbours of the result at once.
template <typename T, typename Total>
void SumColumns(const SumShape& shape, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t width = shape.kept.dims[shape.kept.rank - 1];
  const int64_t rows = Count(shape.summed, shape.summed.rank);
  while (begin < end) {
    const int64_t count = Min(kColumns, Min(width - begin % width, end - begin));
    const T* from = x + OffsetOf(shape.kept, shape.kept.rank, begin);
    Total sums[kColumns] = {};
    for (int64_t row = 0; row < rows; ++row) {
      const T* at = from + OffsetOf(shape.summed, shape.summed.rank, row);
      for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<Total>(at[i]);
    }
    for (int64_t i = 0; i < count; ++i) y[begin + i] = static_cast<T>(sums[i]);
    begin += count;
  }
}

template <typename T, typename Total>
void Sum(const SumShape& shape, const void* x, void* y, int64_t begin, int64_t end) {
  const auto sum =
      shape.summed.strides[shape.summed.rank - 1] == 1 ? SumRuns<T, Total> : SumColumns<T, Total>;
  sum(shape, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
}

SumKernel SelectSum(Element element) {
  switch (element) {
    case Element::kFloat16:
      return Sum<Eigen::half, float>;
    case Element::kFloat32:
      return Sum<float, float>;
    case Element::kInt32:
      return Sum<uint32_t, uint32_t>;
    default:
      return nullptr;
  }
}

}  // namespace
}  // namespace pipeserve::kernels
