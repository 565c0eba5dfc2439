// The request that the current thread works for. A host function is called without a context and
// may call methods again: those calls find the request's deadline here. A thread that the host
// function starts itself has no request, so its calls have no deadline.
#pragma once

#include "executor/executor.h"

namespace pipeserve {

// Makes `context` that of the current thread while the scope lives. Scopes nest.
class RequestScope {
 public:
  explicit RequestScope(const CallContext& context);
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

  // That of the innermost scope; one without a deadline outside of every scope.
  static CallContext Current();

 private:
  const CallContext* const outer_;
};

}  // namespace pipeserve
