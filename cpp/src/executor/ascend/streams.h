// The queues of a device: one for everything, or one each for copies there, computing, and copies
// back, so that they overlap.
#pragma once

#include "executor/ascend/stream.h"

namespace pipeserve::ascend {

// Calls are copied there, computed and copied back in one order.
class Streams {
 public:
  // By which the three queues hand on one call; nothing where there is one.
  struct Events {
    Event uploaded, computed, done;
  };

  Streams() = default;
  // Errors: those of Stream::Create() and of the runtime.
  static Result<Streams> Create(Device& device, bool apart);
  // For one call at a time. Errors: those of Event::Create().
  Result<Events> MakeEvents(Device& device) const;

  Stream& upload() { return apart_ ? upload_ : compute_; }
  Stream& compute() { return compute_; }
  Stream& download() { return apart_ ? download_ : compute_; }
  bool apart() const { return apart_; }

  // What the queue in front has enqueued of a call is there before the next one goes on.
  Status HandToCompute(const Events& events);
  Status HandToDownload(const Events& events);
  // events.done says from now on when the call is done.
  Status HandBack(const Events& events);

  // All that has been enqueued is done. Errors: those of Stream::Synchronize(), kDeadlineExceeded
  // before others.
  Status Synchronize(const WaitFor& wait);

 private:
  bool apart_ = false;
  Stream upload_, compute_, download_;
};

}  // namespace pipeserve::ascend
