// aclnnReduceSum.
#include <algorithm>
#include <set>

#include "calls.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

// Which axes are summed over; all without any. Nothing when one is not there or named twice.
std::optional<std::set<size_t>> Axes(const View& from, const std::vector<int64_t>& values) {
  const auto rank = static_cast<int64_t>(from.dims.size());
  std::set<size_t> axes;
  for (const int64_t value : values) {
    const int64_t axis = value < 0 ? value + rank : value;
    if (axis < 0 || axis >= rank || !axes.insert(static_cast<size_t>(axis)).second) {
      return std::nullopt;
    }
  }
  for (size_t axis = 0; values.empty() && axis < from.dims.size(); ++axis) axes.insert(axis);
  return axes;
}

// `to` as a view with the dims of `from` that stays where it is along the axes.
View Spread(const View& from, const View& to, const std::set<size_t>& axes, bool keep_dims) {
  View view = to;
  view.dims = from.dims;
  view.strides.clear();
  size_t next = 0;
  for (size_t axis = 0; axis < from.dims.size(); ++axis) {
    const bool summed = axes.contains(axis);
    view.strides.push_back(summed ? 0 : to.strides[next]);
    if (!summed || keep_dims) ++next;
  }
  return view;
}

std::vector<int64_t> Expected(const View& from, const std::set<size_t>& axes, bool keep_dims) {
  std::vector<int64_t> dims;
  for (size_t axis = 0; axis < from.dims.size(); ++axis) {
    if (!axes.contains(axis)) {
      dims.push_back(from.dims[axis]);
    } else if (keep_dims) {
      dims.push_back(1);
    }
  }
  return dims;
}

// Sums of reals are made in double and rounded once.
void Compute(const View& from, const View& to, const View& spread) {
  std::map<int64_t, double> reals;
  std::map<int64_t, uint64_t> integers;
  ForEach(to.dims, {&to}, [&](const int64_t(&offsets)[1]) { reals[offsets[0]] = 0; });
  ForEach(from.dims, {&from, &spread}, [&](const int64_t(&offsets)[2]) {
    if (IsReal(from.type)) {
      reals[offsets[1]] += LoadReal(from.type, from.data + offsets[0]);
    } else {
      integers[offsets[1]] += static_cast<uint64_t>(LoadInteger(from.type, from.data + offsets[0]));
    }
  });
  for (const auto& [offset, sum] : reals) StoreReal(to.type, to.data + offset, sum);
  for (const auto& [offset, sum] : integers) {
    StoreInteger(to.type, to.data + offset, static_cast<int64_t>(sum));
  }
}

}  // namespace

AclCode aclnnReduceSumGetWorkspaceSize(Call& call, const Tensor* self, const IntArray* dims,
                                       bool keep_dims, AclDataType type, Tensor* out,
                                       uint64_t* size, OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, out}, &tensors)) return call.bad_handle();
  const auto array = call.Find<IntArrayObject>(dims);
  if (array == nullptr) return call.bad_handle();
  const View &from = tensors[0]->view, &to = tensors[1]->view;
  const auto axes = Axes(from, array->values);
  if (!axes.has_value() || to.type != type || IsReal(from.type) != IsReal(to.type) ||
      to.dims != Expected(from, *axes, keep_dims)) {
    return Refuse(call, Text(from.Text(), " into ", to.Text(), " as ", NameOf(type)));
  }
  Plan plan;
  plan.inputs = {tensors[0]};
  plan.output = tensors[1];
  plan.in_place_allowed = false;
  plan.compute = [from, to, spread = Spread(from, to, *axes, keep_dims)] {
    Compute(from, to, spread);
  };
  return Finish(call, std::move(plan), size, executor);
}

AclCode aclnnReduceSum(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                       Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
