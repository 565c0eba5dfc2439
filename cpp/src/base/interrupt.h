// Waits that another thread can end.
#pragma once

#include "base/clock.h"

namespace pipeserve {

// A flag that poll() can wait for. Thread-safe.
class Interrupt {
 public:
  // Without descriptors to spare it interrupts nothing, and waits last until their deadlines.
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // Ends the waits of now and of later. Idempotent.
  void Raise();

  int fd() const { return fd_; }  // Readable once it is raised; -1 without descriptors.

 private:
  const int fd_;
};

// How long a wait may last. Made from a deadline alone where nothing interrupts.
struct WaitLimit {
  WaitLimit(Deadline until, const Interrupt* interrupted_by = nullptr)
      : deadline(until), interrupt(interrupted_by) {}

  Deadline deadline;
  const Interrupt* interrupt;  // May be null.
};

}  // namespace pipeserve
