// Tests whose peers are copies of the test's own process.
#pragma once

#include <gtest/gtest.h>

// ThreadSanitizer sees nothing of what passes between processes, and its runtime does not promise a
// child of fork() that it can go on: a lock of the runtime that its background thread held at that
// moment is never free again.
#if defined(__SANITIZE_THREAD__)
#define SKIP_IF_FORK_MAY_HANG() GTEST_SKIP() << "ThreadSanitizer's runtime may hang after fork()"
#else
#define SKIP_IF_FORK_MAY_HANG() static_assert(true)
#endif
