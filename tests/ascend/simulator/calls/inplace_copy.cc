// aclnnInplaceCopy: copies, converting and broadcasting.
#include "calls.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

void Compute(const View& from, const View& to) {
  ForEach(to.dims, {&from, &to}, [&](const int64_t(&offsets)[2]) {
    if (IsReal(from.type)) {
      StoreReal(to.type, to.data + offsets[1], LoadReal(from.type, from.data + offsets[0]));
    } else {
      StoreInteger(to.type, to.data + offsets[1], LoadInteger(from.type, from.data + offsets[0]));
    }
  });
}

}  // namespace

AclCode aclnnInplaceCopyGetWorkspaceSize(Call& call, Tensor* self, const Tensor* source,
                                         uint64_t* size, OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, source}, &tensors)) return call.bad_handle();
  const View& to = tensors[0]->view;
  const View from = tensors[1]->view.BroadcastTo(to.dims);
  if (from.dims != to.dims) {
    return Refuse(call, Text(tensors[1]->view.Text(), " into ", to.Text()));
  }
  Plan plan;
  plan.inputs = {tensors[1]};
  plan.output = tensors[0];
  plan.in_place_allowed = false;
  plan.repeatable = false;  // It copies inside.
  plan.compute = [from, to] { Compute(from, to); };
  return Finish(call, std::move(plan), size, executor);
}

AclCode aclnnInplaceCopy(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                         Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
