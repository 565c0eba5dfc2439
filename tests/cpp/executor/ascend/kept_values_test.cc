// Which copies between host and device an executor leaves out, and that it never leaves out one
// that is needed.
#include "executor/ascend/kept_values.h"

#include <array>
#include <cstring>

#include "executor/ascend/ascend_executor.h"
#include "executor/ascend/simulated_runtime.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

struct Kind {
  const char* name;
  const char* settings;
  bool overlap;
};

// Graph 0: state, x -> state + x; graph 1: state, x -> state - x, both float32[2]; graph 2: x -> -x
// for float32[4].
std::vector<AscendModel> StepModels() {
  std::vector<AscendModel> models;
  for (const OpType op : {OpType::kAdd, OpType::kSub}) {
    TestGraph graph;
    const ValueId state = graph.Input({2}), x = graph.Input({2});
    models.emplace_back(graph.Return({graph.Node(op, {state, x}, {2})}));
  }
  TestGraph neg;
  models.emplace_back(neg.Return({neg.Node(OpType::kNeg, {neg.Input({4})}, {4})}));
  return models;
}

class KeptValuesTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override { Load(); }
  void Load(size_t kept_bytes = 1024) {
    executor_.reset();
    AscendExecutorOptions options;
    options.library = SimulatedRuntime::Library();
    options.overlap = GetParam().overlap;
    options.kept_bytes = kept_bytes;
    auto executor = AscendExecutor::Create(StepModels(), options);
    ASSERT_OK(executor);
    executor_ = *std::move(executor);
  }

  // Of a state and x under these numbers, to `place`, to be kept under `output`.
  Status Run(GraphId graph, const Tensor& state, uint64_t state_serial, const Buffer& place,
             uint64_t output) {
    const std::array<Tensor, 2> inputs = {state, x_};
    const std::array<uint64_t, 2> input_serials = {state_serial, x_serial_};
    CallContext context;
    context.places = std::span(&place, 1);
    context.input_serials = input_serials;
    context.output_serials = std::span(&output, 1);
    std::vector<Tensor> outputs;
    PIPESERVE_RETURN_IF_ERROR(executor_->Run(graph, inputs, context, &outputs));
    EXPECT_EQ(outputs.at(0).data(), place.data());
    output_ = outputs.at(0);
    return OkStatus();
  }

  int Copies(const std::string& way) const { return std::stoi(runtime_.Command("copies " + way)); }
  // Copies to the device since the last question.
  int Uploads() {
    const int all = Copies("to-device");
    return all - std::exchange(uploads_, all);
  }

  SimulatedRuntime runtime_{GetParam().settings};
  std::unique_ptr<AscendExecutor> executor_;
  const Tensor x_ = Tensor::Of<float>({2}, {1, 10});
  uint64_t x_serial_ = 1000;
  Buffer place_ = Buffer::Allocate(8), other_place_ = Buffer::Allocate(8);
  Tensor output_;
  int uploads_ = 0;
};

TEST_P(KeptValuesTest, AStateThatGoesRoundIsCopiedThereOnceAndBackInEveryTurn) {
  (void)Uploads();
  const int downloads = Copies("to-host");
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  EXPECT_EQ(Uploads(), 2);
  ASSERT_OK(Run(0, output_, 2, other_place_, 3));
  ASSERT_OK(Run(0, output_, 3, place_, 4));
  const int blocks = runtime_.Calls("aclrtMalloc");
  for (uint64_t turn = 4; turn < 50; ++turn) {
    ASSERT_OK(Run(0, output_, turn, turn % 2 == 0 ? other_place_ : place_, turn + 1));
  }
  EXPECT_EQ(Floats(output_), (std::vector<float>{50, 500}));
  EXPECT_EQ(Uploads(), 0);
  EXPECT_EQ(Copies("to-host") - downloads, 49);
  EXPECT_EQ(runtime_.Calls("aclrtMalloc"), blocks) << "the blocks of old states are used again";
}

TEST_P(KeptValuesTest, AnotherGraphTakesItToo) {
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  (void)Uploads();
  ASSERT_OK(Run(1, output_, 2, other_place_, 0));
  EXPECT_EQ(Uploads(), 1) << "x, which that graph has not had";
  EXPECT_EQ(Floats(output_), (std::vector<float>{1, 10}));
}

TEST_P(KeptValuesTest, OtherBytesAtTheSamePlaceAreCopiedThere) {
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  const Tensor kept = output_;
  ASSERT_OK(Run(0, kept, 2, other_place_, 3));
  // The host has given both places to others meanwhile.
  const std::array<float, 2> others = {7, 8};
  std::memcpy(place_.mutable_data(), others.data(), sizeof(others));
  (void)Uploads();
  const Tensor state(DataType::kFloat32, {2}, place_);
  ASSERT_OK(Run(0, state, 9, other_place_, 0));
  EXPECT_EQ(Uploads(), 1);
  EXPECT_EQ(Floats(output_), (std::vector<float>{8, 18}));
}

TEST_P(KeptValuesTest, BytesWithoutANumberAreAlwaysCopiedThere) {
  x_serial_ = 0;
  Tensor state = Tensor::Of<float>({2}, {1, 2});
  for (int i = 0; i < 3; ++i) {
    (void)Uploads();
    state.mutable_data_as<float>()[0] = static_cast<float>(i);
    ASSERT_OK(Run(0, state, 0, place_, 0));
    EXPECT_EQ(Uploads(), 2);
    EXPECT_EQ(Floats(output_)[0], static_cast<float>(i + 1));
  }
}

TEST_P(KeptValuesTest, APlaceThatIsWrittenAgainEndsWhatWasKeptOfIt) {
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  const Tensor kept(DataType::kFloat32, {2}, Buffer::CopyOf(output_.buffer().bytes()));
  ASSERT_OK(Run(0, x_, 1, place_, 0));
  (void)Uploads();
  ASSERT_OK(Run(0, kept, 2, other_place_, 0));
  EXPECT_EQ(Uploads(), 1);
  EXPECT_EQ(Floats(output_), (std::vector<float>{3, 30}));
}

TEST_P(KeptValuesTest, NumbersBeginAnewWithTheNextGroup) {
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  executor_->LeaveGroup();
  (void)Uploads();
  const Tensor state = Tensor::Of<float>({2}, {7, 8});
  ASSERT_OK(Run(0, state, 2, other_place_, 0));
  EXPECT_EQ(Uploads(), 2);
  EXPECT_EQ(Floats(output_), (std::vector<float>{8, 18}));
}

TEST_P(KeptValuesTest, ACallThatFailsLeavesNothing) {
  ASSERT_OK(Run(0, x_, 1, place_, 0));
  runtime_.Command("fail aclnnAdd 1 207001");
  EXPECT_ERROR(Run(0, x_, 5, place_, 6), kResourceExhausted, "aclnnAdd");
  (void)Uploads();
  const Tensor state = Tensor::Of<float>({2}, {7, 8});
  ASSERT_OK(Run(0, state, 5, place_, 0));
  EXPECT_EQ(Uploads(), 2) << "nobody knows what the call that failed has left in the inputs";
  EXPECT_EQ(Floats(output_), (std::vector<float>{8, 18}));
  ASSERT_OK(Run(0, state, 6, place_, 0));
  EXPECT_EQ(Uploads(), 1);
  EXPECT_EQ(Floats(output_), (std::vector<float>{8, 18}));
}

TEST_P(KeptValuesTest, TheOneThatWasUsedLongestAgoMakesRoom) {
  Load(/*kept_bytes=*/16);
  std::array<Buffer, 3> places = {Buffer::Allocate(8), Buffer::Allocate(8), Buffer::Allocate(8)};
  std::array<Tensor, 3> states;
  for (size_t i = 0; i < places.size(); ++i) {
    ASSERT_OK(Run(0, x_, 100 + i, places[i], 1 + i));
    states[i] = output_;
  }
  (void)Uploads();
  ASSERT_OK(Run(0, states[1], 2, place_, 0));
  ASSERT_OK(Run(0, states[2], 3, place_, 0));
  EXPECT_EQ(Uploads(), 0);
  ASSERT_OK(Run(0, states[0], 1, place_, 0));
  EXPECT_EQ(Uploads(), 1);
  EXPECT_EQ(Floats(output_), (std::vector<float>{3, 30}));
}

TEST_P(KeptValuesTest, WhatMakesRoomStaysWhileACallUnderWayTakesIt) {
  if (executor_->pipeline() == nullptr) return;  // Then no other call comes meanwhile.
  Load(/*kept_bytes=*/16);
  CallPipeline& pipeline = *executor_->pipeline();
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  const std::array<Tensor, 2> inputs = {output_, x_};
  const std::array<uint64_t, 2> input_serials = {2, 0};
  CallContext takes;
  takes.input_serials = input_serials;
  const Tensor y = Tensor::Of<float>({4}, {1, 2, 3, 4});
  const Buffer large_place = Buffer::Allocate(16);
  const uint64_t large_serial = 3;
  CallContext makes_room;
  makes_room.places = std::span(&large_place, 1);
  makes_room.output_serials = std::span(&large_serial, 1);
  runtime_.Command("set mode=lazy");  // Nothing is copied before it is waited for.
  const auto first = pipeline.Begin(1, inputs, takes);
  ASSERT_OK(first);
  const auto second = pipeline.Begin(2, std::span(&y, 1), makes_room);
  ASSERT_OK(second);
  std::vector<Tensor> outputs;
  ASSERT_OK((*first)->Finish(&outputs));
  EXPECT_EQ(Floats(outputs.at(0)), (std::vector<float>{1, 10}));
  ASSERT_OK((*second)->Finish(&outputs));
  EXPECT_EQ(Floats(outputs.at(0)), (std::vector<float>{-1, -2, -3, -4}));
}

TEST_P(KeptValuesTest, WithoutRoomOnTheDeviceTheHostHasItAnyway) {
  runtime_.Command("fail aclrtMalloc 1 207001");
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  (void)Uploads();
  ASSERT_OK(Run(0, output_, 2, other_place_, 0));
  EXPECT_EQ(Uploads(), 1);
  EXPECT_EQ(Floats(output_), (std::vector<float>{3, 30}));
  Load(/*kept_bytes=*/0);
  ASSERT_OK(Run(0, x_, 1, place_, 2));
  ASSERT_OK(Run(0, output_, 2, other_place_, 0));
  EXPECT_EQ(Floats(output_), (std::vector<float>{3, 30}));
}

TEST_P(KeptValuesTest, OutputsThatNobodyWantsAreNotCopiedBack) {
  const int downloads = Copies("to-host");
  const std::array<Tensor, 2> inputs = {x_, x_};
  CallContext context;
  context.outputs_wanted = false;
  std::vector<Tensor> outputs(1);
  ASSERT_OK(executor_->Run(0, inputs, context, &outputs));
  EXPECT_TRUE(outputs.empty());
  EXPECT_EQ(Copies("to-host"), downloads);
}

INSTANTIATE_TEST_SUITE_P(Modes, KeptValuesTest,
                         testing::Values(Kind{"Eager", "mode=eager", false},
                                         Kind{"Lazy", "mode=lazy", false},
                                         Kind{"OverlapEager", "mode=eager", true},
                                         Kind{"OverlapLazy", "mode=lazy", true},
                                         Kind{"OverlapRandom", "mode=random", true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pipeserve::ascend
