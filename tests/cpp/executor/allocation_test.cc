// A call allocates nothing once the pools are warm. This file counts every allocation of the
// program.
#include <atomic>
#include <cstdlib>

#include "executor/cpu/cpu_executor.h"
#include "support/graphs.h"
#include "support/matchers.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PIPESERVE_COUNTS_ALLOCATIONS 1
static std::atomic<int64_t> allocations{0};
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void* malloc(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
}
#endif

namespace pipeserve {
namespace {

void ExpectSteadyWithoutAllocation(const Shape& declared, std::vector<Shape> shapes) {
#ifndef PIPESERVE_COUNTS_ALLOCATIONS
  GTEST_SKIP() << "a sanitizer owns malloc";
#else
  TestGraph graph;
  const int64_t rows = declared[0];
  const ValueId w = graph.Constant(Tensor(DataType::kFloat32, {96, 700}));
  const ValueId product =
      graph.Node(OpType::kMatMul, {graph.Input(declared), w}, {rows, 700}, MatMulAttributes{});
  const ValueId relu = graph.Node(OpType::kReLU, {product}, {rows, 700});
  std::vector<Graph> graphs;
  graphs.push_back(graph.Return({graph.Node(OpType::kNeg, {relu}, {rows, 700}), relu}));
  auto executor = CpuExecutor::Create(std::move(graphs));
  ASSERT_OK(executor);
  std::vector<std::vector<Tensor> > calls;
  for (const Shape& shape : shapes) calls.push_back({Tensor(DataType::kFloat32, shape)});
  std::vector<Tensor> outputs;
  const auto run_all = [&] {
    for (const auto& inputs : calls) ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
  };
  for (int i = 0; i < 5; ++i) run_all();
  const std::vector<Tensor>* inputs = calls.data();
  const int64_t before = allocations.load();
  bool ok = true;
  for (int i = 0; i < 100; ++i) {
    for (size_t k = 0; k < calls.size(); ++k) {
      ok = ok && (*executor)->Run(0, inputs[k], {}, &outputs).ok();
    }
  }
  EXPECT_EQ(allocations.load() - before, 0);
  EXPECT_TRUE(ok);
#endif
}

TEST(AllocationTest, StaticShapes) { ExpectSteadyWithoutAllocation({300, 96}, {{300, 96}}); }

TEST(AllocationTest, RepeatedDynamicShapes) {
  ExpectSteadyWithoutAllocation({-1, 96}, {{5, 96}, {300, 96}, {1, 96}});
}

}  // namespace
}  // namespace pipeserve
