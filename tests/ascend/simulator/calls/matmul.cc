// aclnnMatmul.
#include "calls.h"
#include "operator.h"
#include "products.h"

namespace pipeserve::ascend::sim::calls {
namespace {

struct Shape {
  std::vector<int64_t> batch;
  int64_t m, k, n;
};

// All dims but the last two, as two views of them broadcast.
std::optional<std::vector<int64_t>> Batch(const View& a, const View& b) {
  const size_t rank = std::max(a.dims.size(), b.dims.size()) - 2;
  std::vector<int64_t> batch(rank, 1);
  for (const View* view : {&a, &b}) {
    const size_t own = view->dims.size() - 2;
    for (size_t i = 0; i < own; ++i) {
      int64_t& dim = batch[rank - own + i];
      if (view->dims[i] == 1) continue;
      if (dim != 1 && dim != view->dims[i]) return std::nullopt;
      dim = view->dims[i];
    }
  }
  return batch;
}

std::optional<Shape> Infer(const View& a, const View& b, const View& out) {
  constexpr size_t kMostDims = 6;
  for (const View* view : {&a, &b}) {
    if (view->dims.size() < 2 || view->dims.size() > kMostDims) return std::nullopt;
  }
  const auto batch = Batch(a, b);
  const int64_t m = a.dims[a.dims.size() - 2], k = a.dims.back();
  if (!batch.has_value() || b.dims[b.dims.size() - 2] != k) return std::nullopt;
  std::vector<int64_t> expected = *batch;
  expected.insert(expected.end(), {m, b.dims.back()});
  if (out.dims != expected) return std::nullopt;
  return Shape{*batch, m, k, b.dims.back()};
}

// The elements of the view in row-major order, rounded as the cube unit takes them.
std::vector<float> Gather(const View& view, int8_t cube_math_type) {
  std::vector<float> values;
  values.reserve(static_cast<size_t>(view.count()));
  ForEach(view.dims, {&view}, [&](const int64_t(&offsets)[1]) {
    auto value = static_cast<float>(LoadReal(view.type, view.data + offsets[0]));
    if (cube_math_type == kCubeFloat16) value = RoundToHalf(value);
    if (cube_math_type == kCubeHf32) value = RoundToHf32(value);
    values.push_back(value);
  });
  return values;
}

// One product of matrices, summed in float in the order of k.
void Multiply(const float* a, const float* b, float* out, const Shape& shape) {
  for (int64_t row = 0; row < shape.m; ++row) {
    float* const sums = out + row * shape.n;
    std::fill(sums, sums + shape.n, 0.0F);
    for (int64_t inner = 0; inner < shape.k; ++inner) {
      const float factor = a[row * shape.k + inner];
      const float* const values = b + inner * shape.n;
      for (int64_t column = 0; column < shape.n; ++column) sums[column] += factor * values[column];
    }
  }
}

View WithBatch(const View& view, const std::vector<int64_t>& batch) {
  std::vector<int64_t> dims = batch;
  dims.insert(dims.end(), view.dims.end() - 2, view.dims.end());
  return view.BroadcastTo(dims);
}

void Compute(const View& a, const View& b, const View& out, const Shape& shape,
             int8_t cube_math_type) {
  const std::vector<float> left = Gather(WithBatch(a, shape.batch), cube_math_type);
  const std::vector<float> right = Gather(WithBatch(b, shape.batch), cube_math_type);
  std::vector<float> products(static_cast<size_t>(out.count()));
  int64_t batches = 1;
  for (const int64_t dim : shape.batch) batches *= dim;
  for (int64_t i = 0; i < batches; ++i) {
    Multiply(left.data() + i * shape.m * shape.k, right.data() + i * shape.k * shape.n,
             products.data() + i * shape.m * shape.n, shape);
  }
  const float* next = products.data();
  ForEach(out.dims, {&out},
          [&](const int64_t(&offsets)[1]) { StoreReal(out.type, out.data + offsets[0], *next++); });
}

}  // namespace

AclCode aclnnMatmulGetWorkspaceSize(Call& call, const Tensor* self, const Tensor* other,
                                    Tensor* out, int8_t cube_math_type, uint64_t* size,
                                    OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, other, out}, &tensors)) return call.bad_handle();
  const View &a = tensors[0]->view, &b = tensors[1]->view, &c = tensors[2]->view;
  if (a.type != b.type || !IsReal(c.type) || c.type == AclDataType::kDouble) {
    return Refuse(call, Text(a.Text(), " times ", b.Text(), " into ", c.Text()));
  }
  if (const auto failure = CheckCubeType(call, a.type, cube_math_type)) return *failure;
  const auto shape = Infer(a, b, c);
  if (!shape.has_value()) {
    return Refuse(call, Text(a.Text(), " times ", b.Text(), " into ", c.Text()));
  }
  Plan plan;
  plan.inputs = {tensors[0], tensors[1]};
  plan.output = tensors[2];
  plan.in_place_allowed = false;
  plan.compute = [=] { Compute(a, b, c, *shape, cube_math_type); };
  return Finish(call, std::move(plan), size, executor);
}

AclCode aclnnMatmul(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                    Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
