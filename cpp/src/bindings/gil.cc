#include "bindings/gil.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace pipeserve::bindings {
namespace {

bool InterpreterGoesOn() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsInitialized() && !Py_IsFinalizing();
#else
  return Py_IsInitialized() && !_Py_IsFinalizing();
#endif
}

// The thread state of a thread that Python did not start.
class ThreadState {
 public:
  ThreadState() {
    if (PyGILState_GetThisThreadState() != nullptr) return;  // Python's own thread.
    gil_ = PyGILState_Ensure();
    state_ = PyEval_SaveThread();
  }
  ~ThreadState() {
    if (state_ == nullptr || !InterpreterGoesOn()) return;
    PyEval_RestoreThread(state_);
    PyGILState_Release(gil_);
  }

 private:
  PyGILState_STATE gil_ = PyGILState_UNLOCKED;
  PyThreadState* state_ = nullptr;
};

// Where threads of the core that have something new to do in Python wait for the GIL: one at a
// time, in the order in which they came. Without it a thread that is done with one request and
// begins the next has the GIL back before those that wait have woken, again and again. Nothing but
// the GIL is waited for inside, so no code of a user, whatever it does, holds others up here.
class Turnstile {
 public:
  static Turnstile& Global() { return *global_.load(std::memory_order_acquire); }
  // The old one is left as it is: threads that are gone wait in it.
  static void Renew() { global_.store(new Turnstile, std::memory_order_release); }

  // Inside while it lives.
  class Pass {
   public:
    explicit Pass(Turnstile& turnstile) : turnstile_(turnstile) { turnstile_.Enter(); }
    ~Pass() { turnstile_.Leave(); }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;

   private:
    Turnstile& turnstile_;
  };

 private:
  struct Waiter {
    std::condition_variable called;
    bool may_enter = false;
  };

  void Enter() {
    std::unique_lock lock(mutex_);
    if (!std::exchange(taken_, true)) return;
    Waiter self;
    waiting_.push_back(&self);
    while (!self.may_enter) self.called.wait(lock);
  }

  // Hands over to the next one, so that nobody else can come between.
  void Leave() {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) {
      taken_ = false;
      return;
    }
    Waiter& next = *waiting_.front();
    waiting_.pop_front();
    next.may_enter = true;
    next.called.notify_one();  // Under the lock: after it, the waiter may be gone.
  }

  static std::atomic<Turnstile*> global_;  // Never destroyed: threads come while the process exits.

  std::mutex mutex_;
  bool taken_ = false;
  std::deque<Waiter*> waiting_;
};

std::atomic<Turnstile*> Turnstile::global_{new Turnstile};

}  // namespace

GilGuard::GilGuard() {
  static thread_local ThreadState thread_state;
  if (PyGILState_Check()) return;
  const Turnstile::Pass pass(Turnstile::Global());
  PyEval_RestoreThread(PyGILState_GetThisThreadState());
  took_it_ = true;
}

GilGuard::~GilGuard() {
  if (took_it_) PyEval_SaveThread();
}

void RenewTurnstile() { Turnstile::Renew(); }

void GilLock::Release() { state_ = PyEval_SaveThread(); }

// Not in turn: what has begun is finished first, and a call of a graph costs no wake-up.
void GilLock::Acquire() { PyEval_RestoreThread(state_); }

}  // namespace pipeserve::bindings
