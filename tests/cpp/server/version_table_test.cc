#include "server/version_table.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "server/test_servable.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

class VersionTableTest : public ::testing::Test {
 protected:
  ~VersionTableTest() override {
    for (const auto& servable : servables_) servable->Stop();
  }

  std::shared_ptr<Servable> Add(uint64_t version, bool on_request_only = false,
                                VersionTable::Probe available = nullptr) {
    servables_.push_back(TestServable("add", version));
    EXPECT_OK(versions_.Reserve("add", version, on_request_only));
    Publish(versions_, "add", version, servables_.back(), std::move(available));
    return servables_.back();
  }

  // The version that a request for `version` is led to; 0: none.
  uint64_t LedTo(uint64_t version = 0) const {
    const auto servable = versions_.Lead("add", version);
    return servable == nullptr ? 0 : servable->spec().version;
  }

  VersionTable::Row RowOf(uint64_t version) const {
    for (VersionTable::Row& row : versions_.Rows()) {
      if (row.version == version) return std::move(row);
    }
    ADD_FAILURE() << "there is no version " << version;
    return {};
  }

  VersionTable versions_;
  std::vector<std::shared_ptr<Servable>> servables_;
};

TEST_F(VersionTableTest, WhatIsBoundIsFoundButNoRequestIsLedToItYet) {
  ASSERT_OK(versions_.Reserve("add", 1));
  EXPECT_TRUE(versions_.Knows("add", 1));
  EXPECT_EQ(versions_.Find("add", 1), nullptr);
  servables_.push_back(TestServable("add", 1));
  versions_.Bind("add", 1, servables_.back());
  EXPECT_EQ(versions_.Find("add", 1), servables_.back());
  EXPECT_EQ(versions_.Find("add", 0), servables_.back());
  EXPECT_EQ(LedTo(1), 0u);
  EXPECT_FALSE(versions_.AllAvailable());
  versions_.Publish("add", 1);
  EXPECT_EQ(LedTo(1), 1u);
  EXPECT_TRUE(versions_.AllAvailable());
  versions_.Bind("add", 1, nullptr);
  EXPECT_EQ(LedTo(1), 0u);
}

TEST_F(VersionTableTest, OneThatRunsOnRequestOnlyIsNotTheDefaultUntilItIsSwitchedTo) {
  Add(1);
  Add(2, /*on_request_only=*/true);
  EXPECT_EQ(LedTo(), 1u);
  EXPECT_EQ(LedTo(2), 2u);
  EXPECT_TRUE(RowOf(1).is_default);
  ASSERT_OK(versions_.Switch("add", 2));
  EXPECT_EQ(LedTo(), 2u);
  EXPECT_EQ(LedTo(1), 1u);
  EXPECT_TRUE(RowOf(2).is_default);
  ASSERT_OK(versions_.Switch("add", 1));
  EXPECT_EQ(LedTo(), 1u);
  EXPECT_FALSE(RowOf(2).is_default);
}

TEST_F(VersionTableTest, AVersionThatCannotBeCalledIsNotSwitchedTo) {
  std::atomic<bool> available = false;
  Add(1);
  Add(2, /*on_request_only=*/true, [&available] { return available.load(); });
  ASSERT_OK(versions_.Reserve("add", 3, /*on_request_only=*/true));
  EXPECT_ERROR(versions_.Switch("add", 2), kUnavailable, "servable add version 2");
  EXPECT_ERROR(versions_.Switch("add", 3), kUnavailable, "servable add version 3");
  EXPECT_ERROR(versions_.Switch("add", 4), kNotFound, "version 4 has not been started");
  EXPECT_ERROR(versions_.Switch("sub", 1), kNotFound, "servable sub version 1");
  EXPECT_EQ(LedTo(), 1u);
  available = true;
  EXPECT_OK(versions_.Switch("add", 2));
  EXPECT_EQ(LedTo(), 2u);
}

TEST_F(VersionTableTest, OneThatWaitsForItsTurnDoesNotMakeTheServerUnready) {
  Add(1);
  ASSERT_OK(versions_.Reserve("add", 2, /*on_request_only=*/true));
  EXPECT_TRUE(versions_.AllAvailable());
  ASSERT_OK(versions_.Reserve("add", 3));
  EXPECT_FALSE(versions_.AllAvailable());
}

TEST_F(VersionTableTest, ARetiredVersionGetsNoRequestAndIsDrainedWhenItsOwnAreOver) {
  Add(1);
  Add(2, /*on_request_only=*/true);
  auto led = versions_.Lead("add", 1);
  EXPECT_EQ(RowOf(1).requests, 1);
  ASSERT_OK(versions_.Switch("add", 2));
  ASSERT_OK(versions_.Retire("add", 1));
  EXPECT_EQ(LedTo(1), 0u);
  EXPECT_FALSE(versions_.Knows("add", 1));
  EXPECT_EQ(versions_.Find("add", 1), servables_[0]);  // What runs may still call its methods.
  EXPECT_TRUE(RowOf(1).retired);
  EXPECT_FALSE(versions_.Drain("add", 1, Deadline::After(std::chrono::milliseconds(1))));
  led.reset();
  EXPECT_TRUE(versions_.Drain("add", 1, Deadline::After(std::chrono::seconds(10))));
  EXPECT_ERROR(versions_.Retire("add", 1), kFailedPrecondition, "is being unloaded already");
  versions_.Remove("add", 1);
  EXPECT_EQ(versions_.Find("add", 1), nullptr);
  EXPECT_ERROR(versions_.Retire("add", 1), kNotFound, "version 1 has not been started");
}

TEST_F(VersionTableTest, TheDefaultIsNotRetiredWhileOthersCouldTakeItsPlace) {
  Add(1, /*on_request_only=*/true);
  Add(2);
  EXPECT_ERROR(versions_.Retire("add", 2), kFailedPrecondition, "switch to another one first");
  EXPECT_EQ(LedTo(), 2u);
  ASSERT_OK(versions_.Switch("add", 1));
  EXPECT_OK(versions_.Retire("add", 2));
  EXPECT_OK(versions_.Retire("add", 1));  // The last one may go.
  EXPECT_EQ(LedTo(), 0u);
}

TEST_F(VersionTableTest, WithoutSwitchingTheNextNewestTakesOver) {
  Add(1);
  Add(2);
  EXPECT_EQ(LedTo(), 2u);
  EXPECT_OK(versions_.Retire("add", 2));
  EXPECT_EQ(LedTo(), 1u);
}

// Requests that name no version are led somewhere at every moment, however often it changes where.
TEST_F(VersionTableTest, NoRequestIsLostWhileVersionsComeAndGo) {
  constexpr uint64_t kLast = 60;
  Add(1);
  std::atomic<bool> done = false;
  std::atomic<int> led = 0, lost = 0, gone = 0;
  std::vector<std::jthread> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back([&] {
      while (!done) {
        std::this_thread::yield();
        const auto servable = versions_.Lead("add", 0);
        if (servable == nullptr) {
          ++lost;
        } else {
          ++led;
          // Whoever is led there finds it until the request is over.
          if (versions_.Find("add", servable->spec().version) == nullptr) ++gone;
        }
      }
    });
  }
  for (uint64_t version = 2; version <= kLast; ++version) {
    Add(version, /*on_request_only=*/true);
    EXPECT_OK(versions_.Switch("add", version));
    EXPECT_OK(versions_.Retire("add", version - 1));
    EXPECT_TRUE(versions_.Drain("add", version - 1, Deadline::Infinite()));
    versions_.Remove("add", version - 1);
    servables_.front()->Stop();
    servables_.erase(servables_.begin());
  }
  done = true;
  clients.clear();
  EXPECT_GT(led, 0);
  EXPECT_EQ(lost, 0);
  EXPECT_EQ(gone, 0);
}

}  // namespace
}  // namespace pipeserve
