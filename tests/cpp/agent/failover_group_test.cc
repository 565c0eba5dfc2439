#include "agent/failover_group.h"

#include <gtest/gtest.h>

#include <future>

#include "agent/fake_lane.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using namespace std::chrono_literals;

const TensorInfo kX{"x", DataType::kFloat32, {2}};
const Tensor kInput = Tensor::Of<float>({2}, {1, 2});

class FailoverGroupTest : public ::testing::Test {
 protected:
  FailoverGroupTest()
      : remote_(std::make_shared<RemoteGroup>(
            RemoteGroupOptions{.servable_name = "matmul",
                               .shape = {.rank_size = 1},
                               .signatures = {{.inputs = {kX}, .outputs = {kX}}}})) {
    Begin(1);
  }

  void Begin(uint64_t epoch) {
    link_ = std::make_shared<FakeLink>();
    remote_->BeginEpoch(epoch, {link_});
  }
  void Lose(uint64_t epoch) { remote_->EndEpoch(epoch, Unavailable("rank 0 is gone")); }
  std::future<Result<float>> Run(CallContext context = {}, Duration patience = 10s) {
    return std::async(std::launch::async, [=, this]() -> Result<float> {
      FailoverGroup group(remote_, patience);
      std::vector<Tensor> outputs;
      PIPESERVE_RETURN_IF_ERROR(group.Run(0, std::span(&kInput, 1), context, &outputs));
      return outputs[0].data_as<float>()[0];
    });
  }
  void Answer(float value) {
    const SentCall call = link_->AwaitCalls(1).at(0);
    EXPECT_TRUE(link_->Answer({.sequence = call.sequence,
                               .status = {},
                               .outputs = {Tensor::Of<float>({2}, {value, 0})}}));
  }

  const std::shared_ptr<RemoteGroup> remote_;
  std::shared_ptr<FakeLink> link_;
};

TEST_F(FailoverGroupTest, CallThatLosesItsGroupIsMadeAgainInTheNextEpoch) {
  auto result = Run();
  link_->AwaitCalls(1);
  Lose(1);
  Begin(2);
  Answer(7);
  const Result<float> value = result.get();
  ASSERT_OK(value);
  EXPECT_EQ(*value, 7);
}

TEST_F(FailoverGroupTest, CallWithoutAnEpochWaitsForOne) {
  Lose(1);
  auto result = Run({.replayable = false});  // Nothing is done twice here.
  Begin(2);
  Answer(7);
  ASSERT_OK(result.get());
}

TEST_F(FailoverGroupTest, CallThatIsNotReplayableFails) {
  auto result = Run({.replayable = false});
  link_->AwaitCalls(1);
  Lose(1);
  EXPECT_EQ(result.get().status(), Unavailable("rank 0 is gone"));
}

TEST_F(FailoverGroupTest, ErrorOfTheCallItselfStands) {
  auto result = Run();
  const SentCall call = link_->AwaitCalls(1).at(0);
  EXPECT_TRUE(link_->Answer(
      {.sequence = call.sequence, .status = InvalidArgument("too small"), .outputs = {}}));
  EXPECT_EQ(result.get().status().code(), StatusCode::kInvalidArgument);
}

TEST_F(FailoverGroupTest, CallThatKillsEveryGroupIsGivenUp) {
  auto result = Run();
  for (uint64_t epoch = 1; epoch <= FailoverGroup::kMaxTries; ++epoch) {
    EXPECT_EQ(link_->AwaitCalls(1).size(), 1u);
    Lose(epoch);
    Begin(epoch + 1);
  }
  EXPECT_EQ(result.get().status(), Unavailable("rank 0 is gone"));
}

TEST_F(FailoverGroupTest, NobodyWaitsLongerThanItsPatience) {
  Lose(1);
  EXPECT_EQ(Run({}, 1ms).get().status(), Unavailable("rank 0 is gone"));
  EXPECT_EQ(Run({}, 0ms).get().status(), Unavailable("rank 0 is gone"));
  EXPECT_TRUE(remote_->MayBeBack(10s));
  EXPECT_FALSE(remote_->MayBeBack(0s));
}

TEST_F(FailoverGroupTest, NobodyWaitsLongerThanItsDeadline) {
  Lose(1);
  EXPECT_EQ(Run({.deadline = Deadline::After(1ms)}).get().status().code(),
            StatusCode::kDeadlineExceeded);
}

TEST_F(FailoverGroupTest, RequestThatIsGivenUpEndsTheWait) {
  Lose(1);
  const auto cancelled = std::make_shared<CancelToken>();
  auto result = Run({.cancelled = cancelled});
  cancelled->Raise();
  EXPECT_EQ(result.get().status().code(), StatusCode::kCancelled);
}

TEST_F(FailoverGroupTest, GroupThatStopsEndsTheWait) {
  Lose(1);
  auto result = Run();
  remote_->Stop(Unavailable("the servable has stopped"));
  EXPECT_EQ(result.get().status(), Unavailable("the servable has stopped"));
  EXPECT_FALSE(remote_->MayBeBack(10s));
}

}  // namespace
}  // namespace pipeserve
