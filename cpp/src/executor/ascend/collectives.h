// HCCL: what ranks on devices tell each other.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/device.h"
#include "executor/ascend/step.h"
#include "executor/ascend/view.h"
#include "graph/graph.h"

namespace pipeserve::ascend {

// A rank's end of one group of devices. After any failure it is finished: only a new one helps.
class HcclGroup {
 public:
  HcclGroup() = default;
  // All members at once. `info` is what the first of them got from MakeRootInfo(); `index` is this
  // rank's place among `size`. Blocks until all have come, or HCCL gives up.
  static Result<HcclGroup> Join(Device& device, const abi::RootInfo& info, uint32_t size,
                                uint32_t index);
  // All ranks of a rank table's file at once.
  static Result<HcclGroup> JoinRankTable(Device& device, const std::string& file, uint32_t rank);
  static Result<abi::RootInfo> MakeRootInfo(Device& device);

  HcclGroup(HcclGroup&& other) noexcept;
  HcclGroup& operator=(HcclGroup&& other) noexcept;
  ~HcclGroup();

  abi::Comm* get() const { return comm_; }

 private:
  Device* device_ = nullptr;
  abi::Comm* comm_ = nullptr;
};

// The ranks of a node's group; none stands for all, whether the file lists them or not.
std::vector<int32_t> GroupRanks(const Node& node, int rank_size);

// The groups of one epoch, by their ranks; all ranks of the servable under no ranks at all.
class Collectives {
 public:
  void Add(std::vector<int32_t> ranks, HcclGroup group);
  // Of the last epoch, until the next one has its own.
  void Clear() { groups_.clear(); }
  // Errors: kUnavailable (the rank has not joined such a group).
  Result<abi::Comm*> Find(const std::vector<int32_t>& ranks) const;

 private:
  std::map<std::vector<int32_t>, HcclGroup> groups_;
};

// Sums `from` of all members into `to` of each. Both are whole. `collectives` outlives the step.
StepResult MakeAllReduce(Device& device, const Collectives& collectives, std::vector<int32_t> ranks,
                         const View& from, const View& to);
// Concatenates `from` of all members, in the order of their ranks, in `to` of each.
StepResult MakeAllGather(Device& device, const Collectives& collectives, std::vector<int32_t> ranks,
                         const View& from, const View& to);

}  // namespace pipeserve::ascend
