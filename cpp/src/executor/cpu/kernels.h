// The arithmetic of the CPU executor: plain functions on raw pointers. Those that gain from wider
// vectors are compiled once for each instruction set (see isa/) and reached through a table.
// Nothing here allocates, throws or waits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pipeserve::kernels {

enum class Element : uint8_t { kFloat16, kFloat32, kFloat64, kInt32, kInt64 };

// Whether there are kernels that multiply matrices of `element` and sum over dimensions.
constexpr bool HasSums(Element element) {
  return element == Element::kFloat16 || element == Element::kFloat32 || element == Element::kInt32;
}

// y[m,n] = a[m,k] * b[k,n]; a transposed operand is stored the other way round. All row-major.
struct MatMulShape {
  int64_t m = 0, k = 0, n = 0;
  bool transpose_a = false, transpose_b = false;
};

// What is done to a product while it is still in the cache.
enum class Following : uint8_t { kNeg, kReLU, kAddRow };
struct FollowingStep {
  Following op = Following::kNeg;
  const void* row = nullptr;  // Of kAddRow: what is added to every row of the product.
  int64_t row_stride = 1;     // 0 when the same element is added to all.
};

struct MatMulArguments {
  const void* a = nullptr;
  const void* b = nullptr;
  void* y = nullptr;
  void* scratch = nullptr;  // MatMulScratchBytes(), 64-byte aligned, of the running tile alone.
  const FollowingStep* following = nullptr;
  int following_count = 0;
};

// The product is cut into tiles of y by its shape alone, so that the bits of the result do not
// depend on how many threads share the tiles.
struct MatMulTile {
  int64_t row = 0, rows = 0, column = 0, columns = 0;
};
int64_t MatMulTiles(const MatMulShape& shape);
MatMulTile MatMulTileAt(const MatMulShape& shape, int64_t index);

// Bytes that one running tile needs beside its operands.
size_t MatMulScratchBytes(const MatMulShape& shape, Element element);

// A float16 tile is computed in float32, this much of k at a time.
int64_t WidenedDepth(const MatMulShape& shape);

// Computes the whole of one tile of y. `shape.n` is 1 only where `shape.m` is too: a matrix times a
// column is to be asked for as the row times the transposed matrix, see Exchanged().
using MatMulKernel = void (*)(const MatMulShape& shape, const MatMulArguments& arguments,
                              int64_t tile);

// The product with the same elements in the same order, with operands a and b exchanged.
constexpr MatMulShape Exchanged(const MatMulShape& shape) {
  return {shape.n, shape.k, shape.m, !shape.transpose_b, !shape.transpose_a};
}

enum class UnaryOp : uint8_t { kNeg, kReLU };
// `x` and `y` may be the same memory.
using UnaryKernel = void (*)(const void* x, void* y, int64_t count);

enum class CastElement : uint8_t {
  kBool,
  kInt8,
  kUint8,
  kInt32,
  kInt64,
  kFloat16,
  kFloat32,
  kFloat64
};
// See CastAttributes. `x` and `y` are different memory.
using CastKernel = void (*)(const void* x, void* y, int64_t count);

inline constexpr int kMaxRank = 8;

// The result's dimensions and how far an operand moves, in elements, for a step along each: 0
// where it is broadcast. The innermost strides are 0 or 1.
struct BroadcastShape {
  int rank = 1;
  int64_t dims[kMaxRank] = {1};
  int64_t stride_a[kMaxRank] = {0};
  int64_t stride_b[kMaxRank] = {0};
};

enum class BinaryOp : uint8_t { kAdd, kSub, kMul };
// Computes elements [begin, end) of the contiguous result.
using BinaryKernel = void (*)(const BroadcastShape& shape, const void* a, const void* b, void* y,
                              int64_t begin, int64_t end);

// The dimensions of a contiguous result and how far its source moves, in elements, for a step
// along each; strides may be negative.
struct GatherShape {
  int rank = 1;
  int64_t dims[kMaxRank] = {1};
  int64_t strides[kMaxRank] = {1};
};

// Where the elements of a source that is summed over lie: `kept` gives that of each element of the
// contiguous result, `summed` how far the source moves for each element that is added to it. Every
// dimension of the source is in one of the two, so one of them ends with a stride of 1.
struct SumShape {
  GatherShape kept, summed;
};
// Computes elements [begin, end) of the result. The order in which an element is added up depends
// on the shape alone.
using SumKernel = void (*)(const SumShape& shape, const void* x, void* y, int64_t begin,
                           int64_t end);

// The kernels of one instruction set. float16 adds up in float32; integers wrap.
struct KernelTable {
  const char* isa;
  MatMulKernel (*matmul)(Element element);  // Null without HasSums(); so for sum.
  UnaryKernel (*unary)(UnaryOp op, Element element);
  BinaryKernel (*binary)(BinaryOp op, Element element);
  SumKernel (*sum)(Element element);
  CastKernel (*cast)(CastElement from, CastElement to);
};

// `x` is the source of the first element. `element_size` is 1, 2, 4 or 8.
void Gather(const GatherShape& shape, size_t element_size, const void* x, void* y);

// Copies `rows` runs of `bytes` bytes that lie `x_stride` and `y_stride` bytes apart.
void CopyRows(int64_t rows, size_t bytes, const void* x, size_t x_stride, void* y, size_t y_stride);

}  // namespace pipeserve::kernels
