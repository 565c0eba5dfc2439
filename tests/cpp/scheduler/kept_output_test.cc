// Outputs that a request keeps: who may use them, and when they are freed.
#include "scheduler/kept_output.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <thread>

#include "base/counters.h"
#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// A servable "fake" whose pipeline is the body of the test.
class KeptOutputTest : public ::testing::Test {
 protected:
  using Body = std::function<Result<Instance>(const Instance&)>;

  static ServableSpec SpecOf(Body body) {
    ServableSpec spec = NegSpec();
    spec.pipelines = {{"predict", {"x"}, {"y"}, PerInstance(std::move(body))}};
    return spec;
  }
  void Serve(Body body) {
    auto servable =
        Servable::Create(SpecOf(std::move(body)), executor_, {.max_inflight = 2, .timer = &timer_});
    ASSERT_OK(servable);
    servable_ = *std::move(servable);
  }

  Result<ResidentTensors> KeepAll(const Instance& x, const ResidentTensors& residents = {}) {
    PIPESERVE_ASSIGN_OR_RETURN(auto kept, servable_->RunAndKeep("neg", {x}, residents));
    return std::move(kept[0]);
  }
  // The one output of graph 0.
  Result<std::shared_ptr<const ResidentTensor>> Keep(const Instance& x,
                                                     const ResidentTensors& residents = {}) {
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors kept, KeepAll(x, residents));
    return kept[0];
  }
  // The next call takes what an earlier one kept.
  Result<std::shared_ptr<const ResidentTensor>> KeepNext(
      const std::shared_ptr<const ResidentTensor>& resident) {
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, resident->Fetch());
    return Keep({tensor}, {resident});
  }

  Result<Instance> Ask(RequestInfo info = {}) {
    info.account = account_;
    Answer answer;
    servable_->Submit("predict", {One(1)}, std::move(info), answer.Done());
    EXPECT_TRUE(answer.Wait());
    return answer.results[0];
  }

  StoppedClock clock_;
  Timer timer_{clock_};
  std::shared_ptr<FakeExecutor> executor_ = [] {
    const TensorInfo info{"x", DataType::kFloat32, {1, 1}};
    return std::make_shared<FakeExecutor>(std::vector<GraphSignature>{{{info}, {info}}});
  }();
  const std::shared_ptr<ByteAccount> account_ = std::make_shared<ByteAccount>();
  std::unique_ptr<Servable> servable_;
};

TEST_F(KeptOutputTest, ACallTakesWhatAnEarlierOneKeptInPlace) {
  std::vector<const void*> given, taken;
  executor_->before = [&](std::span<const Tensor> inputs, const CallContext&) {
    taken.push_back(inputs[0].data());
    return OkStatus();
  };
  executor_->after = [&](std::vector<Tensor>& outputs) { given.push_back(outputs[0].data()); };
  Serve([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(auto state, Keep(x));
    EXPECT_EQ(state->ToString(), "float32[1] (output 0 of fake.neg)");
    const uint64_t before = Counters::Global().copied_bytes;
    for (int turn = 0; turn < 50; ++turn) {
      PIPESERVE_ASSIGN_OR_RETURN(state, KeepNext(state));
      EXPECT_LE(account_->live_bytes(), 3 * sizeof(float)) << "an old state is not freed";
    }
    EXPECT_EQ(Counters::Global().copied_bytes, before);
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor last, state->Fetch());
    return Instance{last};
  });
  const auto y = Ask();
  ASSERT_OK(y);
  EXPECT_EQ(ValueOf(*y), -1);
  ASSERT_EQ(taken.size(), 51u);
  for (size_t i = 1; i < taken.size(); ++i) EXPECT_EQ(taken[i], given[i - 1]);
}

TEST_F(KeptOutputTest, ASubmittedCallKeepsToo) {
  Serve([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const auto first, servable_->SubmitAndKeep("neg", {x}));
    EXPECT_TRUE(first->WaitFor(std::chrono::seconds(10)));
    PIPESERVE_RETURN_IF_ERROR(first->kept().status());
    EXPECT_ERROR(first->result(), kFailedPrecondition, "the call keeps its outputs");
    const auto state = (*(*first->kept())[0])[0];
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, state->Fetch());
    PIPESERVE_ASSIGN_OR_RETURN(const auto second,
                               servable_->SubmitMethod("neg", {{tensor}}, {state}));
    EXPECT_TRUE(second->WaitFor(std::chrono::seconds(10)));
    EXPECT_ERROR(second->kept(), kFailedPrecondition, "the call keeps no outputs");
    PIPESERVE_RETURN_IF_ERROR(second->result().status());
    return (*second->result())[0];
  });
  const auto y = Ask();
  ASSERT_OK(y);
  EXPECT_EQ(ValueOf(*y), 1);
}

TEST_F(KeptOutputTest, AnErrorOfTheCallIsThatOfBothKinds) {
  executor_->before = [](auto, const CallContext&) { return InvalidArgument("no such luck"); };
  Serve([&](const Instance& x) -> Result<Instance> {
    EXPECT_ERROR(Keep(x), kInvalidArgument, "no such luck");
    PIPESERVE_ASSIGN_OR_RETURN(const auto call, servable_->SubmitAndKeep("neg", {x}));
    EXPECT_TRUE(call->WaitFor(std::chrono::seconds(10)));
    PIPESERVE_RETURN_IF_ERROR(call->kept().status());
    EXPECT_ERROR((*call->kept())[0], kInvalidArgument, "no such luck");
    EXPECT_ERROR(servable_->RunAndKeep("fun9", {x}), kNotFound, "fun9");
    EXPECT_ERROR(servable_->SubmitAndKeep("fun9", {x}), kNotFound, "fun9");
    return x;
  });
  EXPECT_OK(Ask());
}

TEST_F(KeptOutputTest, TheEndOfTheRequestFreesWhatIsLeaked) {
  ResidentTensors leaked;
  std::shared_ptr<PendingCall> leaked_call;
  Serve([&](const Instance& x) -> Result<Instance> {
    for (int i = 0; i < 200; ++i) leaked.push_back(*Keep(x));
    PIPESERVE_ASSIGN_OR_RETURN(leaked_call, servable_->SubmitAndKeep("neg", {x}));
    EXPECT_TRUE(leaked_call->WaitFor(std::chrono::seconds(10)));
    leaked.push_back((*(*leaked_call->kept())[0])[0]);
    EXPECT_GE(account_->live_bytes(), 201 * sizeof(float));
    return x;
  });
  EXPECT_OK(Ask());
  servable_->Stop();  // The runner has let the request go.
  EXPECT_EQ(account_->live_bytes(), 0u);
  for (const auto& resident : leaked) {
    EXPECT_EQ(resident->shape(), Shape{1});
    EXPECT_EQ(resident->Fetch().status(),
              FailedPrecondition("float32[1] (output 0 of fake.neg): its request has ended"));
  }
  EXPECT_ERROR(servable_->RunMethod("neg", {One(1)}, {leaked[0]}), kFailedPrecondition,
               "its request has ended");
}

TEST_F(KeptOutputTest, AFunctionThatFailsLeavesNothing) {
  ResidentTensors leaked;
  Serve([&](const Instance& x) -> Result<Instance> {
    leaked.push_back(*Keep(x));
    throw std::runtime_error("boom");
  });
  EXPECT_ERROR(Ask(), kInternal, "boom");
  servable_->Stop();
  EXPECT_EQ(account_->live_bytes(), 0u);
}

TEST_F(KeptOutputTest, ARequestThatIsGivenUpFreesAtOnce) {
  Gate gate;
  ResidentTensors leaked;
  Status fetched, kept;
  Serve([&](const Instance& x) -> Result<Instance> {
    leaked.push_back(*Keep(x));
    gate.Pass();
    fetched = leaked[0]->Fetch().status();
    kept = Keep(x).status();
    return x;
  });
  const auto cancel = std::make_shared<CancelToken>();
  Answer answer;
  servable_->Submit("predict", {One(1)}, {.cancel = cancel, .account = account_}, answer.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  EXPECT_EQ(account_->live_bytes(), 2 * sizeof(float));
  cancel->Raise();
  EXPECT_EQ(answer.count, 1);
  EXPECT_EQ(account_->live_bytes(), sizeof(float)) << "but for the input of what runs";
  gate.Open();
  servable_->Stop();
  EXPECT_ERROR(fetched, kCancelled, "the client has left");
  EXPECT_ERROR(kept, kCancelled, "the client has left");
  EXPECT_EQ(account_->live_bytes(), 0u);
}

TEST_F(KeptOutputTest, ACallThatEndsAfterItsRequestWasGivenUpKeepsNothing) {
  Gate gate;
  executor_->before = [&](auto, const CallContext&) { return gate.Pass(), OkStatus(); };
  Status kept;
  Serve([&](const Instance& x) -> Result<Instance> {
    kept = Keep(x).status();
    return x;
  });
  Answer answer;
  servable_->Submit(
      "predict", {One(1)},
      {.deadline = Deadline::After(std::chrono::hours(1), clock_), .account = account_},
      answer.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  clock_.Advance(std::chrono::hours(1));
  timer_.RunDue();
  gate.Open();
  servable_->Stop();
  EXPECT_EQ(kept.code(), StatusCode::kDeadlineExceeded);
  EXPECT_EQ(account_->live_bytes(), 0u);
}

TEST_F(KeptOutputTest, AnotherRequestCannotUseIt) {
  Gate gate;
  std::shared_ptr<const ResidentTensor> of_first;
  Status fetched, used;
  Serve([&](const Instance& x) -> Result<Instance> {
    if (of_first == nullptr) {
      of_first = *Keep(x);
      gate.Pass();
      return x;
    }
    fetched = of_first->Fetch().status();
    used = servable_->RunMethod("neg", {x}, {of_first}).status();
    return x;
  });
  Answer first;
  servable_->Submit("predict", {One(1)}, {}, first.Done());
  ASSERT_TRUE(gate.WaitForArrivals(1));
  EXPECT_OK(of_first->Fetch()) << "this thread works for no request";
  EXPECT_OK(servable_->RunMethod("neg", {One(1)}, {of_first}));
  EXPECT_OK(Ask());
  gate.Open();
  ASSERT_TRUE(first.Wait());
  EXPECT_EQ(fetched, FailedPrecondition("float32[1] (output 0 of fake.neg) is kept for another "
                                        "request than the one that uses it"));
  EXPECT_EQ(used, fetched);
}

TEST_F(KeptOutputTest, AnotherServableCannotTakeIt) {
  ServableSpec spec = NegSpec();
  spec.name = "other";
  spec.version = 3;
  const auto other = Servable::Create(spec, NegatingExecutor());
  ASSERT_OK(other);
  Serve([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const auto state, Keep(x));
    EXPECT_EQ((*other)->RunMethod("neg", {x}, {state}).status(),
              InvalidArgument("float32[1] (output 0 of fake.neg) is kept by fake version 1, a call "
                              "of other version 3 cannot take it"));
    EXPECT_EQ((*other)->RunAndKeep("neg", {x}, {state}).status().code(),
              StatusCode::kInvalidArgument);
    return x;
  });
  EXPECT_OK(Ask());
}

TEST_F(KeptOutputTest, OutputsOfAnotherServableAreKeptForAsLongAsItIsThere) {
  const auto pipelines = Servable::Create(
      [&] {
        ServableSpec spec = SpecOf([&](const Instance& x) -> Result<Instance> {
          PIPESERVE_ASSIGN_OR_RETURN(const auto state, Keep(x));
          PIPESERVE_ASSIGN_OR_RETURN(const auto next, KeepNext(state));
          PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, next->Fetch());
          servable_.reset();
          executor_.reset();
          EXPECT_EQ(next->Fetch().status(),
                    Unavailable("float32[1] (output 0 of fake.neg) is lost, fake version 1 has "
                                "been stopped"));
          return Instance{tensor};
        });
        spec.name = "pipelines";
        spec.methods.clear();
        return spec;
      }(),
      std::make_shared<FakeExecutor>(std::vector<GraphSignature>{}));
  ASSERT_OK(pipelines);
  Serve([](const Instance& x) { return x; });
  Answer answer;
  (*pipelines)->Submit("predict", {One(3)}, {}, answer.Done());
  ASSERT_TRUE(answer.Wait());
  ASSERT_OK(answer.results[0]);
  EXPECT_EQ(ValueOf(*answer.results[0]), 3);
}

TEST_F(KeptOutputTest, OutsideARequestNothingCanBeKept) {
  Serve([](const Instance& x) { return x; });
  EXPECT_ERROR(servable_->RunAndKeep("neg", {One(1)}), kFailedPrecondition,
               "the outputs of fake.neg can be kept on a thread that works for a request");
  EXPECT_ERROR(servable_->SubmitAndKeep("neg", {One(1)}), kFailedPrecondition, "fake.neg");
}

TEST_F(KeptOutputTest, WhatAPostprocessMadeIsKeptWhereItIs) {
  ServableSpec spec = SpecOf([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const auto state, Keep(x));
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, state->Fetch());
    return Instance{tensor};
  });
  const Instance made = One(5);
  spec.methods[0].postprocess = {
      PerInstance([&](const Instance&) { return made; }), {{Phase::kPredict, 0}}, 1};
  spec.methods[0].outputs = {{Phase::kPostprocess, 0}};
  servable_ = *Servable::Create(spec, executor_);
  const auto y = Ask();
  ASSERT_OK(y);
  EXPECT_EQ((*y)[0].data(), made[0].data());
}

}  // namespace
}  // namespace pipeserve
