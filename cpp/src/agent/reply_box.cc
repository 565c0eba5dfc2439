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
  {
    MutexLock lock(mutex_);
    if (unanswered_.empty() || reply.sequence != unanswered_.front()) return false;
    unanswered_.pop_front();
    answered_ = reply.sequence;
    replies_[reply.sequence % kCallWindow] = std::move(reply);
  }
  changed_.NotifyAll();
  return true;
}

uint64_t ReplyBox::answered() const {
  MutexLock lock(mutex_);
  return answered_;
}

Status ReplyBox::Await(uint64_t sequence, Deadline deadline) {
  MutexLock lock(mutex_);
  while (answered_ < sequence) {
    if (!closed_.ok()) return closed_;
    if (changed_.WaitUntil(mutex_, deadline) || !deadline.HasPassed()) continue;
    if (answered_ >= sequence) break;
    return DeadlineExceeded(StrCat("call ", sequence, " has not been answered in time"));
  }
  return OkStatus();
}

RankReply ReplyBox::Take(uint64_t sequence) {
  MutexLock lock(mutex_);
  RankReply& reply = replies_[sequence % kCallWindow];
  PIPESERVE_DCHECK(reply.sequence == sequence);
  return std::exchange(reply, {});
}

void ReplyBox::Close(const Status& reason) {
  {
    MutexLock lock(mutex_);
    if (closed_.ok()) closed_ = reason;
  }
  changed_.NotifyAll();
}

}  // namespace pipeserve
