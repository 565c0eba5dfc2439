// A loaded servable: its definitions bound to an executor, and the threads that run requests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/timer.h"
#include "executor/executor.h"
#include "pipeserve/pending_call.h"
#include "pipeserve/servable.h"
#include "scheduler/request_arena.h"

namespace pipeserve {

struct SchedulerOptions {
  int max_inflight = 4;            // Runner threads: requests that run at once.
  size_t queue_capacity = 10'000;  // Requests that may wait; one more is refused.
  // Ends requests at their deadlines; outlives the servable. Null: the servable makes its own.
  Timer* timer = nullptr;
};

// Thread-safe. Every request is answered exactly once: result, error, deadline or shutdown.
// Stop() and the destructor wait for what runs, so neither is called from inside a host function
// or `done`; whoever lets `done` hold a reference calls Stop() before dropping its own.
class Servable {
 public:
  using Done = RequestArena::Done;

  // Checks the data flow of every method and its fit to the executor's graphs, which may be none
  // when there are only pipelines.
  // Errors: kInvalidArgument, in the original's words where it had some.
  static Result<std::unique_ptr<Servable>> Create(ServableSpec spec,
                                                  std::shared_ptr<Executor> executor,
                                                  const SchedulerOptions& options = {});
  ~Servable();  // Stop().

  const ServableSpec& spec() const;

  // Runs every graph once on zeros, if `runs_graphs`, and the warm-up function. When it returns,
  // the servable is as fast as it will be. Errors: those of the function.
  // Raising `cancel` has it come back soon, with kCancelled.
  Status WarmUp(bool runs_graphs, std::shared_ptr<CancelToken> cancel = nullptr);

  // What clients may call: the pipelines when there is one, else the methods. Null: no such name.
  struct Signature {
    std::vector<std::string> input_names;
    std::vector<std::string> output_names;
  };
  const Signature* FindCallable(const std::string& name) const;
  std::vector<std::string> CallableNames() const;

  // `bytes` bytes, not cleared, for what may be an input of a graph: where the executor reads it
  // without a copy.
  Buffer MakeRoom(size_t bytes) const;

  // Queues a request of `instances` for a callable; values are in the order of its input names.
  // Its deadline is that of `info` or that of the callable's timeout, whichever is earlier.
  // `done` runs once, on any thread (on this one when the request is refused or empty), with one
  // result per instance and no lock held. It must be quick.
  //
  // Errors of an instance: kNotFound ("Not support method fun9"), kResourceExhausted (the queue is
  // full), kDeadlineExceeded (at the deadline, even when the request still runs), kCancelled (as
  // soon as the client has left), kUnavailable (stopped), kInvalidArgument; what a host function
  // returned, after "Pipeline Failed: "; those of Executor::Run().
  void Submit(const std::string& callable, std::vector<Instance> instances, RequestInfo info,
              Done done);

  // Runs a request of one instance on the calling thread; otherwise like Submit(), but no queue
  // refuses it, and the call returns when the callable has, also when its answer came before.
  Result<Instance> RunRequest(const std::string& callable, Instance inputs, RequestInfo info);

  // Runs a method on the calling thread; see Server::RunMethod. On a thread that runs a request
  // the request's deadline holds, and nothing runs once the request has been given up; on any
  // other thread there is no deadline. Works until Stop() is done, so that a pipeline function that
  // has begun can finish.
  // Errors: kNotFound, kInvalidArgument, kUnavailable; why the request was given up; those of
  // ResidentTensor::Fetch().
  Result<std::vector<Result<Instance>>> RunMethod(const std::string& method,
                                                  std::vector<Instance> instances,
                                                  const ResidentTensors& residents = {},
                                                  HostLock* held = nullptr);
  // The same, but the request keeps the outputs. Errors: kFailedPrecondition (there is no request).
  Result<std::vector<Result<ResidentTensors>>> RunAndKeep(const std::string& method,
                                                          std::vector<Instance> instances,
                                                          const ResidentTensors& residents = {},
                                                          HostLock* held = nullptr);

  // These on another thread, beside whatever else the caller does; calls begin in the order in
  // which they were submitted. Without a request it runs until it is done or Stop() is called.
  // Errors: those of the above; kResourceExhausted (too many submitted calls wait).
  Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& method,
                                                    std::vector<Instance> instances,
                                                    ResidentTensors residents = {});
  Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& method,
                                                     std::vector<Instance> instances,
                                                     ResidentTensors residents = {});

  // Answers all requests that wait or run, and every later one, with `reason`; what runs goes on
  // until it notices.
  void GiveUpAll(const Status& reason);

  // Requests that wait for a runner.
  size_t waiting() const;
  int max_inflight() const;

  // Refuses what comes, answers what waits with kUnavailable, waits for what runs. Idempotent;
  // every call returns when all is done.
  void Stop();

 private:
  class Impl;
  explicit Servable(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
