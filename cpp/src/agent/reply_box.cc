#include "agent/reply_box.h"

#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {

void ReplyBox::Sent(uint64_t sequence) {
  MutexLock lock(mutex_);
  unanswered_.push_back(sequence);
}

bool ReplyBox::Put(RankReply reply) {
  std::vector<Tensor> unused;  // Goes without the lock.
  {
    MutexLock lock(mutex_);
    if (unanswered_.empty() || reply.sequence != unanswered_.front()) return false;
    unanswered_.pop_front();
    answered_ = reply.sequence;
    const size_t slot = reply.sequence % kCallWindow;
    if (dropped_[slot] == reply.sequence) unused = std::exchange(reply.outputs, {});
    replies_[slot] = std::move(reply);
  }
  changed_.NotifyAll();
  return true;
}

uint64_t ReplyBox::answered() const {
  MutexLock lock(mutex_);
  return answered_;
}

Status ReplyBox::Await(uint64_t sequence, const CallContext& context) {
  MutexLock lock(mutex_);
  while (answered_ < sequence) {
    if (!closed_.ok()) return closed_;
    if (context.is_cancelled()) return Cancelled(StrCat("nobody waits for call ", sequence));
    if (changed_.WaitUntil(mutex_, context.deadline) || !context.deadline.HasPassed()) continue;
    if (answered_ >= sequence) break;
    return DeadlineExceeded(StrCat("call ", sequence, " has not been answered in time"));
  }
  return OkStatus();
}

void ReplyBox::Wake() {
  // Under the lock, so that nobody is between its look and its sleep.
  MutexLock lock(mutex_);
  changed_.NotifyAll();
}

RankReply ReplyBox::Take(uint64_t sequence) {
  MutexLock lock(mutex_);
  RankReply& reply = replies_[sequence % kCallWindow];
  PIPESERVE_DCHECK(reply.sequence == sequence);
  return std::exchange(reply, {});
}

void ReplyBox::Drop(uint64_t sequence) {
  std::vector<Tensor> unused;  // Goes without the lock.
  MutexLock lock(mutex_);
  const size_t slot = sequence % kCallWindow;
  dropped_[slot] = sequence;
  if (replies_[slot].sequence == sequence) unused = std::exchange(replies_[slot].outputs, {});
}

void ReplyBox::Close(const Status& reason) {
  {
    MutexLock lock(mutex_);
    if (closed_.ok()) closed_ = reason;
  }
  changed_.NotifyAll();
}

}  // namespace pipeserve
