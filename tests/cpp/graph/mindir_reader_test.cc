// Every model file of the shared folder, whole, cut, damaged, encrypted and split.
#include <cstdlib>
#include <random>
#include <span>

#include "graph/model_file.h"
#include "graph/shape_inference.h"
#include "mindir.pb.h"
#include "support/fixtures.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> Describe(std::span<const TensorInfo> infos) {
  std::vector<std::string> texts;
  for (const TensorInfo& info : infos) texts.push_back(info.ToString());
  return texts;
}

// "float32[4,3] -> float32[4,2]".
std::string Signature(const Graph& graph) {
  const GraphSignature signature = SignatureOf(graph);
  std::string text;
  for (const std::string& input : Describe(signature.inputs)) text += input + " ";
  text += "->";
  for (const std::string& output : Describe(signature.outputs)) text += " " + output;
  return text;
}

std::vector<std::string> Operators(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.emplace_back(OpTypeName(node.op));
  return names;
}

// What the reader promises of any graph that it returns.
void ExpectSound(const Graph& graph, int rank_size) {
  const Result<std::vector<TensorInfo>> infos =
      InferShapes(graph, SignatureOf(graph).inputs, rank_size);
  ASSERT_OK(infos);
  for (size_t i = 0; i < infos->size(); ++i) EXPECT_EQ((*infos)[i], graph.values[i].info);
}

class MindirReaderTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }

  TestFolder folder_;
};

struct Fixture {
  const char* file;
  const char* expected;  // A signature, or the operator that is not supported.
};

TEST_F(MindirReaderTest, ReadsWholeGraphs) {
  const char* const kSpec = "float32[128,96] -> float32[128,16]";
  const Fixture fixtures[] = {
      {"v1.3/consts", "float32[12] -> float32[2,3]"},
      {"v1.3/matmul_0", kSpec},
      {"v1.3/matmul_1", kSpec},
      {"v1.3/matmul_ta", "float32[96,128] -> float32[128,16]"},
      {"v1.3/mlp", "float32[16,32] -> float32[16,8]"},
      {"v1.3/two_in_two_out", "float32[4,6] float32[4,6] -> float32[4,5] float32[4,6]"},
      {"v2.10/add_relu", kSpec},
      {"v2.10/bias_relu", kSpec},
      {"v2.10/consts", "float32[12] -> float32[2,3]"},
      {"v2.10/matmul_0", kSpec},
      {"v2.10/matmul_1", kSpec},
      {"v2.10/matmul_dynamic", "float32[?,96] -> float32[?,16]"},
      {"v2.10/matmul_dynrank2", "float32[?,?] -> float32[?,16]"},
      {"v2.10/matmul_fp16", "float16[128,96] -> float16[128,16]"},
      {"v2.10/matmul_rand", kSpec},
      {"v2.10/matmul_small", "float32[4,3] -> float32[4,2]"},
      {"v2.10/matmul_ta", "float32[96,128] -> float32[128,16]"},
      {"v2.10/matmul_ta_tb", "float32[96,128] -> float32[128,16]"},
      {"v2.10/matmul_tb", kSpec},
      {"v2.10/mlp", "float32[16,32] -> float32[16,8]"},
      {"v2.10/mlp_shard", kSpec},
      {"v2.10/two_in_two_out", "float32[4,6] float32[4,6] -> float32[4,5] float32[4,6]"},
  };
  for (const Fixture& fixture : fixtures) {
    SCOPED_TRACE(fixture.file);
    const auto graph = ReadMindir(SharedFile(std::string("mindir/") + fixture.file + ".mindir"));
    ASSERT_OK(graph);
    EXPECT_EQ(Signature(*graph), fixture.expected);
    ExpectSound(*graph, 1);
  }
}

TEST_F(MindirReaderTest, NamesTheOperatorThatIsNotSupported) {
  const Fixture fixtures[] = {
      {"v2.10/branch", "operator Greater is"},
      {"v2.10/counter", "operator AssignAdd is"},
      {"v2.10/decoder_nn", "operator LayerNorm is"},
      {"v2.10/decoder_prims", "operator LayerNorm is"},
      {"v2.10/kv_init", "operator Tanh is"},
      {"v2.10/kv_step", "operator Softmax is"},
  };
  for (const Fixture& fixture : fixtures) {
    SCOPED_TRACE(fixture.file);
    EXPECT_ERROR(ReadMindir(SharedFile(std::string("mindir/") + fixture.file + ".mindir")),
                 kUnimplemented, fixture.expected);
  }
}

TEST_F(MindirReaderTest, FindsTransposeFlagsInBothEncodings) {
  for (const char* file : {"mindir/v1.3/matmul_ta.mindir", "mindir/v2.10/matmul_ta.mindir"}) {
    const auto graph = ReadMindir(SharedFile(file));
    ASSERT_OK(graph);
    EXPECT_THAT(Operators(*graph), ElementsAre("MatMul", "Neg"));
    const auto& attributes = std::get<MatMulAttributes>(graph->nodes[0].attributes);
    EXPECT_TRUE(attributes.transpose_a);
    EXPECT_FALSE(attributes.transpose_b);
  }
}

TEST_F(MindirReaderTest, ReadsTheWeightsOfTheSpecification) {
  for (const char* file : {"mindir/v1.3/matmul_1.mindir", "mindir/v2.10/matmul_1.mindir"}) {
    const auto graph = ReadMindir(SharedFile(file));
    ASSERT_OK(graph);
    ASSERT_EQ(graph->constants.size(), 1u);
    const Tensor& weight = graph->constants.begin()->second;
    EXPECT_EQ(weight.ToString(), "float32[96,16]");
    for (int i = 0; i < 96 * 16; ++i) EXPECT_EQ(weight.data_as<float>()[i], 1.5f);
  }
}

TEST_F(MindirReaderTest, KnownInputsResolveUnknownDimensions) {
  const auto graph = ReadMindir(SharedFile("mindir/v2.10/matmul_dynrank2.mindir"));
  ASSERT_OK(graph);
  const std::vector<TensorInfo> inputs = {{"x", DataType::kFloat32, {5, 96}}};
  const auto infos = InferShapes(*graph, inputs, 1);
  ASSERT_OK(infos);
  EXPECT_EQ((*infos)[static_cast<size_t>(graph->outputs[0])].ToString(), "float32[5,16]");
  const std::vector<TensorInfo> wrong = {{"x", DataType::kFloat32, {5, 95}}};
  EXPECT_ERROR(InferShapes(*graph, wrong, 1), kInvalidArgument, "[5,95]");
}

struct ShardedFixture {
  const char* folder;
  const char* model;
  int rank_size;
};
constexpr ShardedFixture kSharded[] = {
    {"v1.3-nccl/seed_8", "matmul_0", 8},    {"v1.3-nccl/seed_8", "matmul_1", 8},
    {"v1.3-nccl/row_8", "matmul_rand", 8},  {"v2.10-hccl/seed_8", "matmul_0", 8},
    {"v2.10-hccl/seed_8", "matmul_1", 8},   {"v2.10-hccl/col_8", "matmul_rand", 8},
    {"v2.10-hccl/mix_4", "matmul_rand", 4},
};

std::filesystem::path RankFolder(const ShardedFixture& fixture, int rank) {
  return SharedFile("mindir/sharded") / fixture.folder / ("device" + std::to_string(rank));
}

TEST_F(MindirReaderTest, ReadsEveryRankOfShardedGraphs) {
  for (const ShardedFixture& fixture : kSharded) {
    for (int rank = 0; rank < fixture.rank_size; ++rank) {
      const std::filesystem::path folder = RankFolder(fixture, rank);
      SCOPED_TRACE(folder);
      const auto groups = ReadGroupFile(folder / "group_config.pb");
      ASSERT_OK(groups);
      const auto graph = ReadMindir(folder / (std::string(fixture.model) + ".mindir"),
                                    {std::nullopt, *groups, fixture.rank_size});
      ASSERT_OK(graph);
      EXPECT_EQ(Signature(*graph), "float32[128,96] -> float32[128,16]");
      ExpectSound(*graph, fixture.rank_size);
    }
  }
}

TEST_F(MindirReaderTest, ResolvesGroupsOfARank) {
  const std::filesystem::path folder = RankFolder(kSharded[6], 3);
  const auto groups = ReadGroupFile(folder / "group_config.pb");
  ASSERT_OK(groups);
  const auto graph = ReadMindir(folder / "matmul_rand.mindir", {std::nullopt, *groups, 4});
  ASSERT_OK(graph);
  ASSERT_THAT(Operators(*graph), ElementsAre("StridedSlice", "StridedSlice", "MatMul", "AllReduce",
                                             "StridedSlice", "Neg", "AllGather"));
  EXPECT_THAT(std::get<CollectiveAttributes>(graph->nodes[3].attributes).ranks, ElementsAre(2, 3));
  const auto& world = std::get<CollectiveAttributes>(graph->nodes[6].attributes);
  EXPECT_EQ(world.group, "hccl_world_group");
  EXPECT_THAT(world.ranks, ElementsAre());
}

TEST_F(MindirReaderTest, RefusesAnotherNumberOfRanks) {
  EXPECT_ERROR(ReadMindir(RankFolder(kSharded[0], 0) / "matmul_0.mindir"), kInvalidArgument,
               "graph wants 8");
}

TEST_F(MindirReaderTest, RefusesAGroupFileThatContradictsTheModel) {
  ReadOptions options;
  options.rank_size = 4;
  options.groups["2-3358271254418797552"] = {0, 1};
  EXPECT_ERROR(ReadMindir(RankFolder(kSharded[6], 3) / "matmul_rand.mindir", options),
               kInvalidArgument, "2-3 by the model and 0-1");
}

constexpr char kKey[] = "0123456789ABCDEF";

TEST_F(MindirReaderTest, DecryptsEveryMode) {
  struct Encrypted {
    const char* file;
    DecryptMode mode;
    const char* other;  // What is said when the other mode is asked for.
  };
  const Encrypted files[] = {
      {"mindir/variants/v1.3/enc_gcm.mindir", DecryptMode::kAesGcm, "cannot be decrypted"},
      {"mindir/variants/v2.10/enc_gcm.mindir", DecryptMode::kAesGcm, "is encrypted with AES-GCM"},
      {"mindir/variants/v2.10/enc_cbc.mindir", DecryptMode::kAesCbc, "is encrypted with AES-CBC"},
  };
  for (const auto& [file, mode, refusal] : files) {
    SCOPED_TRACE(file);
    const auto graph = ReadMindir(SharedFile(file), {Decryption{kKey, mode}, {}, 1});
    ASSERT_OK(graph);
    EXPECT_EQ(Signature(*graph), "float32[4,3] -> float32[4,2]");
    EXPECT_ERROR(ReadMindir(SharedFile(file)), kInvalidArgument, "no key was given");
    EXPECT_ERROR(ReadMindir(SharedFile(file), {Decryption{"0123456789ABCDEX", mode}, {}, 1}),
                 kInvalidArgument, "the key");
    EXPECT_ERROR(ReadMindir(SharedFile(file), {Decryption{"short", mode}, {}, 1}), kInvalidArgument,
                 "the key has 5 bytes");
    const DecryptMode other =
        mode == DecryptMode::kAesGcm ? DecryptMode::kAesCbc : DecryptMode::kAesGcm;
    EXPECT_ERROR(ReadMindir(SharedFile(file), {Decryption{kKey, other}, {}, 1}), kInvalidArgument,
                 refusal);
  }
}

TEST_F(MindirReaderTest, ReadsSplitWeightsOfBothReleases) {
  const auto split = ReadMindir(SharedFile("mindir/variants/v2.10/split_graph.mindir"));
  ASSERT_OK(split);
  ASSERT_EQ(split->constants.size(), 1u);
  EXPECT_FLOAT_EQ(split->constants.begin()->second.data_as<float>()[1], 1.1134658f);

  // 1.x: the same weights as a graph that has only parameters.
  mindir::ModelProto model;
  ASSERT_TRUE(model.ParseFromString(FileBytes(SharedFile("mindir/v1.3/mlp.mindir"))));
  mindir::GraphProto variables;
  variables.mutable_parameter()->Swap(model.mutable_graph()->mutable_parameter());
  const auto file = folder_.Write("mlp_graph.mindir", model.SerializeAsString());
  EXPECT_ERROR(ReadMindir(file), kNotFound, "mlp_variables/data_0");
  folder_.Write("mlp_variables/data_0", variables.SerializeAsString());
  ASSERT_OK(ReadMindir(file));
}

// A copy of the split model of 2.10 whose only weight is described by `change`.
class SplitModel {
 public:
  explicit SplitModel(const TestFolder& folder) : folder_(folder) {
    EXPECT_TRUE(
        model_.ParseFromString(FileBytes(SharedFile("mindir/variants/v2.10/split_graph.mindir"))));
    folder.Write("split_variables/data_0",
                 FileBytes(SharedFile("mindir/variants/v2.10/split_variables/data_0")));
  }
  mindir::TensorProto::ExternalData& data() {
    return *model_.mutable_graph()->mutable_parameter(0)->mutable_external_data();
  }
  Result<Graph> Read() {
    return ReadMindir(folder_.Write("split_graph.mindir", model_.SerializeAsString()));
  }

 private:
  const TestFolder& folder_;
  mindir::ModelProto model_;
};

TEST_F(MindirReaderTest, RefusesWeightsOutsideTheirFileOrFolder) {
  SplitModel model(folder_);
  ASSERT_OK(model.Read());
  const auto original = model.data();
  for (const char* location : {"../split_variables/data_0", "/etc/hostname", "", "a/../../b"}) {
    model.data().set_location(location);
    EXPECT_ERROR(model.Read(), kInvalidArgument, "below the model's folder");
  }
  model.data().set_location("split_variables/data_1");
  EXPECT_ERROR(model.Read(), kNotFound, "split_variables/data_1");
  const std::pair<int64_t, int64_t> ranges[] = {
      {-64, 24}, {64, -24}, {105, 24}, {INT64_MAX, 24}, {64, INT64_MAX}, {INT64_MIN, INT64_MIN}};
  for (const auto& [offset, length] : ranges) {
    model.data() = original;
    model.data().set_offset(offset);
    model.data().set_length(length);
    EXPECT_ERROR(model.Read(), kInvalidArgument, "its weights file has 128");
  }
  model.data() = original;
  model.data().set_length(20);
  EXPECT_ERROR(model.Read(), kInvalidArgument, "takes 24 bytes");
  folder_.Write("split_variables/data_0", "");
  EXPECT_ERROR(model.Read(), kInvalidArgument, "damaged");
}

// Changes to the message of matmul_small, each of which must be refused.
TEST_F(MindirReaderTest, RefusesContradictions) {
  const auto refused = [&](auto change) {
    mindir::ModelProto model;
    EXPECT_TRUE(model.ParseFromString(FileBytes(SharedFile("mindir/v2.10/matmul_small.mindir"))));
    change(model);
    return ReadMindir(folder_.Write("changed.mindir", model.SerializeAsString()));
  };
  EXPECT_ERROR(refused([](auto& m) { m.clear_primitives(); }), kInvalidArgument,
               "REF::Load:2 is not in the file's table");
  EXPECT_ERROR(refused([](auto& m) { m.clear_graph(); }), kInvalidArgument, "no graph");
  EXPECT_ERROR(refused([](auto& m) { m.set_little_endian(false); }), kUnimplemented, "big-endian");
  EXPECT_ERROR(refused([](auto& m) { m.mutable_graph()->clear_parameter(); }), kInvalidArgument,
               "nothing defines edge 45_43___main___Net_construct_68:matmul_weight");
  EXPECT_ERROR(refused([](auto& m) { m.mutable_graph()->clear_output(); }), kInvalidArgument,
               "0 outputs");
  EXPECT_ERROR(refused([](auto& m) {
                 m.mutable_graph()->mutable_output(0)->mutable_tensor(0)->set_dims(0, 5);
               }),
               kInvalidArgument, "computes float32[4,2], it declares float32[5,2]");
  const auto weight = [](auto& m) -> mindir::TensorProto& {
    return *m.mutable_graph()->mutable_parameter(0);
  };
  EXPECT_ERROR(refused([&](auto& m) { weight(m).clear_raw_data(); }), kInvalidArgument,
               "takes 24 bytes, 0 came");
  EXPECT_ERROR(refused([&](auto& m) { weight(m).set_dims(0, int64_t{1} << 62); }), kInvalidArgument,
               "bytes, 24 came");
  EXPECT_ERROR(refused([&](auto& m) { weight(m).set_dims(0, -1); }), kInvalidArgument, "24 came");
  EXPECT_ERROR(refused([&](auto& m) { weight(m).set_data_type(16); }), kUnimplemented, "BFLOAT16");
  EXPECT_ERROR(refused([&](auto& m) { weight(m).set_data_type(99); }), kUnimplemented, "number 99");
  EXPECT_ERROR(refused([](auto& m) {
                 auto& shape = *m.mutable_graph()->mutable_input(0)->mutable_tensor(0);
                 shape.clear_dims();
                 shape.add_dims(-2);
               }),
               kUnimplemented, "unknown number of dimensions (-2)");
  EXPECT_ERROR(refused([](auto& m) {
                 m.mutable_graph()->mutable_node(1)->set_output(0, m.graph().input(0).name());
               }),
               kInvalidArgument, "is defined twice");
}

TEST_F(MindirReaderTest, RefusesWhatIsNoModel) {
  EXPECT_ERROR(ReadMindir(folder_.path() / "none.mindir"), kNotFound, "none.mindir");
  EXPECT_ERROR(ReadMindir(folder_.path() / "x.om"), kUnimplemented, "was compiled for Ascend");
  EXPECT_ERROR(ReadMindir(folder_.path()), kNotFound, "no such file");
  EXPECT_ERROR(ReadMindir(folder_.Write("empty.mindir", "")), kInvalidArgument, "is empty");
  EXPECT_ERROR(ReadMindir(folder_.Write("text.mindir", "hello")), kInvalidArgument, "text.mindir");
}

TEST_F(MindirReaderTest, RefusesBombs) {
  // A literal nested far deeper than any parser may recurse.
  std::string nested;
  for (int i = 0; i < 20000; ++i) {
    std::string length;
    for (size_t n = nested.size(); length.empty() || n > 0; n >>= 7) {
      length += static_cast<char>((n & 0x7F) | (n >= 0x80 ? 0x80 : 0));
    }
    nested = "\x8A\x01" + length + nested;  // AttributeProto.values, field 17.
    if (nested.size() > 60000) break;
  }
  mindir::GraphProto graph;
  graph.set_name(nested);
  std::string bytes = graph.SerializeAsString();
  bytes[0] = static_cast<char>(8 << 3 | 2);  // GraphProto.attribute instead of its name.
  mindir::ModelProto outer;
  outer.set_ir_version(bytes);
  std::string whole = outer.SerializeAsString();
  whole[0] = static_cast<char>(7 << 3 | 2);  // ModelProto.graph instead of its version.
  EXPECT_ERROR(ReadMindir(folder_.Write("deep.mindir", whole)), kInvalidArgument, "damaged");
  // A length of 2 GiB that the file does not have.
  EXPECT_ERROR(ReadMindir(folder_.Write("long.mindir", "\x0A\xFF\xFF\xFF\xFF\x07x")),
               kInvalidArgument, "damaged");
}

TEST_F(MindirReaderTest, NestedTuplesDoNotGrow) {
  mindir::ModelProto model;
  mindir::GraphProto& graph = *model.mutable_graph();
  auto& input = *graph.add_input();
  input.set_name("x");
  input.add_tensor()->set_data_type(mindir::TensorProto::FLOAT);
  std::string last = "x";
  for (int i = 0; i < 64; ++i) {  // Two to the 64 leaves, were they written out.
    mindir::NodeProto& node = *graph.add_node();
    node.set_op_type("MakeTuple");
    node.add_input(last);
    node.add_input(last);
    last = "t" + std::to_string(i);
    node.add_output(last);
  }
  graph.add_output()->set_name(last);
  EXPECT_ERROR(ReadMindir(folder_.Write("tuples.mindir", model.SerializeAsString())),
               kInvalidArgument, "is no tensor");
}

struct HostileFixture {
  const char* file;
  ReadOptions options;
};
std::vector<HostileFixture> HostileFixtures() {
  return {
      {"mindir/v2.10/matmul_small.mindir", {}},
      {"mindir/v1.3/two_in_two_out.mindir", {}},
      {"mindir/v2.10/two_in_two_out.mindir", {}},
      {"mindir/v1.3/consts.mindir", {}},
      {"mindir/v2.10/branch.mindir", {}},
      {"mindir/sharded/v1.3-nccl/row_8/device1/matmul_rand.mindir", {std::nullopt, {}, 8}},
      {"mindir/sharded/v2.10-hccl/mix_4/device3/matmul_rand.mindir", {std::nullopt, {}, 4}},
      {"mindir/variants/v1.3/enc_gcm.mindir", {Decryption{kKey, DecryptMode::kAesGcm}, {}, 1}},
      {"mindir/variants/v2.10/enc_gcm.mindir", {Decryption{kKey, DecryptMode::kAesGcm}, {}, 1}},
      {"mindir/variants/v2.10/enc_cbc.mindir", {Decryption{kKey, DecryptMode::kAesCbc}, {}, 1}},
      {"mindir/variants/v2.10/split_graph.mindir", {}},
  };
}

// The model of a hostile fixture with other bytes. They never are a file, which would take most of
// the time, but split weights lie beside where it would be.
class HostileReader {
 public:
  HostileReader(const TestFolder& folder, const HostileFixture& fixture)
      : file_(folder.path() / "hostile.mindir"), options_(fixture.options) {
    folder.Write("split_variables/data_0",
                 FileBytes(SharedFile("mindir/variants/v2.10/split_variables/data_0")));
  }
  // Whether the bytes are a model, which then is sound; if not, the message names the file.
  bool Accepts(std::string_view bytes) const {
    const Result<Graph> graph =
        ParseMindir(Buffer::CopyOf(std::as_bytes(std::span(bytes))), file_, options_);
    if (graph.ok()) {
      ExpectSound(*graph, options_.rank_size);
    } else if (graph.status().message().find("hostile.mindir") == std::string::npos) {
      ADD_FAILURE() << graph.status();
    }
    return graph.ok();
  }

 private:
  const std::filesystem::path file_;
  const ReadOptions& options_;
};

TEST_F(MindirReaderTest, SurvivesTruncationAtEveryByte) {
  for (const HostileFixture& fixture : HostileFixtures()) {
    SCOPED_TRACE(fixture.file);
    const std::string whole = FileBytes(SharedFile(fixture.file));
    const HostileReader reader(folder_, fixture);
    size_t accepted = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
      if (reader.Accepts(std::string_view(whole).substr(0, size))) ++accepted;
    }
    // Only cuts between the last fields of the model leave something whole.
    EXPECT_LT(accepted, 20u);
  }
}

// How many damaged copies of each file are read; PIPESERVE_FLIP_ROUNDS asks for more.
int FlipRounds() {
  constexpr int kDefault = 300;
  const char* rounds = std::getenv("PIPESERVE_FLIP_ROUNDS");
  return rounds == nullptr ? kDefault : std::atoi(rounds);
}

TEST_F(MindirReaderTest, SurvivesFlippedBytes) {
  std::mt19937 random(20261124);
  for (const HostileFixture& fixture : HostileFixtures()) {
    SCOPED_TRACE(fixture.file);
    const std::string whole = FileBytes(SharedFile(fixture.file));
    const HostileReader reader(folder_, fixture);
    for (int round = 0; round < FlipRounds(); ++round) {
      std::string damaged = whole;
      for (size_t flips = 1 + random() % 3; flips > 0; --flips) {
        damaged[random() % damaged.size()] = static_cast<char>(random());
      }
      reader.Accepts(damaged);
    }
  }
}

}  // namespace
}  // namespace pipeserve
