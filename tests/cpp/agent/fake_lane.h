// Lanes and links without sockets: they write down what they were given.
#pragma once

#include <string>
#include <vector>

#include "agent/agent_link.h"
#include "base/mutex.h"

namespace pipeserve {

class FakeLink final : public AgentLink {
 public:
  void Send(RankCall call) override {
    {
      MutexLock lock(mutex_);
      if (!closed_.ok()) return;
      calls_.push_back(std::move(call));
    }
    changed_.NotifyAll();
  }
  void Close(const Status& reason) override {
    {
      MutexLock lock(mutex_);
      if (closed_.ok()) closed_ = reason;
    }
    changed_.NotifyAll();
  }
  void FormGroup(uint64_t epoch, const std::vector<std::string>& peers) override {
    MutexLock lock(mutex_);
    epoch_ = epoch;
    peers_ = peers;
  }
  void Exit(const std::string& reason) override { Close(Unavailable("exit: " + reason)); }

  // The calls so far, once there are `count`, or fewer when they did not come in ten seconds.
  std::vector<RankCall> AwaitCalls(size_t count) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    MutexLock lock(mutex_);
    while (calls_.size() < count && changed_.WaitUntil(mutex_, deadline)) {
    }
    return calls_;
  }
  Status closed() {
    MutexLock lock(mutex_);
    return closed_;
  }
  uint64_t epoch() {
    MutexLock lock(mutex_);
    return epoch_;
  }
  std::vector<std::string> peers() {
    MutexLock lock(mutex_);
    return peers_;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<RankCall> calls_;
  Status closed_;
  uint64_t epoch_ = 0;
  std::vector<std::string> peers_;
};

}  // namespace pipeserve
