#include "bindings/housekeeper.h"

#include <chrono>
#include <utility>

namespace pipeserve::bindings {
namespace {

constexpr size_t kMaxRecords = 10'000;

// Python's next entry usually drops the references; only what it leaves for this long costs the
// housekeeping thread a wake-up.
constexpr auto kReleaseDelay = std::chrono::milliseconds(50);

}  // namespace

std::atomic<Housekeeper*> Housekeeper::global_{new Housekeeper};

void Housekeeper::Renew() { global_.store(new Housekeeper, std::memory_order_release); }

void Housekeeper::Release(PyObject* object) {
  if (PyGILState_Check()) {
    Py_DECREF(object);
    return;
  }
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    released_.push_back(object);
    any_released_.store(true, std::memory_order_relaxed);
    wake = std::exchange(idle_, false);
  }
  if (wake) changed_.notify_one();
}

void Housekeeper::ReleaseWaiting() {
  if (!any_released_.load(std::memory_order_relaxed)) return;
  std::vector<PyObject*> released;
  {
    std::lock_guard lock(mutex_);
    released.swap(released_);
    any_released_.store(false, std::memory_order_relaxed);
  }
  for (PyObject* object : released) Py_DECREF(object);
}

void Housekeeper::Log(const LogEvent& event) {
  LogRecord record{event.level, FormatLogEvent(event)};
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    if (records_.size() == kMaxRecords) {
      ++dropped_;
      return;
    }
    records_.push_back(std::move(record));
  }
  changed_.notify_one();
}

Housekeeper::Work Housekeeper::Take() {
  std::unique_lock lock(mutex_);
  const auto has_record = [this] { return closed_ || !records_.empty(); };
  idle_ = true;
  changed_.wait(lock, [&] { return has_record() || !released_.empty(); });
  idle_ = false;
  if (!has_record()) changed_.wait_for(lock, kReleaseDelay, has_record);
  Work work;
  work.records.swap(records_);
  work.dropped = std::exchange(dropped_, 0);
  work.closed = closed_;
  return work;
}

void Housekeeper::Close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace pipeserve::bindings
