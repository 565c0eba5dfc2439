#include "graph/layout.h"

#include <algorithm>

#include "base/check.h"

namespace pipeserve {
namespace {

// How far apart in rank two neighbours along `axis` are.
int64_t Stride(const std::vector<int64_t>& devices, int axis) {
  int64_t stride = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < devices.size(); ++i) stride *= devices[i];
  return stride;
}

int64_t Coordinate(const std::vector<int64_t>& devices, int axis, int64_t rank) {
  return rank / Stride(devices, axis) % devices[static_cast<size_t>(axis)];
}

}  // namespace

Layout Layout::Whole(int64_t rank_size, size_t dims) {
  return {{rank_size}, std::vector<int>(dims, kWhole)};
}

int64_t Layout::parts(size_t dim) const {
  return axes[dim] == kWhole ? 1 : devices[static_cast<size_t>(axes[dim])];
}

int64_t Layout::piece(size_t dim, int64_t rank) const {
  return axes[dim] == kWhole ? 0 : Coordinate(devices, axes[dim], rank);
}

bool Layout::is_whole() const {
  for (size_t dim = 0; dim < axes.size(); ++dim) {
    if (parts(dim) > 1) return false;
  }
  return true;
}

int64_t Layout::rank_size() const {
  int64_t product = 1;
  for (const int64_t size : devices) product *= size;
  return product;
}

Shape Layout::LocalShape(const Shape& whole) const {
  PIPESERVE_DCHECK(whole.rank() == axes.size());
  Shape local = whole;
  for (size_t dim = 0; dim < axes.size(); ++dim) {
    if (parts(dim) == 1) continue;
    PIPESERVE_DCHECK(whole[dim] >= 0 && whole[dim] % parts(dim) == 0);
    local[dim] = whole[dim] / parts(dim);
  }
  return local;
}

std::vector<int32_t> Layout::GroupOf(int axis, int64_t rank) const {
  const int64_t stride = Stride(devices, axis);
  const int64_t first = rank - Coordinate(devices, axis, rank) * stride;
  std::vector<int32_t> ranks;
  for (int64_t i = 0; i < devices[static_cast<size_t>(axis)]; ++i) {
    ranks.push_back(static_cast<int32_t>(first + i * stride));
  }
  return ranks;
}

bool Refines(const Layout& fine, const Layout& coarse, size_t dim) {
  const int64_t fine_parts = fine.parts(dim), coarse_parts = coarse.parts(dim);
  if (fine_parts % coarse_parts != 0) return false;
  for (int64_t rank = 0; rank < coarse.rank_size(); ++rank) {
    if (fine.piece(dim, rank) / (fine_parts / coarse_parts) != coarse.piece(dim, rank)) {
      return false;
    }
  }
  return true;
}

bool SamePieces(const Layout& a, const Layout& b) {
  for (size_t dim = 0; dim < a.axes.size(); ++dim) {
    if (a.parts(dim) != b.parts(dim) || !Refines(a, b, dim)) return false;
  }
  return true;
}

}  // namespace pipeserve
