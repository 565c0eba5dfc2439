// Assertions on Status and Result for every test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeserve/status.h"

namespace pipeserve {

inline const Status& StatusOf(const Status& status) { return status; }
template <typename T>
const Status& StatusOf(const Result<T>& result) {
  return result.status();
}

#define ASSERT_OK(expression) ASSERT_EQ(::pipeserve::StatusOf(expression), ::pipeserve::OkStatus())
#define EXPECT_OK(expression) EXPECT_EQ(::pipeserve::StatusOf(expression), ::pipeserve::OkStatus())

// EXPECT_ERROR(graph, kNotFound, "no such file"): the code, and a part of the message.
#define EXPECT_ERROR(expression, expected_code, fragment)                                       \
  do {                                                                                          \
    const ::pipeserve::Status pipeserve_seen = ::pipeserve::StatusOf(expression);               \
    EXPECT_EQ(pipeserve_seen.code(), ::pipeserve::StatusCode::expected_code) << pipeserve_seen; \
    EXPECT_THAT(pipeserve_seen.message(), ::testing::HasSubstr(fragment));                      \
  } while (false)

}  // namespace pipeserve
