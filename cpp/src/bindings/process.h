// Objects with threads of the core belong to the process that made them: fork() copies the object
// but none of its threads, so the child could only wait for ever.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "bindings/gil.h"

namespace pipeserve::bindings {

// From now on forks are noticed; their children begin with nobody waiting for the GIL, no log
// records and no references to drop. Called once, when the module is loaded.
void WatchForks();

// Forks between the process that loaded the module and this one.
inline std::atomic<unsigned> fork_count{0};

// Which process made something.
class Birthplace {
 public:
  Birthplace();

  bool is_here() const { return forks_ == fork_count.load(std::memory_order_relaxed); }
  // Raises FailedPrecondition in a process that was forked from the one where `what` was made.
  // Needs the GIL.
  void Check(const char* what) const {
    if (!is_here()) RaiseForked(what);
  }

 private:
  [[noreturn]] void RaiseForked(const char* what) const;

  unsigned forks_;
  int process_;
};

// Raises FailedPrecondition when this process was forked from one in which gRPC ran, else remembers
// that it runs in this one. Needs the GIL.
void EnterGrpc();

// Owns an object with threads. Python sees it instead of the object. In a forked process the object
// can neither be used nor deleted.
template <typename T>
class OfProcess {
 public:
  OfProcess(std::unique_ptr<T> object, const char* what)
      : object_(std::move(object)), what_(what) {}
  OfProcess(OfProcess&&) noexcept = default;
  // Without the GIL, because a destructor of the core may wait for threads that want it.
  ~OfProcess() {
    if (object_ == nullptr) return;
    if (!is_here()) {
      static_cast<void>(object_.release());
      return;
    }
    WithoutGil([this] { object_.reset(); });
  }

  bool is_here() const { return birthplace_.is_here(); }
  // Raises FailedPrecondition in a forked process. Needs the GIL.
  T& get() const {
    birthplace_.Check(what_);
    return *object_;
  }

 private:
  std::unique_ptr<T> object_;
  const char* what_;
  Birthplace birthplace_;
};

// `function`, whose first argument is an object with threads, for Python.
template <typename Result, typename T, typename... Args>
auto Guarded(Result (*function)(T&, Args...)) {
  return [function](const OfProcess<T>& self, Args... args) -> Result {
    return function(self.get(), std::forward<Args>(args)...);
  };
}

}  // namespace pipeserve::bindings
