// A worker process as the front sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/file_descriptor.h"
#include "workers/channel.h"

namespace pipeserve {

// The channel belongs to whoever has taken the worker from its pool.
struct Worker {
  Worker(WorkerChannel opened, FileDescriptor process_fd)
      : channel(std::move(opened)), process(std::move(process_fd)) {}

  // Ends the process, if it can be reached, and the connection.
  void Kill();

  WorkerChannel channel;
  const FileDescriptor process;  // A pidfd.
  uint64_t number = 0;           // Written before anybody else sees it.
};

}  // namespace pipeserve
