#include "agent/reply_box.h"

#include <gtest/gtest.h>

#include <thread>

#include "support/matchers.h"

namespace pipeserve {
namespace {

const CallContext kNow = {.deadline = Deadline(TimePoint{})};

RankReply Reply(uint64_t sequence) {
  return {.sequence = sequence,
          .status = {},
          .outputs = {Tensor::Of<int64_t>({}, {static_cast<int64_t>(sequence)})}};
}

TEST(ReplyBoxTest, AnswersComeInTheOrderOfCallsFromAnyFirst) {
  ReplyBox box;
  EXPECT_FALSE(box.Put(Reply(1)));  // Nothing was asked.
  box.Sent(7);
  box.Sent(8);
  EXPECT_ERROR(box.Await(7, kNow), kDeadlineExceeded, "call 7");
  EXPECT_FALSE(box.Put(Reply(8)));
  EXPECT_TRUE(box.Put(Reply(7)));
  EXPECT_FALSE(box.Put(Reply(7)));
  EXPECT_EQ(box.answered(), 7u);
  EXPECT_TRUE(box.Put(Reply(8)));
  EXPECT_FALSE(box.Put(Reply(9)));
  EXPECT_OK(box.Await(7, kNow));
  EXPECT_EQ(box.Take(7).outputs.at(0).data_as<int64_t>()[0], 7);
  EXPECT_EQ(box.Take(8).outputs.at(0).data_as<int64_t>()[0], 8);
}

TEST(ReplyBoxTest, ClosingEndsWaitsButWhatHasComeCanStillBeTaken) {
  ReplyBox box;
  box.Sent(1);
  box.Sent(2);
  Status late;
  std::jthread waiter([&] { late = box.Await(2, {}); });
  EXPECT_TRUE(box.Put(Reply(1)));
  box.Close(Unavailable("killed"));
  box.Close(Unavailable("again"));
  waiter.join();
  EXPECT_ERROR(late, kUnavailable, "killed");
  EXPECT_OK(box.Await(1, kNow));
  EXPECT_EQ(box.Take(1).sequence, 1u);
}

TEST(ReplyBoxTest, AWaitEndsWhenItIsCancelled) {
  ReplyBox box;
  box.Sent(1);
  const CallContext context{.cancelled = std::make_shared<CancelToken>()};
  Status given_up;
  std::jthread waiter([&] { given_up = box.Await(1, context); });
  context.cancelled->Raise();
  box.Wake();
  waiter.join();
  EXPECT_ERROR(given_up, kCancelled, "call 1");
  EXPECT_TRUE(box.Put(Reply(1)));
  EXPECT_OK(box.Await(1, context));
}

TEST(ReplyBoxTest, OutputsThatNobodyWantsGoAtOnceOrWhenTheyCome) {
  for (const bool has_come : {false, true}) {
    ReplyBox box;
    box.Sent(1);
    RankReply reply = Reply(1);
    const Tensor output = reply.outputs[0];
    if (!has_come) box.Drop(1);
    EXPECT_TRUE(box.Put(std::exchange(reply, {})));
    if (has_come) box.Drop(1);
    EXPECT_TRUE(output.buffer().unique());
    EXPECT_EQ(box.answered(), 1u);
  }
}

}  // namespace
}  // namespace pipeserve
