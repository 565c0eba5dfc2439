#include "agent/remote_group.h"

#include <gtest/gtest.h>

#include <future>

#include "agent/fake_lane.h"
#include "support/matchers.h"
#include "wire/agent_messages.h"

namespace pipeserve {
namespace {

const TensorInfo kX{"x", DataType::kFloat32, {2}};
const Tensor kInput = Tensor::Of<float>({2}, {1, 2});

float FirstInput(const SentCall& call) {
  proto::ServerMessage message;
  EXPECT_TRUE(message.ParseFromString(call.inputs));
  const auto inputs = TensorsFromProto(message.run_call().inputs());
  EXPECT_OK(inputs);
  return inputs->at(0).data_as<float>()[0];
}

class RemoteGroupTest : public ::testing::Test {
 protected:
  void Make(int ranks, int stages = 1, Duration call_timeout = std::chrono::seconds(10),
            bool wait_for_all = false) {
    group_ = std::make_unique<RemoteGroup>(RemoteGroupOptions{
        .servable_name = "matmul",
        .shape = {.rank_size = ranks,
                  .stage_size = stages,
                  .with_batch_dim = false,
                  .without_batch_dim_inputs = {}},
        .all_stages_take_inputs = false,
        .signatures = {{.inputs = {kX}, .outputs = {kX}}, {.inputs = {kX}, .outputs = {kX}}},
        .call_timeout = call_timeout,
        .wait_for_all = wait_for_all});
    Begin(1, ranks);
  }
  void Begin(uint64_t epoch, int ranks) {
    links_.clear();
    std::vector<std::shared_ptr<Lane>> lanes;
    for (int rank = 0; rank < ranks; ++rank) {
      links_.push_back(std::make_shared<FakeLink>());
      lanes.push_back(links_.back());
    }
    group_->BeginEpoch(epoch, std::move(lanes));
  }
  std::future<Result<float>> Run(GraphId graph, Deadline deadline = Deadline::Infinite(),
                                 std::shared_ptr<CancelToken> cancelled = nullptr) {
    return std::async(std::launch::async, [=, this]() -> Result<float> {
      std::vector<Tensor> outputs;
      const CallContext context{.deadline = deadline, .cancelled = cancelled};
      PIPESERVE_RETURN_IF_ERROR(group_->Run(graph, std::span(&kInput, 1), context, &outputs));
      return outputs[0].data_as<float>()[0];
    });
  }
  SentCall AwaitCall(int rank, size_t number = 0) {
    return links_[static_cast<size_t>(rank)]->AwaitCalls(number + 1).at(number);
  }
  void Reply(int rank, const SentCall& call, float value, Status status = {}) {
    RankReply reply{.sequence = call.sequence, .status = status, .outputs = {}};
    if (call.wants_outputs && status.ok()) reply.outputs = {Tensor::Of<float>({2}, {value, value})};
    EXPECT_TRUE(links_[static_cast<size_t>(rank)]->Answer(std::move(reply)));
    if (!status.ok()) group_->OnFailure(rank, call.epoch, call.sequence, status);
  }

  std::unique_ptr<RemoteGroup> group_;
  std::vector<std::shared_ptr<FakeLink>> links_;
};

TEST_F(RemoteGroupTest, ResultComesAsSoonAsTheLastRankHasAnswered) {
  Make(2);
  auto result = Run(1);
  Reply(1, AwaitCall(1), 7);
  const Result<float> value = result.get();
  ASSERT_OK(value);
  EXPECT_EQ(*value, 7);
  Reply(0, AwaitCall(0), 0);
}

TEST_F(RemoteGroupTest, WhoWaitsForAllGetsTheResultWhenAllHaveAnswered) {
  Make(2, 1, std::chrono::seconds(10), /*wait_for_all=*/true);
  auto result = Run(1);
  const SentCall first = links_[0]->AwaitCalls(1).at(0);
  const SentCall last = links_[1]->AwaitCalls(1).at(0);
  EXPECT_FALSE(first.wants_outputs);
  EXPECT_TRUE(last.wants_outputs);
  Reply(1, last, 7);
  EXPECT_EQ(result.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  Reply(0, first, 0);
  const Result<float> value = result.get();
  ASSERT_OK(value);
  EXPECT_EQ(*value, 7);
}

TEST_F(RemoteGroupTest, EveryStageRunsTheAskedGraphAndOnlyTheFirstGetsInputs) {
  Make(4, 2);
  auto result = Run(1);
  for (int rank = 0; rank < 4; ++rank) {
    const SentCall call = links_[static_cast<size_t>(rank)]->AwaitCalls(1).at(0);
    EXPECT_EQ(call.graph, 1);
    EXPECT_EQ(call.takes_inputs, rank < 2);
    Reply(rank, call, 1);
  }
  EXPECT_OK(result.get());
}

TEST_F(RemoteGroupTest, RoomIsWhereARankReadsOrElsewhere) {
  Make(2);
  EXPECT_EQ(group_->MakeRoom(100).size(), 100u);
  const Buffer room = Buffer::Allocate(100);
  links_[1]->set_room(room);
  EXPECT_EQ(group_->MakeRoom(100).data(), room.data());
  group_->EndEpoch(1, Unavailable("over"));
  EXPECT_NE(group_->MakeRoom(100).data(), room.data());
}

TEST_F(RemoteGroupTest, TheFirstStageGetsTheNextCallWhileTheLastWorksOnTheOneBefore) {
  Make(2, 2);
  auto one = Run(0);
  Reply(0, AwaitCall(0), 0);
  const SentCall before = AwaitCall(1);
  auto next = Run(1);
  Reply(0, AwaitCall(0, 1), 0);
  EXPECT_EQ(one.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  Reply(1, before, 1);
  Reply(1, AwaitCall(1, 1), 2);
  EXPECT_EQ(*one.get(), 1);
  EXPECT_EQ(*next.get(), 2);
}

TEST_F(RemoteGroupTest, BadInputsReachNoRank) {
  Make(1);
  std::vector<Tensor> outputs;
  EXPECT_EQ(group_->Run(0, {}, {}, &outputs).code(), StatusCode::kInvalidArgument);
  EXPECT_ERROR(group_->Run(2, std::span(&kInput, 1), {}, &outputs), kInvalidArgument, "no graph 2");
  EXPECT_ERROR(group_->Run(-1, std::span(&kInput, 1), {}, &outputs), kInvalidArgument,
               "no graph -1");
  auto good = Run(0);
  const std::vector<SentCall> calls = links_[0]->AwaitCalls(1);
  EXPECT_EQ(calls.at(0).sequence, 1u);
  Reply(0, calls[0], 1);
  EXPECT_OK(good.get());
}

TEST_F(RemoteGroupTest, ErrorNamesGraphAndRankAndDisturbsNothingElse) {
  Make(2);
  auto bad = Run(1);
  for (int rank = 0; rank < 2; ++rank) {
    Reply(rank, links_[static_cast<size_t>(rank)]->AwaitCalls(1).at(0), 0,
          rank == 1 ? InvalidArgument("no such luck") : OkStatus());
  }
  EXPECT_ERROR(bad.get(), kInvalidArgument,
               "Error happened on get result of rank 1: graph 1: no such luck");
  EXPECT_TRUE(group_->ready());
}

TEST_F(RemoteGroupTest, RankThatFailedInACollectiveEndsTheEpochWithItsCause) {
  Make(2);
  auto bad = Run(0);
  Reply(0, links_[0]->AwaitCalls(1).at(0), 0, Aborted("a peer failed"));
  Reply(1, links_[1]->AwaitCalls(1).at(0), 0, Internal("kernel fault"));
  EXPECT_ERROR(bad.get(), kInternal, "rank 1: graph 0: kernel fault");
  EXPECT_FALSE(group_->ready());
  EXPECT_FALSE(links_[0]->closed().ok());
}

TEST_F(RemoteGroupTest, RankThatWasDrawnInEndsTheEpochThoughNobodyTellsWhy) {
  Make(2);
  auto good = Run(0);
  Reply(1, AwaitCall(1), 1);
  EXPECT_OK(good.get());
  Reply(0, AwaitCall(0), 0, Aborted("a peer failed"));
  EXPECT_FALSE(group_->ready());
  EXPECT_THAT(links_[0]->AwaitClosed().message(), ::testing::HasSubstr("a peer failed"));
  EXPECT_ERROR(Run(0).get(), kUnavailable, "rank 0: graph 0: a peer failed");
}

TEST_F(RemoteGroupTest, FailureOfARankThatLagsFailsTheNextCall) {
  Make(2);
  auto good = Run(0);
  Reply(1, AwaitCall(1), 1);
  EXPECT_OK(good.get());
  Reply(0, AwaitCall(0), 0, Internal("kernel fault"));
  EXPECT_FALSE(group_->ready());
  EXPECT_ERROR(Run(0).get(), kUnavailable, "rank 0: graph 0: kernel fault");
}

TEST_F(RemoteGroupTest, RanksLagBehindByABoundedNumberOfCalls) {
  Make(2);
  for (size_t call = 0; call < RemoteGroup::kMaxLag; ++call) {
    auto result = Run(0);
    Reply(1, AwaitCall(1, call), 1);
    EXPECT_OK(result.get());
  }
  EXPECT_ERROR(Run(0, Deadline::After(std::chrono::milliseconds(20))).get(), kDeadlineExceeded,
               "request's deadline");
  auto waits = Run(0);
  Reply(0, AwaitCall(0), 0);
  Reply(1, AwaitCall(1, RemoteGroup::kMaxLag), 2);
  EXPECT_EQ(*waits.get(), 2);
  EXPECT_EQ(links_[0]->AwaitCalls(0).size(), RemoteGroup::kMaxLag + 1);
}

TEST_F(RemoteGroupTest, LostRankFailsAllCallsAndANewEpochServesAgain) {
  Make(2);
  auto one = Run(0), two = Run(0);
  const SentCall old = links_[0]->AwaitCalls(2).at(0);
  group_->OnClosed(1, 1, Unavailable("killed"));
  for (auto* result : {&one, &two}) {
    EXPECT_ERROR(result->get(), kUnavailable, "Error happened on get result of rank 1: killed");
  }
  EXPECT_FALSE(links_[0]->closed().ok());
  EXPECT_ERROR(Run(0).get(), kUnavailable, "rank 1: killed");

  Begin(2, 2);
  auto again = Run(0);
  group_->OnFailure(0, old.epoch, old.sequence, Internal("late"));  // Of an epoch that is over.
  for (int rank = 0; rank < 2; ++rank) {
    const SentCall call = links_[static_cast<size_t>(rank)]->AwaitCalls(1).at(0);
    EXPECT_EQ(call.epoch, 2u);
    Reply(rank, call, 5);
  }
  const Result<float> value = again.get();
  ASSERT_OK(value);
  EXPECT_EQ(*value, 5);
}

TEST_F(RemoteGroupTest, AnErrorThatTheEndOfTheEpochBringsDoesNotHideItsCause) {
  Make(2);
  auto result = Run(0);
  const SentCall call = AwaitCall(1);
  group_->OnClosed(0, 1, Unavailable("killed"));
  // As if it had come before the caller looked.
  links_[1]->Answer({.sequence = call.sequence,
                     .status = Unavailable("the connection to the server has ended"),
                     .outputs = {}});
  EXPECT_ERROR(result.get(), kUnavailable, "rank 0: killed");
}

TEST_F(RemoteGroupTest, EpochThatEndedBeforeItBeganIsRefused) {
  Make(1);
  group_->OnClosed(0, 2, Unavailable("gone"));
  Begin(2, 1);
  EXPECT_FALSE(group_->ready());
  EXPECT_FALSE(links_[0]->closed().ok());
}

TEST_F(RemoteGroupTest, CallThatTakesTooLongEndsTheEpoch) {
  Make(2, 1, std::chrono::milliseconds(30));
  auto result = Run(1);
  Reply(0, links_[0]->AwaitCalls(1).at(0), 0);
  EXPECT_ERROR(result.get(), kDeadlineExceeded, "Failed to wait for result of rank 1: graph 1");
  EXPECT_FALSE(group_->ready());
}

TEST_F(RemoteGroupTest, RequestDeadlineOnlyAnswersTheCaller) {
  Make(1);
  auto result = Run(0, Deadline::After(std::chrono::milliseconds(20)));
  EXPECT_ERROR(result.get(), kDeadlineExceeded, "request's deadline");
  EXPECT_TRUE(group_->ready());
  auto next = Run(0);
  const std::vector<SentCall> calls = links_[0]->AwaitCalls(2);
  Reply(0, calls.at(0), 1);  // The late result of the first.
  Reply(0, calls.at(1), 2);
  EXPECT_EQ(*next.get(), 2);
}

TEST_F(RemoteGroupTest, RequestThatIsGivenUpReturnsAtOnceAndItsCallGoesOn) {
  Make(2);
  const auto cancelled = std::make_shared<CancelToken>();
  auto result = Run(0, Deadline::Infinite(), cancelled);
  auto stays = Run(1);
  AwaitCall(1, 1);
  cancelled->Raise();
  EXPECT_ERROR(result.get(), kCancelled, "given up while graph 0 ran");
  EXPECT_TRUE(group_->ready());

  const bool first = AwaitCall(1, 0).graph == 0;  // The calls may have come in either order.
  const Tensor late = Tensor::Of<float>({2}, {1, 1}), wanted = Tensor::Of<float>({2}, {2, 2});
  for (const size_t number : {0, 1}) {
    EXPECT_TRUE(links_[1]->Answer({.sequence = AwaitCall(1, number).sequence,
                                   .status = {},
                                   .outputs = {(number == 0) == first ? late : wanted}}));
    Reply(0, AwaitCall(0, number), 0);
  }
  EXPECT_EQ(*stays.get(), 2);
  EXPECT_TRUE(late.buffer().unique());
}

TEST_F(RemoteGroupTest, MemoryOfACallThatWasGivenUpGoesThoughNoOtherCallComes) {
  Make(2);
  const auto cancelled = std::make_shared<CancelToken>();
  auto result = Run(0, Deadline::Infinite(), cancelled);
  const SentCall first = AwaitCall(0), last = AwaitCall(1);
  cancelled->Raise();
  EXPECT_ERROR(result.get(), kCancelled, "given up");
  EXPECT_FALSE(last.kept_inputs.expired());
  Reply(1, last, 1);
  Reply(0, first, 0);
  const Deadline limit = Deadline::After(std::chrono::seconds(5));  // Half of the call timeout.
  while (!last.kept_inputs.expired() && !limit.HasPassed()) std::this_thread::yield();
  EXPECT_TRUE(last.kept_inputs.expired());
}

TEST_F(RemoteGroupTest, RequestThatIsGivenUpWhileItWaitsForRoomOrItsTurnReturnsAtOnce) {
  Make(2);
  for (size_t call = 0; call < RemoteGroup::kMaxLag; ++call) {
    auto result = Run(0);
    Reply(1, AwaitCall(1, call), 1);
    EXPECT_OK(result.get());
  }
  const auto cancelled = std::make_shared<CancelToken>();
  auto one = Run(0, Deadline::Infinite(), cancelled);    // One waits for rank 0,
  auto other = Run(0, Deadline::Infinite(), cancelled);  // one for the other's turn.
  cancelled->Raise();
  EXPECT_ERROR(one.get(), kCancelled, "given up");
  EXPECT_ERROR(other.get(), kCancelled, "given up");
  EXPECT_EQ(links_[0]->AwaitCalls(0).size(), RemoteGroup::kMaxLag);  // Neither has been sent.
}

TEST_F(RemoteGroupTest, WhoWaitsForAllGivesUpWhateverRankIsLate) {
  Make(2, 1, std::chrono::seconds(10), /*wait_for_all=*/true);
  const auto cancelled = std::make_shared<CancelToken>();
  auto result = Run(0, Deadline::Infinite(), cancelled);
  Reply(1, AwaitCall(1), 7);
  cancelled->Raise();
  EXPECT_ERROR(result.get(), kCancelled, "given up while graph 0 ran");
  Reply(0, AwaitCall(0), 0);
  EXPECT_TRUE(group_->ready());
}

TEST_F(RemoteGroupTest, HungRankIsNoticedThoughTheCallerHasLeft) {
  Make(1, 1, std::chrono::milliseconds(1000));
  EXPECT_ERROR(Run(0, Deadline::After(std::chrono::milliseconds(500))).get(), kDeadlineExceeded,
               "request's deadline");
  const Deadline limit = Deadline::After(std::chrono::seconds(10));
  while (group_->ready() && !limit.HasPassed()) std::this_thread::yield();
  EXPECT_FALSE(group_->ready());
}

TEST_F(RemoteGroupTest, AnswerWithoutItsOutputsIsAnError) {
  Make(1);
  auto result = Run(0);
  SentCall call = links_[0]->AwaitCalls(1).at(0);
  call.wants_outputs = false;
  Reply(0, call, 0);
  EXPECT_ERROR(result.get(), kInternal, "wanted 1 outputs, 0 came");
}

TEST_F(RemoteGroupTest, ThreadsSeeOneOrderOnEveryRankAndOneAnswerForEachCall) {
  constexpr int kThreads = 4, kCalls = 50;
  Make(3);
  std::vector<std::jthread> ranks, callers;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.emplace_back([&, rank] {
      for (size_t i = 0; i < kThreads * kCalls; ++i) {
        const SentCall call = links_[static_cast<size_t>(rank)]->AwaitCalls(i + 1).at(i);
        EXPECT_EQ(call.sequence, i + 1);
        Reply(rank, call, FirstInput(call) * 2);
      }
    });
  }
  std::atomic<int> answered = 0;
  for (int thread = 0; thread < kThreads; ++thread) {
    callers.emplace_back([&, thread] {
      for (int i = 0; i < kCalls; ++i) {
        const float value = static_cast<float>(thread * kCalls + i);
        const Tensor input = Tensor::Of<float>({2}, {value, value});
        std::vector<Tensor> outputs;
        ASSERT_OK(group_->Run(0, std::span(&input, 1), {}, &outputs));
        EXPECT_EQ(outputs.at(0).data_as<float>()[0], value * 2);
        ++answered;
      }
    });
  }
  callers.clear();
  ranks.clear();
  EXPECT_EQ(answered, kThreads * kCalls);
}

}  // namespace
}  // namespace pipeserve
