#include "base/cancel_token.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "support/gate.h"

namespace pipeserve {
namespace {

TEST(CancelTokenTest, TheListenerHearsOfItOnce) {
  int heard = 0;
  CancelToken token;
  token.Listen([&] { ++heard; });
  EXPECT_EQ(heard, 0);
  token.Raise();
  token.Raise();
  EXPECT_EQ(heard, 1);
}

TEST(CancelTokenTest, AListenerThatComesLateHearsOfItAtOnce) {
  int heard = 0;
  CancelToken token;
  token.Raise();
  token.Listen([&] { ++heard; });
  EXPECT_EQ(heard, 1);
}

TEST(CancelTokenTest, WhoeverIsFirstItIsHeardOnce) {
  for (int i = 0; i < 200; ++i) {
    std::atomic<int> heard{0};
    CancelToken token;
    {
      std::jthread raising([&] { token.Raise(); });
      token.Listen([&] { ++heard; });
    }
    EXPECT_EQ(heard, 1);
  }
}

TEST(CancelTokenTest, AllWhoListenHearOfItAndWhoHasEndedDoesNot) {
  int stays = 0, ended = 0, null = 0;
  CancelToken token;
  token.Listen([&] { ++stays; });
  const CancelListener listener(&token, [&] { ++stays; });
  {
    const CancelListener short_lived(&token, [&] { ++ended; });
  }
  {
    const CancelListener nothing(nullptr, [&] { ++null; });
  }
  EXPECT_FALSE(token.raised());
  token.Raise();
  EXPECT_TRUE(token.raised());
  EXPECT_EQ(stays, 2);
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(null, 0);
}

TEST(CancelTokenTest, AListenerThatRunsIsAwaitedByItsEnd) {
  Gate inside, go_on;
  inside.Open();
  std::atomic<bool> ran = false, gone = false;
  CancelToken token;
  auto listener = std::make_unique<CancelListener>(&token, [&] {
    inside.Pass();
    go_on.Pass();
    ran = !gone;
  });
  std::jthread raising([&] { token.Raise(); });
  ASSERT_TRUE(inside.WaitForArrivals(1));
  std::jthread ending([&] {
    listener.reset();
    gone = true;
  });
  go_on.Open();
  ending.join();
  EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace pipeserve
