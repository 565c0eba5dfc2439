// What the simulated operators compute.
#include <cmath>
#include <limits>
#include <numeric>

#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using abi::AclDataType;
using testing::ElementsAre;

class SimulatorOperatorTest : public SimulatorTest {
 protected:
  abi::Scalar* Scalar(float value) { return acl.aclCreateScalar(&value, AclDataType::kFloat); }

  template <typename T>
  void* UploadAs(const std::vector<T>& values) {
    const size_t size = values.size() * sizeof(T);
    void* const block = NewBlock(size);
    EXPECT_ACL(acl.aclrtMemcpy(block, size, values.data(), size, abi::MemcpyKind::kHostToDevice));
    return block;
  }
  template <typename T>
  std::vector<T> DownloadAs(const void* device, size_t count) {
    std::vector<T> values(count);
    const size_t size = count * sizeof(T);
    EXPECT_ACL(acl.aclrtMemcpy(values.data(), size, device, size, abi::MemcpyKind::kDeviceToHost));
    return values;
  }
  int32_t MatMul(abi::Tensor* a, abi::Tensor* b, abi::Tensor* out,
                 int8_t cube = abi::kCubeKeepType) {
    return RunOperator(acl.aclnnMatmulGetWorkspaceSize, acl.aclnnMatmul, a, b, out, cube);
  }
};

TEST_F(SimulatorOperatorTest, MatMulInEachMode) {
  for (const char* mode : {"eager", "lazy", "random"}) {
    SimControl(std::string("set mode=") + mode);
    void* const out = NewBlock(16);
    EXPECT_EQ(MatMul(NewTensor(Upload({1, 2, 3, 4}), {2, 2}),
                     NewTensor(Upload({5, 6, 7, 8}), {2, 2}), NewTensor(out, {2, 2})),
              0);
    EXPECT_THAT(Download(out, 4), ElementsAre(19, 22, 43, 50)) << mode;
  }
  ExpectNothingBroken();
}

TEST_F(SimulatorOperatorTest, TransposedOperandIsAView) {
  void* const out = NewBlock(16);
  abi::Tensor* const transposed = NewView(Upload({5, 7, 6, 8}), {2, 2}, {1, 2}, 0, 4);
  EXPECT_EQ(MatMul(NewTensor(Upload({1, 2, 3, 4}), {2, 2}), transposed, NewTensor(out, {2, 2})), 0);
  EXPECT_THAT(Download(out, 4), ElementsAre(19, 22, 43, 50));
}

TEST_F(SimulatorOperatorTest, SliceIsAViewWithAnOffset) {
  // The last two columns of a matrix of three.
  void* const out = NewBlock(8);
  abi::Tensor* const slice = NewView(Upload({9, 1, 2, 9, 3, 4}), {2, 2}, {3, 1}, 1, 6);
  EXPECT_EQ(MatMul(slice, NewTensor(Upload({1, 10}), {2, 1}), NewTensor(out, {2, 1})), 0);
  EXPECT_THAT(Download(out, 2), ElementsAre(21, 43));
}

TEST_F(SimulatorOperatorTest, MatMulOfBatches) {
  void* const out = NewBlock(8);
  EXPECT_EQ(MatMul(NewTensor(Upload({1, 2, 3, 4}), {2, 1, 2}), NewTensor(Upload({1, 1}), {2, 1}),
                   NewTensor(out, {2, 1, 1})),
            0);
  EXPECT_THAT(Download(out, 2), ElementsAre(3, 7));
}

TEST_F(SimulatorOperatorTest, CubeTypesRound) {
  const float value = 1 + std::ldexp(1.0F, -11) + std::ldexp(1.0F, -13);
  const auto square = [&](int8_t cube) {
    void* const out = NewBlock(4);
    EXPECT_EQ(MatMul(NewTensor(Upload({value}), {1, 1}), NewTensor(Upload({1}), {1, 1}),
                     NewTensor(out, {1, 1}), cube),
              0);
    return Download(out, 1)[0];
  };
  EXPECT_EQ(square(abi::kCubeKeepType), value);
  EXPECT_EQ(square(abi::kCubeHf32), 1 + std::ldexp(1.0F, -11));
  EXPECT_EQ(square(abi::kCubeFloat16), 1 + std::ldexp(1.0F, -10));
}

TEST_F(SimulatorOperatorTest, Float16) {
  constexpr uint16_t kOne = 0x3C00, kTwo = 0x4000, kMinusTwo = 0xC000;
  void* const product = NewBlock(2);
  void* const out = NewBlock(2);
  const auto tensor = [&](void* block) { return NewTensor(block, {1, 1}, AclDataType::kFloat16); };
  EXPECT_EQ(MatMul(tensor(UploadAs<uint16_t>({kOne})), tensor(UploadAs<uint16_t>({kTwo})),
                   tensor(product)),
            0);
  EXPECT_EQ(RunOperator(acl.aclnnNegGetWorkspaceSize, acl.aclnnNeg, tensor(product), tensor(out)),
            0);
  EXPECT_THAT(DownloadAs<uint16_t>(out, 1), ElementsAre(kMinusTwo));
}

TEST_F(SimulatorOperatorTest, NegOfAGatheredBuffer) {
  // Two ranks' halves [2, 1] of a matrix [2, 2], read as [2, 2, 1] and written as [2, 2].
  void* const out = NewBlock(16);
  abi::Tensor* const gathered = NewView(Upload({1, 3, 2, 4}), {2, 2, 1}, {1, 2, 1}, 0, 4);
  EXPECT_EQ(
      RunOperator(acl.aclnnNegGetWorkspaceSize, acl.aclnnNeg, gathered, NewTensor(out, {2, 2, 1})),
      0);
  EXPECT_THAT(Download(out, 4), ElementsAre(-1, -2, -3, -4));
}

TEST_F(SimulatorOperatorTest, NegInPlaceAndOfIntegers) {
  void* const block = UploadAs<int32_t>({1, std::numeric_limits<int32_t>::min()});
  abi::Tensor* const tensor = NewTensor(block, {2}, AclDataType::kInt32);
  EXPECT_EQ(RunOperator(acl.aclnnNegGetWorkspaceSize, acl.aclnnNeg, tensor, tensor), 0);
  EXPECT_THAT(DownloadAs<int32_t>(block, 2), ElementsAre(-1, std::numeric_limits<int32_t>::min()));
  ExpectNothingBroken();
}

TEST_F(SimulatorOperatorTest, MulsAndRelu) {
  void* const block = Upload({1, -2});
  abi::Tensor* const tensor = NewTensor(block, {2});
  EXPECT_EQ(RunOperator(acl.aclnnMulsGetWorkspaceSize, acl.aclnnMuls, tensor, Scalar(-3), tensor),
            0);
  EXPECT_THAT(Download(block, 2), ElementsAre(-3, 6));
  EXPECT_EQ(RunOperator(acl.aclnnReluGetWorkspaceSize, acl.aclnnRelu, tensor, tensor), 0);
  EXPECT_THAT(Download(block, 2), ElementsAre(0, 6));
}

TEST_F(SimulatorOperatorTest, ArithmeticBroadcasts) {
  abi::Tensor* const matrix = NewTensor(Upload({1, 2, 3, 4}), {2, 2});
  abi::Tensor* const row = NewTensor(Upload({10, 20}), {2});
  void* const out = NewBlock(16);
  abi::Tensor* const to = NewTensor(out, {2, 2});
  EXPECT_EQ(RunOperator(acl.aclnnAddGetWorkspaceSize, acl.aclnnAdd, matrix, row, Scalar(1), to), 0);
  EXPECT_THAT(Download(out, 4), ElementsAre(11, 22, 13, 24));
  EXPECT_EQ(RunOperator(acl.aclnnSubGetWorkspaceSize, acl.aclnnSub, matrix, row, Scalar(2), to), 0);
  EXPECT_THAT(Download(out, 4), ElementsAre(-19, -38, -17, -36));
  EXPECT_EQ(RunOperator(acl.aclnnMulGetWorkspaceSize, acl.aclnnMul, matrix, row, to), 0);
  EXPECT_THAT(Download(out, 4), ElementsAre(10, 40, 30, 80));
}

TEST_F(SimulatorOperatorTest, ReduceSum) {
  abi::Tensor* const matrix = NewTensor(Upload({1, 2, 3, 4, 5, 6}), {2, 3});
  const auto sum = [&](const std::vector<int64_t>& axes, const std::vector<int64_t>& dims,
                       bool keep, size_t count) {
    void* const out = NewBlock(count * 4);
    abi::IntArray* const array = acl.aclCreateIntArray(axes.data(), axes.size());
    EXPECT_EQ(RunOperator(acl.aclnnReduceSumGetWorkspaceSize, acl.aclnnReduceSum, matrix, array,
                          keep, AclDataType::kFloat, NewTensor(out, dims)),
              0);
    return Download(out, count);
  };
  EXPECT_THAT(sum({0}, {3}, false, 3), ElementsAre(5, 7, 9));
  EXPECT_THAT(sum({-1}, {2, 1}, true, 2), ElementsAre(6, 15));
  EXPECT_THAT(sum({}, {}, false, 1), ElementsAre(21));
}

TEST_F(SimulatorOperatorTest, CastConverts) {
  const auto cast = [&](abi::Tensor* from, AclDataType type, void* out) {
    return RunOperator(acl.aclnnCastGetWorkspaceSize, acl.aclnnCast, from, type,
                       NewTensor(out, {3}, type));
  };
  void* const out = NewBlock(24);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(cast(NewTensor(Upload({-1.9F, 3e9F, nan}), {3}), AclDataType::kInt32, out), 0);
  EXPECT_THAT(DownloadAs<int32_t>(out, 3), ElementsAre(-1, std::numeric_limits<int32_t>::max(), 0));
  EXPECT_EQ(cast(NewTensor(Upload({2049, 2051, 1e6F}), {3}), AclDataType::kFloat16, out), 0);
  EXPECT_THAT(DownloadAs<uint16_t>(out, 3), ElementsAre(0x6800, 0x6802, 0x7C00));
  abi::Tensor* const bytes = NewTensor(UploadAs<uint8_t>({0, 200, 255}), {3}, AclDataType::kUint8);
  EXPECT_EQ(cast(bytes, AclDataType::kFloat, out), 0);
  EXPECT_THAT(Download(out, 3), ElementsAre(0, 200, 255));
  EXPECT_EQ(cast(bytes, AclDataType::kBool, out), 0);
  EXPECT_THAT(DownloadAs<uint8_t>(out, 3), ElementsAre(0, 1, 1));
  ExpectNothingBroken();
}

TEST_F(SimulatorOperatorTest, InplaceCopyConvertsAndBroadcasts) {
  void* const to = NewBlock(16);
  abi::Tensor* const from = NewTensor(UploadAs<int32_t>({1, 2}), {2}, AclDataType::kInt32);
  EXPECT_EQ(RunOperator(acl.aclnnInplaceCopyGetWorkspaceSize, acl.aclnnInplaceCopy,
                        NewTensor(to, {2, 2}), from),
            0);
  EXPECT_THAT(Download(to, 4), ElementsAre(1, 2, 1, 2));
}

TEST_F(SimulatorOperatorTest, InplaceCopyIntoAColumn) {
  void* const to = Upload({0, 0, 0, 0});
  EXPECT_EQ(RunOperator(acl.aclnnInplaceCopyGetWorkspaceSize, acl.aclnnInplaceCopy,
                        NewView(to, {2}, {2}, 1, 4), NewTensor(Upload({7, 8}), {2})),
            0);
  EXPECT_THAT(Download(to, 4), ElementsAre(0, 7, 0, 8));
}

TEST_F(SimulatorOperatorTest, RepeatableExecutorRunsAgainOnNewValues) {
  void* const from = Upload({1});
  void* const to = NewBlock(4);
  uint64_t size = 0;
  abi::OpExecutor* const executor = PlanNeg(from, to, 1, &size);
  EXPECT_ACL(acl.aclSetAclOpExecutorRepeatable(executor));
  for (const float value : {1.0F, 2.0F}) {
    EXPECT_ACL(acl.aclrtMemcpy(from, 4, &value, 4, abi::MemcpyKind::kHostToDevice));
    EXPECT_ACL(acl.aclnnNeg(Workspace(size), size, executor, stream));
    EXPECT_ACL(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit));
    EXPECT_THAT(Download(to, 1), ElementsAre(-value));
  }
  EXPECT_ACL(acl.aclDestroyAclOpExecutor(executor));
  ExpectNothingBroken();
}

TEST_F(SimulatorOperatorTest, SizesOfPhase1CanVary) {
  SimControl("set workspace=0");
  uint64_t size = 1;
  PlanNeg(Upload({1}), NewBlock(4), 1, &size);
  EXPECT_EQ(size, 0U);
  SimControl("set workspace=random,seed=3");
  std::vector<uint64_t> sizes(4);
  for (uint64_t& each : sizes) PlanNeg(Upload({1}), NewBlock(4), 1, &each);
  EXPECT_GT(std::accumulate(sizes.begin(), sizes.end(), uint64_t{0}), 0U);
  EXPECT_NE(sizes[0], sizes[1]);
}

}  // namespace
}  // namespace pipeserve::ascend
