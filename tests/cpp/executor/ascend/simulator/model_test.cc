// Offline models.
#include <fstream>

#include "executor/ascend/simulator/fixture.h"

namespace pipeserve::ascend {
namespace {

using testing::ElementsAre;

class SimulatorModelTest : public SimulatorTest {
 protected:
  static std::string Write(const std::string& text) {
    const std::string path = testing::TempDir() + "ascend_sim_model.om";
    std::ofstream(path) << text;
    return path;
  }
  uint32_t LoadNeg() {
    uint32_t id = 0;
    EXPECT_ACL(acl.aclmdlLoadFromFile(
        Write("pipeserve-sim-model\ninput x float32 2,1\noutput z float32 2,1\nneg x z\n").c_str(),
        &id));
    return id;
  }
  abi::Dataset* NewDataset(std::vector<std::pair<void*, size_t>> buffers) {
    abi::Dataset* const dataset = acl.aclmdlCreateDataset();
    for (const auto& [address, size] : buffers) {
      EXPECT_ACL(acl.aclmdlAddDatasetBuffer(dataset, acl.aclCreateDataBuffer(address, size)));
    }
    return dataset;
  }
  int32_t Execute(uint32_t id, abi::Dataset* in, abi::Dataset* out) {
    return Code(acl.aclmdlExecuteAsync(id, in, out, stream));
  }
  int32_t Wait() { return Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)); }
};

TEST_F(SimulatorModelTest, MatMulModelIsDescribedAndRuns) {
  uint32_t id = 0;
  ASSERT_ACL(acl.aclmdlLoadFromFile(Write("pipeserve-sim-model\ninput x float32 1,2\n"
                                          "input y float32 2,1\noutput z float32 1,1\n"
                                          "matmul x y z\n")
                                        .c_str(),
                                    &id));
  abi::ModelDesc* const desc = acl.aclmdlCreateDesc();
  EXPECT_ACL(acl.aclmdlGetDesc(desc, id));
  EXPECT_EQ(acl.aclmdlGetNumInputs(desc), 2U);
  EXPECT_EQ(acl.aclmdlGetNumOutputs(desc), 1U);
  EXPECT_EQ(acl.aclmdlGetInputSizeByIndex(desc, 1), 8U);
  EXPECT_EQ(acl.aclmdlGetOutputDataType(desc, 0), abi::AclDataType::kFloat);
  EXPECT_STREQ(acl.aclmdlGetOutputNameByIndex(desc, 0), "z");
  abi::ModelDims dims = {};
  EXPECT_ACL(acl.aclmdlGetInputDims(desc, 1, &dims));
  EXPECT_THAT(std::vector<int64_t>(dims.dims, dims.dims + dims.count), ElementsAre(2, 1));
  void* const out = NewBlock(4);
  EXPECT_EQ(
      Execute(id, NewDataset({{Upload({1, 2}), 8}, {Upload({3, 4}), 8}}), NewDataset({{out, 4}})),
      0);
  EXPECT_EQ(Wait(), 0);
  EXPECT_THAT(Download(out, 1), ElementsAre(11));
  EXPECT_ACL(acl.aclmdlUnload(id));
  ExpectNothingBroken();
}

TEST_F(SimulatorModelTest, WhatIsNoModel) {
  uint32_t id = 0;
  EXPECT_EQ(Code(acl.aclmdlLoadFromFile(Write("hello\n").c_str(), &id)), 100003);
  EXPECT_EQ(Code(acl.aclmdlLoadFromFile("/nowhere.om", &id)), 100003);
}

TEST_F(SimulatorModelTest, DynamicShapeHasNoSize) {
  uint32_t id = 0;
  ASSERT_ACL(acl.aclmdlLoadFromFile(Write("pipeserve-sim-model\ninput x float32 -1,1\n"
                                          "output z float32 -1,1\nneg x z\n")
                                        .c_str(),
                                    &id));
  abi::ModelDesc* const desc = acl.aclmdlCreateDesc();
  EXPECT_ACL(acl.aclmdlGetDesc(desc, id));
  EXPECT_EQ(acl.aclmdlGetInputSizeByIndex(desc, 0), 0U);
}

TEST_F(SimulatorModelTest, OneModelTwiceAtOnce) {
  SimControl("set mode=lazy");
  const uint32_t id = LoadNeg();
  EXPECT_EQ(Execute(id, NewDataset({{Upload({1, 2}), 8}}), NewDataset({{NewBlock(8), 8}})), 0);
  stream = NewStream();
  EXPECT_EQ(Execute(id, NewDataset({{Upload({1, 2}), 8}}), NewDataset({{NewBlock(8), 8}})), 0);
  EXPECT_ACL(acl.aclmdlUnload(id));
  ExpectBroken({"O1", "O1"});
}

TEST_F(SimulatorModelTest, AnotherContextThanAtLoad) {
  const uint32_t id = LoadNeg();
  abi::Context* context = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&context, 0));
  EXPECT_ACL(acl.aclmdlUnload(id));
  ExpectBroken({"O1"});
}

TEST_F(SimulatorModelTest, ContextDestroyedWithItsModel) {
  abi::Context* context = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&context, 0));
  LoadNeg();
  EXPECT_ACL(acl.aclrtDestroyContext(context));
  ExpectBroken({"P5"}, "model");
}

TEST_F(SimulatorModelTest, DatasetOfTheWrongCountOrOfTheHost) {
  const uint32_t id = LoadNeg();
  EXPECT_NE(Execute(id, NewDataset({}), NewDataset({{NewBlock(8), 8}})), 0);
  float host[2] = {};
  EXPECT_NE(Execute(id, NewDataset({{host, 8}}), NewDataset({{NewBlock(8), 8}})), 0);
  ExpectBroken({"O2", "O2"});
}

TEST_F(SimulatorModelTest, DatasetDestroyedWhileTheModelRuns) {
  SimControl("set mode=lazy");
  abi::Dataset* const in = NewDataset({{Upload({1, 2}), 8}});
  EXPECT_EQ(Execute(LoadNeg(), in, NewDataset({{NewBlock(8), 8}})), 0);
  EXPECT_ACL(acl.aclmdlDestroyDataset(in));
  ExpectBroken({"O2"});
}

TEST_F(SimulatorModelTest, BufferOfAnotherSize) {
  EXPECT_NE(Execute(LoadNeg(), NewDataset({{Upload({1}), 4}}), NewDataset({{NewBlock(8), 8}})), 0);
  ExpectBroken({"O3"});
}

TEST_F(SimulatorModelTest, DatasetLeavesItsBuffersAlone) {
  abi::DataBuffer* const buffer = acl.aclCreateDataBuffer(NewBlock(4), 4);
  abi::Dataset* const dataset = acl.aclmdlCreateDataset();
  EXPECT_ACL(acl.aclmdlAddDatasetBuffer(dataset, buffer));
  EXPECT_ACL(acl.aclmdlDestroyDataset(dataset));
  EXPECT_THAT(SimControl("live"), testing::HasSubstr("a data buffer"));
  EXPECT_ACL(acl.aclDestroyDataBuffer(buffer));
  ExpectNothingBroken();
}

}  // namespace
}  // namespace pipeserve::ascend
