// Model and group files with random damage are read or refused with a text, whatever it is.
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "graph/model_file.h"
#include "pipeserve/graph_builder.h"
#include "support/fixtures.h"
#include "support/matchers.h"
#include "support/mutator.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

// Names of primitives and attributes, and numbers that lie at the limits of their encoding.
constexpr std::string_view kTokens[] = {
    "MatMul",
    "REF::MetaFuncGraph::",
    "group",
    "shape",
    "scalar:int",
    std::string_view("\x00", 1),
    "\x7f",
    "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "\xff\xff\xff\xff\x0f",
    "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
};

struct Counts {
  int read = 0;
  int refused = 0;
};

template <typename T>
void Count(const Result<T>& result, Counts* counts) {
  if (result.ok()) {
    ++counts->read;
    return;
  }
  ++counts->refused;
  EXPECT_NE(result.status().message(), "");
  EXPECT_NE(result.status().code(), StatusCode::kInternal) << result.status();
}

// Every operator that can be written, each with something to get wrong.
std::string SeedModel(const TestFolder& folder) {
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", DataType::kFloat32, Shape{2, 4});
  const auto w = *builder.Parameter("w", Tensor(DataType::kFloat32, Shape{4, 4}));
  const auto bias = *builder.Parameter("bias", Tensor(DataType::kFloat32, Shape{4}));
  auto value = *builder.BiasAdd(*builder.MatMul(x, w), bias);
  value = *builder.Neg(*builder.ReLU(*builder.Mul(*builder.Sub(*builder.Add(value, x), x), x)));
  const auto parts = *builder.Split(value, 1, 2);
  value = *builder.Concat(parts, 0);
  constexpr int64_t kPerm[] = {1, 0}, kDims[] = {4, 2}, kBegin[] = {0, 0}, kStrides[] = {1, 1};
  value = *builder.Reshape(*builder.Transpose(value, kPerm), kDims);
  EXPECT_OK(builder.Output(*builder.StridedSlice(value, kBegin, kDims, kStrides)));
  EXPECT_OK(builder.Save(folder.File("net.mindir")));
  return FileBytes(folder.File("net.mindir"));
}

Result<Graph> Parse(const std::string& bytes) {
  Buffer buffer = Buffer::Allocate(bytes.size());
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(buffer.mutable_data()));
  return ParseMindir(std::move(buffer), "net.mindir");
}

void ThrowDamagedModels(const std::string& seed, int count) {
  const google::protobuf::LogSilencer silencer;
  ASSERT_OK(Parse(seed));
  Mutator mutator(kTokens);
  Counts counts;
  for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
    const std::string bytes = mutator.Mutate(seed);
    Count(Parse(bytes), &counts);
  }
  EXPECT_GT(counts.read, count / 100);
  EXPECT_GT(counts.refused, count / 100);
}

TEST(DamagedFilesTest, DamagedModelsAreReadOrRefusedWithAText) {
  const TestFolder folder;
  ThrowDamagedModels(SeedModel(folder), DamagedInputs(10'000));
}

TEST(DamagedFilesTest, DamagedModelsOfMindSporeAreReadOrRefusedWithAText) {
  SKIP_WITHOUT_SHARED_FILES();
  for (const char* file : {"mindir/v1.3/consts.mindir", "mindir/v2.10/consts.mindir"}) {
    SCOPED_TRACE(file);
    ThrowDamagedModels(FileBytes(SharedFile(file)), DamagedInputs(3'000));
  }
}

TEST(DamagedFilesTest, DamagedGroupFilesAreReadOrRefusedWithAText) {
  const google::protobuf::LogSilencer silencer;
  const TestFolder folder;
  ASSERT_OK(WriteGroupFile(folder.File("seed.pb"), {{"a", {0, 1, 2}}, {"b", {1, 3}}}));
  const std::string seed = FileBytes(folder.File("seed.pb"));
  Mutator mutator(kTokens);
  Counts counts;
  const int count = DamagedInputs(5'000);
  for (int i = 0; i < count && !HasFailure(); ++i) {
    Count(ReadGroupFile(folder.Write("group.pb", mutator.Mutate(seed))), &counts);
  }
  EXPECT_GT(counts.read, count / 100);
  EXPECT_GT(counts.refused, count / 100);
}

}  // namespace
}  // namespace pipeserve
