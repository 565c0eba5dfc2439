// The front's side of worker processes: which there are, and what they are asked to run.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "pipeserve/method_host.h"
#include "pipeserve/servable.h"
#include "pipeserve/status.h"

namespace pipeserve {
class WorkerRoster;
}

namespace [[gnu::visibility("default")]] pipeserve {

struct WorkerPoolOptions {
  // Whose methods the workers' functions call.
  std::string servable = {};
  uint64_t version = 1;
  // A worker that has not come back from a request so long after it was given up is killed.
  std::chrono::milliseconds grace{5'000};
};

// The worker processes of one servable. They are not trusted: whatever one sends costs at most the
// request that it works for. Who starts and reaps the processes tells the pool with Add() and
// Remove(). Thread-safe.
class WorkerPool {
 public:
  // `host` outlives every call of a function.
  WorkerPool(MethodHost& host, WorkerPoolOptions options);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // The function that the workers know as `key`, under the name `name`. A call takes the worker
  // that is free for longest, and waits for one while there is none; within a call of another
  // function of the workers it takes the same one. A request whose worker is lost is run again on
  // another one, three times in all, unless its pipeline is not replayable.
  //
  // `method` is the method whose step it is; empty for a pipeline.
  //
  // Errors of a call: kUnavailable (the worker was lost; the message tells how), why the request
  // was given up, those of the function.
  std::shared_ptr<HostFunction> Function(std::string key, std::string name, std::string method);

  // A worker that waits at the other end of `socket_fd`, a stream socket. `process_fd` is a pidfd,
  // or -1: then it cannot be killed. The pool owns both from now on. Returns the worker's number.
  // Errors: kUnavailable (closed), kInvalidArgument (no socket).
  Result<uint64_t> Add(int socket_fd, int process_fd);

  // The process has ended: `how` is for messages, "was killed by SIGKILL".
  void Remove(uint64_t worker, const std::string& how);

  // No more are added: calls that find no worker left fail with kUnavailable.
  void Close();
  // Ends the connections of all workers, which end by themselves then. After Close(), when no call
  // runs any more.
  void EndWorkers();

 private:
  const std::shared_ptr<WorkerRoster> roster_;  // Shared with the functions.
};

}  // namespace pipeserve
