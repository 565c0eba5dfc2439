// The arithmetic of the CPU executor: plain functions on raw pointers, so that the one file behind
// them can be compiled for several instruction sets. Nothing here allocates, throws or waits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace pipeserve::kernels {

enum class Element : uint8_t { kFloat16, kFloat32, kFloat64, kInt32, kInt64 };

// y[m,n] = a[m,k] * b[k,n]; a transposed operand is stored the other way round. All row-major.
struct MatMulShape {
  int64_t m = 0, k = 0, n = 0;
  bool transpose_a = false, transpose_b = false;
};

// The product is cut into tiles of y by its shape alone, so that the bits of the result do not
// depend on how many threads share the tiles.
int64_t MatMulTiles(const MatMulShape& shape);

// Bytes that one running tile needs beside its operands; they must be 64-byte aligned.
size_t MatMulScratchBytes(const MatMulShape& shape, Element element);

// Computes the whole of tile `tile` of y.
using MatMulKernel = void (*)(const MatMulShape& shape, const void* a, const void* b, void* y,
                              void* scratch, int64_t tile);
// Null when there is no kernel for `element`. float16 adds up in float32; integers wrap.
MatMulKernel SelectMatMul(Element element);

enum class UnaryOp : uint8_t { kNeg, kReLU };
// `x` and `y` may be the same memory.
using UnaryKernel = void (*)(const void* x, void* y, int64_t count);
UnaryKernel SelectUnary(UnaryOp op, Element element);

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
BinaryKernel SelectBinary(BinaryOp op, Element element);

// The dimensions of a contiguous result and how far its source moves, in elements, for a step
// along each; strides may be negative.
struct GatherShape {
  int rank = 1;
  int64_t dims[kMaxRank] = {1};
  int64_t strides[kMaxRank] = {1};
};
// `x` is the source of the first element. `element_size` is 1, 2, 4 or 8.
void Gather(const GatherShape& shape, size_t element_size, const void* x, void* y);

// Copies `rows` runs of `bytes` bytes that lie `x_stride` and `y_stride` bytes apart.
void CopyRows(int64_t rows, size_t bytes, const void* x, size_t x_stride, void* y, size_t y_stride);

}  // namespace pipeserve::kernels
