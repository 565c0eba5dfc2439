// What replies of the front say of a method's outputs.
#pragma once

#include <memory>
#include <vector>

#include "workers/session_talk.h"

namespace pipeserve {

// One result per instance.
std::vector<Result<Instance>> ToRunResults(const WorkerMessage& reply);
std::vector<Result<ResidentTensors>> ToKeptResults(const std::shared_ptr<SessionTalk>& session,
                                                   const WorkerMessage& reply);

}  // namespace pipeserve
