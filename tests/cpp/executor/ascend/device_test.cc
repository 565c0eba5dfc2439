#include "executor/ascend/device.h"

#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

TEST(LogicalDeviceTest, CountsWithinTheVisibleOnes) {
  EXPECT_EQ(*LogicalDevice(5, nullptr), 5);
  EXPECT_EQ(*LogicalDevice(5, ""), 5);
  EXPECT_EQ(*LogicalDevice(2, "2,5,6"), 0);
  EXPECT_EQ(*LogicalDevice(6, "2,5,6"), 2);
  EXPECT_ERROR(LogicalDevice(0, "2,5,6"), kFailedPrecondition,
               "device 0 is none of ASCEND_RT_VISIBLE_DEVICES=2,5,6");
}

}  // namespace
}  // namespace pipeserve::ascend
