#include "agent/failover_group.h"

#include <string>

#include "pipeserve/log.h"

namespace pipeserve {
namespace {

// The call says nothing about itself with these: an agent, or all of them, went away under it.
bool LostItsGroup(const Status& status) {
  return status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kAborted;
}

}  // namespace

Status FailoverGroup::Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                          std::vector<Tensor>* outputs) {
  for (int tries = 0;;) {
    uint64_t epoch = 0;
    const Status status = group_->Run(graph, inputs, context, outputs, &epoch);
    if (!LostItsGroup(status)) return status;
    const bool was_sent = epoch != 0;
    if (was_sent && (!context.replayable || ++tries == kMaxTries)) return status;
    const Status back = group_->AwaitEpochAfter(epoch, patience_, context);
    if (!back.ok()) return back;
    if (!was_sent) continue;
    Log(LogLevel::kInfo, "a graph call is made again",
        {{"request", std::to_string(context.request_id)},
         {"graph", std::to_string(graph)},
         {"lost", status.message()}});
  }
}

}  // namespace pipeserve
