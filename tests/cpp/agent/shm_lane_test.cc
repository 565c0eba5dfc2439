// Both ends of the shared-memory lane, in one process.
#include "agent/shm_lane.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "agent/fake_lane.h"
#include "agent/shm_calls.h"
#include "base/counters.h"
#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

const CallContext kNow = {.deadline = Deadline(TimePoint{})};
const TensorInfo kX{"x", DataType::kFloat32, {2}};
const TensorInfo kAny{"any", DataType::kFloat32, {Shape::kUnknownDim}};
const std::vector<GraphSignature> kGraphs = {
    {.inputs = {kX}, .outputs = {kX}},
    {.inputs = {kX}, .outputs = {kAny}},
    {.inputs = {}, .outputs = std::vector<TensorInfo>(kShmTensors + 1, kX)}};

class ShmLaneTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto listener = UnixListener::Open();
    ASSERT_OK(listener);
    auto ring = ShmRingMemory::Create();
    ASSERT_OK(ring);
    auto space = ShmSpace::Create(kGraphs);
    ASSERT_OK(space);
    space_ = *std::move(space);
    auto ring_view =
        SharedMemory::Map(FileDescriptor(dup(ring->memory().fd())), ring->memory().size());
    ASSERT_OK(ring_view);
    ring_view_ = *std::move(ring_view);
    ASSERT_OK(space_->Offer(listener->name(), {3, "before"}, *ring));  // Of an epoch that is over.
    ASSERT_OK(space_->Offer(listener->name(), {4, "guessed"}, *ring));
    ASSERT_OK(space_->Offer(listener->name(), {4, "secret"}, *ring));
    auto calls =
        ShmCalls::Accept(*listener, {4, "secret"}, Deadline::After(std::chrono::seconds(10)));
    ASSERT_OK(calls);
    calls_ = *std::move(calls);
    lane_ = std::make_unique<ShmLane>(*std::move(ring), space_, stream_, kGraphs);
  }

  void Send(uint64_t sequence, GraphId graph, CallInputs* inputs, bool wants_outputs = true) {
    lane_->Send({.sequence = sequence,
                 .epoch = 4,
                 .graph = graph,
                 .wants_outputs = wants_outputs,
                 .inputs = inputs});
  }
  ShmCalls::Call Find(uint64_t sequence) {
    const auto call = calls_->Find(sequence);
    EXPECT_OK(call);
    EXPECT_TRUE(call->has_value());
    return call->value_or(ShmCalls::Call{});
  }
  ShmRing& ring() { return *reinterpret_cast<ShmRing*>(ring_view_.data()); }

  const Tensor input_ = Tensor::Of<float>({2}, {1, 2});
  std::shared_ptr<FakeLink> stream_ = std::make_shared<FakeLink>();
  std::shared_ptr<ShmSpace> space_;
  SharedMemory ring_view_;  // As a hostile peer may write to it.
  std::shared_ptr<ShmCalls> calls_;
  std::unique_ptr<ShmLane> lane_;
};

TEST_F(ShmLaneTest, AnInputThatWasReadIntoTheAreaIsNotCopied) {
  const auto room = lane_->MakeRoom(sizeof(float) * 2);
  ASSERT_TRUE(room.has_value());
  const Tensor read(DataType::kFloat32, Shape{2}, *room);
  std::memcpy(Buffer(*room).mutable_data(), input_.data(), input_.byte_size());
  const uint64_t copied = Counters::Global().copied_bytes;
  CallInputs inputs(std::span(&read, 1));
  Send(1, 0, &inputs);
  EXPECT_EQ(Find(1).inputs.at(0).data_as<float>()[1], 2);
  EXPECT_EQ(Counters::Global().copied_bytes, copied);
}

TEST_F(ShmLaneTest, HalfOfTheAreaIsKeptForCalls) {
  const size_t room_bytes = space_->inputs().memory().size() / 16;
  std::vector<Buffer> rooms;
  while (const auto room = lane_->MakeRoom(room_bytes)) rooms.push_back(*room);
  EXPECT_EQ(rooms.size(), 8u);
  CallInputs inputs(std::span(&input_, 1));
  Send(1, 0, &inputs);
  EXPECT_EQ(Find(1).inputs.at(0).data_as<float>()[1], 2);
  rooms.pop_back();
  rooms.pop_back();
  EXPECT_TRUE(lane_->MakeRoom(room_bytes).has_value());
  EXPECT_FALSE(lane_->MakeRoom(size_t{1} << 40).has_value());
}

TEST_F(ShmLaneTest, ACallGoesThereAndItsAnswerComesBack) {
  EXPECT_EQ(calls_->first_sequence(), 0u);
  CallInputs inputs(std::span(&input_, 1));
  Send(7, 0, &inputs);
  EXPECT_EQ(calls_->first_sequence(), 7u);
  EXPECT_FALSE((*calls_->Find(8)).has_value());
  const ShmCalls::Call call = Find(7);
  EXPECT_EQ(call.epoch, 4u);
  EXPECT_EQ(call.inputs.at(0).data_as<float>()[1], 2);
  EXPECT_EQ(lane_->answered(), 6u);
  EXPECT_ERROR(lane_->Await(7, kNow), kDeadlineExceeded, "call 7");

  calls_->Answer(call, OkStatus(), {Tensor::Of<float>({2}, {5, 6})});
  EXPECT_OK(lane_->Await(7, kNow));
  EXPECT_EQ(lane_->answered(), 7u);
  const RankReply reply = lane_->Take(7);
  ASSERT_OK(reply.status);
  EXPECT_EQ(reply.outputs.at(0).data_as<float>()[1], 6);
  EXPECT_TRUE(stream_->AwaitCalls(0).empty());
}

TEST_F(ShmLaneTest, AnErrorComesBackWithItsText) {
  Send(1, 0, nullptr);
  calls_->Answer(Find(1), InvalidArgument("no such luck"), {});
  EXPECT_ERROR(lane_->Take(1).status, kInvalidArgument, "no such luck");
  Send(2, 0, nullptr);
  calls_->Answer(Find(2), Internal(std::string(1 << 20, 'x')), {});
  EXPECT_EQ(lane_->Take(2).status.message().size(), ShmReply::kMaxMessage);
}

TEST_F(ShmLaneTest, OutputsOfAnotherSizeAreAnErrorOfTheRank) {
  Send(1, 0, nullptr);
  calls_->Answer(Find(1), OkStatus(), {Tensor::Of<float>({3}, {1, 2, 3})});
  EXPECT_ERROR(lane_->Take(1).status, kInternal, "room for 8 bytes");
  Send(2, 0, nullptr);
  calls_->Answer(Find(2), OkStatus(), {});
  EXPECT_ERROR(lane_->Take(2).status, kInternal, "wanted 1 outputs, 0 came");
}

TEST_F(ShmLaneTest, WhatDoesNotFitTakesTheStreamInItsTurn) {
  Send(1, 1, nullptr);  // Nobody knows how large its output is.
  Send(2, 0, nullptr);
  Send(3, 2, nullptr);  // Too many outputs.
  const Tensor large(DataType::kUint8, {64 << 20});
  CallInputs inputs(std::span(&large, 1));
  Send(4, 0, &inputs);
  const std::vector<SentCall> sent = stream_->AwaitCalls(3);
  ASSERT_EQ(sent.size(), 3u);
  EXPECT_EQ(sent[1].sequence, 3u);
  EXPECT_TRUE(sent[2].takes_inputs);
  EXPECT_FALSE((*calls_->Find(1)).has_value());
  EXPECT_TRUE(stream_->Answer({.sequence = 1, .status = {}, .outputs = {input_}}));
  EXPECT_EQ(lane_->answered(), 1u);
  EXPECT_OK(lane_->Await(1, kNow));
  EXPECT_EQ(lane_->Take(1).outputs.size(), 1u);
  calls_->Answer(Find(2), OkStatus(), {input_});
  EXPECT_EQ(lane_->answered(), 2u);
}

TEST_F(ShmLaneTest, InputsAreWrittenOnceForAllRanksAndNeverWhenTheyAreThere) {
  CallInputs inputs(std::span(&input_, 1));
  const auto first = inputs.Placed(*space_), second = inputs.Placed(*space_);
  ASSERT_OK(first);
  EXPECT_EQ(first->data(), second->data());

  Send(1, 0, &inputs);
  calls_->Answer(Find(1), OkStatus(), {input_});
  const Tensor output = lane_->Take(1).outputs.at(0);
  const size_t free = space_->outputs().free_bytes();
  CallInputs again(std::span(&output, 1));
  const auto placed = again.Placed(*space_);
  ASSERT_OK(placed);
  EXPECT_EQ(placed->front().area, ShmBlock::kOutputs);
  EXPECT_EQ(space_->outputs().free_bytes(), free);
}

TEST_F(ShmLaneTest, AKeptOutputComesBackUnderItsNumber) {
  const auto send = [&](uint64_t sequence, const Tensor* input, bool keeps) {
    CallInputs inputs(std::span(input, input == nullptr ? 0 : 1));
    lane_->Send({.sequence = sequence,
                 .epoch = 4,
                 .graph = 0,
                 .wants_outputs = true,
                 .keeps_outputs = keeps,
                 .inputs = &inputs});
    return Find(sequence);
  };
  const auto answer = [&](const ShmCalls::Call& call) {
    calls_->Answer(call, OkStatus(), {input_});
    return lane_->Take(call.sequence).outputs.at(0);
  };
  const ShmCalls::Call first = send(1, nullptr, /*keeps=*/true);
  const uint64_t serial = first.output_serials[0];
  EXPECT_NE(serial, 0u);
  {
    const Tensor kept = answer(first);
    const ShmCalls::Call second = send(2, &kept, /*keeps=*/false);
    EXPECT_EQ(second.input_serials[0], serial);
    EXPECT_EQ(second.output_serials[0], 0u) << "nobody keeps it";
    (void)answer(second);
    // As an array that a function may have written to comes.
    Buffer bytes = kept.buffer();
    const Tensor array(kept.dtype(), kept.shape(),
                       Buffer::Wrap(bytes.mutable_data(), bytes.size(), [bytes] {}));
    const ShmCalls::Call third = send(3, &array, /*keeps=*/false);
    EXPECT_EQ(third.inputs[0].data_as<float>()[1], 2);
    EXPECT_EQ(third.input_serials[0], 0u);
    (void)answer(third);
  }
  const ShmCalls::Call again = send(4, nullptr, /*keeps=*/true);
  EXPECT_EQ(again.outputs[0].data(), first.outputs[0].data()) << "the same place";
  EXPECT_NE(again.output_serials[0], serial);
  (void)answer(again);
}

TEST_F(ShmLaneTest, AnOutputThatWasComputedInItsPlaceIsNotCopied) {
  Send(1, 0, nullptr);
  const ShmCalls::Call call = Find(1);
  Tensor in_place(DataType::kFloat32, {2}, call.outputs.at(0));
  in_place.mutable_data_as<float>()[1] = 7;
  const uint64_t before = Counters::Global().copied_bytes;
  calls_->Answer(call, OkStatus(), {in_place});
  EXPECT_EQ(lane_->Take(1).outputs.at(0).data_as<float>()[1], 7);
  EXPECT_EQ(Counters::Global().copied_bytes, before);

  Send(2, 0, nullptr);
  calls_->Answer(Find(2), OkStatus(), {input_});
  EXPECT_EQ(lane_->Take(2).outputs.at(0).data_as<float>()[1], 2);
  EXPECT_EQ(Counters::Global().copied_bytes, before + input_.byte_size());
}

TEST_F(ShmLaneTest, ATensorIsCopiedOnceHoweverManyCallsTakeIt) {
  size_t free = 0;
  {
    const Tensor tensor = Tensor::Of<float>({2}, {1, 2});
    std::vector<Buffer> kept;
    const auto first = space_->Place(tensor, &kept);
    ASSERT_OK(first);
    free = space_->inputs().free_bytes();
    const auto second = space_->Place(tensor, &kept);
    ASSERT_OK(second);
    EXPECT_EQ(first->offset, second->offset);
    EXPECT_EQ(space_->inputs().free_bytes(), free);

    const auto next_epoch = *ShmSpace::Create(kGraphs);
    ASSERT_OK(next_epoch->Place(tensor, &kept));  // Has memory of its own.
    const size_t free_next = next_epoch->inputs().free_bytes();
    EXPECT_LT(free_next, next_epoch->inputs().memory().size());
    ASSERT_OK(next_epoch->Place(tensor, &kept));
    EXPECT_EQ(next_epoch->inputs().free_bytes(), free_next) << "copied twice in one epoch";
  }
  EXPECT_GT(space_->inputs().free_bytes(), free) << "the copy goes with the tensor";
}

TEST_F(ShmLaneTest, OutputsGiveTheirBytesBack) {
  const size_t all = space_->outputs().free_bytes();
  for (uint64_t sequence = 1; sequence <= 3 * kCallWindow; ++sequence) {
    Send(sequence, 0, nullptr);
    calls_->Answer(Find(sequence), OkStatus(), {input_});
    EXPECT_OK(lane_->Take(sequence).status);
  }
  EXPECT_EQ(space_->outputs().free_bytes(), all);
}

TEST_F(ShmLaneTest, ClosingEndsWaitsAndTellsTheRank) {
  Send(1, 0, nullptr);
  Status late;
  std::jthread waiter([&] { late = lane_->Await(1, {}); });
  lane_->Close(Unavailable("killed"));
  waiter.join();
  EXPECT_ERROR(late, kUnavailable, "killed");
  EXPECT_ERROR(stream_->closed(), kUnavailable, "killed");
}

TEST_F(ShmLaneTest, AWaitEndsWhenItIsCancelled) {
  Send(1, 0, nullptr);
  const CallContext context{.cancelled = std::make_shared<CancelToken>()};
  Status given_up;
  std::jthread waiter([&] { given_up = lane_->Await(1, context); });
  context.cancelled->Raise();
  lane_->Wake();
  waiter.join();
  EXPECT_ERROR(given_up, kCancelled, "call 1");
}

TEST_F(ShmLaneTest, OutputsThatNobodyWantsGoWhenTheRankHasAnswered) {
  const size_t all = space_->outputs().free_bytes();
  Send(1, 0, nullptr);
  Send(2, 1, nullptr);  // Over the stream.
  lane_->Drop(1);
  lane_->Drop(2);
  EXPECT_EQ(lane_->answered(), 0u);
  EXPECT_LT(space_->outputs().free_bytes(), all);  // The rank may still write there.
  calls_->Answer(Find(1), OkStatus(), {input_});
  const Tensor copy = Tensor::Of<float>({2}, {1, 2});
  EXPECT_TRUE(stream_->Answer({.sequence = 2, .status = {}, .outputs = {copy}}));
  EXPECT_EQ(lane_->answered(), 2u);
  EXPECT_EQ(space_->outputs().free_bytes(), all);
  EXPECT_TRUE(copy.buffer().unique());
  Send(3, 0, nullptr);
  calls_->Answer(Find(3), OkStatus(), {input_});
  EXPECT_EQ(lane_->answered(), 3u);
  lane_->Drop(3);  // After its answer.
  EXPECT_EQ(space_->outputs().free_bytes(), all);
}

TEST_F(ShmLaneTest, ARankSleepsUntilACallIsPostedOrItIsWoken) {
  const uint32_t seen = calls_->signal();
  std::jthread server([&] { Send(1, 0, nullptr); });
  calls_->WaitWhile(seen);
  server.join();
  const uint32_t posted = calls_->signal();
  std::jthread waker([&] { calls_->Wake(); });
  calls_->WaitWhile(posted);
}

TEST_F(ShmLaneTest, NonsenseFromTheRankIsAnError) {
  using Spoil = void (*)(ShmReply*);
  const std::vector<Spoil> spoils = {
      [](ShmReply* reply) { reply->outputs[0].rank = 9; },
      [](ShmReply* reply) { reply->outputs[0].dims[0] = -5; },
      [](ShmReply* reply) { reply->outputs[0].dims[0] = INT64_MAX; },
      [](ShmReply* reply) { reply->outputs[0].dtype = 12; },
      [](ShmReply* reply) { reply->code = 4711; },
      [](ShmReply* reply) { reply->code = -1; },
      [](ShmReply* reply) { reply->code = 13, reply->message_bytes = UINT32_MAX; },
  };
  for (uint64_t i = 0; i < spoils.size(); ++i) {
    const uint64_t sequence = i + 1;
    Send(sequence, 0, nullptr);
    calls_->Answer(Find(sequence), OkStatus(), {input_});
    spoils[i](&ring().replies[sequence % kCallWindow]);
    EXPECT_EQ(lane_->Take(sequence).status.code(), StatusCode::kInternal) << "spoil " << i;
  }
}

TEST_F(ShmLaneTest, NonsenseFromTheServerIsRefused) {
  using Spoil = void (*)(ShmCall*);
  const std::vector<Spoil> spoils = {
      [](ShmCall* call) { call->input_count = 9; },
      [](ShmCall* call) { call->output_count = UINT32_MAX; },
      [](ShmCall* call) { call->input_blocks[0].offset = UINT64_MAX - 63; },
      [](ShmCall* call) { call->input_blocks[0].offset += 4; },
      [](ShmCall* call) { call->input_blocks[0].bytes = UINT64_MAX; },
      [](ShmCall* call) { call->input_blocks[0].bytes = 4; },
      [](ShmCall* call) { call->input_blocks[0].area = 2; },
      [](ShmCall* call) { call->output_blocks[0].offset = uint64_t{1} << 40; },
      [](ShmCall* call) { call->inputs[0].rank = 100; },
      [](ShmCall* call) { call->inputs[0].dtype = 99; },
      [](ShmCall* call) { call->inputs[0].dims[0] = -2; },
  };
  for (uint64_t i = 0; i < spoils.size(); ++i) {
    const uint64_t sequence = i + 1;
    CallInputs inputs(std::span(&input_, 1));
    Send(sequence, 0, &inputs);
    spoils[i](&ring().calls[sequence % kCallWindow]);
    EXPECT_EQ(calls_->Find(sequence).status().code(), StatusCode::kInvalidArgument)
        << "spoil " << i;
  }
}

TEST(ShmSpaceTest, NobodyListens) {
  const auto space = *ShmSpace::Create(kGraphs);
  const auto ring = ShmRingMemory::Create();
  ASSERT_OK(ring);
  EXPECT_EQ(space->Offer("pipeserve-nobody", 1, *ring).code(), StatusCode::kUnavailable);
}

// A whole record, with up to three changes of a byte or more, but for the number of the call.
template <typename Record>
void Damage(Mutator* mutator, uint64_t sequence, Record* record) {
  auto* const bytes = reinterpret_cast<char*>(record);
  const std::string damaged = mutator->Mutate(std::string(bytes, sizeof(Record)));
  std::memcpy(bytes, damaged.data(), std::min(damaged.size(), sizeof(Record)));
  record->sequence = sequence;  // Else nobody looks at it.
}

constexpr std::string_view kNumbers[] = {
    std::string_view("\0\0\0\0\0\0\0\0", 8), "\xff\xff\xff\xff\xff\xff\xff\xff",
    "\xff\xff\xff\xff\xff\xff\xff\x7f",      std::string_view("\0\0\0\0\0\0\0\x80", 8),
    std::string_view("\x9\0\0\0", 4),
};

// Whatever a call says must be there to be read and written.
void Touch(const ShmCalls::Call& call) {
  uint8_t sum = 0;
  for (const Tensor& input : call.inputs) {
    for (size_t i = 0; i < input.byte_size(); i += 512) sum ^= input.data_as<uint8_t>()[i];
  }
  for (Buffer output : call.outputs) {
    if (output.size() == 0) continue;
    output.mutable_data()[output.size() - 1] = std::byte{sum};
  }
}

TEST_F(ShmLaneTest, DamagedCallsAreTakenOrRefusedAndReadNothingElse) {
  CallInputs inputs(std::span(&input_, 1));
  Send(1, 0, &inputs);
  ShmCall& record = ring().calls[1];
  const std::string seed(reinterpret_cast<const char*>(&record), sizeof(record));
  Mutator mutator(kNumbers);
  int taken = 0, refused = 0;
  for (int i = 0; i < DamagedInputs(20'000) && !HasFailure(); ++i) {
    std::memcpy(static_cast<void*>(&record), seed.data(), seed.size());
    Damage(&mutator, 1, &record);
    const auto call = calls_->Find(1);
    ++(call.ok() ? taken : refused);
    if (call.ok() && call->has_value()) Touch(**call);
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

TEST_F(ShmLaneTest, DamagedRepliesAreTakenOrRefusedAndReadNothingElse) {
  Mutator mutator(kNumbers);
  int taken = 0, refused = 0;
  const auto count = static_cast<uint64_t>(DamagedInputs(20'000));
  for (uint64_t sequence = 1; sequence <= count && !HasFailure(); ++sequence) {
    Send(sequence, 0, nullptr);
    const Status status = sequence % 2 == 0 ? OkStatus() : Aborted("gone");
    calls_->Answer(Find(sequence), status, {input_});
    Damage(&mutator, sequence, &ring().replies[sequence % kCallWindow]);
    const RankReply reply = lane_->Take(sequence);
    ++(reply.status.ok() ? taken : refused);
    EXPECT_EQ(reply.outputs.size(), reply.status.ok() ? 1u : 0u);
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace pipeserve
