// Products that a library made for large matrices is slow at: a row times a matrix, and a matrix of
// few columns. Every element is added up in an order that its place in the tile does not change.
#pragma once

#include "executor/cpu/isa/lanes.h"

namespace pipeserve::kernels {
namespace {

constexpr int64_t kThinColumns = 16;
// As deep as a call of MultiplyThin() may be.
constexpr int64_t kThinDepth = 256;

// A row-major matrix as it is stored.
template <typename T>
struct Stored {
  const T* data;
  int64_t stride;
  bool transposed;

  const T* At(int64_t row, int64_t column) const {
    return data + (transposed ? column * stride + row : row * stride + column);
  }
};

// Where a product goes: zeroed or added to.
template <typename T>
struct Target {
  T* data;
  int64_t stride;
  int64_t rows, columns;
  bool accumulate;
};

// `kRows` rows of a times `kColumns` stored columns of b, along the vectors of both.
template <typename T, int kRows, int kColumns>
inline void DotBlock(int64_t depth, const T* a, int64_t a_stride, const T* b, int64_t b_stride,
                     T* y, int64_t row_step, int64_t column_step, bool accumulate) {
  Vector<T> sums[kRows][kColumns] = {};
  int64_t p = 0;
  for (; p + kLanes<T> <= depth; p += kLanes<T>) {
    Vector<T> right[kColumns];
#pragma GCC unroll 2
    for (int c = 0; c < kColumns; ++c) right[c] = Load(b + c * b_stride + p);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Vector<T> left = Load(a + r * a_stride + p);
#pragma GCC unroll 2
      for (int c = 0; c < kColumns; ++c) sums[r][c] += left * right[c];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      T lanes[kLanes<T>];
      Store(lanes, sums[r][c]);
      for (int64_t width = kLanes<T> / 2; width > 0; width /= 2) {
        for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
      }
      T sum = lanes[0];
      for (int64_t q = p; q < depth; ++q) sum += a[r * a_stride + q] * b[c * b_stride + q];
      T* to = y + r * row_step + c * column_step;
      *to = accumulate ? *to + sum : sum;
    }
  }
}

template <typename T, int kColumns>
void DotRows(int64_t rows, int64_t depth, const T* a, int64_t a_stride, const T* b,
             int64_t b_stride, T* y, int64_t row_step, bool accumulate) {
  constexpr int64_t kRows = 4;
  int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    DotBlock<T, kRows, kColumns>(depth, a + i * a_stride, a_stride, b, b_stride, y + i * row_step,
                                 row_step, 1, accumulate);
  }
  for (; i < rows; ++i) {
    DotBlock<T, 1, kColumns>(depth, a + i * a_stride, a_stride, b, b_stride, y + i * row_step,
                             row_step, 1, accumulate);
  }
}

// Adds `kDeep` elements of a row times as many rows of b.
template <typename T, int kDeep>
inline void AddScaledRows(const T* a, const T* b, int64_t b_stride, T* y, int64_t columns) {
  int64_t j = 0;
  for (; j + kLanes<T> <= columns; j += kLanes<T>) {
    Vector<T> sum = Load(y + j);
#pragma GCC unroll 4
    for (int p = 0; p < kDeep; ++p) sum += a[p] * Load(b + p * b_stride + j);
    Store(y + j, sum);
  }
  for (; j < columns; ++j) {
    T sum = y[j];
#pragma GCC unroll 4
    for (int p = 0; p < kDeep; ++p) sum += a[p] * b[p * b_stride + j];
    y[j] = sum;
  }
}

// A row, whose elements lie side by side, times a matrix.
template <typename T>
void MultiplyRow(int64_t depth, const T* a, const Stored<T>& b, const Target<T>& y) {
  if (b.transposed) {
    return DotRows<T, 1>(y.columns, depth, b.data, b.stride, a, 0, y.data, 1, y.accumulate);
  }
  if (!y.accumulate) {
    for (int64_t j = 0; j < y.columns; ++j) y.data[j] = 0;
  }
  constexpr int kDeep = 4;
  int64_t p = 0;
  for (; p + kDeep <= depth; p += kDeep) {
    AddScaledRows<T, kDeep>(a + p, b.data + p * b.stride, b.stride, y.data, y.columns);
  }
  for (; p < depth; ++p) {
    AddScaledRows<T, 1>(a + p, b.data + p * b.stride, b.stride, y.data, y.columns);
  }
}

// `kRows` rows of a times a panel of b that is `kVectors` vectors wide; `columns` of them are real.
template <typename T, int kRows, int kVectors, bool kTransposed>
inline void PanelBlock(int64_t depth, const T* a, int64_t a_stride, const T* panel, T* y,
                       int64_t y_stride, int64_t columns, bool accumulate) {
  Vector<T> sums[kRows][kVectors] = {};
  if (accumulate) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        sums[r][v] = LoadSome(y + r * y_stride + v * kLanes<T>, columns - v * kLanes<T>);
      }
    }
  }
  for (int64_t p = 0; p < depth; ++p) {
    Vector<T> right[kVectors];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) right[v] = Load(panel + v * kLanes<T>);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const T left = a[kTransposed ? r : r * a_stride];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) sums[r][v] += left * right[v];
    }
    a += kTransposed ? a_stride : 1;
    panel += kVectors * kLanes<T>;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      StoreSome(y + r * y_stride + v * kLanes<T>, sums[r][v], columns - v * kLanes<T>);
    }
  }
}

// All rows of y, as many at a time as registers hold, then the rest by fewer.
template <typename T, int kRows, int kVectors, bool kTransposed>
void PanelRows(int64_t rows, int64_t depth, const T* a, int64_t a_stride, const T* panel, T* y,
               int64_t y_stride, int64_t columns, bool accumulate) {
  int64_t i = 0;
  for (; i + kRows <= rows; i += kRows) {
    PanelBlock<T, kRows, kVectors, kTransposed>(depth, a + (kTransposed ? i : i * a_stride),
                                                a_stride, panel, y + i * y_stride, y_stride,
                                                columns, accumulate);
  }
  if constexpr (kRows > 1) {
    if (i == rows) return;
    PanelRows<T, (kRows > 4 ? 4 : kRows / 2), kVectors, kTransposed>(
        rows - i, depth, a + (kTransposed ? i : i * a_stride), a_stride, panel, y + i * y_stride,
        y_stride, columns, accumulate);
  }
}

// Copies columns [column, column + width) of b, row after row, filled up with zeros to `width`.
template <typename T>
void PackPanel(int64_t depth, const Stored<T>& b, int64_t column, int64_t columns, int64_t width,
               T* panel) {
  for (int64_t p = 0; p < depth; ++p) {
    for (int64_t j = 0; j < columns; ++j) panel[p * width + j] = *b.At(p, column + j);
    for (int64_t j = columns; j < width; ++j) panel[p * width + j] = 0;
  }
}

template <typename T, int kRows, int kVectors>
void MultiplyPanels(int64_t depth, const Stored<T>& a, const Stored<T>& b, const Target<T>& y) {
  constexpr int64_t kWidth = kVectors * kLanes<T>;
  T panel[kThinDepth * kWidth];
  const auto rows =
      a.transposed ? PanelRows<T, kRows, kVectors, true> : PanelRows<T, kRows, kVectors, false>;
  for (int64_t j = 0; j < y.columns; j += kWidth) {
    const int64_t columns = Min(kWidth, y.columns - j);
    PackPanel(depth, b, j, columns, kWidth, panel);
    rows(y.rows, depth, a.data, a.stride, panel, y.data + j, y.stride, columns, y.accumulate);
  }
}

// One or two columns: the vectors lie along the rows of a, for panels would be mostly zeros.
template <typename T>
void MultiplyColumns(int64_t depth, const Stored<T>& a, const Stored<T>& b, const Target<T>& y) {
  T columns[2 * kThinDepth];
  for (int64_t j = 0; j < y.columns; ++j) {
    for (int64_t p = 0; p < depth; ++p) columns[j * kThinDepth + p] = *b.At(p, j);
  }
  const auto rows = y.columns == 2 ? DotRows<T, 2> : DotRows<T, 1>;
  rows(y.rows, depth, a.data, a.stride, columns, kThinDepth, y.data, y.stride, y.accumulate);
}

// At most kThinColumns columns and kThinDepth deep.
template <typename T>
void MultiplyThin(int64_t depth, const Stored<T>& a, const Stored<T>& b, const Target<T>& y) {
  if (y.columns <= 2 && !a.transposed) return MultiplyColumns(depth, a, b, y);
  if (y.columns <= kLanes<T>) return MultiplyPanels<T, 8, 1>(depth, a, b, y);
  MultiplyPanels<T, 6, 2>(depth, a, b, y);
}

}  // namespace
}  // namespace pipeserve::kernels
