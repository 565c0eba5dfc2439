#include "executor/ascend/collectives.h"

#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

Result<abi::HcclDataType> ToHcclType(DataType type) {
  switch (type) {
    case DataType::kFloat32:
      return abi::HcclDataType::kFloat;
    case DataType::kFloat16:
      return abi::HcclDataType::kFloat16;
    case DataType::kInt32:
      return abi::HcclDataType::kInt32;
    default:
      return Unimplemented(StrCat("there is no collective of ", DataTypeName(type),
                                  ", only of float32, float16 and int32"));
  }
}

// What both collectives have.
class CollectiveStep : public Step {
 public:
  CollectiveStep(Device& device, const Collectives& collectives, std::vector<int32_t> ranks,
                 const View& from, const View& to, abi::HcclDataType type)
      : device_(device),
        collectives_(collectives),
        ranks_(std::move(ranks)),
        from_(from.data),
        to_(to.data),
        count_(static_cast<uint64_t>(from.element_count())),
        type_(type) {}

  Status Launch(Stream& stream, Workspace&) final {
    PIPESERVE_ASSIGN_OR_RETURN(abi::Comm* const comm, collectives_.Find(ranks_));
    return Launch(comm, stream);
  }

 protected:
  virtual Status Launch(abi::Comm* comm, Stream& stream) = 0;

  Device& device_;
  const Collectives& collectives_;
  const std::vector<int32_t> ranks_;
  void* const from_;
  void* const to_;
  const uint64_t count_;
  const abi::HcclDataType type_;
};

class AllReduceStep final : public CollectiveStep {
 public:
  using CollectiveStep::CollectiveStep;

 private:
  Status Launch(abi::Comm* comm, Stream& stream) override {
    return PIPESERVE_ACL(device_, HcclAllReduce, from_, to_, count_, type_, abi::HcclReduceOp::kSum,
                         comm, stream.handle());
  }
};

class AllGatherStep final : public CollectiveStep {
 public:
  using CollectiveStep::CollectiveStep;

 private:
  Status Launch(abi::Comm* comm, Stream& stream) override {
    return PIPESERVE_ACL(device_, HcclAllGather, from_, to_, count_, type_, comm, stream.handle());
  }
};

template <typename Kind>
StepResult MakeCollective(Device& device, const Collectives& collectives,
                          std::vector<int32_t> ranks, const View& from, const View& to) {
  PIPESERVE_ASSIGN_OR_RETURN(const abi::HcclDataType type, ToHcclType(from.type));
  return StepResult(std::make_unique<Kind>(device, collectives, std::move(ranks), from, to, type));
}

}  // namespace

Result<abi::RootInfo> HcclGroup::MakeRootInfo(Device& device) {
  abi::RootInfo info = {};
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(device, HcclGetRootInfo, &info));
  return info;
}

Result<HcclGroup> HcclGroup::Join(Device& device, const abi::RootInfo& info, uint32_t size,
                                  uint32_t index) {
  HcclGroup group;
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(device, HcclCommInitRootInfo, size, &info, index, &group.comm_));
  group.device_ = &device;
  return group;
}

Result<HcclGroup> HcclGroup::JoinRankTable(Device& device, const std::string& file, uint32_t rank) {
  HcclGroup group;
  PIPESERVE_RETURN_IF_ERROR(
      PIPESERVE_ACL(device, HcclCommInitClusterInfo, file.c_str(), rank, &group.comm_));
  group.device_ = &device;
  return group;
}

HcclGroup::HcclGroup(HcclGroup&& other) noexcept { *this = std::move(other); }

HcclGroup& HcclGroup::operator=(HcclGroup&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(comm_, other.comm_);
  return *this;
}

HcclGroup::~HcclGroup() {
  if (comm_ == nullptr || device_->is_abandoned()) return;
  (void)PIPESERVE_ACL(*device_, HcclCommDestroy, comm_);
}

std::vector<int32_t> GroupRanks(const Node& node, int rank_size) {
  std::vector<int32_t> ranks = std::get<CollectiveAttributes>(node.attributes).ranks;
  if (static_cast<int>(ranks.size()) == rank_size) ranks.clear();
  return ranks;
}

void Collectives::Add(std::vector<int32_t> ranks, HcclGroup group) {
  groups_.insert_or_assign(std::move(ranks), std::move(group));
}

Result<abi::Comm*> Collectives::Find(const std::vector<int32_t>& ranks) const {
  const auto found = groups_.find(ranks);
  if (found != groups_.end()) return found->second.get();
  const std::string members = ranks.empty() ? "all ranks" : StrCat("ranks ", StrJoin(ranks, ","));
  return Unavailable(StrCat("the rank has not joined the group of ", members, " yet"));
}

StepResult MakeAllReduce(Device& device, const Collectives& collectives, std::vector<int32_t> ranks,
                         const View& from, const View& to) {
  return MakeCollective<AllReduceStep>(device, collectives, std::move(ranks), from, to);
}

StepResult MakeAllGather(Device& device, const Collectives& collectives, std::vector<int32_t> ranks,
                         const View& from, const View& to) {
  return MakeCollective<AllGatherStep>(device, collectives, std::move(ranks), from, to);
}

}  // namespace pipeserve::ascend
