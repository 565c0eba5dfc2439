// Operators that move bytes, as small graphs, against loops over indices.
#include <algorithm>

#include "base/str_cat.h"
#include "executor/cpu/one_node.h"

namespace pipeserve {
namespace {

// One data type of each element size.
constexpr DataType kEachSize[] = {DataType::kInt8, DataType::kFloat16, DataType::kInt32,
                                  DataType::kFloat64};

TEST(MoveStepsTest, TransposeTakesEveryPermutation) {
  for (const DataType dtype : kEachSize) {
    const Tensor x = Counting(dtype, {2, 3, 4});
    std::vector<int64_t> perm = {0, 1, 2};
    do {
      const auto outputs = RunNode(OpType::kTranspose, TransposeAttributes{perm}, {x});
      ASSERT_OK(outputs);
      const Tensor& y = (*outputs)[0];
      ForEachIndex(y.shape(), [&](const Index& at) {
        Index from(3);
        for (size_t i = 0; i < 3; ++i) from[static_cast<size_t>(perm[i])] = at[i];
        ASSERT_EQ(BitsAt(y, at), BitsAt(x, from)) << y.ToString() << " " << StrJoin(perm, ",");
      });
    } while (std::next_permutation(perm.begin(), perm.end()));
  }
}

TEST(MoveStepsTest, TransposeOfUnitAndEmptyDimensions) {
  for (const Shape& shape : {Shape{1, 5, 1}, Shape{4, 0, 2}, Shape{1, 1, 1}}) {
    const Tensor x = Counting(DataType::kInt32, shape);
    const auto outputs = RunNode(OpType::kTranspose, TransposeAttributes{{2, 0, 1}}, {x});
    ASSERT_OK(outputs);
    const Tensor& y = (*outputs)[0];
    EXPECT_EQ(y.shape(), (Shape{shape[2], shape[0], shape[1]}));
    ForEachIndex(y.shape(), [&](const Index& at) {
      ASSERT_EQ(BitsAt(y, at), BitsAt(x, {at[1], at[2], at[0]}));
    });
  }
}

TEST(MoveStepsTest, ConcatJoinsAlongEveryAxis) {
  for (const DataType dtype : kEachSize) {
    for (int64_t axis = -3; axis < 3; ++axis) {
      const auto dim = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
      std::vector<Tensor> parts;
      for (const int64_t size : {2, 0, 3, 1}) {
        Shape shape = {2, 3, 4};
        shape[dim] = size;
        parts.push_back(Counting(dtype, shape, 1 + 24 * parts.size()));
      }
      const auto outputs = RunNode(OpType::kConcat, AxisAttributes{axis}, parts);
      ASSERT_OK(outputs);
      const Tensor& y = (*outputs)[0];
      ASSERT_EQ(y.shape()[dim], 6);
      ForEachIndex(y.shape(), [&](const Index& at) {
        Index from = at;
        size_t part = 0;
        while (from[dim] >= parts[part].shape()[dim]) from[dim] -= parts[part++].shape()[dim];
        ASSERT_EQ(BitsAt(y, at), BitsAt(parts[part], from)) << dtype << " axis " << axis;
      });
    }
  }
}

TEST(MoveStepsTest, SplitCutsAlongEveryAxis) {
  for (const DataType dtype : kEachSize) {
    const Tensor x = Counting(dtype, {4, 6, 2});
    for (int64_t axis = -3; axis < 3; ++axis) {
      const auto dim = static_cast<size_t>(axis < 0 ? axis + 3 : axis);
      const auto outputs = RunNode(OpType::kSplit, AxisAttributes{axis}, {x}, 2);
      ASSERT_OK(outputs);
      for (int64_t part = 0; part < 2; ++part) {
        const Tensor& y = (*outputs)[static_cast<size_t>(part)];
        ASSERT_EQ(y.shape()[dim], x.shape()[dim] / 2);
        ForEachIndex(y.shape(), [&](const Index& at) {
          Index from = at;
          from[dim] += part * y.shape()[dim];
          ASSERT_EQ(BitsAt(y, at), BitsAt(x, from)) << dtype << " axis " << axis;
        });
      }
    }
  }
}

bool HasBit(int64_t mask, size_t bit) { return ((mask >> bit) & 1) != 0; }

// What a slice takes, entry by entry, written the plain way.
struct NaiveSlice {
  std::vector<Index> taken;  // For each dimension of the input.
  Shape output;

  NaiveSlice(const StridedSliceAttributes& s, const Shape& input) {
    size_t consumed = 0;
    for (size_t i = 0; i < s.begin.size(); ++i) {
      if (!HasBit(s.ellipsis_mask, i) && !HasBit(s.new_axis_mask, i)) ++consumed;
    }
    for (size_t i = 0; i < s.begin.size(); ++i) {
      if (HasBit(s.ellipsis_mask, i)) {
        for (size_t n = consumed; n < input.rank(); ++n) TakeAll(input);
      } else if (HasBit(s.new_axis_mask, i)) {
        output.Append(1);
      } else if (HasBit(s.shrink_axis_mask, i)) {
        const int64_t size = input[taken.size()];
        taken.push_back({s.begin[i] < 0 ? s.begin[i] + size : s.begin[i]});
      } else {
        TakeRange(s, i, input[taken.size()]);
      }
    }
    while (taken.size() < input.rank()) TakeAll(input);
  }

  void TakeAll(const Shape& input) {
    Index all;
    for (int64_t k = 0; k < input[taken.size()]; ++k) all.push_back(k);
    output.Append(static_cast<int64_t>(all.size()));
    taken.push_back(all);
  }

  // Steps from begin to end as Python does, and takes what lies inside.
  void TakeRange(const StridedSliceAttributes& s, size_t i, int64_t size) {
    const int64_t stride = s.strides[i];
    int64_t begin = s.begin[i] < 0 ? s.begin[i] + size : s.begin[i];
    int64_t end = s.end[i] < 0 ? s.end[i] + size : s.end[i];
    if (stride > 0) begin = std::max<int64_t>(begin, 0);
    if (stride < 0) begin = std::min<int64_t>(begin, size - 1);
    if (HasBit(s.begin_mask, i)) begin = stride > 0 ? 0 : size - 1;
    if (HasBit(s.end_mask, i)) end = stride > 0 ? size : -1;
    Index some;
    for (int64_t k = begin; stride > 0 ? k < end : k > end; k += stride) {
      if (k >= 0 && k < size) some.push_back(k);
    }
    output.Append(static_cast<int64_t>(some.size()));
    taken.push_back(some);
  }
};

void ExpectSlice(const StridedSliceAttributes& attributes, const Tensor& x) {
  const NaiveSlice wanted(attributes, x.shape());
  const auto outputs = RunNode(OpType::kStridedSlice, attributes, {x});
  ASSERT_OK(outputs);
  const Tensor& y = (*outputs)[0];
  ASSERT_EQ(y.shape(), wanted.output);
  Shape sizes;
  for (const Index& each : wanted.taken) sizes.Append(static_cast<int64_t>(each.size()));
  const Tensor flat(y.dtype(), sizes, y.buffer());  // As before axes came or went.
  ForEachIndex(sizes, [&](const Index& at) {
    Index from;
    for (size_t i = 0; i < at.size(); ++i) {
      from.push_back(wanted.taken[i][static_cast<size_t>(at[i])]);
    }
    ASSERT_EQ(BitsAt(flat, at), BitsAt(x, from));
  });
}

TEST(MoveStepsTest, SliceTakesEveryRangeOfOneDimension) {
  const Tensor x = Counting(DataType::kInt32, {4});
  for (int64_t begin = -6; begin <= 6; ++begin) {
    for (int64_t end = -6; end <= 6; ++end) {
      for (const int64_t stride : {-3, -2, -1, 1, 2, 5}) {
        for (int64_t masks = 0; masks < 4; ++masks) {
          SCOPED_TRACE(StrCat(begin, ":", end, ":", stride, " masks ", masks));
          ExpectSlice({{begin}, {end}, {stride}, masks & 1, masks >> 1}, x);
        }
      }
    }
  }
}

TEST(MoveStepsTest, SliceTakesEveryMask) {
  const StridedSliceAttributes slices[] = {
      {{0, 1, 1}, {2, 3, 3}, {1, 1, 1}},                            // A block.
      {{-1, -1, -1}, {-9, -9, -9}, {-1, -2, -3}},                   // All backwards.
      {{1, 2, 3}, {1, 0, 2}, {1, -1, 1}, 5, 5},                     // Begin and end masks.
      {{0, 2}, {0, 0}, {1, -1}, 0, 0, 1},                           // [..., 2:0:-1]
      {{1, 0, 1}, {2, 0, 4}, {1, 1, 2}, 0, 0, 2},                   // [1:2, ..., 1:4:2]
      {{0, 0, 0, 1}, {0, 2, 0, 2}, {1, 1, 1, 1}, 0, 0, 0, 5},       // [new, 0:2, new, 1:2]
      {{-1, 0, 2}, {0, 3, 3}, {1, 1, 1}, 0, 0, 0, 0, 5},            // [-1, 0:3, 2]
      {{1, 1, 1}, {2, 2, 2}, {1, 1, 1}, 0, 0, 0, 0, 7},             // One element.
      {{1, 0, 0, -1}, {0, 0, 0, 0}, {1, 1, 1, -1}, 8, 8, 2, 4, 1},  // [1, ..., new, ::-1]
      {{1}, {2}, {1}},                    // Fewer entries than dimensions.
      {{0, 3, 0}, {2, 3, 4}, {1, 1, 1}},  // Nothing.
      {{}, {}, {}},                       // Everything.
  };
  for (const DataType dtype : kEachSize) {
    const Tensor x = Counting(dtype, {2, 3, 4});
    for (size_t i = 0; i < std::size(slices); ++i) {
      SCOPED_TRACE(StrCat(dtype, " slice ", i));
      ExpectSlice(slices[i], x);
    }
  }
}

TEST(MoveStepsTest, SliceMayTakeExtremeStrides) {
  const Tensor x = Counting(DataType::kInt32, {4, 3});
  ExpectSlice({{1}, {4}, {INT64_MAX / 2}}, x);
  const auto outputs =
      RunNode(OpType::kStridedSlice, StridedSliceAttributes{{2}, {-9}, {INT64_MIN}}, {x});
  ASSERT_OK(outputs);
  EXPECT_EQ((*outputs)[0].ToString(), "int32[1,3]");
  EXPECT_EQ(BitsAt((*outputs)[0], {0, 0}), BitsAt(x, {2, 0}));
}

}  // namespace
}  // namespace pipeserve
