#include "executor/ascend/device_thread.h"

#include <optional>
#include <utility>

#include "base/mutex.h"

namespace pipeserve::ascend {

class DeviceThread::Job {
 public:
  explicit Job(Work work) : work_(std::move(work)) {}

  void Run() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (state_ == State::kTakenBack) return;
      state_ = State::kRunning;
    }
    Status status = work_();
    {
      MutexLock lock(mutex_);
      status_ = std::move(status);
      state_ = State::kDone;
    }
    done_.NotifyAll();
  }

  Status Wait(Deadline deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (state_ == State::kWaiting) {
      if (done_.WaitUntil(mutex_, deadline) || state_ != State::kWaiting) continue;
      state_ = State::kTakenBack;
      return DeadlineExceeded("the deadline passed while other calls ran on the device");
    }
    while (state_ != State::kDone) done_.Wait(mutex_);
    return status_;
  }

 private:
  enum class State { kWaiting, kRunning, kDone, kTakenBack };

  const Work work_;
  Mutex mutex_;
  CondVar done_;
  State state_ GUARDED_BY(mutex_) = State::kWaiting;
  Status status_ GUARDED_BY(mutex_);
};

DeviceThread::DeviceThread() : thread_([this] { Serve(); }) {}

DeviceThread::~DeviceThread() {
  jobs_.Close();
  thread_.join();
}

Status DeviceThread::Do(Work work, Deadline deadline) {
  const auto job = std::make_shared<Job>(std::move(work));
  std::shared_ptr<Job> queued = job;
  if (!jobs_.TryPush(queued)) return ResourceExhausted("too many calls wait for the device");
  return job->Wait(deadline);
}

void DeviceThread::Serve() {
  while (const std::optional<std::shared_ptr<Job>> job = jobs_.Pop()) (*job)->Run();
}

}  // namespace pipeserve::ascend
