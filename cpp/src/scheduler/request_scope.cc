#include "scheduler/request_scope.h"

namespace pipeserve {
namespace {

thread_local const RequestArena* current = nullptr;

}  // namespace

RequestScope::RequestScope(const RequestArena& arena) : outer_(current) { current = &arena; }

RequestScope::~RequestScope() { current = outer_; }

const RequestArena* RequestScope::Current() { return current; }

CallContext RequestScope::Context() {
  return current == nullptr ? CallContext{} : current->context();
}

}  // namespace pipeserve
