// A Communicator whose collectives are all made of one: every member sees every member's piece.
#pragma once

#include <vector>

#include "base/mutex.h"
#include "executor/collective_call.h"
#include "executor/communicator.h"

namespace pipeserve {

// Checks arguments, adds, and stays broken after an error. A subclass moves the bytes.
class ExchangeCommunicator : public Communicator {
 public:
  int rank() const final { return rank_; }
  int size() const final { return static_cast<int>(world_.size()); }
  Status AllReduceSum(std::span<const int32_t> ranks, DataType dtype, const void* input,
                      void* output, size_t count, Deadline deadline) final;
  Status AllGather(std::span<const int32_t> ranks, const void* input, size_t bytes, void* output,
                   Deadline deadline) final;
  Status Send(int32_t to, int64_t tag, const void* input, size_t bytes, Deadline deadline) final;
  Status Receive(int32_t from, int64_t tag, void* output, size_t bytes, Deadline deadline) final;
  void Abort(Status reason) final EXCLUDES(mutex_);

 protected:
  ExchangeCommunicator(int rank, int size);

  // Puts the call.bytes bytes of every member of `group` one after the other into `pieces`.
  // `input` may be this rank's place in `pieces`.
  virtual Status Exchange(std::span<const int32_t> group, const CollectiveCall& call,
                          const void* input, std::byte* pieces, Deadline deadline) = 0;

  // Adds the pieces of every member of `group` into `output`, which may be `input`. This one
  // exchanges them whole and adds them all.
  virtual Status Reduce(std::span<const int32_t> group, const CollectiveCall& call,
                        const void* input, void* output, Deadline deadline);

  // The part in `call` of a rank that needs no result. This one does what the others do.
  virtual Status Contribute(std::span<const int32_t> group, const CollectiveCall& call,
                            const void* input, Deadline deadline);

  // The two ends of a message, see Communicator. `to` and `from` are other ranks.
  virtual Status SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                             Deadline deadline) = 0;
  virtual Status ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                                Deadline deadline) = 0;

  // Breaks, because of what a thread of the subclass found.
  void Break(Status reason) EXCLUDES(mutex_) { (void)Finish(std::move(reason)); }

  // Makes a running operation of this rank return an error, and those of peers that
  // need this rank. Called once, by any thread.
  virtual void Disconnect(const Status& reason) = 0;

 private:
  Result<std::span<const int32_t>> CheckGroup(std::span<const int32_t> ranks) const;
  Status CheckPeer(int32_t peer, size_t bytes) const;
  Status TryAllReduceSum(std::span<const int32_t> ranks, DataType dtype, const void* input,
                         void* output, size_t count, Deadline deadline);
  Status TryAllGather(std::span<const int32_t> ranks, const void* input, size_t bytes, void* output,
                      Deadline deadline);

  Status broken() const EXCLUDES(mutex_);
  // Breaks with `status` when it is an error; returns the error that counts, which is the first.
  Status Finish(Status status) EXCLUDES(mutex_);

  const int rank_;
  std::vector<int32_t> world_;
  Buffer scratch_;  // The pieces of a reduction; grows, and is used again by the next one.
  std::vector<const std::byte*> addends_;  // Where they lie.
  Buffer unwanted_;                        // A result that nobody reads.
  mutable Mutex mutex_;
  Status broken_ GUARDED_BY(mutex_);
};

// memcpy() that may be given null for no bytes, and the same memory twice.
void CopyPiece(void* to, const void* from, size_t bytes);

}  // namespace pipeserve
