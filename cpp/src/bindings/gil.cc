#include "bindings/gil.h"

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

}  // namespace

GilGuard::GilGuard() {
  static thread_local ThreadState thread_state;
  state_ = PyGILState_Ensure();
}

GilGuard::~GilGuard() { PyGILState_Release(state_); }

}  // namespace pipeserve::bindings
