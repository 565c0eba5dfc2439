#include "executor/reduce.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cstdint>

#include "base/check.h"

namespace pipeserve {
namespace {

// Sums block by block, so that the accumulators stay in the first-level cache.
template <typename Element, typename Accumulator>
void Sum(std::span<const std::byte* const> pieces, size_t count, void* output) {
  constexpr size_t kBlock = 512;
  std::array<Accumulator, kBlock> sums;
  auto* out = static_cast<Element*>(output);
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t length = std::min(kBlock, count - begin);
    const auto* first = reinterpret_cast<const Element*>(pieces.front()) + begin;
    for (size_t i = 0; i < length; ++i) sums[i] = static_cast<Accumulator>(first[i]);
    for (const std::byte* const each : pieces.subspan(1)) {
      const auto* piece = reinterpret_cast<const Element*>(each) + begin;
      for (size_t i = 0; i < length; ++i) sums[i] += static_cast<Accumulator>(piece[i]);
    }
    for (size_t i = 0; i < length; ++i) out[begin + i] = static_cast<Element>(sums[i]);
  }
}

}  // namespace

bool CanSum(DataType dtype) {
  return dtype == DataType::kFloat16 || dtype == DataType::kFloat32 || dtype == DataType::kInt32;
}

void SumInRankOrder(DataType dtype, std::span<const std::byte* const> pieces, size_t count,
                    void* output) {
  PIPESERVE_DCHECK(CanSum(dtype));
  if (dtype == DataType::kFloat16) return Sum<Eigen::half, float>(pieces, count, output);
  if (dtype == DataType::kFloat32) return Sum<float, float>(pieces, count, output);
  // Unsigned, because overflow of a signed sum is undefined.
  Sum<uint32_t, uint32_t>(pieces, count, output);
}

}  // namespace pipeserve
