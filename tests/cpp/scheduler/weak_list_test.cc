#include "scheduler/weak_list.h"

#include <gtest/gtest.h>

namespace pipeserve {
namespace {

TEST(WeakListTest, KeepsNothingAlive) {
  WeakList<int> list;
  const auto stays = std::make_shared<int>(1);
  auto goes = std::make_shared<int>(2);
  list.Add(stays);
  list.Add(goes);
  EXPECT_EQ(list.Alive(), (std::vector{stays, goes}));
  goes.reset();
  EXPECT_EQ(list.Alive(), std::vector{stays});
}

TEST(WeakListTest, WhatIsGoneTakesNoRoomForLong) {
  WeakList<int> list;
  std::vector<std::shared_ptr<int>> stay;
  for (int i = 0; i < 100; ++i) {
    stay.push_back(std::make_shared<int>(i));
    list.Add(stay.back());
  }
  for (int i = 0; i < 100'000; ++i) list.Add(std::make_shared<int>(i));
  EXPECT_LE(list.size(), 400u);
  EXPECT_EQ(list.Alive(), stay);
}

}  // namespace
}  // namespace pipeserve
