// What threads of the core want done by Python, without taking the GIL themselves: dropping
// references and writing log records. One Python thread takes it from here.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <vector>

#include "pipeserve/log.h"

namespace pipeserve::bindings {

struct LogRecord {
  LogLevel level;
  std::string text;
};

// Thread-safe.
class Housekeeper {
 public:
  // Lives as long as the process: threads may still release tensors while it exits.
  static Housekeeper& Global() { return *global_.load(std::memory_order_acquire); }
  // In the child of a fork: begins with nothing to do.
  static void Renew();

  // Drops a reference: at once when this thread holds the GIL, else within a moment. After Close()
  // the object is leaked instead, as the interpreter is about to end.
  void Release(PyObject* object);
  // Drops the references that wait. Needs the GIL.
  void ReleaseWaiting();

  // Keeps the record until Take(); beyond a limit records are dropped and counted.
  void Log(const LogEvent& event);

  struct Work {
    std::vector<LogRecord> records;
    size_t dropped = 0;  // Records that did not fit.
    bool closed = false;
  };
  // Waits, without the GIL, for records, for references that nobody else dropped, or for Close().
  // The caller then takes the GIL and calls ReleaseWaiting().
  Work Take();

  // Ends Take(); nothing is kept from now on.
  void Close();

 private:
  Housekeeper() = default;

  static std::atomic<Housekeeper*> global_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PyObject*> released_;
  std::atomic<bool> any_released_{false};  // Written under the lock; saves taking it for nothing.
  std::vector<LogRecord> records_;
  size_t dropped_ = 0;
  bool idle_ = false;  // Take() waits without a limit, so a release must wake it.
  bool closed_ = false;
};

}  // namespace pipeserve::bindings
