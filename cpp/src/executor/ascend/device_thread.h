// The one thread that calls the runtime, or a second one that only waits. Contexts, handles and
// plans of operators belong to the first, so none of them needs a lock.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

class DeviceThread {
 public:
  using Work = std::function<Status()>;

  DeviceThread();
  ~DeviceThread();  // Does what waits, then ends.

  // Has the thread do `work` and waits until it has, in the order of the calls. What has begun is
  // always awaited; what has not by `deadline` never does.
  // Errors: kDeadlineExceeded, kResourceExhausted (too much waits); what `work` returned.
  Status Do(Work work, Deadline deadline = {});

 private:
  class Job;
  void Serve();

  static constexpr size_t kCapacity = 4096;
  BoundedQueue<std::shared_ptr<Job>> jobs_{kCapacity};
  std::thread thread_;
};

}  // namespace pipeserve::ascend
