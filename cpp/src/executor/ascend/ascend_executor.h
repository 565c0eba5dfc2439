// Runs graphs on an Ascend device.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "executor/ascend/device.h"
#include "executor/ascend/library.h"
#include "executor/ascend/product.h"
#include "executor/rank_executor.h"

namespace pipeserve::ascend {

struct AscendExecutorOptions {
  LibraryOptions library;
  DeviceOptions device;
  Precision precision = Precision::kStrict;
  int rank_size = 1;  // Ranks of the servable; what a world group has.
  // A file as HCCL takes it, by which the first group of all ranks is made; empty: none.
  std::string rank_table;
  // A call that is not done by then is taken for one that never will be.
  std::chrono::milliseconds call_limit{30'000};
  // Copies of one call overlap with the computing of another: two calls are on the device at a
  // time, with twice the memory. Wants ACL 1.8.
  bool overlap = false;
  // How much of the device's memory outputs may take that are kept there to be inputs again.
  size_t kept_bytes = size_t{1} << 30;
};

// A graph, or the path of a model that was compiled for the device (.om).
using AscendModel = std::variant<Graph, std::string>;

// Weights stay on the device, as does the memory of every graph; a call copies its inputs there and
// its outputs back. An input whose number (CallContext::input_serials) says that it is there
// already, as a kept output or as the input of the call before, is not copied. Calls run one after
// the other.
//
// Graphs meet other ranks through HCCL; the communicator of the host only brings them together.
//
// When a call outlives its limit or the device fails, the device is lost to this process: every
// later call returns kUnavailable. Whoever runs the process restarts it.
class AscendExecutor final : public RankExecutor {
 public:
  // Errors: kFailedPrecondition (no runtime, no such device, a precision that it has not),
  // kInvalidArgument, kUnimplemented (an operator or data type that the device has not),
  // kResourceExhausted, those of the runtime.
  static Result<std::unique_ptr<AscendExecutor>> Create(std::vector<AscendModel> models,
                                                        const AscendExecutorOptions& options);
  ~AscendExecutor() override;

  int graph_count() const override;
  const GraphSignature& signature(GraphId graph) const override;
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override;
  void LeaveGroup() override;
  // Also runs every graph that meets others once, because the first time takes long.
  Status JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                   const AnnounceCommunicator& announce) override;
  DeviceTraits traits() const override;
  Duration join_limit() const override;  // By the environment; see JoinLimit().
  Status Health() override;
  // With AscendExecutorOptions::overlap.
  CallPipeline* pipeline() override;

 private:
  class Impl;
  explicit AscendExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve::ascend
