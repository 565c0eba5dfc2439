// Element-wise operators. Each rounds once, so every instruction set gives the same bits.
#pragma once

#include "executor/cpu/isa/lanes.h"
#include "executor/cpu/kernels.h"

namespace pipeserve::kernels {
namespace {

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

// The type in which ReLU compares: integers are signed there.
template <typename T>
struct SignedOf {
  using Type = T;
};
template <>
struct SignedOf<uint32_t> {
  using Type = int32_t;
};
template <>
struct SignedOf<uint64_t> {
  using Type = int64_t;
};
template <typename T>
UnaryKernel UnaryFor(UnaryOp op) {
  if (op == UnaryOp::kNeg) return Unary<T, Neg>;
  return Unary<typename SignedOf<T>::Type, ReLU>;
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

UnaryKernel SelectUnary(UnaryOp op, Element element) {
  switch (element) {
    case Element::kFloat16:
      return UnaryFor<Eigen::half>(op);
    case Element::kFloat32:
      return UnaryFor<float>(op);
    case Element::kFloat64:
      return UnaryFor<double>(op);
    case Element::kInt32:
      return UnaryFor<uint32_t>(op);
    case Element::kInt64:
      return UnaryFor<uint64_t>(op);
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

}  // namespace
}  // namespace pipeserve::kernels
