#include "base/interrupt.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace pipeserve {

Interrupt::Interrupt() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Interrupt::~Interrupt() {
  if (fd_ >= 0) close(fd_);
}

void Interrupt::Raise() { eventfd_write(fd_, 1); }

}  // namespace pipeserve
