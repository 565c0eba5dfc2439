// A request's talk with the worker that runs its function: what it asks for is done on the thread
// of the request, so that it has the request's arena, deadline and agents.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/cancel_token.h"
#include "base/interrupt.h"
#include "pipeserve/pending_call.h"
#include "pipeserve/resident_tensor.h"
#include "pipeserve/worker_pool.h"
#include "scheduler/submitted_call.h"
#include "workers/message.h"
#include "workers/worker.h"

namespace pipeserve {

// Of one thread. Strictly nested: the front calls a function, the worker asks for methods until it
// has the result, and a method may need a function again, which is called in the same way.
class WorkerConversation {
 public:
  // That of the calling thread begins; there must be none of the same pool.
  WorkerConversation(WorkerRoster& pool, std::shared_ptr<Worker> worker);
  // Gives the worker up unless the conversation was ended.
  ~WorkerConversation();
  WorkerConversation(const WorkerConversation&) = delete;
  WorkerConversation& operator=(const WorkerConversation&) = delete;

  // That of the calling thread; null when there is none.
  static WorkerConversation* Current();

  bool is_of(const WorkerRoster& pool) const { return &pool == &pool_; }
  // The worker is gone, talks nonsense or has not come back in time: it cannot be used any more.
  bool is_lost() const { return lost_; }
  // The worker has been given something to do.
  bool has_begun() const { return begun_; }

  // Runs a function of the worker. Errors: kUnavailable (it is lost), kInvalidArgument (the
  // instances are too large for a message).
  Result<std::vector<Result<Instance>>> Call(const std::string& key,
                                             std::span<const Instance> instances);

  // The worker is free again.
  void End();
  // Of one that is lost: how its process ended.
  std::string EndLost();

 private:
  // The next message, or kUnavailable.
  Result<WorkerMessage> Next();
  Status Send(const WorkerMessage& message);
  Status Lost(const Status& status);

  WorkerMessage Answer(WorkerMessage message);
  WorkerMessage Run(WorkerMessage message);
  WorkerMessage Submit(WorkerMessage message);
  WorkerMessage Wait(const WorkerMessage& message);
  WorkerMessage Cancel(const WorkerMessage& message);
  WorkerMessage Fetch(const WorkerMessage& message);

  struct Arguments {
    std::vector<Instance> instances;
    ResidentTensors residents;
  };
  // Errors: kFailedPrecondition (a resident of another request), those of ResidentTensor::Fetch().
  Result<Arguments> ToArguments(const WorkerMessage& message) const;
  Result<Tensor> ToTensor(const WorkerValue& value, ResidentTensors* residents) const;
  Result<std::shared_ptr<const ResidentTensor>> Find(uint64_t resident) const;
  std::vector<Result<Instance>> ToResults(const WorkerMessage& message) const;
  void FillOutputs(const Result<PendingCall::Results>& results, WorkerMessage* reply);
  void FillOutputs(const Result<PendingCall::KeptResults>& results, WorkerMessage* reply);
  // Runs the method that the message names, on this thread.
  SubmittedCall::Outcome RunHere(const WorkerMessage& message, Arguments arguments);
  Result<std::shared_ptr<PendingCall>> SubmitHere(const WorkerMessage& message,
                                                  Arguments arguments);

  struct Submitted {
    std::shared_ptr<PendingCall> call;
    bool keep;
  };

  WorkerRoster& pool_;
  std::shared_ptr<Worker> worker_;  // Null once the conversation has ended.
  WorkerConversation* const outer_;
  CancelToken* const token_;  // Of the request; null without one.
  bool lost_ = false;
  bool begun_ = false;
  std::string fault_;         // Of a worker that is lost though its connection is not.
  uint64_t last_number_ = 0;  // Of residents and calls.
  std::map<uint64_t, std::shared_ptr<const ResidentTensor>> residents_;
  std::map<uint64_t, Submitted> submitted_;
  Interrupt given_up_;
  std::optional<Deadline> grace_;  // Since the request was given up.
  const CancelListener listener_;  // Last: it raises given_up_.
};

}  // namespace pipeserve
