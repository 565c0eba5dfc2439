// Whose turn it is to talk to the front.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/interrupt.h"
#include "base/mutex.h"
#include "pipeserve/worker_session.h"
#include "workers/channel.h"

namespace pipeserve {

// Thread-safe. The talk is strictly nested, as the front sees it; here several threads may want to
// ask for something while one function runs. One at a time has the turn, from its question to the
// reply, but for the time of a function that the front calls meanwhile; and a function's result is
// only told once all that was begun within it has ended.
class SessionTalk {
 public:
  SessionTalk(WorkerChannel channel, WorkerSession::Functions functions);
  ~SessionTalk();

  // Ends the process some time after the front is gone. Errors: kResourceExhausted (no thread).
  Status StartWatch();
  Status Serve();

  // Asks the front, and runs what it calls before it replies. The reply's own error is one of this.
  // Errors: kFailedPrecondition (no function runs), kUnavailable (the front is gone).
  Result<WorkerMessage> Ask(WorkerMessage question) EXCLUDES(mutex_);

  // The request that a function runs for. Requests of one worker are numbered from 1.
  uint64_t request() const EXCLUDES(mutex_);
  // Told to the front with the next question.
  void Release(uint64_t resident) EXCLUDES(mutex_);

  // What values of arguments and results are for the front.
  static WorkerMessage::Instances ToValues(const std::vector<Instance>& instances);

 private:
  Status RunFunction(const WorkerMessage& call) EXCLUDES(mutex_);
  std::vector<Result<Instance>> CallFunction(const WorkerMessage& call);
  static WorkerMessage ToResult(const std::vector<Result<Instance>>& results);
  void Watch();

  WorkerChannel channel_;  // Of whoever has the turn.
  const WorkerSession::Functions functions_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool turn_taken_ GUARDED_BY(mutex_) = true;  // By Serve(), while no function runs.
  int depth_ GUARDED_BY(mutex_) = 0;           // Functions that run.
  uint64_t request_ GUARDED_BY(mutex_) = 0;
  std::vector<uint64_t> released_ GUARDED_BY(mutex_);
  Interrupt end_of_watch_;
  std::thread watch_;
};

}  // namespace pipeserve
