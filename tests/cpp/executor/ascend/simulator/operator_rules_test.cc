// The rules of operators: their two phases, workspaces, tensors and products.
#include <thread>

#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using abi::AclDataType;

class SimulatorRulesTest : public SimulatorTest {
 protected:
  SimulatorRulesTest() : from(Upload({1, 2})), to(NewBlock(8)) {}

  abi::OpExecutor* Plan() { return PlanNeg(from, to, 2, &size); }
  int32_t Launch(abi::OpExecutor* executor) {
    return Code(acl.aclnnNeg(Workspace(size), size, executor, stream));
  }
  int32_t Wait() { return Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)); }
  int32_t MatMul(int8_t cube, AclDataType type = AclDataType::kFloat) {
    const auto tensor = [&] { return NewTensor(Upload({1, 2, 3, 4}), {2, 2}, type); };
    abi::OpExecutor* executor = nullptr;
    return Code(
        acl.aclnnMatmulGetWorkspaceSize(tensor(), tensor(), tensor(), cube, &size, &executor));
  }

  void* const from;
  void* const to;
  uint64_t size = 0;
};

TEST_F(SimulatorRulesTest, ExecutorIsUsedOnce) {
  abi::OpExecutor* const executor = Plan();
  EXPECT_EQ(Launch(executor), 0);
  EXPECT_NE(Launch(executor), 0);
  ExpectBroken({"N1"}, "destroyed already");
}

TEST_F(SimulatorRulesTest, ExecutorThatWasNeverUsedIsLive) {
  Plan();
  EXPECT_THAT(SimControl("live"), testing::HasSubstr("executor"));
}

TEST_F(SimulatorRulesTest, ExecutorThatWasNeverUsedCanBeDestroyed) {
  EXPECT_ACL(acl.aclDestroyAclOpExecutor(Plan()));
  ExpectNothingBroken();
}

TEST_F(SimulatorRulesTest, ExecutorOfAnotherOperator) {
  abi::OpExecutor* const executor = Plan();
  EXPECT_NE(Code(acl.aclnnRelu(Workspace(size), size, executor, stream)), 0);
  ExpectBroken({"N1"});
}

TEST_F(SimulatorRulesTest, FailedLaunchUsesTheExecutorUp) {
  SimControl("fail aclnnNeg 1");
  abi::OpExecutor* const executor = Plan();
  EXPECT_EQ(Launch(executor), 361001);
  EXPECT_NE(Launch(executor), 0);
  ExpectBroken({"N1"});
}

TEST_F(SimulatorRulesTest, WorkspaceTooSmallNullOrOfTheHost) {
  EXPECT_EQ(Code(acl.aclnnNeg(Workspace(4096), 64, Plan(), stream)), 161002);
  EXPECT_EQ(Code(acl.aclnnNeg(nullptr, size, Plan(), stream)), 161001);
  std::vector<std::byte> host(size);
  EXPECT_EQ(Code(acl.aclnnNeg(host.data(), size, Plan(), stream)), 161002);
  EXPECT_EQ(Code(acl.aclnnNeg(NewBlock(64), size, Plan(), stream)), 161002);
  ExpectBroken({"N2", "N2", "N2", "M4"});
}

TEST_F(SimulatorRulesTest, WorkspaceIsPoisonAfterwards) {
  EXPECT_EQ(Launch(Plan()), 0);
  EXPECT_EQ(Wait(), 0);
  Download(Workspace(size), 1);
  ExpectBroken({"M1"});
}

TEST_F(SimulatorRulesTest, WorkspaceFreedWhileInUse) {
  SimControl("set mode=lazy");
  EXPECT_EQ(Launch(Plan()), 0);
  EXPECT_ACL(acl.aclrtFree(Workspace(size)));
  ExpectBroken({"M3"});
}

TEST_F(SimulatorRulesTest, OneWorkspaceOnTwoStreams) {
  EXPECT_EQ(Launch(Plan()), 0);
  abi::OpExecutor* const other = PlanNeg(Upload({1}), NewBlock(4), 1, &size);
  EXPECT_ACL(acl.aclnnNeg(Workspace(size), size, other, NewStream()));
  ExpectBroken({"N2"}, "nothing orders");
}

TEST_F(SimulatorRulesTest, Phase2OnAnotherThread) {
  abi::OpExecutor* const executor = Plan();
  void* const workspace = Workspace(size);
  std::thread([&] {
    EXPECT_ACL(acl.aclrtSetDevice(0));
    EXPECT_ACL(acl.aclnnNeg(workspace, size, executor, stream));
  }).join();
  ExpectBroken({"N3"});
}

TEST_F(SimulatorRulesTest, AnotherPhase1InBetween) {
  abi::OpExecutor* const executor = Plan();
  abi::OpExecutor* const other = Plan();
  EXPECT_EQ(Launch(executor), 0);
  EXPECT_ACL(acl.aclDestroyAclOpExecutor(other));
  ExpectBroken({"N3"});
}

TEST_F(SimulatorRulesTest, TensorThatARepeatableExecutorNeeds) {
  abi::Tensor* const in = NewTensor(from, {2});
  abi::OpExecutor* executor = nullptr;
  EXPECT_ACL(acl.aclnnNegGetWorkspaceSize(in, NewTensor(to, {2}), &size, &executor));
  EXPECT_ACL(acl.aclSetAclOpExecutorRepeatable(executor));
  EXPECT_ACL(acl.aclDestroyTensor(in));
  ExpectBroken({"N4"});
}

TEST_F(SimulatorRulesTest, TensorDestroyedBetweenThePhases) {
  abi::Tensor* const in = NewTensor(from, {2});
  abi::OpExecutor* executor = nullptr;
  EXPECT_ACL(acl.aclnnNegGetWorkspaceSize(in, NewTensor(to, {2}), &size, &executor));
  EXPECT_ACL(acl.aclDestroyTensor(in));
  EXPECT_EQ(Launch(executor), 0);
  ExpectBroken({"N5"});
}

TEST_F(SimulatorRulesTest, MemoryFreedBeforeARepeatedLaunch) {
  abi::OpExecutor* const executor = Plan();
  EXPECT_ACL(acl.aclSetAclOpExecutorRepeatable(executor));
  EXPECT_ACL(acl.aclrtFree(to));
  EXPECT_EQ(Launch(executor), 0);
  ExpectBroken({"M3"});
}

TEST_F(SimulatorRulesTest, SomeExecutorsCannotBeRepeated) {
  abi::OpExecutor* executor = nullptr;
  EXPECT_ACL(acl.aclnnInplaceCopyGetWorkspaceSize(NewTensor(to, {2}), NewTensor(from, {2}), &size,
                                                  &executor));
  EXPECT_NE(Code(acl.aclSetAclOpExecutorRepeatable(executor)), 0);
  SimControl("set repeatable=0");
  EXPECT_NE(Code(acl.aclSetAclOpExecutorRepeatable(Plan())), 0);
  ExpectNothingBroken();
}

TEST_F(SimulatorRulesTest, TensorsOutsideTheirBlockOrMisaligned) {
  EXPECT_EQ(NewTensor(from, {3}), nullptr);                               // Block too small.
  EXPECT_EQ(NewView(from, {2}, {2}, 0, 2), nullptr);                      // Storage too small.
  EXPECT_EQ(NewView(from, {1}, {-1}, 0, 2), nullptr);                     // Goes backwards.
  EXPECT_EQ(NewTensor(static_cast<std::byte*>(from) + 4, {1}), nullptr);  // Not aligned.
  float host = 0;
  EXPECT_EQ(NewTensor(&host, {1}), nullptr);
  ExpectBroken({"M4", "N5", "N5", "N5", "N5"});
}

TEST_F(SimulatorRulesTest, ShapesAndTypesMustFit) {
  abi::OpExecutor* executor = nullptr;
  EXPECT_EQ(Code(acl.aclnnNegGetWorkspaceSize(NewTensor(from, {2}), NewTensor(to, {1}), &size,
                                              &executor)),
            161002);
  EXPECT_EQ(Code(acl.aclnnNegGetWorkspaceSize(
                NewTensor(from, {2}), NewTensor(to, {2}, AclDataType::kInt32), &size, &executor)),
            161002);
  ExpectBroken({"N5", "N5"});
}

TEST_F(SimulatorRulesTest, OutputOverlapsAnInput) {
  void* const block = Upload({1, 2, 3});
  abi::OpExecutor* executor = nullptr;
  EXPECT_EQ(Code(acl.aclnnNegGetWorkspaceSize(NewView(block, {2}, {1}, 0, 3),
                                              NewView(block, {2}, {1}, 1, 3), &size, &executor)),
            161002);
  ExpectBroken({"N5"}, "overlap");
}

TEST_F(SimulatorRulesTest, InputThatWasNeverWritten) {
  abi::OpExecutor* const executor = PlanNeg(NewBlock(8), to, 2, &size);
  EXPECT_EQ(Launch(executor), 0);
  EXPECT_EQ(Wait(), 0);
  ExpectBroken({"M1"}, "float32[2]");
}

TEST_F(SimulatorRulesTest, ProductsDiffer) {
  EXPECT_EQ(MatMul(abi::kCubeKeepType), 0);
  EXPECT_EQ(MatMul(abi::kCubeHf32), 0);
  EXPECT_NE(MatMul(1), 0);
  EXPECT_NE(MatMul(abi::kCubeKeepType, AclDataType::kInt32), 0);
  SimControl("set soc=Ascend910A");
  EXPECT_NE(MatMul(abi::kCubeKeepType), 0);  // Not of true float32.
  EXPECT_NE(MatMul(abi::kCubeHf32), 0);
  EXPECT_EQ(MatMul(abi::kCubeFloat16), 0);
  SimControl("set soc=Ascend310P3");
  abi::OpExecutor* executor = nullptr;
  EXPECT_NE(Code(acl.aclnnNegGetWorkspaceSize(NewTensor(from, {2}), NewTensor(to, {2}), &size,
                                              &executor)),
            0);
  SimControl("set soc=Ascend310B1");
  EXPECT_NE(MatMul(abi::kCubeFloat16), 0);
  ExpectBroken({"6", "N5", "6", "6", "6", "6"});
}

}  // namespace
}  // namespace pipeserve::ascend
