// Cast, from each type of numbers to each. Every element is rounded once, so every instruction set
// gives the same bits.
#pragma once

#include <limits>
#include <type_traits>

#include "executor/cpu/kernels.h"

namespace pipeserve::kernels {
namespace {

// A byte that is 0 or not.
struct Bool {
  uint8_t byte;
};

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T>;
template <typename T>
constexpr bool kIsReal = std::is_same_v<T, float> || std::is_same_v<T, double>;

// The float that rounds to the same half as `x` does: where it is not exact its last bit is set, as
// it stands for all that was cut off.
inline float RoundedToOdd(double x) {
  const float near = static_cast<float>(x);
  const double back = near;
  if (back == x || x != x) return near;
  uint32_t bits;
  __builtin_memcpy(&bits, &near, sizeof(bits));
  if ((bits & 1) == 0) {
    const bool is_too_small = x < 0 ? back > x : back < x;
    bits = is_too_small ? bits + 1 : bits - 1;
  }
  float odd;
  __builtin_memcpy(&odd, &bits, sizeof(odd));
  return odd;
}

template <typename To, typename From>
To Truncated(From x) {
  constexpr To kLeast = std::numeric_limits<To>::min(), kMost = std::numeric_limits<To>::max();
  // The first that is too large is a power of two, which every type of real numbers has.
  constexpr From kTooLarge = static_cast<From>(kMost / 2 + 1) * 2;
  if (x >= kTooLarge) return kMost;
  if (x <= static_cast<From>(kLeast)) return kLeast;
  return x == x ? static_cast<To>(x) : To(0);
}

template <typename To, typename From>
To CastOne(From x) {
  if constexpr (std::is_same_v<From, Bool>) {
    return CastOne<To>(static_cast<uint8_t>(x.byte != 0));
  } else if constexpr (std::is_same_v<From, Eigen::half>) {
    if constexpr (std::is_same_v<To, Eigen::half>)
      return x;
    else
      return CastOne<To>(static_cast<float>(x));
  } else if constexpr (std::is_same_v<To, Bool>) {
    return {static_cast<uint8_t>(x != From(0))};
  } else if constexpr (std::is_same_v<To, Eigen::half>) {
    // An integer that a float has not exactly is too large for a half.
    if constexpr (std::is_same_v<From, double>)
      return Eigen::half(RoundedToOdd(x));
    else
      return Eigen::half(static_cast<float>(x));
  } else if constexpr (kIsReal<From> && kIsInteger<To>) {
    return Truncated<To>(x);
  } else {
    return static_cast<To>(x);
  }
}

template <typename From, typename To>
void Cast(const void* x, void* y, int64_t count) {
  const From* from = static_cast<const From*>(x);
  To* to = static_cast<To*>(y);
  for (int64_t i = 0; i < count; ++i) to[i] = CastOne<To>(from[i]);
}

template <typename From>
CastKernel CastFrom(CastElement to) {
  switch (to) {
    case CastElement::kBool:
      return Cast<From, Bool>;
    case CastElement::kInt8:
      return Cast<From, int8_t>;
    case CastElement::kUint8:
      return Cast<From, uint8_t>;
    case CastElement::kInt32:
      return Cast<From, int32_t>;
    case CastElement::kInt64:
      return Cast<From, int64_t>;
    case CastElement::kFloat16:
      return Cast<From, Eigen::half>;
    case CastElement::kFloat32:
      return Cast<From, float>;
    case CastElement::kFloat64:
      return Cast<From, double>;
  }
  return nullptr;
}

CastKernel SelectCast(CastElement from, CastElement to) {
  switch (from) {
    case CastElement::kBool:
      return CastFrom<Bool>(to);
    case CastElement::kInt8:
      return CastFrom<int8_t>(to);
    case CastElement::kUint8:
      return CastFrom<uint8_t>(to);
    case CastElement::kInt32:
      return CastFrom<int32_t>(to);
    case CastElement::kInt64:
      return CastFrom<int64_t>(to);
    case CastElement::kFloat16:
      return CastFrom<Eigen::half>(to);
    case CastElement::kFloat32:
      return CastFrom<float>(to);
    case CastElement::kFloat64:
      return CastFrom<double>(to);
  }
  return nullptr;
}

}  // namespace
}  // namespace pipeserve::kernels
