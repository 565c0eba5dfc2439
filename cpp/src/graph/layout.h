// How one value lies over the ranks of a servable.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeserve/tensor.h"

namespace pipeserve {

// The ranks form a matrix of devices, last axis fastest; each dimension of the value is cut along
// at most one axis of it. Ranks that differ only in other axes hold copies.
struct Layout {
  static constexpr int kWhole = -1;

  std::vector<int64_t> devices;  // Product: the number of ranks.
  std::vector<int> axes;         // For each dimension its axis, or kWhole.

  // Every rank holds everything.
  static Layout Whole(int64_t rank_size, size_t dims);

  // Number of pieces of dimension `dim`, and which one `rank` holds.
  int64_t parts(size_t dim) const;
  int64_t piece(size_t dim, int64_t rank) const;
  bool is_whole() const;
  int64_t rank_size() const;

  // The piece of one rank; `whole` must be divisible where it is cut.
  Shape LocalShape(const Shape& whole) const;
  // The ranks that differ from `rank` in `axis` alone, ascending; `rank` is one of them.
  std::vector<int32_t> GroupOf(int axis, int64_t rank) const;
};

// True when every rank holds the same piece under both, whatever the device matrices.
bool SamePieces(const Layout& a, const Layout& b);

// The same for one dimension: `fine` only cuts the pieces of `coarse` into smaller ones.
bool Refines(const Layout& fine, const Layout& coarse, size_t dim);

}  // namespace pipeserve
