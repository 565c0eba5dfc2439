// Streams and events: what orders work, and how its failures come to light.
#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using abi::MemcpyKind;
using testing::ElementsAre;
using testing::HasSubstr;

class SimulatorStreamTest : public SimulatorTest {
 protected:
  int32_t Fill(void* block, abi::Stream* on) {
    return Code(acl.aclrtMemcpyAsync(block, 4, NewPinned(1), 4, MemcpyKind::kHostToDevice, on));
  }
  int32_t Read(const void* block, float* to, abi::Stream* on) {
    return Code(acl.aclrtMemcpyAsync(to, 4, block, 4, MemcpyKind::kDeviceToHost, on));
  }
  int32_t Wait(abi::Stream* on) { return Code(acl.aclrtSynchronizeStreamWithTimeout(on, kLimit)); }
  abi::Event* NewEvent(bool ex) {
    abi::Event* event = nullptr;
    const auto create = ex ? acl.aclrtCreateEventExWithFlag : acl.aclrtCreateEventWithFlag;
    EXPECT_ACL(create(&event, abi::kEventSync));
    return event;
  }
};

TEST_F(SimulatorStreamTest, NothingOrdersTwoStreams) {
  void* const block = NewBlock(4);
  EXPECT_EQ(Fill(block, stream), 0);
  EXPECT_EQ(Read(block, NewPinned(1), NewStream()), 0);
  const std::string report = SimControl("violations");
  EXPECT_THAT(report, HasSubstr("S1: aclrtMemcpyAsync on stream"));
  SimControl("reset");
}

TEST_F(SimulatorStreamTest, TheDefaultStreamDoesNotOrderTheOthers) {
  SimControl("set mode=lazy");
  void* const block = NewBlock(4);
  EXPECT_EQ(Fill(block, nullptr), 0);
  EXPECT_EQ(Fill(block, stream), 0);
  ExpectBroken({"S1"});
}

TEST_F(SimulatorStreamTest, AnEventOrdersTwoStreams) {
  for (const char* mode : {"eager", "lazy", "random"}) {
    SimControl(std::string("set mode=") + mode);
    abi::Stream* const other = NewStream();
    abi::Event* const event = NewEvent(true);
    void* const block = NewBlock(4);
    float* const from = NewPinned(1);
    float* const to = NewPinned(1);
    for (const float value : {1.0F, 2.0F}) {
      *from = value;
      EXPECT_ACL(acl.aclrtMemcpyAsync(block, 4, from, 4, MemcpyKind::kHostToDevice, stream));
      EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
      EXPECT_ACL(acl.aclrtStreamWaitEvent(other, event));
      EXPECT_EQ(Read(block, to, other), 0);
      EXPECT_EQ(Wait(other), 0);
      EXPECT_EQ(*to, value) << mode;
    }
    EXPECT_ACL(acl.aclrtFree(block));  // Waiting for `other` waited for `stream`, too.
    EXPECT_ACL(acl.aclrtDestroyEvent(event));
    EXPECT_ACL(acl.aclrtDestroyStream(other));
  }
  ExpectNothingBroken();
}

TEST_F(SimulatorStreamTest, TheHostWaitsForAnEvent) {
  SimControl("set mode=lazy");
  abi::Event* const event = NewEvent(false);
  void* const block = NewBlock(4);
  EXPECT_EQ(Fill(block, stream), 0);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_ACL(acl.aclrtSynchronizeEventWithTimeout(event, kLimit));
  Download(block, 1);
  EXPECT_ACL(acl.aclrtResetEvent(event, stream));
  EXPECT_EQ(Wait(stream), 0);
  EXPECT_ACL(acl.aclrtDestroyEvent(event));
  ExpectNothingBroken();
}

TEST_F(SimulatorStreamTest, WaitWithoutALimitThatMeansSomething) {
  EXPECT_NE(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, 0)), 0);
  EXPECT_NE(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, -2)), 0);
  ExpectBroken({"S3", "S3"});
}

TEST_F(SimulatorStreamTest, BusyStreamIsDestroyed) {
  SimControl("set mode=lazy");
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_ACL(acl.aclrtDestroyStream(stream));
  ExpectBroken({"S4"});
}

TEST_F(SimulatorStreamTest, FailureModeIsSetTooLate) {
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_ACL(acl.aclrtSetStreamFailureMode(stream, abi::kStreamStopOnFailure));
  ExpectBroken({"S2"});
}

TEST_F(SimulatorStreamTest, FailedTaskShowsAtTheNextWait) {
  SimControl("fail-task 2");
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_EQ(Wait(stream), 507015);
  EXPECT_THAT(acl.aclGetRecentErrMsg(), HasSubstr("aclrtMemcpyAsync"));
  EXPECT_EQ(Wait(stream), 0);  // By default a stream goes on.
}

TEST_F(SimulatorStreamTest, FailureStopsTheContextWhereAskedFor) {
  EXPECT_ACL(acl.aclrtSetStreamFailureMode(stream, abi::kStreamStopOnFailure));
  SimControl("fail-task 1 507014");
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_EQ(Wait(stream), 507014);
  abi::Stream* const other = NewStream();
  EXPECT_EQ(Fill(NewBlock(4), other), 0);
  EXPECT_EQ(Wait(other), 507014);
}

TEST_F(SimulatorStreamTest, HangingTaskTimesOutAndItsBlockStaysInUse) {
  SimControl("hang-task 1");
  void* const block = NewBlock(4);
  EXPECT_EQ(Fill(block, stream), 0);
  EXPECT_EQ(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, 1)), 507046);
  EXPECT_ACL(acl.aclrtFree(block));
  ExpectBroken({"M3"});
  SimControl("let-go");
  EXPECT_EQ(Wait(stream), 0);
}

TEST_F(SimulatorStreamTest, EventTimesOut) {
  SimControl("hang-task 1");
  abi::Event* const event = NewEvent(true);
  EXPECT_EQ(Fill(NewBlock(4), stream), 0);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_EQ(Code(acl.aclrtSynchronizeEventWithTimeout(event, 1)), 507047);
}

TEST_F(SimulatorStreamTest, ExEventIsNeverReset) {
  abi::Event* const event = NewEvent(true);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_NE(Code(acl.aclrtResetEvent(event, stream)), 0);
  ExpectBroken({"E1"});
}

TEST_F(SimulatorStreamTest, WaitForAnEventThatIsNotRecorded) {
  EXPECT_ACL(acl.aclrtStreamWaitEvent(stream, NewEvent(true)));  // Counts as complete.
  ExpectNothingBroken();
  EXPECT_ACL(acl.aclrtStreamWaitEvent(stream, NewEvent(false)));
  ExpectBroken({"E1"});
}

TEST_F(SimulatorStreamTest, WaitForAnEventThatWasNotMadeForIt) {
  abi::Event* event = nullptr;
  EXPECT_ACL(acl.aclrtCreateEventExWithFlag(&event, 0));
  EXPECT_ACL(acl.aclrtStreamWaitEvent(stream, event));
  ExpectBroken({"E1"});
}

TEST_F(SimulatorStreamTest, OldEventIsRecordedAgainWithoutReset) {
  abi::Event* const event = NewEvent(false);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  ExpectBroken({"E1"});
}

TEST_F(SimulatorStreamTest, OldEventIsResetBeforeItsWaiterHasSeenIt) {
  abi::Event* const event = NewEvent(false);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_ACL(acl.aclrtStreamWaitEvent(NewStream(), event));
  EXPECT_ACL(acl.aclrtResetEvent(event, stream));
  ExpectBroken({"E1"});
}

TEST_F(SimulatorStreamTest, EventIsDestroyedInUse) {
  abi::Event* const event = NewEvent(true);
  EXPECT_ACL(acl.aclrtRecordEvent(event, stream));
  EXPECT_ACL(acl.aclrtDestroyEvent(event));
  ExpectBroken({"E1"});
}

}  // namespace
}  // namespace pipeserve::ascend
