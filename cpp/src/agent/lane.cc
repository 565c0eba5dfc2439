#include "agent/lane.h"

#include "agent/shm_space.h"
#include "wire/agent_messages.h"

namespace pipeserve {

const std::shared_ptr<const std::string>& CallInputs::Encoded() {
  if (encoded_ == nullptr) encoded_ = std::make_shared<const std::string>(EncodeInputs(tensors_));
  return encoded_;
}

Result<std::span<const ShmBlock>> CallInputs::Placed(ShmSpace& space) {
  if (!placed_.has_value()) placed_ = Place(space);
  PIPESERVE_RETURN_IF_ERROR(*placed_);
  return std::span<const ShmBlock>(blocks_);
}

Status CallInputs::Place(ShmSpace& space) {
  for (const Tensor& tensor : tensors_) {
    PIPESERVE_ASSIGN_OR_RETURN(const ShmBlock block, space.Place(tensor, &kept_));
    blocks_.push_back(block);
  }
  return OkStatus();
}

}  // namespace pipeserve
