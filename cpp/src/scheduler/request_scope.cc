#include "scheduler/request_scope.h"

namespace pipeserve {
namespace {

thread_local const CallContext* current = nullptr;

}  // namespace

RequestScope::RequestScope(const CallContext& context) : outer_(current) { current = &context; }

RequestScope::~RequestScope() { current = outer_; }

CallContext RequestScope::Current() { return current == nullptr ? CallContext{} : *current; }

}  // namespace pipeserve
