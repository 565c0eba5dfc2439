#include "workers/worker.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

namespace pipeserve {

void Worker::Kill() {
  if (process.is_open()) syscall(SYS_pidfd_send_signal, process.fd(), SIGKILL, nullptr, 0);
  channel.Shutdown();
}

}  // namespace pipeserve
