#include "executor/cpu/sum_kernel.h"

#include <Eigen/Core>
#include <algorithm>

namespace pipeserve::kernels {
namespace {

// Sums that run side by side, so that they fit vector registers.
constexpr int64_t kLanes = 16;
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

template <typename T, typename Sum>
Sum SumOfRun(const T* x, int64_t count) {
  Sum lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += static_cast<Sum>(x[i + lane]);
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += static_cast<Sum>(x[i]);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  }
  return lanes[0];
}

// The innermost dimension of the source is summed over: one element of the result after another.
template <typename T, typename Sum>
void SumRuns(const SumShape& shape, const T* x, T* y, int64_t begin, int64_t end) {
  const int last = shape.summed.rank - 1;
  const int64_t runs = Count(shape.summed, last);
  for (int64_t i = begin; i < end; ++i) {
    const T* from = x + OffsetOf(shape.kept, shape.kept.rank, i);
    Sum sum{};
    for (int64_t run = 0; run < runs; ++run) {
      sum += SumOfRun<T, Sum>(from + OffsetOf(shape.summed, last, run), shape.summed.dims[last]);
    }
    y[i] = static_cast<T>(sum);
  }
}

// The innermost dimension of the source is kept: many neighbours of the result at once.
template <typename T, typename Sum>
void SumColumns(const SumShape& shape, const T* x, T* y, int64_t begin, int64_t end) {
  const int64_t width = shape.kept.dims[shape.kept.rank - 1];
  const int64_t rows = Count(shape.summed, shape.summed.rank);
  while (begin < end) {
    const int64_t count = std::min({kColumns, width - begin % width, end - begin});
    const T* from = x + OffsetOf(shape.kept, shape.kept.rank, begin);
    Sum sums[kColumns] = {};
    for (int64_t row = 0; row < rows; ++row) {
      const T* at = from + OffsetOf(shape.summed, shape.summed.rank, row);
      for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<Sum>(at[i]);
    }
    for (int64_t i = 0; i < count; ++i) y[begin + i] = static_cast<T>(sums[i]);
    begin += count;
  }
}

template <typename T, typename Sum>
void Add(const SumShape& shape, const void* x, void* y, int64_t begin, int64_t end) {
  const auto sum =
      shape.summed.strides[shape.summed.rank - 1] == 1 ? SumRuns<T, Sum> : SumColumns<T, Sum>;
  sum(shape, static_cast<const T*>(x), static_cast<T*>(y), begin, end);
}

}  // namespace

SumKernel SelectSum(Element element) {
  switch (element) {
    case Element::kFloat16:
      return Add<Eigen::half, float>;
    case Element::kFloat32:
      return Add<float, float>;
    case Element::kInt32:
      return Add<uint32_t, uint32_t>;
    default:
      return nullptr;
  }
}

}  // namespace pipeserve::kernels
