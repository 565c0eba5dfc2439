#include "agent/lane.h"

#include "wire/agent_messages.h"

namespace pipeserve {

const std::shared_ptr<const std::string>& CallInputs::Encoded() {
  if (encoded_ == nullptr) encoded_ = std::make_shared<const std::string>(EncodeInputs(tensors_));
  return encoded_;
}

}  // namespace pipeserve
