// Something that runs on the device: its inputs are copied there, it runs, its outputs are copied
// back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "executor/ascend/kept_values.h"
#include "executor/ascend/memory.h"
#include "executor/ascend/streams.h"
#include "executor/ascend/workspace.h"
#include "executor/executor.h"
#include "pipeserve/tensor.h"

namespace pipeserve::ascend {

// One value that crosses to or from the device.
struct Port {
  TensorInfo info;
  std::byte* device = nullptr;
  size_t bytes = 0;
  size_t staged = 0;  // Where it lies in pinned memory.
  // Of an input: what it still holds from the call before; see CallContext::input_serials.
  uint64_t held_serial = 0;
  uint64_t held_epoch = 0;
};

// What every call of an executor works with.
struct Workbench {
  Streams& streams;
  Workspace& workspace;
  KeptValues& kept;
  // Another number once those of CallContext::input_serials begin anew.
  uint64_t epoch = 0;
};

// Serves one call at a time: Enqueue(), a wait until it is done, then TakeOutputs() or Forget().
class Program {
 public:
  virtual ~Program() = default;

  // What has to stay while a call is in flight, or becomes of it.
  struct Call {
    std::vector<KeptValues::BlockPtr> used;  // Kept values that it takes.
    std::vector<KeptValues::BlockPtr> made;  // One for each output; null: it is not kept there.
  };

  // `inputs` have the byte sizes of the input ports. `events` are those of this call. After a
  // failure some of it may have been enqueued. Errors: those of the runtime.
  Status Enqueue(const Workbench& bench, const Streams::Events& events,
                 std::span<const Tensor> inputs, const CallContext& context, Call* call);

  // What has been copied back.
  std::vector<Tensor> TakeOutputs(std::span<const Buffer> places) const;

  // After a call that failed: nobody knows what the inputs hold.
  void Forget();

 protected:
  // Enqueues what computes the outputs where the ports say, and leaves the inputs as they are.
  virtual Status Launch(Stream& stream, Workspace& workspace) = 0;

  // What a subclass says once of its values. Errors: kResourceExhausted, those of the runtime.
  Status SetPorts(Device& device, std::vector<Port> inputs, std::vector<Port> outputs);

 private:
  Status TakeInputs(const Workbench& bench, std::span<const Tensor> inputs,
                    const CallContext& context, Call* call);
  Status KeepOutputs(const Workbench& bench, const CallContext& context, Call* call);
  Status CopyBack(Stream& stream);
  Tensor TakeOutput(const Port& port, std::span<const Buffer> places, size_t index) const;

  PinnedBlock staging_;
  std::vector<Port> inputs_, outputs_;
};

}  // namespace pipeserve::ascend
