// Who holds the GIL: threads of the core take it with GilGuard, threads of Python give it up with
// WithoutGil, or through GilLock, while the core works or waits.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "pipeserve/host_lock.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// Holds the GIL on a thread of the core, which may hold it already. The thread keeps its Python
// thread state for life, which makes every entry but the first cheap.
class GilGuard {
 public:
  GilGuard();
  ~GilGuard();
  GilGuard(const GilGuard&) = delete;
  GilGuard& operator=(const GilGuard&) = delete;

 private:
  bool took_it_ = false;
};

// The GIL, held by this thread, for the core to give up.
class GilLock final : public HostLock {
 public:
  void Release() override;
  void Acquire() override;

 private:
  PyThreadState* state_ = nullptr;
};

// Runs `function` with the GIL given up.
template <typename Function>
auto WithoutGil(Function&& function) {
  GilLock lock;
  const HostLockPause pause(&lock);
  return std::forward<Function>(function)();
}

// In the child of a fork: nobody waits for the GIL.
void RenewTurnstile();

}  // namespace pipeserve::bindings
