// The life of the process, devices and contexts, and what tests steer.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

using SimulatorProcessTest = BareSimulatorTest;
using SimulatorContextTest = SimulatorTest;

TEST_F(SimulatorProcessTest, FoundByTheLoaderInAllLayouts) {
  EXPECT_THAT(LoadSimulator("lib64")->missing(), Contains("aclsysGetVersionNum"));
  EXPECT_THAT(LoadSimulator("lib64_split")->missing(), IsEmpty());
}

TEST_F(SimulatorProcessTest, AnOlderReleaseHasNotWhatCameLater) {
  const auto old = LoadSimulator("lib64_1.6");
  EXPECT_THAT(old->missing(),
              testing::IsSupersetOf({"aclrtCreateEventExWithFlag", "aclSetAclOpExecutorRepeatable",
                                     "aclDestroyAclOpExecutor"}));
  int32_t major = 0, minor = 0, patch = 0;
  EXPECT_ACL(old->functions().aclrtGetVersion(&major, &minor, &patch));
  EXPECT_EQ(minor, 6);
  EXPECT_EQ(LoadSimulator("lib64_1.8")->functions().aclSetAclOpExecutorRepeatable, nullptr);
  EXPECT_NE(LoadSimulator("lib64_1.10")->functions().aclSetAclOpExecutorRepeatable, nullptr);
}

TEST_F(SimulatorProcessTest, GoodUseBreaksNothing) {
  EXPECT_ACL(acl.aclInit(nullptr));
  EXPECT_ACL(acl.aclrtSetDevice(1));
  abi::Context* context = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&context, 1));
  EXPECT_ACL(acl.aclrtSetCurrentContext(context));
  EXPECT_ACL(acl.aclrtDestroyContext(context));
  EXPECT_ACL(acl.aclrtResetDevice(1));
  EXPECT_ACL(acl.aclFinalize());
  ExpectNothingBroken();
}

TEST_F(SimulatorProcessTest, CallBeforeInit) {
  EXPECT_EQ(Code(acl.aclrtSetDevice(0)), 100001);
  ExpectBroken({"P1"}, "aclrtSetDevice");
}

TEST_F(SimulatorProcessTest, SecondInit) {
  EXPECT_ACL(acl.aclInit(nullptr));
  EXPECT_EQ(Code(acl.aclInit(nullptr)), 100002);
  ExpectBroken({"P1"});
}

TEST_F(SimulatorProcessTest, CallAfterFinalise) {
  EXPECT_ACL(acl.aclInit(nullptr));
  EXPECT_ACL(acl.aclFinalize());
  EXPECT_EQ(Code(acl.aclrtSetDevice(0)), 100001);
  EXPECT_EQ(Code(acl.aclFinalize()), 100037);
  ExpectBroken({"P2", "P2"});
}

TEST_F(SimulatorProcessTest, FinaliseOfWhatAnotherLibraryInitialised) {
  SimControl("fail aclInit 1 100002");
  EXPECT_EQ(Code(acl.aclInit(nullptr)), 100002);
  EXPECT_ACL(acl.aclrtSetDevice(0));
  EXPECT_ACL(acl.aclrtResetDevice(0));
  EXPECT_ACL(acl.aclFinalize());
  ExpectBroken({"P1"});
}

TEST_F(SimulatorContextTest, EachLeakIsListedAtFinalise) {
  NewBlock(64);
  NewPinned(4);
  void* const block = Upload({1, 2});
  NewTensor(block, {2});
  uint64_t size = 0;
  PlanNeg(block, NewBlock(8), 2, &size);
  EXPECT_ACL(acl.aclrtResetDevice(0));
  SimControl("reset");
  EXPECT_ACL(acl.aclFinalize());
  const std::string report = SimControl("violations");
  for (const char* leak :
       {"a stream", "64 bytes of device", "16 bytes of pinned", "a tensor", "an executor"}) {
    EXPECT_THAT(report, HasSubstr(leak));
  }
  EXPECT_THAT(report, HasSubstr("SimulatorTest::NewStream()"));  // The origin.
  SimControl("reset");
}

TEST_F(SimulatorContextTest, CallInAForkedProcess) {
  const std::string file = testing::TempDir() + "ascend_sim_report";
  std::filesystem::remove(file);
  ASSERT_EQ(setenv("PIPESERVE_ASCEND_SIM_REPORT", file.c_str(), 1), 0);
  const pid_t child = fork();
  if (child == 0) {
    void* block = nullptr;
    _exit(acl.aclrtMalloc(&block, 4, abi::MallocPolicy::kHugeFirst) == abi::AclCode::kSuccess);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  unsetenv("PIPESERVE_ASCEND_SIM_REPORT");
  EXPECT_EQ(status, 0);
  std::stringstream report;
  report << std::ifstream(file).rdbuf();
  EXPECT_THAT(report.str(), HasSubstr(std::to_string(child) + " P3: aclrtMalloc"));
}

TEST_F(SimulatorProcessTest, CallWithoutAContext) {
  EXPECT_ACL(acl.aclInit(nullptr));
  abi::Stream* stream = nullptr;
  EXPECT_EQ(Code(acl.aclrtCreateStreamWithConfig(&stream, 0, 0)), 107002);
  ExpectBroken({"C1"});
}

TEST_F(SimulatorContextTest, ResetOfADeviceThatIsNotSet) {
  EXPECT_EQ(Code(acl.aclrtResetDevice(1)), 100000);
  ExpectBroken({"C2"});
}

TEST_F(SimulatorProcessTest, DeviceThatIsStillSetAtFinalise) {
  EXPECT_ACL(acl.aclInit(nullptr));
  EXPECT_ACL(acl.aclrtSetDevice(0));
  EXPECT_ACL(acl.aclFinalize());
  ExpectBroken({"C2"});
}

TEST_F(SimulatorContextTest, StreamOfAnotherContext) {
  abi::Context* other = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&other, 0));
  EXPECT_EQ(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)), 107003);
  EXPECT_EQ(Code(acl.aclrtDestroyStream(stream)), 107003);
  ExpectBroken({"C3", "C3"});
}

TEST_F(SimulatorContextTest, EventOfAnotherContext) {
  abi::Event* event = nullptr;
  EXPECT_ACL(acl.aclrtCreateEventExWithFlag(&event, abi::kEventSync));
  abi::Context* other = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&other, 0));
  EXPECT_EQ(Code(acl.aclrtSynchronizeEventWithTimeout(event, kLimit)), 107003);
  EXPECT_EQ(Code(acl.aclrtDestroyEvent(event)), 107003);
  ExpectBroken({"C3", "C3"});
}

TEST_F(SimulatorContextTest, ContextDestroyedWithItsStream) {
  abi::Context* context = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&context, 0));
  NewStream();
  EXPECT_ACL(acl.aclrtDestroyContext(context));
  ExpectBroken({"P5"}, "a stream");
}

TEST_F(SimulatorContextTest, DeviceResetWithItsMemory) {
  EXPECT_ACL(acl.aclrtDestroyStream(stream));
  NewBlock(4);
  EXPECT_ACL(acl.aclrtResetDevice(0));
  ExpectBroken({"P5"}, "4 bytes");
}

TEST_F(SimulatorContextTest, DestroyedHandle) {
  EXPECT_ACL(acl.aclrtDestroyStream(stream));
  EXPECT_EQ(Code(acl.aclrtDestroyStream(stream)), 107017);
  ExpectBroken({"S4"}, "destroyed already");
}

TEST_F(SimulatorContextTest, MessageIsReadOnce) {
  SimControl("fail aclrtMalloc 1 207001");
  void* block = nullptr;
  EXPECT_EQ(Code(acl.aclrtMalloc(&block, 4, abi::MallocPolicy::kHugeFirst)), 207001);
  EXPECT_THAT(acl.aclGetRecentErrMsg(), HasSubstr("aclrtMalloc"));
  EXPECT_EQ(acl.aclGetRecentErrMsg(), nullptr);
}

TEST_F(SimulatorContextTest, TheNthCallFails) {
  SimControl("fail aclrtMalloc 2");
  void* block = nullptr;
  EXPECT_ACL(acl.aclrtMalloc(&block, 4, abi::MallocPolicy::kHugeFirst));
  EXPECT_EQ(Code(acl.aclrtMalloc(&block, 4, abi::MallocPolicy::kHugeFirst)), 207001);
  EXPECT_ACL(acl.aclrtMalloc(&block, 4, abi::MallocPolicy::kHugeFirst));
}

TEST_F(SimulatorContextTest, AnyCallCanFailAndCallsAreCounted) {
  const int before = std::stoi(SimControl("calls"));
  SimControl("fail * 1 507010");
  EXPECT_EQ(Code(acl.aclrtSetDevice(0)), 507010);
  EXPECT_EQ(std::stoi(SimControl("calls")), before + 1);
  EXPECT_EQ(SimControl("calls aclInit"), "1");
  EXPECT_THAT(SimControl("counts"), HasSubstr("aclrtSetDevice 2\n"));
}

TEST_F(SimulatorContextTest, WhatGivesBackFailsAfterItsWork) {
  SimControl("fail aclrtDestroyStream 1");
  EXPECT_EQ(Code(acl.aclrtDestroyStream(stream)), 507000);
  EXPECT_EQ(SimControl("live"), "");
}

TEST_F(SimulatorContextTest, MemoryRunsOut) {
  SimControl("set memory=100");
  void* block = nullptr;
  EXPECT_ACL(acl.aclrtMalloc(&block, 60, abi::MallocPolicy::kHugeFirst));
  void* second = nullptr;
  EXPECT_EQ(Code(acl.aclrtMalloc(&second, 60, abi::MallocPolicy::kHugeFirst)), 207001);
  EXPECT_ACL(acl.aclrtFree(block));
  EXPECT_ACL(acl.aclrtMalloc(&second, 60, abi::MallocPolicy::kHugeFirst));
}

TEST_F(SimulatorContextTest, DevicesAreCountedWithinTheVisibleOnes) {
  ASSERT_EQ(setenv("ASCEND_RT_VISIBLE_DEVICES", "4,5", 1), 0);
  uint32_t count = 0;
  EXPECT_ACL(acl.aclrtGetDeviceCount(&count));
  unsetenv("ASCEND_RT_VISIBLE_DEVICES");
  EXPECT_EQ(count, 2);
}

TEST_F(SimulatorContextTest, WrongCommandsAreRefused) {
  EXPECT_THAT(SimControl("set speed=3"), HasSubstr("error: "));
  EXPECT_THAT(SimControl("fail aclNothing 1"), HasSubstr("error: "));
  EXPECT_THAT(SimControl("fly"), HasSubstr("error: "));
}

using SimulatorDeathTest = SimulatorTest;

TEST_F(SimulatorDeathTest, AbortModeEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        SimControl("set abort=1");
        (void)acl.aclrtFree(nullptr);
      },
      "M1: aclrtFree");
}

TEST_F(SimulatorDeathTest, TheHostCannotTouchDeviceMemory) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto* const block = static_cast<volatile int*>(NewBlock(4));
        *block = 1;
      },
      "");
}

}  // namespace
}  // namespace pipeserve::ascend
