// How ranks on devices find each other, and hear that the epoch is over.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/cancel_token.h"
#include "executor/ascend/collectives.h"
#include "executor/communicator.h"

namespace pipeserve::ascend {

// A communicator of the host, by which ranks agree; what they compute goes from device to device.
// Aborting it gives up the waits of the device as well.
class GroupLink final : public Communicator {
 public:
  explicit GroupLink(std::shared_ptr<Communicator> host) : host_(std::move(host)) {}

  // Raised by Abort().
  const CancelToken& given_up() const { return given_up_; }

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  Status AllReduceSum(std::span<const int32_t> ranks, DataType dtype, const void* input,
                      void* output, size_t count, Deadline deadline) override {
    return host_->AllReduceSum(ranks, dtype, input, output, count, deadline);
  }
  Status AllGather(std::span<const int32_t> ranks, const void* input, size_t bytes, void* output,
                   Deadline deadline) override {
    return host_->AllGather(ranks, input, bytes, output, deadline);
  }
  Status Send(int32_t to, int64_t tag, const void* input, size_t bytes,
              Deadline deadline) override {
    return host_->Send(to, tag, input, bytes, deadline);
  }
  Status Receive(int32_t from, int64_t tag, void* output, size_t bytes,
                 Deadline deadline) override {
    return host_->Receive(from, tag, output, bytes, deadline);
  }
  void Abort(Status reason) override {
    given_up_.Raise();
    host_->Abort(std::move(reason));
  }

 private:
  const std::shared_ptr<Communicator> host_;
  CancelToken given_up_;
};

// Joins the group of `ranks` (none: all): by the file `rank_table`, when all members have one, else
// by what the first of them makes. All members at once, and all groups that two ranks share in the
// same order. Past `deadline` none begins to wait any more; HCCL has limits of its own.
// Errors: those of the link and of HCCL.
Result<HcclGroup> JoinGroup(Device& device, Communicator& link, std::span<const int32_t> ranks,
                            const std::string& rank_table, Deadline deadline);

// How long joining all groups may take, by the value of $HCCL_CONNECT_TIMEOUT, null without: HCCL
// waits so many seconds for a rank, and 20 more, and the first collectives connect once more.
std::chrono::seconds JoinLimit(const char* connect_timeout);

}  // namespace pipeserve::ascend
