// Model files of the shared folder give the values that are stored beside them.
#include <thread>

#include "executor/cpu/cpu_executor.h"
#include "executor/local_communicator.h"
#include "graph/model_file.h"
#include "graph/needless_gathers.h"
#include "pipeserve/model.h"
#include "support/fixture_values.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

class CpuFixturesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(CpuFixturesTest, GivesTheStoredValues) {
  const std::string file = GetParam();
  const std::string stem = std::filesystem::path(file).stem();
  const auto data = StoredValues(stem);
  const auto model = Model::Load(SharedFile("mindir/" + file));
  ASSERT_OK(model);
  const auto outputs = (*model)->Run(Numbered(data, "in"));
  ASSERT_OK(outputs);
  const std::vector<Tensor> wanted = Numbered(data, "out");
  ASSERT_EQ(outputs->size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) ExpectClose((*outputs)[i], wanted[i]);
}

INSTANTIATE_TEST_SUITE_P(Whole, CpuFixturesTest, testing::ValuesIn(kWholeModels));

class ShardedFixturesTest : public testing::TestWithParam<ShardedModel> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(ShardedFixturesTest, EveryRankGivesTheWholeResult) {
  const auto [folder, graph_name, ranks] = GetParam();
  const auto data = StoredValues(graph_name);
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
      ASSERT_OK((*executor)->Run(0, Numbered(data, "in"), context, &outputs));
      ExpectClose(outputs[0], data.at("out0"));
    }
  };
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < ranks; ++rank) threads.emplace_back(run_rank, rank);
}

INSTANTIATE_TEST_SUITE_P(Sharded, ShardedFixturesTest, testing::ValuesIn(kShardedModels));

}  // namespace
}  // namespace pipeserve
