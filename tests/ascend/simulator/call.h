// One call of a function of the interface.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "core.h"
#include "functions.h"

namespace pipeserve::ascend::sim {

namespace codes {
constexpr int32_t kInvalidParameter = 100000;
constexpr int32_t kUninitialised = 100001;
constexpr int32_t kRepeatInitialise = 100002;
constexpr int32_t kInvalidFile = 100003;
constexpr int32_t kInvalidModelId = 100011;
constexpr int32_t kRepeatFinalise = 100037;
constexpr int32_t kParameter = 107000;
constexpr int32_t kNoDevice = 107001;
constexpr int32_t kNoContext = 107002;
constexpr int32_t kForeignContext = 107003;
constexpr int32_t kInvalidHandle = 107017;
constexpr int32_t kTaskTimeout = 107020;
constexpr int32_t kNullArgument = 161001;
constexpr int32_t kWrongArgument = 161002;
constexpr int32_t kOperatorInternal = 361001;
constexpr int32_t kOutOfMemory = 207001;
constexpr int32_t kNotSupported = 207000;
constexpr int32_t kInternal = 507000;
constexpr int32_t kStreamTimeout = 507046;
constexpr int32_t kEventTimeout = 507047;
constexpr int32_t kHcclParameter = 1;
constexpr int32_t kHcclInternal = 4;
constexpr int32_t kHcclNotSupported = 5;
constexpr int32_t kHcclTimeout = 9;
constexpr int32_t kHcclOpenFile = 10;
constexpr int32_t kHcclAgain = 20;
}  // namespace codes

// What a call returns that failed, in each type that functions of the interface return.
struct Failure {
  int32_t code;

  operator abi::AclCode() const { return static_cast<abi::AclCode>(code); }
  operator abi::HcclCode() const { return static_cast<abi::HcclCode>(code); }
  operator abi::AclDataType() const { return abi::AclDataType::kUndefined; }
  operator size_t() const { return 0; }
  template <typename T>
  operator T*() const {
    return nullptr;
  }
};

// Text of several parts.
template <typename... Parts>
std::string Text(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// What the simulator remembers for the calling thread.
struct ThreadState {
  void* context = nullptr;
  const void* last_plan = nullptr;  // The executor of its last phase 1.
  std::string message;
  std::string read_message;  // What aclGetRecentErrMsg returned last.
};
ThreadState& CurrentThread();

// Counts the call and holds the core's lock until it ends.
class Call {
 public:
  explicit Call(Function function);

  // What all calls are held against: faults that are asked for, the life of the process, the
  // context. A failure when the function is not to run.
  std::optional<Failure> Begin();
  // After the function ran: the failure that was asked for.
  std::optional<Failure> End() const { return after_; }

  // The function broke `rule`; it returns the result.
  Failure Break(const std::string& rule, int32_t code, const std::string& text);
  // The function fails without anybody's fault.
  Failure Fail(int32_t code, const std::string& text);

  // The object behind a handle; null, and reported, when it is none.
  template <typename T>
  std::shared_ptr<T> Find(const void* handle) {
    std::shared_ptr<T> object = core.objects.Find<T>(handle);
    if (object == nullptr) BadHandle(T::kKind, handle);
    return object;
  }
  // What the function returns after Find() found nothing.
  Failure bad_handle() const { return {bad_handle_}; }

  // The calling thread's context; it is there where the function needs one.
  std::shared_ptr<ContextObject> context() const;
  // The stream behind a handle, null being the context's own; null, and reported, when it is none
  // or one of another context.
  std::shared_ptr<StreamObject> FindStream(const void* handle);
  // An event; null, and reported, when it is none or one of another context.
  std::shared_ptr<EventObject> FindEvent(const void* handle);

  Function function() const { return function_; }
  const char* name() const { return NameOf(function_); }
  Lock& lock() { return lock_; }
  // The code with which a launch is to fail, after it has used up its executor.
  std::optional<int32_t> launch_fault() const { return launch_fault_; }

  Core& core;

 private:
  std::optional<Failure> CheckLife();
  std::optional<Failure> TakeFault();
  void BadHandle(Kind kind, const void* handle);
  // Whether an object's context is the thread's; reports when not.
  bool IsOwn(const Object& object, const std::shared_ptr<ContextObject>& owner);
  int32_t UsualCode() const;

  const Function function_;
  Lock lock_;
  std::optional<Failure> after_;
  std::optional<int32_t> launch_fault_;
  int32_t bad_handle_ = codes::kInvalidHandle;
};

}  // namespace pipeserve::ascend::sim
