// Model files of the shared folder give the values that are stored beside them.
#include "support/fixtures.h"

#include <Eigen/Core>
#include <thread>

#include "executor/cpu/cpu_executor.h"
#include "executor/local_communicator.h"
#include "graph/model_file.h"
#include "graph/needless_gathers.h"
#include "pipeserve/model.h"
#include "support/matchers.h"
#include "support/npz.h"

namespace pipeserve {
namespace {

double Element(const Tensor& tensor, size_t i) {
  if (tensor.dtype() == DataType::kFloat16) {
    return static_cast<float>(tensor.data_as<Eigen::half>()[i]);
  }
  return tensor.data_as<float>()[i];
}

void ExpectClose(const Tensor& came, const Tensor& wanted) {
  ASSERT_EQ(came.ToString(), wanted.ToString());
  const double tolerance = wanted.dtype() == DataType::kFloat16 ? 2e-3 : 1e-5;
  const size_t count = wanted.byte_size() / DataTypeSize(wanted.dtype());
  for (size_t i = 0; i < count; ++i) {
    const double value = Element(wanted, i);
    ASSERT_NEAR(Element(came, i), value, tolerance * (std::abs(value) + 1)) << "element " << i;
  }
}

std::vector<Tensor> Numbered(const std::map<std::string, Tensor>& data, const std::string& stem) {
  std::vector<Tensor> tensors;
  for (int i = 0; data.contains(stem + std::to_string(i)); ++i) {
    tensors.push_back(data.at(stem + std::to_string(i)));
  }
  return tensors;
}

class CpuFixturesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(CpuFixturesTest, GivesTheStoredValues) {
  const std::string file = GetParam();
  const std::string stem = std::filesystem::path(file).stem();
  const auto data = ReadNpz(SharedFile("mindir/data/" + stem + ".npz"));
  ASSERT_OK(data);
  const auto model = Model::Load(SharedFile("mindir/" + file));
  ASSERT_OK(model);
  const auto outputs = (*model)->Run(Numbered(*data, "in"));
  ASSERT_OK(outputs);
  const std::vector<Tensor> wanted = Numbered(*data, "out");
  ASSERT_EQ(outputs->size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) ExpectClose((*outputs)[i], wanted[i]);
}

INSTANTIATE_TEST_SUITE_P(
    Whole, CpuFixturesTest,
    testing::Values("v1.3/consts.mindir", "v1.3/matmul_0.mindir", "v1.3/matmul_1.mindir",
                    "v1.3/matmul_ta.mindir", "v1.3/mlp.mindir", "v1.3/two_in_two_out.mindir",
                    "v2.10/add_relu.mindir", "v2.10/bias_relu.mindir", "v2.10/consts.mindir",
                    "v2.10/matmul_0.mindir", "v2.10/matmul_1.mindir", "v2.10/matmul_dynamic.mindir",
                    "v2.10/matmul_dynrank2.mindir", "v2.10/matmul_fp16.mindir",
                    "v2.10/matmul_rand.mindir", "v2.10/matmul_small.mindir",
                    "v2.10/matmul_ta.mindir", "v2.10/matmul_ta_tb.mindir", "v2.10/matmul_tb.mindir",
                    "v2.10/mlp.mindir", "v2.10/mlp_shard.mindir", "v2.10/two_in_two_out.mindir"));

struct ShardedCase {
  const char* folder;
  const char* graph;
  int ranks;
};

class ShardedFixturesTest : public testing::TestWithParam<ShardedCase> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(ShardedFixturesTest, EveryRankGivesTheWholeResult) {
  const auto [folder, graph_name, ranks] = GetParam();
  const auto data = ReadNpz(SharedFile("mindir/data/" + std::string(graph_name) + ".npz"));
  ASSERT_OK(data);
  const auto communicators = MakeLocalCommunicators(ranks);
  const auto run_rank = [&, graph_name = graph_name, folder = folder, ranks = ranks](int rank) {
    const auto device = SharedFile("mindir/sharded") / folder / ("device" + std::to_string(rank));
    const auto groups = ReadGroupFile(device / "group_config.pb");
    ASSERT_OK(groups);
    auto graph = ReadMindir(device / (std::string(graph_name) + ".mindir"), {{}, *groups, ranks});
    ASSERT_OK(graph);
    DropNeedlessGathers(rank, ranks, &*graph);  // As the agent does.
    std::vector<Graph> graphs;
    graphs.push_back(*std::move(graph));
    const auto executor = CpuExecutor::Create(std::move(graphs),
                                              {1, communicators[static_cast<size_t>(rank)], ranks});
    ASSERT_OK(executor);
    std::vector<Tensor> outputs;
    const CallContext context{Deadline::After(std::chrono::seconds(30)), 1};
    for (int i = 0; i < 3; ++i) {
      ASSERT_OK((*executor)->Run(0, Numbered(*data, "in"), context, &outputs));
      ExpectClose(outputs[0], data->at("out0"));
    }
  };
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(run_rank, rank);
}

INSTANTIATE_TEST_SUITE_P(Sharded, ShardedFixturesTest,
                         testing::Values(ShardedCase{"v1.3-nccl/row_8", "matmul_rand", 8},
                                         ShardedCase{"v1.3-nccl/seed_8", "matmul_0", 8},
                                         ShardedCase{"v1.3-nccl/seed_8", "matmul_1", 8},
                                         ShardedCase{"v2.10-hccl/col_8", "matmul_rand", 8},
                                         ShardedCase{"v2.10-hccl/mix_4", "matmul_rand", 4},
                                         ShardedCase{"v2.10-hccl/seed_8", "matmul_0", 8},
                                         ShardedCase{"v2.10-hccl/seed_8", "matmul_1", 8}));

}  // namespace
}  // namespace pipeserve
