// A call allocates nothing once the pools are warm. This file counts every allocation of the
// program.
#include <array>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "executor/cpu/cpu_executor.h"
#include "executor/join_collectives.h"
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

TEST(AllocationTest, CollectivesOfOneHost) {
#ifndef PIPESERVE_COUNTS_ALLOCATIONS
  GTEST_SKIP() << "a sanitizer owns malloc";
#else
  const std::array<SocketListener, 2> listeners{*SocketListener::Open("127.0.0.1:0"),
                                                *SocketListener::Open("127.0.0.1:0")};
  const std::vector<std::string> peers{listeners[0].address(), listeners[1].address()};
  const auto join = [&](int rank) {
    return JoinCollectives(listeners[rank], rank, peers, 1, Deadline(), Collectives::kSharedMemory);
  };
  const auto use = [](Communicator& self, std::vector<float>& data, int times) {
    std::array<float, 1000> all{};
    bool ok = true;
    for (int i = 0; i < times && ok; ++i) {
      ok = self.AllReduceSum({}, DataType::kFloat32, data.data(), data.data(), 1000, Deadline())
               .ok() &&
           self.AllGather({}, data.data(), 2000, all.data(), Deadline()).ok();
    }
    return ok;
  };
  std::jthread peer([&] {
    const auto joined = join(1);
    ASSERT_OK(joined);
    std::vector<float> data(1000);
    EXPECT_TRUE(use(**joined, data, 105));
  });
  const auto joined = join(0);
  ASSERT_OK(joined);
  std::vector<float> data(1000);
  EXPECT_TRUE(use(**joined, data, 5));
  const int64_t before = allocations.load();
  const bool ok = use(**joined, data, 99);  // The last time the peer may leave already.
  EXPECT_EQ(allocations.load() - before, 0);
  EXPECT_TRUE(ok && use(**joined, data, 1));
#endif
}

}  // namespace
}  // namespace pipeserve
