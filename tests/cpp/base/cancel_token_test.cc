#include "base/cancel_token.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

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

}  // namespace
}  // namespace pipeserve
