#include "executor/ascend/weights.h"

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

// What ordinary memory of the host holds, which the runtime copies at once.
Status CopyAtOnce(Device& device, std::byte* to, const Tensor& from) {
  return PIPESERVE_ACL(device, aclrtMemcpy, to, from.byte_size(), from.data(), from.byte_size(),
                       abi::MemcpyKind::kHostToDevice);
}

}  // namespace

Result<Weights> Weights::Upload(Device& device, const Graph& graph) {
  Weights weights;
  for (const auto& [id, tensor] : graph.constants) {
    PIPESERVE_RETURN_IF_ERROR(
        ToAclType(tensor.dtype()).status().WithContext(StrCat("constant ", graph.info(id).name)));
    std::byte* data = nullptr;
    if (tensor.byte_size() > 0) {
      PIPESERVE_ASSIGN_OR_RETURN(DeviceBlock block,
                                 DeviceBlock::Allocate(device, tensor.byte_size()));
      PIPESERVE_RETURN_IF_ERROR(CopyAtOnce(device, block.data(), tensor));
      data = block.data();
      weights.blocks_.push_back(std::move(block));
    }
    weights.views_.emplace(id, View::Whole(data, tensor.dtype(), DimsOf(tensor.shape())));
  }
  return weights;
}

}  // namespace pipeserve::ascend
