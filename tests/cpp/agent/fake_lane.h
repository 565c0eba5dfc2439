// Lanes and links without sockets: they write down what they were given, and answer what they are
// told to.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent_link.h"
#include "agent/reply_box.h"
#include "base/mutex.h"

namespace pipeserve {

struct SentCall {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  GraphId graph = 0;
  bool wants_outputs = false;
  bool takes_inputs = false;
  std::string inputs;                                 // Encoded.
  std::weak_ptr<const std::string> kept_inputs = {};  // Gone when the call is.
};

class FakeLink final : public AgentLink {
 public:
  void Send(const RankCall& call) override {
    {
      MutexLock lock(mutex_);
      if (!closed_.ok()) return;
      replies_.Sent(call.sequence);
      SentCall& sent = calls_.emplace_back(call.sequence, call.epoch, call.graph,
                                           call.wants_outputs, call.inputs != nullptr);
      if (call.inputs != nullptr) {
        sent.inputs = *call.inputs->Encoded();
        sent.kept_inputs = call.inputs->Encoded();
      }
    }
    changed_.NotifyAll();
  }
  uint64_t answered() const override { return replies_.answered(); }
  Status Await(uint64_t sequence, const CallContext& context) override {
    return replies_.Await(sequence, context);
  }
  void Wake() override { replies_.Wake(); }
  RankReply Take(uint64_t sequence) override { return replies_.Take(sequence); }
  std::optional<Buffer> MakeRoom(size_t /*bytes*/) override {
    MutexLock lock(mutex_);
    return room_;
  }
  void set_room(Buffer room) {
    MutexLock lock(mutex_);
    room_ = std::move(room);
  }
  void Drop(uint64_t sequence) override { replies_.Drop(sequence); }
  bool Answer(RankReply reply) { return replies_.Put(std::move(reply)); }

  void Close(const Status& reason) override {
    {
      MutexLock lock(mutex_);
      if (closed_.ok()) closed_ = reason;
    }
    replies_.Close(reason);
    changed_.NotifyAll();
  }
  void FormGroup(const GroupEpoch& epoch, const std::vector<std::string>& peers,
                 bool shared_memory) override {
    MutexLock lock(mutex_);
    shared_memory_ = shared_memory;
    epoch_ = epoch.number;
    secret_ = epoch.secret;
    peers_ = peers;
  }
  void Exit(const std::string& reason) override { Close(Unavailable("exit: " + reason)); }

  // The calls so far, once there are `count`, or fewer when they did not come in ten seconds.
  std::vector<SentCall> AwaitCalls(size_t count) {
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
  // Why it was closed; OK when it was not within ten seconds.
  Status AwaitClosed() {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    MutexLock lock(mutex_);
    while (closed_.ok() && changed_.WaitUntil(mutex_, deadline)) {
    }
    return closed_;
  }
  uint64_t epoch() {
    MutexLock lock(mutex_);
    return epoch_;
  }
  std::string secret() {
    MutexLock lock(mutex_);
    return secret_;
  }
  // Whether the last group was formed with it.
  bool shared_memory() {
    MutexLock lock(mutex_);
    return shared_memory_;
  }
  std::vector<std::string> peers() {
    MutexLock lock(mutex_);
    return peers_;
  }

 private:
  ReplyBox replies_;
  Mutex mutex_;
  CondVar changed_;
  std::vector<SentCall> calls_;
  std::optional<Buffer> room_;
  Status closed_;
  uint64_t epoch_ = 0;
  std::string secret_;
  bool shared_memory_ = false;
  std::vector<std::string> peers_;
};

}  // namespace pipeserve
