#include "executor/cpu/aligned_inputs.h"

#include <cstring>

#include "executor/cpu/cpu_executor.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// The same tensor in wrapped bytes that start `offset` bytes after a cache line.
class Shifted {
 public:
  Shifted(const Tensor& tensor, size_t offset) : bytes_(tensor.byte_size() + 128) {
    const auto start = reinterpret_cast<uintptr_t>(bytes_.data());
    std::byte* at = bytes_.data() + (64 - start % 64) % 64 + offset;
    std::memcpy(at, tensor.data(), tensor.byte_size());
    tensor_ = Tensor(tensor.dtype(), tensor.shape(),
                     Buffer::Wrap(at, tensor.byte_size(), nullptr, nullptr));
  }
  const Tensor& tensor() const { return tensor_; }

 private:
  std::vector<std::byte> bytes_;
  Tensor tensor_;
};

TEST(AlignedInputsTest, OnlyWhatIsMisalignedIsCopied) {
  const Shifted good(Tensor::Of<float>({2}, {1, 2}), 4), bad(Tensor::Of<float>({2}, {3, 4}), 2);
  const Shifted byte(Tensor::Of<int8_t>({2}, {5, 6}), 1);
  const std::vector<Tensor> inputs = {good.tensor(), bad.tensor(), byte.tensor()};
  std::atomic<int64_t> copies{0};
  AlignedInputs aligned;
  ASSERT_OK(aligned.Assign(inputs, copies));
  EXPECT_EQ(copies, 1);
  EXPECT_EQ(aligned.tensors()[0].data(), inputs[0].data());
  EXPECT_TRUE(IsAligned(aligned.tensors()[1]));
  EXPECT_EQ(Floats(aligned.tensors()[1]), (std::vector<float>{3, 4}));
  EXPECT_EQ(aligned.tensors()[2].data(), inputs[2].data());
}

TEST(AlignedInputsTest, AlignedInputsAreBorrowed) {
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2}, {1, 2}), Tensor()};
  std::atomic<int64_t> copies{0};
  AlignedInputs aligned;
  ASSERT_OK(aligned.Assign(inputs, copies));
  EXPECT_EQ(aligned.tensors().data(), inputs.data());
  EXPECT_EQ(copies, 0);
}

// Every kind of kernel that reads an input or a constant, at every offset from its alignment.
TEST(AlignedInputsTest, GraphsRunOnAnyBytes) {
  const Tensor x = Tensor::Of<float>({2, 2}, {1, -2, 3, 4});
  for (size_t offset = 0; offset < 5; ++offset) {
    const Shifted input(x, offset), weight(x, offset);
    TestGraph graph;
    const ValueId in = graph.Input({2, 2}), w = graph.Constant(weight.tensor());
    std::vector<Graph> graphs;
    graphs.push_back(graph.Return(
        {graph.Node(OpType::kMatMul, {in, w}, {2, 2}, MatMulAttributes{}),
         graph.Node(OpType::kNeg, {in}, {2, 2}), graph.Node(OpType::kAdd, {in, w}, {2, 2}),
         graph.Node(OpType::kTranspose, {in}, {2, 2}, TransposeAttributes{{1, 0}}),
         graph.Node(OpType::kReduceSum, {in}, {}, ReduceAttributes{}), in}));
    const auto executor = CpuExecutor::Create(std::move(graphs));
    ASSERT_OK(executor);
    std::vector<Tensor> outputs;
    const std::vector<Tensor> inputs = {input.tensor()};
    ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
    EXPECT_EQ((*executor)->copied_inputs(), offset % 4 == 0 ? 0 : 1);
    EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-5, -10, 15, 10}));
    EXPECT_EQ(Floats(outputs[1]), (std::vector<float>{-1, 2, -3, -4}));
    EXPECT_EQ(Floats(outputs[2]), (std::vector<float>{2, -4, 6, 8}));
    EXPECT_EQ(Floats(outputs[3]), (std::vector<float>{1, 3, -2, 4}));
    EXPECT_EQ(Floats(outputs[4]), (std::vector<float>{6}));
    EXPECT_EQ(Floats(outputs[5]), (std::vector<float>{1, -2, 3, 4}));
  }
}

}  // namespace
}  // namespace pipeserve
