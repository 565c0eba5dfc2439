#include "pipeserve/model.h"

#include "graph/model_file.h"
#include "support/fixtures.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

ModelOptions WithThreads(int threads) {
  ModelOptions options;
  options.threads = threads;
  return options;
}
ModelOptions WithKey(const std::string& mode, const std::string& key = "0123456789ABCDEF") {
  ModelOptions options;
  options.decryption_key = key;
  options.decryption_mode = mode;
  return options;
}

class ModelTest : public testing::Test {
 protected:
  // y = Neg(x) for x float32[?,2].
  void SetUp() override {
    TestGraph graph;
    const ValueId x = graph.Input({Shape::kUnknownDim, 2});
    ASSERT_OK(
        WriteMindir(graph.Return({graph.Node(OpType::kNeg, {x}, {Shape::kUnknownDim, 2})}), file_));
  }

  TestFolder folder_;
  const std::string file_ = folder_.path() / "neg.mindir";
};

TEST_F(ModelTest, TellsWhatItTakesAndGives) {
  const auto model = Model::Load(file_);
  ASSERT_OK(model);
  ASSERT_EQ((*model)->inputs().size(), 1u);
  EXPECT_EQ((*model)->inputs()[0].ToString(), "float32[?,2]");
  ASSERT_EQ((*model)->outputs().size(), 1u);
  EXPECT_EQ((*model)->outputs()[0].ToString(), "float32[?,2]");
}

TEST_F(ModelTest, Runs) {
  const auto model = Model::Load(file_, WithThreads(2));
  ASSERT_OK(model);
  const std::vector<Tensor> inputs = {Tensor::Of<float>({1, 2}, {3, -4})};
  const auto outputs = (*model)->Run(inputs);
  ASSERT_OK(outputs);
  EXPECT_EQ(Floats((*outputs)[0]), (std::vector<float>{-3, 4}));
}

TEST_F(ModelTest, RefusesInputsThatDoNotFit) {
  const auto model = Model::Load(file_);
  ASSERT_OK(model);
  EXPECT_ERROR((*model)->Run({}), kInvalidArgument, "Given model inputs size 0");
  const std::vector<Tensor> wide = {Tensor(DataType::kFloat32, {1, 3})};
  EXPECT_ERROR((*model)->Run(wide), kInvalidArgument, "shape [1,3] not match");
}

TEST_F(ModelTest, RefusesFilesAndOptionsByName) {
  EXPECT_ERROR(Model::Load(folder_.path() / "none.mindir"), kNotFound, "none.mindir");
  EXPECT_ERROR(Model::Load(folder_.Write("bad.mindir", "no model")), kInvalidArgument,
               "bad.mindir");
  EXPECT_ERROR(Model::Load(file_, WithThreads(0)), kInvalidArgument, "neg.mindir: threads is 0");
  EXPECT_ERROR(Model::Load(file_, WithKey("ROT13")), kInvalidArgument,
               "decryption_mode is \"ROT13\"");
}

TEST_F(ModelTest, DecryptsWithTheRightKeyOnly) {
  SKIP_WITHOUT_SHARED_FILES();
  const std::string gcm = SharedFile("mindir/variants/v2.10/enc_gcm.mindir");
  const std::string cbc = SharedFile("mindir/variants/v2.10/enc_cbc.mindir");
  EXPECT_OK(Model::Load(gcm, WithKey("AES-GCM")));
  EXPECT_OK(Model::Load(cbc, WithKey("AES-CBC")));
  EXPECT_ERROR(Model::Load(gcm), kInvalidArgument, "no key was given");
  EXPECT_ERROR(Model::Load(cbc, WithKey("AES-GCM")), kInvalidArgument, "AES-CBC");
  EXPECT_ERROR(Model::Load(gcm, WithKey("AES-GCM", "0123456789ABCDEX")), kInvalidArgument,
               "the key");
}

}  // namespace
}  // namespace pipeserve
