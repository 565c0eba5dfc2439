#include <stdexcept>

#include "pipeserve/servable.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

std::vector<Instance> Numbers(std::initializer_list<int32_t> numbers) {
  std::vector<Instance> instances;
  for (const int32_t number : numbers) instances.push_back({Tensor::Of<int32_t>({}, {number})});
  return instances;
}

int32_t NumberOf(const Instance& instance) { return *instance.at(0).data_as<int32_t>(); }

TEST(HostFunctionTest, ALambdaIsCalledForEachInstance) {
  const auto function =
      MakeHostFunction("increment", [](const Instance& instance) -> Result<Instance> {
        return Instance{Tensor::Of<int32_t>({}, {NumberOf(instance) + 1})};
      });
  EXPECT_EQ(function->name(), "increment");
  EXPECT_FALSE(function->takes_host_lock());
  const auto results = function->Call(Numbers({1, 20, 300}));
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) ASSERT_OK(results[i]);
  EXPECT_EQ(NumberOf(*results[0]), 2);
  EXPECT_EQ(NumberOf(*results[1]), 21);
  EXPECT_EQ(NumberOf(*results[2]), 301);
  EXPECT_TRUE(function->Call({}).empty());
}

TEST(HostFunctionTest, WhatAnInstanceThrowsCostsNoOther) {
  const auto function = MakeHostFunction("picky", [](const Instance& instance) -> Result<Instance> {
    switch (NumberOf(instance)) {
      case 1:
        throw std::out_of_range("one is too many");
      case 2:
        throw 2;
      case 3:
        return NotFound("no three");
      default:
        return instance;
    }
  });
  const auto results = function->Call(Numbers({1, 2, 3, 4}));
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[0].status(), Internal("picky threw: one is too many"));
  EXPECT_EQ(results[1].status(), Internal("picky threw what is no std::exception"));
  EXPECT_EQ(results[2].status(), NotFound("no three"));
  ASSERT_OK(results[3]);
  EXPECT_EQ(NumberOf(*results[3]), 4);
}

TEST(HostFunctionTest, AnEmptyFunctionIsAnErrorOfEveryCall) {
  const auto results = MakeHostFunction("nothing", nullptr)->Call(Numbers({1}));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_ERROR(results[0], kInternal, "nothing threw: ");
}

}  // namespace
}  // namespace pipeserve
