// Versions that replace each other, and a server that ends, under load.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "pipeserve/server.h"
#include "scheduler/request_scope.h"
#include "server/test_servable.h"
#include "support/gate.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::chrono::milliseconds kLong = std::chrono::minutes(1);

// A servable without graphs, whose pipeline "predict" runs `body`.
ServableSpec Pipeline(uint64_t version, Body body) {
  ServableSpec spec{.name = "lm", .version = version};
  spec.pipelines.push_back({"predict", {"x"}, {"y"}, PerInstance(std::move(body))});
  return spec;
}

Instance Number(int32_t value) { return {Tensor::Of<int32_t>({}, {value})}; }

int32_t NumberOf(const Result<Instance>& result) {
  return result.ok() ? *result->at(0).data_as<int32_t>() : -1;
}

// One whose answers are its version.
ServableSpec Version(uint64_t version) {
  return Pipeline(version, [version](const Instance&) -> Result<Instance> {
    return Number(static_cast<int32_t>(version));
  });
}

class LifecycleTest : public ::testing::Test {
 protected:
  LocalServableOptions OnRequestOnly() const {
    LocalServableOptions options;
    options.on_request_only = true;
    return options;
  }

  Result<Instance> Ask(uint64_t version = 0) {
    return server_->Infer("lm", "predict", Number(0), {.version = version});
  }

  std::unique_ptr<Server> server_ = *Server::Create({.max_inflight = 2});
};

TEST_F(LifecycleTest, ANewVersionIsLoadedSwitchedToAndTheOldOneUnloaded) {
  ASSERT_OK(server_->LoadLocal(Version(1), {}));
  ASSERT_OK(server_->LoadLocal(Version(2), OnRequestOnly()));
  EXPECT_EQ(NumberOf(Ask()), 1);
  EXPECT_EQ(NumberOf(Ask(2)), 2);
  ASSERT_OK(server_->Switch("lm", 2));
  EXPECT_EQ(NumberOf(Ask()), 2);
  EXPECT_EQ(NumberOf(Ask(1)), 1);
  EXPECT_ERROR(server_->Unload("lm", 2, kLong), kFailedPrecondition, "switch to another one");
  EXPECT_OK(server_->Unload("lm", 1, kLong));
  EXPECT_ERROR(Ask(1), kNotFound, "version(1) , servable is not available");
  EXPECT_ERROR(server_->Unload("lm", 1, kLong), kNotFound, "version 1 has not been started");
  EXPECT_ERROR(server_->Switch("lm", 1), kNotFound, "version 1 has not been started");
  EXPECT_OK(server_->LoadLocal(Version(1), OnRequestOnly()));  // Its name is free again.
  EXPECT_OK(server_->Switch("lm", 1));
  EXPECT_EQ(NumberOf(Ask()), 1);
}

TEST_F(LifecycleTest, AVersionWhoseWarmUpFailsIsRefusedAndTheOldOneGoesOn) {
  ASSERT_OK(server_->LoadLocal(Version(1), {}));
  ServableSpec spec = Version(2);
  spec.warm_up = MakeHostFunction("warm_up", [this](const Instance&) -> Result<Instance> {
    // Clients cannot call it yet.
    EXPECT_EQ(Ask(2).status().code(), StatusCode::kUnavailable);
    EXPECT_EQ(NumberOf(Ask()), 1);
    return InvalidArgument("its answers are wrong");
  });
  EXPECT_ERROR(server_->LoadLocal(spec, {}), kInvalidArgument,
               "Warm-up failed: its answers are wrong");
  EXPECT_EQ(NumberOf(Ask()), 1);
  EXPECT_OK(server_->LoadLocal(Version(2), {}));
  EXPECT_EQ(NumberOf(Ask()), 2);
}

TEST_F(LifecycleTest, UnloadingWaitsForTheRequestsThatTheVersionHas) {
  Gate gate;
  ASSERT_OK(server_->LoadLocal(Pipeline(1,
                                        [&gate](const Instance&) -> Result<Instance> {
                                          gate.Pass();
                                          return Number(1);
                                        }),
                               {}));
  auto running = std::async(std::launch::async, [&] { return NumberOf(Ask()); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  ASSERT_OK(server_->LoadLocal(Version(2), OnRequestOnly()));
  ASSERT_OK(server_->Switch("lm", 2));
  auto unloaded = std::async(std::launch::async, [&] { return server_->Unload("lm", 1, kLong); });
  const auto state_of_one = [&] { return server_->state().servables.at(0); };
  while (state_of_one().state != "UNLOADING") std::this_thread::yield();
  EXPECT_EQ(state_of_one().running, 1u);
  EXPECT_EQ(NumberOf(Ask()), 2);
  EXPECT_ERROR(server_->Unload("lm", 1, kLong), kFailedPrecondition, "unloaded already");
  gate.Open();
  EXPECT_EQ(running.get(), 1);
  EXPECT_OK(unloaded.get());
  EXPECT_THAT(server_->state().servables, SizeIs(1));
}

TEST_F(LifecycleTest, WhatIsNotDoneInTimeIsGivenUp) {
  Gate gate;
  ASSERT_OK(server_->LoadLocal(Pipeline(1,
                                        [&gate](const Instance&) -> Result<Instance> {
                                          gate.Pass();
                                          return Number(1);
                                        }),
                               {}));
  auto running = std::async(std::launch::async, [&] { return Ask(); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  auto unloaded = std::async(
      std::launch::async, [&] { return server_->Unload("lm", 1, std::chrono::milliseconds(1)); });
  while (!server_->state().servables.empty() &&
         server_->state().servables[0].state != "UNLOADING") {
    std::this_thread::yield();
  }
  gate.Open();
  // It was given up, or done just before that.
  const Result<Instance> answer = running.get();
  if (!answer.ok()) EXPECT_ERROR(answer, kUnavailable, "it has been stopped");
  EXPECT_OK(unloaded.get());
}

// The pipelines and the graphs of one version, whatever is loaded, switched to and unloaded
// meanwhile: no request fails, and none sees two versions.
TEST_F(LifecycleTest, NoRequestFailsAndNoneSeesTwoVersionsUnderLoad) {
  constexpr uint64_t kLast = 60;
  // Calls a method of its own version three times, as a pipeline would.
  const auto spec_of = [this](uint64_t version) {
    ServableSpec spec =
        TestSpec("lm", version, [this, version](const Instance&) -> Result<Instance> {
          for (int i = 0; i < 3; ++i) {
            const auto found = server_->RunOne("lm", version, "no such method", {});
            // The servable is there, the method is not.
            if (found.status().code() != StatusCode::kNotFound) return found.status();
            std::this_thread::yield();
          }
          return Number(static_cast<int32_t>(version));
        });
    spec.methods.clear();
    return spec;
  };
  ASSERT_OK(server_->LoadLocal(spec_of(1), {}));
  std::atomic<bool> done = false;
  std::atomic<int> good = 0, bad = 0, backward = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      int32_t last = 0;
      while (!done) {
        const int32_t version = NumberOf(Ask());
        version < 0 ? ++bad : ++good;
        if (version < last) ++backward;
        last = version;
      }
    });
  }
  for (uint64_t version = 2; version <= kLast; ++version) {
    ASSERT_OK(server_->LoadLocal(spec_of(version), OnRequestOnly()));
    ASSERT_OK(server_->Switch("lm", version));
    EXPECT_EQ(NumberOf(Ask()), static_cast<int32_t>(version));
    ASSERT_OK(server_->Unload("lm", version - 1, kLong));
  }
  done = true;
  clients.clear();
  EXPECT_GT(good, 0);
  EXPECT_EQ(bad, 0);
  EXPECT_EQ(backward, 0);
}

TEST_F(LifecycleTest, DrainingFinishesWhatWaitsAndRefusesWhatComes) {
  Gate gate;
  ASSERT_OK(server_->LoadLocal(Pipeline(1,
                                        [&gate](const Instance&) -> Result<Instance> {
                                          gate.Pass();
                                          return Number(1);
                                        }),
                               {}));
  auto first = std::async(std::launch::async, [&] { return NumberOf(Ask()); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  EXPECT_TRUE(server_->state().ready);
  auto drained = std::async(std::launch::async, [&] { server_->Drain(kLong); });
  while (server_->state().ready) std::this_thread::yield();
  EXPECT_ERROR(Ask(), kUnavailable, "servable is not available");
  gate.Open();
  EXPECT_EQ(first.get(), 1);
  drained.get();
  EXPECT_EQ(server_->state().requests, 0u);
  server_->Stop();
}

TEST_F(LifecycleTest, AWarmUpEndsWithTheServerOrWhenItsVersionIsUnloaded) {
  for (const bool stops : {false, true}) {
    Gate gate;
    ServableSpec spec = TestSpec("lm", 2);
    spec.methods.clear();
    std::atomic<bool> given_up = false;
    spec.warm_up = MakeHostFunction("warm_up", [&](const Instance&) -> Result<Instance> {
      gate.Open();
      gate.Pass();
      while (!RequestScope::Context().is_cancelled()) std::this_thread::yield();
      given_up = true;
      return Internal("it noticed");
    });
    auto loaded =
        std::async(std::launch::async, [&] { return server_->LoadLocal(spec, OnRequestOnly()); });
    ASSERT_TRUE(gate.WaitForArrivals(1));
    if (stops) {
      server_->Stop();
    } else {
      EXPECT_OK(server_->Unload("lm", 2, kLong));
    }
    EXPECT_ERROR(loaded.get(), kCancelled, "lm version 2: its warm-up was given up");
    EXPECT_TRUE(given_up);
    EXPECT_THAT(server_->state().servables, IsEmpty());
  }
  EXPECT_ERROR(server_->LoadLocal(Version(3), {}), kUnavailable, "the server has been stopped");
}

TEST_F(LifecycleTest, TheStateTellsWhatIsLoadedAndHowMuchThereIsToDo) {
  ASSERT_OK(server_->LoadLocal(Version(1), {}));
  DistributedServableOptions options;
  options.address = "127.0.0.1:0";
  options.on_request_only = true;
  ServableSpec spec = Version(2);
  const Result<std::string> address = server_->StartDistributed(spec, options);
  ASSERT_OK(address);
  const Result<std::string> grpc = server_->StartGrpc({.address = "127.0.0.1:0"});
  ASSERT_OK(grpc);
  const ServerState state = server_->state();
  EXPECT_TRUE(state.ready);
  EXPECT_EQ(state.grpc_address, *grpc);
  EXPECT_EQ(state.rest_address, "");
  EXPECT_EQ(state.requests, 0u);
  EXPECT_EQ(state.max_requests, 10'000u);
  ASSERT_THAT(state.servables, SizeIs(2));
  EXPECT_EQ(state.servables[0].state, "READY");
  EXPECT_TRUE(state.servables[0].is_default);
  EXPECT_EQ(state.servables[0].max_inflight, 2u);
  EXPECT_THAT(state.servables[0].callables, ElementsAre("predict"));
  const ServableState& loading = state.servables[1];
  EXPECT_EQ(loading.state, "LOADING");
  EXPECT_FALSE(loading.is_default);
  ASSERT_TRUE(loading.group.has_value());
  EXPECT_EQ(loading.group->address, *address);
  EXPECT_EQ(loading.group->phase, "gathering");
  ASSERT_THAT(loading.group->agents, SizeIs(1));
  EXPECT_EQ(loading.group->agents[0].state, "absent");
  EXPECT_OK(server_->Unload("lm", 2, kLong));  // One that waits for agents can be given up.
  EXPECT_EQ(server_->WaitReady("lm", 2, kLong).code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace pipeserve
