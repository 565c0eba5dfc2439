#include "executor/exchange_communicator.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/str_cat.h"
#include "executor/reduce.h"

namespace pipeserve {
namespace {

Status CheckSize(size_t count, size_t element_size, size_t members) {
  constexpr size_t kLimit = std::numeric_limits<ptrdiff_t>::max();
  if (count <= kLimit / element_size / members) return OkStatus();
  return InvalidArgument(StrCat("a collective of ", count, " elements of ", element_size,
                                " bytes by ", members, " ranks is more than memory can hold"));
}

CollectiveCall MessageCall(int64_t tag, size_t bytes) {
  return {.kind = CollectiveCall::Kind::kMessage, .members = 2, .bytes = bytes, .tag = tag};
}

}  // namespace

void CopyPiece(void* to, const void* from, size_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, bytes);
}

ExchangeCommunicator::ExchangeCommunicator(int rank, int size) : rank_(rank), world_(size) {
  std::iota(world_.begin(), world_.end(), 0);
}

Status ExchangeCommunicator::AllReduceSum(std::span<const int32_t> ranks, DataType dtype,
                                          const void* input, void* output, size_t count,
                                          Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(broken());
  return Finish(TryAllReduceSum(ranks, dtype, input, output, count, deadline));
}

Status ExchangeCommunicator::AllGather(std::span<const int32_t> ranks, const void* input,
                                       size_t bytes, void* output, Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(broken());
  return Finish(TryAllGather(ranks, input, bytes, output, deadline));
}

Status ExchangeCommunicator::Send(int32_t to, int64_t tag, const void* input, size_t bytes,
                                  Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(broken());
  Status status = CheckPeer(to, bytes);
  if (status.ok()) status = SendMessage(to, MessageCall(tag, bytes), input, deadline);
  return Finish(std::move(status));
}

Status ExchangeCommunicator::Receive(int32_t from, int64_t tag, void* output, size_t bytes,
                                     Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(broken());
  Status status = CheckPeer(from, bytes);
  if (status.ok()) status = ReceiveMessage(from, MessageCall(tag, bytes), output, deadline);
  return Finish(std::move(status));
}

void ExchangeCommunicator::Abort(Status reason) {
  if (reason.ok()) reason = Aborted("aborted without a reason");
  (void)Finish(std::move(reason));  // An earlier reason counts; the caller does not ask for it.
}

Status ExchangeCommunicator::TryAllReduceSum(std::span<const int32_t> ranks, DataType dtype,
                                             const void* input, void* output, size_t count,
                                             Deadline deadline) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::span<const int32_t> group, CheckGroup(ranks));
  if (!CanSum(dtype)) {
    return InvalidArgument(
        StrCat("AllReduceSum adds float16, float32 and int32, not ", DataTypeName(dtype)));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckSize(count, DataTypeSize(dtype), group.size()));
  const size_t bytes = count * DataTypeSize(dtype);
  const CollectiveCall call{.kind = CollectiveCall::Kind::kAllReduceSum,
                            .dtype = dtype,
                            .members = static_cast<uint32_t>(group.size()),
                            .bytes = bytes};
  if (output == nullptr && bytes > 0) return Contribute(group, call, input, deadline);
  return Reduce(group, call, input, output, deadline);
}

Status ExchangeCommunicator::Reduce(std::span<const int32_t> group, const CollectiveCall& call,
                                    const void* input, void* output, Deadline deadline) {
  if (scratch_.size() < call.bytes * group.size()) {
    scratch_ = Buffer::Allocate(call.bytes * group.size());
  }
  PIPESERVE_RETURN_IF_ERROR(Exchange(group, call, input, scratch_.mutable_data(), deadline));
  addends_.clear();
  for (size_t i = 0; i < group.size(); ++i) addends_.push_back(scratch_.data() + i * call.bytes);
  SumInRankOrder(call.dtype, addends_, call.bytes / DataTypeSize(call.dtype), output);
  return OkStatus();
}

Status ExchangeCommunicator::TryAllGather(std::span<const int32_t> ranks, const void* input,
                                          size_t bytes, void* output, Deadline deadline) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::span<const int32_t> group, CheckGroup(ranks));
  PIPESERVE_RETURN_IF_ERROR(CheckSize(bytes, 1, group.size()));
  const CollectiveCall call{.kind = CollectiveCall::Kind::kAllGather,
                            .members = static_cast<uint32_t>(group.size()),
                            .bytes = bytes};
  if (output == nullptr && bytes > 0) return Contribute(group, call, input, deadline);
  return Exchange(group, call, input, static_cast<std::byte*>(output), deadline);
}

Status ExchangeCommunicator::Contribute(std::span<const int32_t> group, const CollectiveCall& call,
                                        const void* input, Deadline deadline) {
  const bool is_sum = call.kind == CollectiveCall::Kind::kAllReduceSum;
  const size_t bytes = is_sum ? call.bytes : call.bytes * group.size();
  if (unwanted_.size() < bytes) unwanted_ = Buffer::Allocate(bytes);
  if (is_sum) return Reduce(group, call, input, unwanted_.mutable_data(), deadline);
  return Exchange(group, call, input, unwanted_.mutable_data(), deadline);
}

Status ExchangeCommunicator::CheckPeer(int32_t peer, size_t bytes) const {
  if (peer < 0 || peer >= size() || peer == rank_) {
    return InvalidArgument(StrCat("rank ", rank_, " of ", size(),
                                  " exchanges messages with the others, not with rank ", peer));
  }
  return CheckSize(bytes, 1, 1);
}

Result<std::span<const int32_t>> ExchangeCommunicator::CheckGroup(
    std::span<const int32_t> ranks) const {
  if (ranks.empty()) return std::span<const int32_t>(world_);
  const bool ascending =
      std::adjacent_find(ranks.begin(), ranks.end(), std::greater_equal<>()) == ranks.end();
  const bool inside = ranks.front() >= 0 && ranks.back() < size();
  if (!ascending || !inside || !std::binary_search(ranks.begin(), ranks.end(), rank_)) {
    return InvalidArgument(StrCat("group [", StrJoin(ranks, ", "), "] of rank ", rank_,
                                  " is not an ascending list of ranks below ", size(),
                                  " with this rank in it"));
  }
  return ranks;
}

Status ExchangeCommunicator::broken() const {
  MutexLock lock(mutex_);
  return broken_;
}

Status ExchangeCommunicator::Finish(Status status) {
  if (status.ok()) return status;
  {
    MutexLock lock(mutex_);
    if (!broken_.ok()) return broken_;
    broken_ = status;
  }
  Disconnect(status);
  return status;
}

}  // namespace pipeserve
