#include "executor/cpu/kernels.h"

#include <cstring>

// Every product below is cut so that Eigen's packing buffers fit this; past it Eigen would take
// them from the heap.
#define EIGEN_STACK_ALLOCATION_LIMIT 262144
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>

namespace pipeserve::kernels {
namespace {

// A packed tile of either operand is at most 256 x 256 floats.
constexpr int64_t kTileM = 128;
constexpr int64_t kTileN = 256;
constexpr int64_t kTileK = 256;

int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t TilesOf(int64_t size, int64_t tile) { return (size + tile - 1) / tile; }

template <typename T>
using RowMajor = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <typename T>
using View = Eigen::Map<RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <typename T>
using ConstView = Eigen::Map<const RowMajor<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

// A row-major matrix as it is stored.
template <typename T>
struct Stored {
  const T* data;
  int64_t stride;
  bool transposed;
};

// The part of an operand that starts at (row, column) of what it stands for.
template <typename T>
Stored<T> Part(const Stored<T>& whole, int64_t row, int64_t column) {
  const int64_t offset =
      whole.transposed ? column * whole.stride + row : row * whole.stride + column;
  return {whole.data + offset, whole.stride, whole.transposed};
}

template <typename T, typename A, typename B>
void Multiply(const A& a, const B& b, View<T>& y, bool accumulate) {
  if (accumulate) {
    y.noalias() += a * b;
  } else {
    y.noalias() = a * b;
  }
}

template <typename T>
void MultiplyPart(const Stored<T>& a, const Stored<T>& b, View<T> y, int64_t k, bool accumulate) {
  const int64_t m = y.rows(), n = y.cols();
  const ConstView<T> a_view(a.data, a.transposed ? k : m, a.transposed ? m : k,
                            Eigen::OuterStride<>(a.stride));
  const ConstView<T> b_view(b.data, b.transposed ? n : k, b.transposed ? k : n,
                            Eigen::OuterStride<>(b.stride));
  if (a.transposed) {
    if (b.transposed) return Multiply(a_view.transpose(), b_view.transpose(), y, accumulate);
    return Multiply(a_view.transpose(), b_view, y, accumulate);
  }
  if (b.transposed) return Multiply(a_view, b_view.transpose(), y, accumulate);
  Multiply(a_view, b_view, y, accumulate);
}

struct Tile {
  int64_t row, rows, column, columns;
};

Tile TileAt(const MatMulShape& shape, int64_t index) {
  const int64_t across = TilesOf(shape.n, kTileN);
  const int64_t row = index / across * kTileM, column = index % across * kTileN;
  return {row, Min(kTileM, shape.m - row), column, Min(kTileN, shape.n - column)};
}

template <typename T>
Stored<T> OperandA(const MatMulShape& shape, const void* a) {
  return {static_cast<const T*>(a), shape.transpose_a ? shape.m : shape.k, shape.transpose_a};
}
template <typename T>
Stored<T> OperandB(const MatMulShape& shape, const void* b) {
  return {static_cast<const T*>(b), shape.transpose_b ? shape.k : shape.n, shape.transpose_b};
}

template <typename T>
void MatMul(const MatMulShape& shape, const void* a, const void* b, void* y, void*, int64_t index) {
  const Tile tile = TileAt(shape, index);
  View<T> out(static_cast<T*>(y) + tile.row * shape.n + tile.column, tile.rows, tile.columns,
              Eigen::OuterStride<>(shape.n));
  if (shape.k == 0) out.setZero();
  for (int64_t k = 0; k < shape.k; k += kTileK) {
    MultiplyPart<T>(Part(OperandA<T>(shape, a), tile.row, k),
                    Part(OperandB<T>(shape, b), k, tile.column), out, Min(kTileK, shape.k - k),
                    k > 0);
  }
}

// Widens `rows` x `columns` of what `part` stands for into `scratch`, in the order it is stored.
Stored<float> Widen(const Stored<Eigen::half>& part, int64_t rows, int64_t columns,
                    float* scratch) {
  if (part.transposed) {
    const int64_t swapped = rows;
    rows = columns;
    columns = swapped;
  }
  const ConstView<Eigen::half> from(part.data, rows, columns, Eigen::OuterStride<>(part.stride));
  View<float>(scratch, rows, columns, Eigen::OuterStride<>(columns)) = from.cast<float>();
  return {scratch, columns, part.transposed};
}

// Floats of scratch for a tile of a, of b and of y, each a multiple of a cache line.
int64_t WidenedA(const MatMulShape& shape) {
  return (Min(kTileM, shape.m) * Min(kTileK, shape.k) + 15) / 16 * 16;
}
int64_t WidenedB(const MatMulShape& shape) {
  return (Min(kTileK, shape.k) * Min(kTileN, shape.n) + 15) / 16 * 16;
}
int64_t WidenedY(const MatMulShape& shape) {
  return (Min(kTileM, shape.m) * Min(kTileN, shape.n) + 15) / 16 * 16;
}

void MatMulHalf(const MatMulShape& shape, const void* a, const void* b, void* y, void* scratch,
                int64_t index) {
  using Eigen::half;
  const Tile tile = TileAt(shape, index);
  float* wide_a = static_cast<float*>(scratch);
  float* wide_b = wide_a + WidenedA(shape);
  View<float> sum(wide_b + WidenedB(shape), tile.rows, tile.columns,
                  Eigen::OuterStride<>(tile.columns));
  if (shape.k == 0) sum.setZero();
  for (int64_t k = 0; k < shape.k; k += kTileK) {
    const int64_t depth = Min(kTileK, shape.k - k);
    const Stored<float> part_a =
        Widen(Part(OperandA<half>(shape, a), tile.row, k), tile.rows, depth, wide_a);
    const Stored<float> part_b =
        Widen(Part(OperandB<half>(shape, b), k, tile.column), depth, tile.columns, wide_b);
    MultiplyPart<float>(part_a, part_b, sum, depth, k > 0);
  }
  View<half>(static_cast<half*>(y) + tile.row * shape.n + tile.column, tile.rows, tile.columns,
             Eigen::OuterStride<>(shape.n)) = sum.cast<half>();
}

// Integers are computed unsigned, where overflow is defined to wrap.
struct Neg {
  template <typename T>
  T operator()(T x) const {
    return T(0) - x;
  }
  float operator()(float x) const { return -x; }
  double operator()(double x) const { return -x; }
  Eigen::half operator()(Eigen::half x) const { return -x; }
};
// Not a number stays one.
struct ReLU {
  template <typename T>
  T operator()(T x) const {
    return x < T(0) ? T(0) : x;
  }
};
struct Add {
  template <typename T>
  T operator()(T a, T b) const {
    return a + b;
  }
};
struct Sub {
  template <typename T>
  T operator()(T a, T b) const {
    return a - b;
  }
};
struct Mul {
  template <typename T>
  T operator()(T a, T b) const {
    return a * b;
  }
};

template <typename T, typename Op>
void Unary(const void* x, void* y, int64_t count) {
  const T* from = static_cast<const T*>(x);
  T* to = static_cast<T*>(y);
  for (int64_t i = 0; i < count; ++i) to[i] = Op()(from[i]);
}

// One run along the innermost dimension.
template <typename T, typename Op>
void BinaryRun(const T* a, int64_t stride_a, const T* b, int64_t stride_b, T* y, int64_t count) {
  if (stride_a == 1 && stride_b == 1) {
    for (int64_t i = 0; i < count; ++i) y[i] = Op()(a[i], b[i]);
  } else if (stride_a == 1) {
    const T right = *b;
    for (int64_t i = 0; i < count; ++i) y[i] = Op()(a[i], right);
  } else if (stride_b == 1) {
    const T left = *a;
    for (int64_t i = 0; i < count; ++i) y[i] = Op()(left, b[i]);
  } else {
    const T both = Op()(*a, *b);
    for (int64_t i = 0; i < count; ++i) y[i] = both;
  }
}

template <typename T, typename Op>
void Binary(const BroadcastShape& shape, const void* a, const void* b, void* y, int64_t begin,
            int64_t end) {
  if (begin >= end) return;
  const int last = shape.rank - 1;
  int64_t index[kMaxRank];
  int64_t at = begin;
  const T* from_a = static_cast<const T*>(a);
  const T* from_b = static_cast<const T*>(b);
  for (int i = last; i >= 0; --i) {
    index[i] = at % shape.dims[i];
    at /= shape.dims[i];
    from_a += index[i] * shape.stride_a[i];
    from_b += index[i] * shape.stride_b[i];
  }
  T* to = static_cast<T*>(y) + begin;
  while (true) {
    const int64_t count = Min(shape.dims[last] - index[last], end - begin);
    BinaryRun<T, Op>(from_a, shape.stride_a[last], from_b, shape.stride_b[last], to, count);
    to += count;
    begin += count;
    if (begin >= end) return;
    from_a -= index[last] * shape.stride_a[last];
    from_b -= index[last] * shape.stride_b[last];
    index[last] = 0;
    for (int i = last - 1; i >= 0; --i) {
      from_a += shape.stride_a[i];
      from_b += shape.stride_b[i];
      if (++index[i] < shape.dims[i]) break;
      from_a -= shape.dims[i] * shape.stride_a[i];
      from_b -= shape.dims[i] * shape.stride_b[i];
      index[i] = 0;
    }
  }
}

template <typename Op>
BinaryKernel BinaryFor(Element element) {
  switch (element) {
    case Element::kFloat16:
      return Binary<Eigen::half, Op>;
    case Element::kFloat32:
      return Binary<float, Op>;
    case Element::kFloat64:
      return Binary<double, Op>;
    case Element::kInt32:
      return Binary<uint32_t, Op>;
    case Element::kInt64:
      return Binary<uint64_t, Op>;
  }
  return nullptr;
}

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
  return TilesOf(shape.m, kTileM) * TilesOf(shape.n, kTileN);
}

size_t MatMulScratchBytes(const MatMulShape& shape, Element element) {
  if (element != Element::kFloat16) return 0;
  return sizeof(float) * static_cast<size_t>(WidenedA(shape) + WidenedB(shape) + WidenedY(shape));
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

UnaryKernel SelectUnary(UnaryOp op, Element element) {
  const bool neg = op == UnaryOp::kNeg;
  switch (element) {
    case Element::kFloat16:
      return neg ? Unary<Eigen::half, Neg> : Unary<Eigen::half, ReLU>;
    case Element::kFloat32:
      return neg ? Unary<float, Neg> : Unary<float, ReLU>;
    case Element::kFloat64:
      return neg ? Unary<double, Neg> : Unary<double, ReLU>;
    case Element::kInt32:
      return neg ? Unary<uint32_t, Neg> : Unary<int32_t, ReLU>;
    case Element::kInt64:
      return neg ? Unary<uint64_t, Neg> : Unary<int64_t, ReLU>;
  }
  return nullptr;
}

BinaryKernel SelectBinary(BinaryOp op, Element element) {
  switch (op) {
    case BinaryOp::kAdd:
      return BinaryFor<Add>(element);
    case BinaryOp::kSub:
      return BinaryFor<Sub>(element);
    case BinaryOp::kMul:
      return BinaryFor<Mul>(element);
  }
  return nullptr;
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
