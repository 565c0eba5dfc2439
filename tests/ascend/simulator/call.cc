#include "call.h"

#include <unistd.h>

#include <string_view>

namespace pipeserve::ascend::sim {

ThreadState& CurrentThread() {
  thread_local ThreadState state;
  return state;
}

Call::Call(Function function) : core(Core::Get()), function_(function) {
  // A child's copy of the lock may be held by a thread that the child has not.
  const int process = core.process;
  if (process != 0 && process != getpid()) return;
  lock_ = Lock(core.mutex);
}

std::optional<Failure> Call::Begin() {
  if (!lock_.owns_lock()) {
    return Break("P3", codes::kInternal,
                 Text(name(), " in a process that was forked after aclInit"));
  }
  if (function_ != Function::aclGetRecentErrMsg) CurrentThread().message.clear();
  if (const std::optional<Failure> dead = CheckLife()) return dead;
  if (const std::optional<Failure> fault = TakeFault()) return fault;
  if (NeedsContext(function_) && context() == nullptr) {
    return Break("C1", codes::kNoContext, Text(name(), " on a thread without a context"));
  }
  return std::nullopt;
}

std::optional<Failure> Call::CheckLife() {
  if (core.initialised || IsFree(function_)) return std::nullopt;
  if (core.finalised) {
    return Break("P2", codes::kUninitialised, Text(name(), " after aclFinalize"));
  }
  return Break("P1", codes::kUninitialised, Text(name(), " before aclInit"));
}

std::optional<Failure> Call::TakeFault() {
  std::optional<int32_t> fault = core.faults.NextCall(function_);
  if (!fault.has_value()) return std::nullopt;
  if (*fault == kUsualCode) fault = UsualCode();
  core.WriteCalls(Text("failed ", name(), ' ', *fault));
  if (*fault == kHang) {
    const uint64_t hang = ++core.hangs;
    core.changed.wait(lock_, [&] { return core.hangs_ended >= hang; });
    return std::nullopt;
  }
  if (function_ == Function::aclInit && *fault == codes::kRepeatInitialise) {
    core.foreign_init = core.initialised = true;
    core.process = getpid();
  }
  if (IsLaunch(function_)) {
    launch_fault_ = fault;
    return std::nullopt;
  }
  if (GivesBack(function_)) {
    after_ = Fail(*fault, Text(name(), " was told to fail"));
    return std::nullopt;
  }
  return Fail(*fault, Text(name(), " was told to fail"));
}

int32_t Call::UsualCode() const {
  const std::string_view text = name();
  if (text.starts_with("Hccl")) return codes::kHcclInternal;
  if (text.starts_with("aclnn")) return codes::kOperatorInternal;
  if (text.find("Malloc") != std::string_view::npos) return codes::kOutOfMemory;
  return codes::kInternal;
}

Failure Call::Break(const std::string& rule, int32_t code, const std::string& text) {
  core.Break(rule, Text(text, "; called by ", Origin::Here().Text()));
  return Fail(code, text);
}

Failure Call::Fail(int32_t code, const std::string& text) {
  CurrentThread().message = Text("[simulator] ", text);
  return {code};
}

void Call::BadHandle(Kind kind, const void* handle) {
  constexpr int32_t kHcclPointer = 2;
  if (std::string_view(name()).starts_with("Hccl")) bad_handle_ = kHcclPointer;
  Break(
      RuleOf(kind), bad_handle_,
      Text(name(), " needs ", NameOf(kind), ", and what came is ", core.objects.Describe(handle)));
}

std::shared_ptr<ContextObject> Call::context() const {
  return core.objects.Find<ContextObject>(CurrentThread().context);
}

std::shared_ptr<StreamObject> Call::FindStream(const void* handle) {
  const std::shared_ptr<ContextObject> current = context();
  if (handle == nullptr) {
    if (current->default_stream == nullptr) {
      current->default_stream = std::make_shared<StreamObject>(core, current, core.next_stream++);
      current->default_stream->counted = false;
      core.objects.Add(current->default_stream);
      current->default_stream->Start();
    }
    return current->default_stream;
  }
  std::shared_ptr<StreamObject> stream = Find<StreamObject>(handle);
  return stream != nullptr && IsOwn(*stream, stream->context()) ? stream : nullptr;
}

std::shared_ptr<EventObject> Call::FindEvent(const void* handle) {
  std::shared_ptr<EventObject> event = Find<EventObject>(handle);
  return event != nullptr && IsOwn(*event, event->context) ? event : nullptr;
}

bool Call::IsOwn(const Object& object, const std::shared_ptr<ContextObject>& owner) {
  if (owner == context()) return true;
  Break("C3", codes::kForeignContext,
        Text(name(), " with ", NameOf(object.kind()), " of another context"));
  bad_handle_ = codes::kForeignContext;
  return false;
}

}  // namespace pipeserve::ascend::sim
