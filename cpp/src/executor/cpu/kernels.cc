#include "executor/cpu/kernels.h"

#include <algorithm>
#include <cstring>

namespace pipeserve::kernels {
namespace {

// Such a tile of the result, and of each operand, stays in a second-level cache.
constexpr int64_t kTileRows = 128;
constexpr int64_t kTileColumns = 256;
constexpr int64_t kTileDepth = 256;
// A row times a matrix walks along the rows of the matrix: long runs, at most so deep in float32.
constexpr int64_t kRowColumns = 1024;
constexpr int64_t kRowDepth = 32;

int64_t TileColumns(const MatMulShape& shape) { return shape.m == 1 ? kRowColumns : kTileColumns; }
int64_t TilesOf(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

template <typename T>
void GatherRun(const T* x, int64_t stride, T* y, int64_t count) {
  if (stride == 1) {
    std::memcpy(y, x, static_cast<size_t>(count) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < count; ++i) y[i] = x[i * stride];
}

template <typename T>
void GatherElements(const GatherShape& shape, const void* x, void* y) {
  const int last = shape.rank - 1;
  for (int i = 0; i < shape.rank; ++i) {
    if (shape.dims[i] == 0) return;
  }
  int64_t index[kMaxRank] = {0};
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  while (true) {
    GatherRun(from, shape.strides[last], to, shape.dims[last]);
    to += shape.dims[last];
    int i = last - 1;
    for (; i >= 0; --i) {
      from += shape.strides[i];
      if (++index[i] < shape.dims[i]) break;
      from -= shape.dims[i] * shape.strides[i];
      index[i] = 0;
    }
    if (i < 0) return;
  }
}

}  // namespace

int64_t MatMulTiles(const MatMulShape& shape) {
  return TilesOf(shape.m, kTileRows) * TilesOf(shape.n, TileColumns(shape));
}

MatMulTile MatMulTileAt(const MatMulShape& shape, int64_t index) {
  const int64_t columns = TileColumns(shape);
  const int64_t across = TilesOf(shape.n, columns);
  const int64_t row = index / across * kTileRows, column = index % across * columns;
  return {row, std::min(kTileRows, shape.m - row), column, std::min(columns, shape.n - column)};
}

int64_t WidenedDepth(const MatMulShape& shape) {
  return std::min(shape.k, shape.m == 1 ? kRowDepth : kTileDepth);
}

size_t MatMulScratchBytes(const MatMulShape& shape, Element element) {
  if (element != Element::kFloat16) return 0;
  const int64_t rows = std::min(kTileRows, shape.m);
  const int64_t columns = std::min(TileColumns(shape), shape.n);
  const int64_t depth = WidenedDepth(shape);
  return sizeof(float) * static_cast<size_t>(rows * depth + depth * columns + rows * columns);
}

void Gather(const GatherShape& shape, size_t element_size, const void* x, void* y) {
  switch (element_size) {
    case 1:
      return GatherElements<uint8_t>(shape, x, y);
    case 2:
      return GatherElements<uint16_t>(shape, x, y);
    case 4:
      return GatherElements<uint32_t>(shape, x, y);
    default:
      return GatherElements<uint64_t>(shape, x, y);
  }
}

void CopyRows(int64_t rows, size_t bytes, const void* x, size_t x_stride, void* y,
              size_t y_stride) {
  if (bytes == 0) return;
  const char* from = static_cast<const char*>(x);
  char* to = static_cast<char*>(y);
  for (int64_t i = 0; i < rows; ++i) {
    std::memcpy(to, from, bytes);
    from += x_stride;
    to += y_stride;
  }
}

}  // namespace pipeserve::kernels
