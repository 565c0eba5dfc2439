#include "executor/ascend/view.h"

#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

using ::testing::ElementsAre;

View Matrix() { return View::Whole(nullptr, DataType::kFloat32, {4, 6}); }

TEST(ViewTest, AWholeLiesRowAfterRow) {
  EXPECT_THAT(Matrix().strides, ElementsAre(6, 1));
  EXPECT_TRUE(Matrix().is_whole());
  EXPECT_EQ(Matrix().element_count(), 24);
  EXPECT_TRUE(View::Whole(nullptr, DataType::kFloat32, {}).is_whole());
}

TEST(ViewTest, ATransposedOneSharesTheElements) {
  const View view = Matrix().Transposed({1, 0});
  EXPECT_THAT(view.dims, ElementsAre(6, 4));
  EXPECT_THAT(view.strides, ElementsAre(1, 6));
  EXPECT_THAT(view.storage, ElementsAre(4, 6));
  EXPECT_FALSE(view.is_whole());
}

TEST(ViewTest, APartKeepsTheAddressAndBeginsAtAnOffset) {
  const View columns = Matrix().Part(1, 2, 3);
  EXPECT_THAT(columns.dims, ElementsAre(4, 3));
  EXPECT_THAT(columns.strides, ElementsAre(6, 1));
  EXPECT_EQ(columns.offset, 2);
  EXPECT_EQ(Matrix().Part(0, 1, 2).Part(1, 2, 3).offset, 8);
  EXPECT_FALSE(Matrix().Part(0, 1, 2).is_whole());  // It begins elsewhere.
}

TEST(ViewTest, OnlyTypesOfTheDeviceHaveANumber) {
  EXPECT_EQ(*ToAclType(DataType::kFloat16), abi::AclDataType::kFloat16);
  EXPECT_ERROR(ToAclType(DataType::kString), kUnimplemented, "there are no string on the device");
}

}  // namespace
}  // namespace pipeserve::ascend
