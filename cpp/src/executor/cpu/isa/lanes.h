// The widest vectors of the instruction set that the including file is compiled for. Internal to
// the files of this folder, each of which is compiled alone: all they define has internal linkage,
// for the linker would keep one copy of anything else and run it on every CPU.
#pragma once

#include <cstdint>

namespace pipeserve::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

template <typename T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Vector = typename VectorOf<T>::Type;
template <typename T>
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(T));

template <typename T>
inline Vector<T> Load(const T* from) {
  Vector<T> vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}
template <typename T>
inline void Store(T* to, const Vector<T>& vector) {
  __builtin_memcpy(to, &vector, sizeof(vector));
}

// The first `count` lanes; the others are 0, or stay what they are.
template <typename T>
inline Vector<T> LoadSome(const T* from, int64_t count) {
  if (count >= kLanes<T>) return Load(from);
  Vector<T> vector = {};
  for (int64_t i = 0; i < count; ++i) vector[i] = from[i];
  return vector;
}
template <typename T>
inline void StoreSome(T* to, const Vector<T>& vector, int64_t count) {
  if (count >= kLanes<T>) return Store(to, vector);
  for (int64_t i = 0; i < count; ++i) to[i] = vector[i];
}

inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace pipeserve::kernels
