#include "scheduler/call_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace pipeserve {
namespace {

// Returns when the gate lets nobody in any more.
void AwaitClosing(CallGate& gate) {
  while (gate.Enter()) {
    gate.Leave();
    std::this_thread::yield();
  }
}

TEST(CallGateTest, LetsCallersInUntilItIsClosed) {
  CallGate gate;
  EXPECT_TRUE(gate.Enter());
  EXPECT_TRUE(gate.Enter());
  gate.Leave();
  gate.Leave();
  gate.Close();
  EXPECT_FALSE(gate.Enter());
  gate.Close();
  EXPECT_FALSE(gate.Enter());
}

TEST(CallGateTest, EveryCloseWaitsForTheLastCallerInside) {
  CallGate gate;
  std::atomic<int> inside{2}, closed{0};
  ASSERT_TRUE(gate.Enter());
  ASSERT_TRUE(gate.Enter());
  const auto close = [&] {
    gate.Close();
    EXPECT_EQ(inside, 0);
    ++closed;
  };
  {
    std::jthread first(close), second(close);
    AwaitClosing(gate);
    --inside;
    gate.Leave();
    EXPECT_FALSE(gate.Enter());
    EXPECT_EQ(closed, 0);
    --inside;
    gate.Leave();
  }
  EXPECT_EQ(closed, 2);
}

TEST(CallGateTest, AClosingWithADeadlineSaysWhetherSomebodyIsStillInside) {
  CallGate gate;
  ASSERT_TRUE(gate.Enter());
  EXPECT_EQ(gate.inside(), 1);
  EXPECT_FALSE(gate.CloseUntil(Deadline::After(std::chrono::milliseconds(1))));
  EXPECT_FALSE(gate.Enter());
  gate.Leave();
  EXPECT_EQ(gate.inside(), 0);
  EXPECT_TRUE(gate.CloseUntil(Deadline::After({})));
}

TEST(CallGateTest, MayBeDestroyedAsSoonAsItIsClosed) {
  for (int round = 0; round < 200; ++round) {
    auto gate = std::make_unique<CallGate>();
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(gate->Enter());
      callers.emplace_back([inside = gate.get()] { inside->Leave(); });
    }
    gate->Close();
    gate.reset();
  }
}

}  // namespace
}  // namespace pipeserve
