#include "graph/shape_inference.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;

// "begin/strides/sizes -> output", or the error's text.
std::string Resolve(const StridedSliceAttributes& attributes, const Shape& input) {
  const auto spec = ResolveSlice(attributes, input);
  if (!spec.ok()) return spec.status().message();
  return Shape(spec->begin).ToString() + Shape(spec->strides).ToString() +
         Shape(spec->sizes).ToString() + " -> " + spec->output.ToString();
}

TEST(StridedSliceTest, PlainRanges) {
  EXPECT_EQ(Resolve({.begin = {16, 0}, .end = {32, 16}, .strides = {1, 1}}, {128, 16}),
            "[16,0][1,1][16,16] -> [16,16]");
  EXPECT_EQ(Resolve({.begin = {1}, .end = {8}, .strides = {3}}, {10, 4}),
            "[1,0][3,1][3,4] -> [3,4]");
  EXPECT_EQ(Resolve({.begin = {-3}, .end = {100}, .strides = {1}}, {10}), "[7][1][3] -> [3]");
  EXPECT_EQ(Resolve({.begin = {5}, .end = {5}, .strides = {1}}, {10}), "[0][1][0] -> [0]");
}

TEST(StridedSliceTest, BackwardRanges) {
  const auto spec = ResolveSlice({.begin = {-1}, .end = {0}, .strides = {-4}}, {10});
  ASSERT_OK(spec);
  EXPECT_THAT(spec->begin, ElementsAre(9));
  EXPECT_THAT(spec->sizes, ElementsAre(3));
  const auto all = ResolveSlice(
      {.begin = {3}, .end = {3}, .strides = {-1}, .begin_mask = 1, .end_mask = 1}, {10});
  ASSERT_OK(all);
  EXPECT_THAT(all->begin, ElementsAre(9));
  EXPECT_THAT(all->sizes, ElementsAre(10));
}

TEST(StridedSliceTest, Masks) {
  EXPECT_EQ(
      Resolve({.begin = {9, 1}, .end = {9, 3}, .strides = {1, 1}, .begin_mask = 1, .end_mask = 3},
              {4, 5}),
      "[0,1][1,1][4,4] -> [4,4]");
  EXPECT_EQ(
      Resolve({.begin = {0, 0, 0}, .end = {2, 1, 3}, .strides = {1, 1, 1}, .shrink_axis_mask = 2},
              {2, 1, 3}),
      "[0,0,0][1,1,1][2,1,3] -> [2,3]");
  EXPECT_EQ(Resolve({.begin = {0, -1},
                     .end = {0, 0},
                     .strides = {1, 1},
                     .ellipsis_mask = 1,
                     .shrink_axis_mask = 2},
                    {2, 3, 4}),
            "[0,0,3][1,1,1][2,3,1] -> [2,3]");
  EXPECT_EQ(
      Resolve({.begin = {0, 1}, .end = {0, 2}, .strides = {1, 1}, .new_axis_mask = 1}, {3, 4}),
      "[1,0][1,1][1,4] -> [1,1,4]");
}

TEST(StridedSliceTest, RefusesWhatDoesNotFit) {
  using testing::HasSubstr;
  EXPECT_THAT(Resolve({.begin = {0}, .end = {1}, .strides = {0}}, {4}), HasSubstr("stride 0"));
  EXPECT_THAT(Resolve({.begin = {0, 0}, .end = {1, 1}, .strides = {1, 1}}, {4}),
              HasSubstr("2 entries for an input of shape [4]"));
  EXPECT_THAT(Resolve({.begin = {0}, .end = {1, 1}, .strides = {1}}, {4}), HasSubstr("1, 2 and 1"));
  EXPECT_THAT(Resolve({.begin = {4}, .end = {5}, .strides = {1}, .shrink_axis_mask = 1}, {4}),
              HasSubstr("picks index 4 of a dimension of 4"));
  EXPECT_THAT(Resolve({.begin = {-5}, .end = {5}, .strides = {1}, .shrink_axis_mask = 1}, {4}),
              HasSubstr("picks index -5"));
  EXPECT_THAT(Resolve({.begin = {0}, .end = {5}, .strides = {-1}, .shrink_axis_mask = 1}, {4}),
              HasSubstr("stride -1"));
  EXPECT_THAT(Resolve({.begin = {0, 0}, .end = {1, 1}, .strides = {1, 1}, .ellipsis_mask = 3}, {4}),
              HasSubstr("more than one bit"));
  const std::vector<int64_t> nine(9, 1);
  EXPECT_THAT(Resolve({.begin = nine, .end = nine, .strides = nine, .new_axis_mask = 0x1FF}, {4}),
              HasSubstr("more than 8 dimensions"));
  const std::vector<int64_t> many(17, 1);
  EXPECT_THAT(Resolve({.begin = many, .end = many, .strides = many, .new_axis_mask = -1}, {4}),
              HasSubstr("at most 16"));
  EXPECT_THAT(Resolve({}, {4, -1}), HasSubstr("no fixed size"));
}

TEST(StridedSliceTest, ExtremeNumbersDoNotOverflow) {
  EXPECT_EQ(Resolve({.begin = {INT64_MIN}, .end = {INT64_MAX}, .strides = {INT64_MAX}}, {4}),
            "[0][9223372036854775807][1] -> [1]");
  const auto spec =
      ResolveSlice({.begin = {INT64_MAX}, .end = {INT64_MIN}, .strides = {INT64_MIN}}, {4});
  ASSERT_OK(spec);
  EXPECT_THAT(spec->begin, ElementsAre(3));
  EXPECT_THAT(spec->sizes, ElementsAre(1));
}

TEST(StridedSliceTest, UnknownDimensionsStayUnknown) {
  const auto shape = InferSliceShape(
      {.begin = {0, 2, 1}, .end = {5, 4, 2}, .strides = {1, 1, 1}, .shrink_axis_mask = 4},
      {-1, 8, -1});
  ASSERT_OK(shape);
  EXPECT_EQ(*shape, (Shape{-1, 2}));
}

}  // namespace
}  // namespace pipeserve
