#include "graph/layout.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;

TEST(LayoutTest, LastDeviceAxisIsTheFastest) {
  const Layout layout{{2, 2, 2}, {1, 2}};
  EXPECT_EQ(layout.rank_size(), 8);
  EXPECT_EQ(layout.piece(0, 6), 1);
  EXPECT_EQ(layout.piece(1, 6), 0);
  EXPECT_EQ(layout.LocalShape({8, 6}), (Shape{4, 3}));
  EXPECT_THAT(layout.GroupOf(1, 7), ElementsAre(5, 7));
  EXPECT_THAT(layout.GroupOf(2, 1), ElementsAre(0, 1));
  EXPECT_THAT(layout.GroupOf(0, 6), ElementsAre(2, 6));
}

TEST(LayoutTest, WholeIsWholeWhateverTheMatrix) {
  EXPECT_TRUE(Layout::Whole(4, 2).is_whole());
  EXPECT_TRUE((Layout{{4, 1}, {1, Layout::kWhole}}).is_whole());
  EXPECT_TRUE(SamePieces(Layout::Whole(4, 2), {{4, 1}, {1, Layout::kWhole}}));
  EXPECT_FALSE((Layout{{4, 1}, {0, Layout::kWhole}}).is_whole());
}

TEST(LayoutTest, ComparesPiecesNotMatrices) {
  const Layout outer{{2, 2}, {0}}, inner{{2, 2}, {1}}, four{{4}, {0}};
  EXPECT_FALSE(SamePieces(outer, inner));
  EXPECT_TRUE(SamePieces(outer, {{2, 1, 2}, {0}}));
  EXPECT_TRUE(Refines(four, outer, 0));
  EXPECT_FALSE(Refines(four, inner, 0));
  EXPECT_FALSE(Refines(outer, four, 0));
}

TEST(LayoutTest, UnknownDimensionStaysUnknownWhereItIsWhole) {
  const Layout layout{{2}, {Layout::kWhole, 0}};
  EXPECT_EQ(layout.LocalShape({-1, 6}), (Shape{-1, 3}));
}

}  // namespace
}  // namespace pipeserve
