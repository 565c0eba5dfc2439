#include "executor/outbox.h"

#include <cstring>

#include "executor/communicator.h"

namespace pipeserve {

Outbox::Outbox(int rank, int size, Carrier* carrier, std::function<void(Status)> on_error)
    : rank_(rank), carrier_(carrier), on_error_(std::move(on_error)), kept_(size) {}

Outbox::~Outbox() { Stop(Unavailable("this rank left its group")); }

Status Outbox::Send(int32_t peer, const CollectiveCall& call, const void* input,
                    Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(AwaitAtMost(Communicator::kMostUntaken - 1, peer, call, deadline));
  Outgoing message{.call = call, .bytes = {static_cast<const std::byte*>(input), call.bytes}};
  bool is_first = false;
  {
    MutexLock lock(mutex_);
    is_first = kept_[peer].empty();
  }
  if (is_first) {
    PIPESERVE_ASSIGN_OR_RETURN(const bool gone, carrier_->Carry(peer, &message));
    if (gone) return OkStatus();
  }
  Keep(peer, message);
  return OkStatus();
}

Status Outbox::AwaitEmpty(int32_t peer, const CollectiveCall& call, Deadline deadline) {
  return AwaitAtMost(0, peer, call, deadline);
}

Status Outbox::AwaitAtMost(size_t count, int32_t peer, const CollectiveCall& call,
                           Deadline deadline) {
  MutexLock lock(mutex_);
  while (stopped_.ok() && kept_[peer].size() > count) {
    if (deadline.HasPassed()) return DidNotTake(rank_, call, peer);
    changed_.WaitUntil(mutex_, deadline);
  }
  return stopped_;
}

void Outbox::Keep(int32_t peer, Outgoing message) {
  Kept kept{.message = message, .copy = Buffer::Allocate(message.bytes.size())};
  if (!message.bytes.empty()) {
    std::memcpy(kept.copy.mutable_data(), message.bytes.data(), message.bytes.size());
  }
  kept.message.bytes = {kept.copy.data(), kept.copy.size()};
  {
    MutexLock lock(mutex_);
    kept_[peer].push_back(std::move(kept));
  }
  if (!thread_.joinable()) thread_ = std::jthread([this] { Run(); });
  changed_.NotifyAll();
  carrier_->Wake();
}

void Outbox::Stop(const Status& reason) {
  {
    MutexLock lock(mutex_);
    if (stopped_.ok()) stopped_ = reason;
  }
  changed_.NotifyAll();
  carrier_->Wake();
}

void Outbox::Run() {
  while (true) {
    const uint32_t seen = carrier_->Signal();
    const std::vector<int32_t> peers = AwaitPeers();
    if (peers.empty()) return;
    Status status;
    bool progress = false;
    for (const int32_t peer : peers) {
      const Result<bool> moved = CarryFirst(peer);
      if (!moved.ok()) status = moved.status();
      progress |= moved.ok() && *moved;
    }
    if (status.ok() && !progress) status = carrier_->AwaitRoom(seen, peers);
    if (!status.ok()) return on_error_(std::move(status));
  }
}

std::vector<int32_t> Outbox::AwaitPeers() {
  std::vector<int32_t> peers;
  MutexLock lock(mutex_);
  while (stopped_.ok() && peers.empty()) {
    for (size_t peer = 0; peer < kept_.size(); ++peer) {
      if (!kept_[peer].empty()) peers.push_back(static_cast<int32_t>(peer));
    }
    if (peers.empty()) changed_.Wait(mutex_);
  }
  if (!stopped_.ok()) peers.clear();
  return peers;
}

Result<bool> Outbox::CarryFirst(int32_t peer) {
  Outgoing* message = nullptr;
  {
    MutexLock lock(mutex_);
    message = &kept_[peer].front().message;  // Others come behind it and do not move it.
  }
  const size_t before = message->done;
  PIPESERVE_ASSIGN_OR_RETURN(const bool gone, carrier_->Carry(peer, message));
  if (!gone) return message->done != before;
  {
    MutexLock lock(mutex_);
    kept_[peer].pop_front();
  }
  changed_.NotifyAll();
  return true;
}

}  // namespace pipeserve
