#include "scheduler/admission.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "support/matchers.h"

namespace pipeserve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(AdmissionTest, OneMoreThanTheLimitIsRefused) {
  Admission admission({.max_requests = 2});
  auto first = admission.Enter(10), second = admission.Enter(10);
  EXPECT_OK(first);
  EXPECT_OK(second);
  EXPECT_EQ(admission.Enter(10).status(),
            ResourceExhausted("Serving Error: enqueued requests count exceeds the limit 2"));
  *first = {};
  EXPECT_EQ(admission.requests(), 1u);
  EXPECT_OK(admission.Enter(10));
  admission.set_max_requests(1);
  EXPECT_ERROR(admission.Enter(10), kResourceExhausted, "exceeds the limit 1");
}

TEST(AdmissionTest, MoreBytesThanTheLimitAreRefused) {
  Admission admission({.max_bytes = 100});
  const auto first = admission.Enter(60);
  EXPECT_OK(first);
  EXPECT_ERROR(admission.Enter(41), kResourceExhausted,
               "Serving Error: enqueued bytes exceed the limit 100: 60 are in, the request has 41");
  EXPECT_ERROR(admission.Enter(SIZE_MAX), kResourceExhausted, "exceed the limit 100");
  EXPECT_OK(admission.Enter(40));
  EXPECT_EQ(admission.bytes(), 60u);
}

TEST(AdmissionTest, TheBytesMayStayLongerThanThePlace) {
  Admission admission({.max_requests = 1});
  auto ticket = admission.Enter(60);
  ASSERT_OK(ticket);
  ticket->ReturnPlace();
  ticket->ReturnPlace();
  EXPECT_EQ(admission.requests(), 0u);
  EXPECT_EQ(admission.bytes(), 60u);
  ticket->Return();
  ticket->Return();
  EXPECT_EQ(admission.bytes(), 0u);
  EXPECT_EQ(admission.requests(), 0u);
}

TEST(AdmissionTest, ATicketThatMovesGivesBackOnce) {
  Admission admission({});
  {
    auto ticket = admission.Enter(60);
    ASSERT_OK(ticket);
    const Admission::Ticket moved = *std::move(ticket);
    EXPECT_EQ(admission.requests(), 1u);
  }
  EXPECT_EQ(admission.requests(), 0u);
  EXPECT_EQ(admission.bytes(), 0u);
}

TEST(AdmissionTest, RetryAfterIsWhatTheQueueWillTake) {
  FakeClock clock;
  Admission admission({}, clock);
  EXPECT_EQ(admission.RetryAfter(), seconds(1));
  std::vector<Admission::Ticket> tickets;
  const auto enter = [&] { tickets.push_back(*admission.Enter(1)); };
  for (int i = 0; i < 100; ++i) enter();
  for (int i = 0; i < 80; ++i) {
    clock.Advance(milliseconds(250));
    tickets.pop_back();
  }
  EXPECT_EQ(admission.RetryAfter(), seconds(5));  // 20 are left.
  for (int i = 0; i < 1000; ++i) enter();
  EXPECT_EQ(admission.RetryAfter(), seconds(60));
  tickets.clear();
  EXPECT_EQ(admission.RetryAfter(), seconds(1));
}

TEST(AdmissionTest, TimeWithoutWorkDoesNotCount) {
  FakeClock clock;
  Admission admission({}, clock);
  for (int i = 0; i < 20; ++i) {
    clock.Advance(std::chrono::hours(1));
    const auto ticket = admission.Enter(1);
    clock.Advance(milliseconds(100));
  }
  const auto waiting = admission.Enter(1);
  EXPECT_EQ(admission.RetryAfter(), seconds(1));
}

TEST(AdmissionTest, ManyThreadsLeaveNothingBehind) {
  Admission admission({.max_requests = 3, .max_bytes = 1000});
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) {
          auto ticket = admission.Enter(400);
          if (ticket.ok() && i % 2 == 0) ticket->ReturnPlace();
          EXPECT_LE(admission.bytes(), 1000u);
          admission.RetryAfter();
        }
      });
    }
  }
  EXPECT_EQ(admission.requests(), 0u);
  EXPECT_EQ(admission.bytes(), 0u);
}

}  // namespace
}  // namespace pipeserve
