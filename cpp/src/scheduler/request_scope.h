// The request that the current thread works for. A host function is called without a context and
// may call methods again: those calls find the request here. A thread that the host function starts
// itself has no request, so its calls have no deadline.
#pragma once

#include "scheduler/request_arena.h"

namespace pipeserve {

// Makes `arena`, which outlives the scope, that of the current thread. Scopes nest.
class RequestScope {
 public:
  explicit RequestScope(RequestArena& arena);
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

  // That of the innermost scope; null outside of every scope.
  static RequestArena* Current();
  // Its context; one without a deadline outside of every scope.
  static CallContext Context();

 private:
  RequestArena* const outer_;
};

}  // namespace pipeserve
