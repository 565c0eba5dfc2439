#include "executor/ascend/acl_error.h"

#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

constexpr auto kOutOfMemory = abi::AclCode{207001};
constexpr auto kSyncTimeOut = abi::AclCode{507046};
constexpr auto kDeviceFault = abi::AclCode{507015};

TEST(AclErrorTest, NamesTheFunctionTheCodeAndWhatTheRuntimeSays) {
  EXPECT_ERROR(AclError("aclrtMalloc", kOutOfMemory, "no block of 4096 bytes"), kResourceExhausted,
               "aclrtMalloc failed with 207001 (out of memory): no block of 4096 bytes");
  EXPECT_EQ(AclError("aclrtMalloc", kOutOfMemory, nullptr).message(),
            "aclrtMalloc failed with 207001 (out of memory)");
  EXPECT_ERROR(AclError("aclrtFree", abi::AclCode{4711}, ""), kInternal, "4711 (internal)");
}

TEST(AclErrorTest, TellsTimeOutsFromFailures) {
  EXPECT_TRUE(IsTimeOut(kSyncTimeOut));
  EXPECT_FALSE(IsTimeOut(kOutOfMemory));
  EXPECT_FALSE(IsTimeOut(abi::AclCode::kSuccess));
}

TEST(AclErrorTest, SaysWhatBecomesOfTheDevice) {
  EXPECT_EQ(HealthAfter(abi::AclCode::kSuccess), Health::kHealthy);
  EXPECT_EQ(HealthAfter(kOutOfMemory), Health::kHealthy);
  EXPECT_EQ(HealthAfter(kSyncTimeOut), Health::kSuspect);
  EXPECT_EQ(HealthAfter(kDeviceFault), Health::kDead);
  EXPECT_EQ(HealthAfter(abi::AclCode{4711}), Health::kSuspect);
  EXPECT_EQ(HealthAfter(abi::HcclCode{21}), Health::kDead);
  EXPECT_EQ(Worse(Health::kDead, Health::kSuspect), Health::kDead);
}

TEST(AclErrorTest, NumbersOfHcclAreItsOwn) {
  EXPECT_ERROR(HcclError("HcclAllReduce", abi::HcclCode{9}, nullptr), kDeadlineExceeded,
               "HcclAllReduce failed with 9 (time-out)");
  EXPECT_ERROR(AclError("aclInit", abi::AclCode{9}, nullptr), kInternal, "9 (internal)");
}

}  // namespace
}  // namespace pipeserve::ascend
