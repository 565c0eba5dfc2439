#include "agent/group_check.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

bool SameInfos(const std::vector<TensorInfo>& a, const std::vector<TensorInfo>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const TensorInfo& x, const TensorInfo& y) {
                      return x.dtype == y.dtype && x.shape == y.shape;
                    });
}

std::string Describe(const std::vector<TensorInfo>& infos) {
  std::vector<std::string> texts;
  for (const TensorInfo& info : infos) texts.push_back(info.ToString());
  return StrCat("(", StrJoin(texts, ", "), ")");
}

std::string Describe(const MessageInfo* message) {
  if (message == nullptr) return "nothing";
  return StrCat("message ", message->tag, " (", message->dtype, message->shape, ")");
}

// What is sent may have dimensions that are known only when a call comes.
bool Fit(const MessageInfo& sent, const MessageInfo& received) {
  return sent.tag == received.tag && sent.dtype == received.dtype &&
         (sent.shape == received.shape || !sent.shape.is_known());
}

// One subgraph of all agents that are there.
class SubgraphCheck {
 public:
  SubgraphCheck(const GroupShape& shape, const std::vector<AgentGraphs>& agents, size_t subgraph)
      : shape_(shape), agents_(agents), subgraph_(subgraph) {}

  Status CheckEnds() const {
    if (present(0) && graph(0).inputs.empty()) {
      return FailedPrecondition("Rank 0 input count cannot be 0");
    }
    const int last = shape_.rank_size - 1;
    if (present(last) && graph(last).outputs.empty()) {
      return FailedPrecondition(StrCat("Rank ", last, " output count cannot be 0"));
    }
    return OkStatus();
  }

  Status CheckFirstStageInputs() const {
    const int first = FirstPresent(0, shape_.ranks_per_stage());
    for (int rank = first + 1; rank < shape_.ranks_per_stage(); ++rank) {
      if (!present(rank) || SameInfos(graph(rank).inputs, graph(first).inputs)) continue;
      return FailedPrecondition(StrCat(
          "Rank ", rank, " input infos not match rank ", first, ", subgraph: ", subgraph_,
          ", details: ", Describe(graph(rank).inputs), " and ", Describe(graph(first).inputs)));
    }
    return OkStatus();
  }

  // All ranks behind stage 0 have inputs, or none has. `*takes_inputs` is what an earlier
  // subgraph settled: the server sends inputs to all stages or to the first, for every graph.
  Status CheckLaterStageInputs(std::optional<bool>* takes_inputs) const {
    const int reference = FirstPresent(0, shape_.ranks_per_stage());
    for (int rank = shape_.ranks_per_stage(); rank < shape_.rank_size; ++rank) {
      if (!present(rank)) continue;
      const std::vector<TensorInfo>& inputs = graph(rank).inputs;
      if (!takes_inputs->has_value()) *takes_inputs = !inputs.empty();
      const bool same_as_first = inputs.empty() || reference == shape_.ranks_per_stage() ||
                                 SameInfos(inputs, graph(reference).inputs);
      if (**takes_inputs == !inputs.empty() && same_as_first) continue;
      return FailedPrecondition(
          StrCat("Expect stage 0(other stages have empty inputs) or all stages have same inputs, "
                 "rank ",
                 rank, ", subgraph: ", subgraph_, ", details: ", Describe(inputs)));
    }
    return OkStatus();
  }

  // What one rank sends to another is what that one receives from it, in the same order.
  Status CheckMessages() const {
    std::map<Ends, Traffic> traffic;
    for (int rank = 0; rank < shape_.rank_size; ++rank) {
      if (!present(rank)) continue;
      for (const MessageInfo& message : graph(rank).messages) {
        const int peer = message.peer;
        if (peer < 0 || peer >= shape_.rank_size || !present(peer)) continue;
        if (message.is_sent) {
          traffic[{rank, peer}].sent.push_back(message);
        } else {
          traffic[{peer, rank}].received.push_back(message);
        }
      }
    }
    for (const auto& [ends, each] : traffic) PIPESERVE_RETURN_IF_ERROR(Check(ends, each));
    return OkStatus();
  }

  Status CheckStageOutputs() const {
    const int width = shape_.ranks_per_stage();
    for (int begin = 0; begin < shape_.rank_size; begin += width) {
      const int first = FirstPresent(begin, begin + width);
      for (int rank = first + 1; rank < begin + width; ++rank) {
        if (!present(rank) || SameInfos(graph(rank).outputs, graph(first).outputs)) continue;
        return FailedPrecondition(StrCat(
            "Rank ", rank, " output infos not match rank ", first, ", subgraph: ", subgraph_,
            ", details: ", Describe(graph(rank).outputs), " and ", Describe(graph(first).outputs)));
      }
    }
    return OkStatus();
  }

 private:
  using Ends = std::pair<int, int>;  // Of a message: sender and receiver.
  struct Traffic {
    std::vector<MessageInfo> sent, received;
  };

  Status Check(const Ends& ends, const Traffic& traffic) const {
    const auto& [sent, received] = traffic;
    for (size_t i = 0; i < std::max(sent.size(), received.size()); ++i) {
      const MessageInfo* const given = i < sent.size() ? &sent[i] : nullptr;
      const MessageInfo* const taken = i < received.size() ? &received[i] : nullptr;
      if (given != nullptr && taken != nullptr && Fit(*given, *taken)) continue;
      return FailedPrecondition(StrCat("Rank ", ends.first, " sends ", Describe(given), " to rank ",
                                       ends.second, ", which receives ", Describe(taken),
                                       " from it, subgraph: ", subgraph_));
    }
    return OkStatus();
  }

  bool present(int rank) const { return !agents_[static_cast<size_t>(rank)].empty(); }
  const GraphSignature& graph(int rank) const {
    return agents_[static_cast<size_t>(rank)][subgraph_];
  }
  int FirstPresent(int begin, int end) const {
    while (begin < end && !present(begin)) ++begin;
    return begin;
  }

  const GroupShape& shape_;
  const std::vector<AgentGraphs>& agents_;
  const size_t subgraph_;
};

// The same everywhere, or 0; the first agent that says something is the measure.
Status CheckBatchSizes(const GroupShape& shape, const std::vector<AgentGraphs>& agents) {
  int64_t expected = 0;
  size_t expected_rank = 0;
  for (size_t rank = 0; rank < agents.size(); ++rank) {
    for (const GraphSignature& graph : agents[rank]) {
      PIPESERVE_ASSIGN_OR_RETURN(const int64_t batch, BatchSizeOf(shape, graph));
      if (expected == 0) {
        expected = batch;
        expected_rank = rank;
      }
      if (batch == 0 || batch == expected) continue;
      if (rank == expected_rank) {
        return FailedPrecondition(StrCat("Expect batch size to be same in all subgraphs, rank ",
                                         rank, " has ", batch, " and ", expected));
      }
      return FailedPrecondition(StrCat("Expect rank ", rank, " batch size  ", batch,
                                       " equal to 0 or rank ", expected_rank, "'s batch size ",
                                       expected));
    }
  }
  return OkStatus();
}

}  // namespace

Status CheckGroup(const GroupShape& shape, const std::vector<AgentGraphs>& agents) {
  size_t graph_count = 0;
  for (const AgentGraphs& agent : agents) {
    if (graph_count == 0) graph_count = agent.size();
    if (!agent.empty() && agent.size() != graph_count) {
      return FailedPrecondition(StrCat("The number of graph not match in different agent: ",
                                       agent.size(), " and ", graph_count));
    }
  }
  std::optional<bool> later_stages_take_inputs;
  for (size_t subgraph = 0; subgraph < graph_count; ++subgraph) {
    const SubgraphCheck check(shape, agents, subgraph);
    PIPESERVE_RETURN_IF_ERROR(check.CheckEnds());
    PIPESERVE_RETURN_IF_ERROR(check.CheckFirstStageInputs());
    PIPESERVE_RETURN_IF_ERROR(check.CheckLaterStageInputs(&later_stages_take_inputs));
    PIPESERVE_RETURN_IF_ERROR(check.CheckStageOutputs());
    PIPESERVE_RETURN_IF_ERROR(check.CheckMessages());
  }
  return CheckBatchSizes(shape, agents);
}

Status CheckDevices(const AgentDevices& devices) {
  const auto first =
      std::ranges::find_if(devices, [](const auto& each) { return each.has_value(); });
  for (auto device = first; device != devices.end(); ++device) {
    if (!device->has_value() || **device == **first) continue;
    return FailedPrecondition(StrCat("Rank ", device - devices.begin(), " device not match rank ",
                                     first - devices.begin(), ", details: ", Describe(**device),
                                     " and ", Describe(**first)));
  }
  return OkStatus();
}

bool AllStagesTakeInputs(const GroupShape& shape, const std::vector<AgentGraphs>& agents) {
  return std::all_of(
      agents.begin() + shape.ranks_per_stage(), agents.end(),
      [](const AgentGraphs& graphs) { return !graphs.empty() && !graphs.front().inputs.empty(); });
}

Result<int64_t> BatchSizeOf(const GroupShape& shape, const GraphSignature& graph) {
  if (!shape.with_batch_dim) return int64_t{1};
  int64_t batch = 0;
  const auto agree = [&batch](const TensorInfo& info, const char* what) -> Status {
    const int64_t first = info.shape.rank() == 0 ? 0 : info.shape[0];
    if (first == Shape::kUnknownDim) return OkStatus();
    if (first == 0) {
      return FailedPrecondition(
          StrCat("Servable batch size cannot be 0, model ", what, " shape ", info.shape));
    }
    if (batch == 0) batch = first;
    if (first == batch) return OkStatus();
    return FailedPrecondition(
        StrCat("Servable batch size ", batch, " not match model ", what, " shape ", info.shape));
  };
  const std::vector<int>& without = shape.without_batch_dim_inputs;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    if (std::find(without.begin(), without.end(), static_cast<int>(i)) != without.end()) continue;
    PIPESERVE_RETURN_IF_ERROR(agree(graph.inputs[i], "input"));
  }
  for (const TensorInfo& output : graph.outputs) {
    PIPESERVE_RETURN_IF_ERROR(agree(output, "output"));
  }
  return batch;
}

}  // namespace pipeserve
