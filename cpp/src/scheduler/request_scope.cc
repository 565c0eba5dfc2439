#include "scheduler/request_scope.h"

namespace pipeserve {
namespace {

thread_local RequestArena* current = nullptr;

}  // namespace

RequestScope::RequestScope(RequestArena& arena) : outer_(current) { current = &arena; }

RequestScope::~RequestScope() { current = outer_; }

RequestArena* RequestScope::Current() { return current; }

CallContext RequestScope::Context() {
  return current == nullptr ? CallContext{} : current->context();
}

}  // namespace pipeserve
