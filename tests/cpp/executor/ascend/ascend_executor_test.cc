#include "executor/ascend/ascend_executor.h"

#include <cstring>
#include <filesystem>

#include "executor/ascend/memory.h"
#include "executor/ascend/simulated_runtime.h"
#include "executor/ascend/stream.h"
#include "executor/executor_contract.h"
#include "graph/model_file.h"
#include "support/fixture_values.h"

namespace pipeserve::ascend {
namespace {

AscendExecutorOptions Simulated() {
  AscendExecutorOptions options;
  options.library = SimulatedRuntime::Library();
  options.call_limit = std::chrono::seconds(5);
  return options;
}

Result<std::unique_ptr<AscendExecutor>> Load(std::vector<Graph> graphs,
                                             const AscendExecutorOptions& options = Simulated()) {
  std::vector<AscendModel> models;
  for (Graph& graph : graphs) models.emplace_back(std::move(graph));
  return AscendExecutor::Create(std::move(models), options);
}

std::vector<Graph> One(Graph graph) {
  std::vector<Graph> graphs;
  graphs.push_back(std::move(graph));
  return graphs;
}

// An executor on a simulator of its own.
class OnSimulator final : public Executor {
 public:
  explicit OnSimulator(const std::string& settings) : runtime_(settings) {}
  Status Load(std::vector<Graph> graphs, bool overlap) {
    AscendExecutorOptions options = Simulated();
    options.overlap = overlap;
    PIPESERVE_ASSIGN_OR_RETURN(executor_, ascend::Load(std::move(graphs), options));
    return OkStatus();
  }
  int graph_count() const override { return executor_->graph_count(); }
  const GraphSignature& signature(GraphId graph) const override {
    return executor_->signature(graph);
  }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    return executor_->Run(graph, inputs, context, outputs);
  }

 private:
  SimulatedRuntime runtime_;  // Looks at what is left when the executor has gone.
  std::unique_ptr<Executor> executor_;
};

ExecutorFactory Factory(const std::string& name, const std::string& settings,
                        bool overlap = false) {
  return {name,
          [settings, overlap](std::vector<Graph> graphs) -> Result<std::unique_ptr<Executor>> {
            auto executor = std::make_unique<OnSimulator>(settings);
            PIPESERVE_RETURN_IF_ERROR(executor->Load(std::move(graphs), overlap));
            return std::unique_ptr<Executor>(std::move(executor));
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Ascend, ExecutorContractTest,
    testing::Values(Factory("Eager", "mode=eager"), Factory("Lazy", "mode=lazy"),
                    Factory("NotRepeatable", "repeatable=0"),
                    Factory("RandomWorkspace", "workspace=random"),
                    Factory("OverlapEager", "mode=eager", true),
                    Factory("OverlapLazy", "mode=lazy", true),
                    Factory("OverlapRandom", "mode=random", true),
                    Factory("OverlapNotRepeatable", "repeatable=0,workspace=random", true)),
    [](const auto& info) { return info.param.name; });

class AscendFixturesTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(AscendFixturesTest, GivesTheStoredValues) {
  const SimulatedRuntime runtime("mode=lazy");
  const std::string file = GetParam();
  const auto data = StoredValues(std::filesystem::path(file).stem());
  auto graph = ReadMindir(SharedFile("mindir/" + file));
  ASSERT_OK(graph);
  const auto executor = Load(One(*std::move(graph)));
  ASSERT_OK(executor);
  const std::vector<Tensor> inputs = Numbered(data, "in"), wanted = Numbered(data, "out");
  std::vector<Tensor> outputs;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
    ASSERT_EQ(outputs.size(), wanted.size());
    for (size_t k = 0; k < wanted.size(); ++k) ExpectClose(outputs[k], wanted[k]);
  }
}

INSTANTIATE_TEST_SUITE_P(Whole, AscendFixturesTest, testing::ValuesIn(kWholeModels));

// -(x * w) for x float32[2,3], w[3,1].
Graph SmallGraph() {
  TestGraph graph;
  const ValueId w = graph.Constant(Tensor::Of<float>({3, 1}, {1, 10, 100}));
  const ValueId product =
      graph.Node(OpType::kMatMul, {graph.Input({2, 3}), w}, {2, 1}, MatMulAttributes{});
  return graph.Return({graph.Node(OpType::kNeg, {product}, {2, 1})});
}

const Tensor kX = Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6});

Status LoadAndRun(const AscendExecutorOptions& options, std::vector<Tensor>* outputs) {
  PIPESERVE_ASSIGN_OR_RETURN(const auto executor, Load(One(SmallGraph()), options));
  return executor->Run(0, std::span(&kX, 1), {}, outputs);
}

class AscendReleaseTest : public testing::TestWithParam<const char*> {};

TEST_P(AscendReleaseTest, Runs) {
  const SimulatedRuntime runtime;
  AscendExecutorOptions options = Simulated();
  options.library = SimulatedRuntime::Library(GetParam());
  std::vector<Tensor> outputs;
  ASSERT_OK(LoadAndRun(options, &outputs));
  EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-321, -654}));
}

INSTANTIATE_TEST_SUITE_P(Releases, AscendReleaseTest,
                         testing::Values("lib64_1.6", "lib64_1.8", "lib64_1.10", "lib64_1.13",
                                         "lib64_split"));

class AscendProductTest : public testing::TestWithParam<const char*> {};

TEST_P(AscendProductTest, RunsInFloat16) {
  const SimulatedRuntime runtime(std::string("soc=") + GetParam());
  AscendExecutorOptions options = Simulated();
  options.precision = Precision::kFloat16;
  std::vector<Tensor> outputs;
  ASSERT_OK(LoadAndRun(options, &outputs));
  EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-321, -654}));
}

INSTANTIATE_TEST_SUITE_P(Products, AscendProductTest,
                         testing::Values("Ascend910B1", "Ascend910ProB", "Ascend310P3"));

TEST(AscendExecutorTest, RefusesWhatTheProductCannot) {
  const SimulatedRuntime runtime("soc=Ascend310P3");
  std::vector<Tensor> outputs;
  EXPECT_ERROR(LoadAndRun(Simulated(), &outputs), kFailedPrecondition,
               "Ascend310P3 computes a MatMul of float32 in float16 only");
}

TEST(AscendExecutorTest, CastsWhatOtherOperatorsDoNotTake) {
  const SimulatedRuntime runtime("mode=lazy");
  TestGraph graph;  // Pixels as numbers that a MatMul takes.
  const ValueId pixels = graph.Input({1, 3}, DataType::kUint8);
  const ValueId w = graph.Constant(Tensor::Of<float>({3, 1}, {1, 10, 100}));
  const ValueId x = graph.Cast(pixels, {1, 3}, DataType::kFloat32);
  const ValueId y = graph.Node(OpType::kMatMul, {x, w}, {1, 1}, MatMulAttributes{});
  const auto executor = Load(One(graph.Return({graph.Cast(y, {1, 1}, DataType::kInt64), y})));
  ASSERT_OK(executor);
  const std::vector<Tensor> inputs = {Tensor::Of<uint8_t>({1, 3}, {255, 2, 3})};
  std::vector<Tensor> outputs;
  ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
  EXPECT_EQ(outputs[0].ToString(), "int64[1,1]");
  EXPECT_EQ(*outputs[0].data_as<int64_t>(), 575);
  EXPECT_EQ(Floats(outputs[1]), (std::vector<float>{575}));
}

TEST(AscendExecutorTest, RefusesATypeThatIsNotOnTheDevice) {
  const SimulatedRuntime runtime;
  TestGraph graph;
  const ValueId x = graph.Input({2});
  EXPECT_ERROR(Load(One(graph.Return({graph.Cast(x, {2}, DataType::kUint32)}))), kUnimplemented,
               "node0: there are no uint32 on the device");
}

TEST(AscendExecutorTest, RefusesMessagesByName) {
  Graph graph;
  graph.name = "staged";
  const ValueId x = graph.AddValue({"x", DataType::kFloat32, {2}});
  graph.nodes = {{OpType::kSend, "send3", {x}, {}, MessageAttributes{.peer = 0}}};
  graph.inputs = {x};
  EXPECT_ERROR(Load(One(std::move(graph))), kUnimplemented, "Send send3: stages run on CPUs");
}

TEST(AscendExecutorTest, RefusesADeviceThatIsNotThere) {
  const SimulatedRuntime runtime("devices=2");
  AscendExecutorOptions options = Simulated();
  options.device.id = 2;
  std::vector<Tensor> outputs;
  EXPECT_ERROR(LoadAndRun(options, &outputs), kFailedPrecondition,
               "there is no device 2, this process sees 2");
}

TEST(AscendExecutorTest, RunsOutOfMemoryWithAnError) {
  const SimulatedRuntime runtime("memory=1000");
  std::vector<Tensor> outputs;
  EXPECT_ERROR(LoadAndRun(Simulated(), &outputs), kResourceExhausted, "out of memory");
}

// How one call of the runtime fails, and whether the device is given back after that.
struct Failure {
  const char* name;
  int code;
  bool gives_back;
  bool overlap = false;
};

class AscendFailureTest : public testing::TestWithParam<Failure> {
 protected:
  static AscendExecutorOptions Options() {
    AscendExecutorOptions options = Simulated();
    options.overlap = GetParam().overlap;
    return options;
  }
  static int CountCalls() {
    const SimulatedRuntime runtime;
    std::vector<Tensor> outputs;
    EXPECT_OK(LoadAndRun(Options(), &outputs));
    return runtime.Calls();
  }
};

TEST_P(AscendFailureTest, OfAnyCallIsACleanError) {
  const int calls = CountCalls();
  ASSERT_GT(calls, 30);
  int failed = 0;
  for (int i = 1; i <= calls; ++i) {
    SCOPED_TRACE(StrCat("call ", i, " of ", calls));
    SimulatedRuntime runtime;
    if (!GetParam().gives_back) runtime.MayLeaveObjects();
    runtime.Command(StrCat("fail * ", i, " ", GetParam().code));
    std::vector<Tensor> outputs;
    const Status status = LoadAndRun(Options(), &outputs);
    if (status.ok()) {  // What fails when all is done, or is only asked whether it can.
      EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-321, -654}));
      continue;
    }
    ++failed;
    EXPECT_TRUE(outputs.empty());
    EXPECT_NE(status.message(), "");
  }
  EXPECT_GT(failed, calls / 2);
}

INSTANTIATE_TEST_SUITE_P(Codes, AscendFailureTest,
                         testing::Values(Failure{"OutOfMemory", 207001, true},
                                         Failure{"Internal", 500000, true},
                                         Failure{"DeviceFault", 507015, false},
                                         Failure{"OverlapOutOfMemory", 207001, true, true},
                                         Failure{"OverlapInternal", 500000, true, true},
                                         Failure{"OverlapDeviceFault", 507015, false, true}),
                         [](const auto& info) { return info.param.name; });

TEST(AscendExecutorTest, ADeviceThatFailsServesNoLaterCall) {
  SimulatedRuntime runtime;
  runtime.MayLeaveObjects();
  const auto executor = Load(One(SmallGraph()));
  ASSERT_OK(executor);
  std::vector<Tensor> outputs;
  runtime.Command("fail-task 2");
  EXPECT_ERROR((*executor)->Run(0, std::span(&kX, 1), {}, &outputs), kUnavailable, "failed with");
  EXPECT_TRUE(outputs.empty());
  EXPECT_ERROR((*executor)->Run(0, std::span(&kX, 1), {}, &outputs), kUnavailable,
               "the device has failed, this process must be restarted");
}

TEST(AscendExecutorTest, IsDeterministicWhenAskedTo) {
  for (const bool deterministic : {false, true}) {
    const SimulatedRuntime runtime;
    AscendExecutorOptions options = Simulated();
    options.device.deterministic = deterministic;
    std::vector<Tensor> outputs;
    ASSERT_OK(LoadAndRun(options, &outputs));
    EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{-321, -654}));
    EXPECT_EQ(runtime.Calls("aclrtCtxSetSysParamOpt"), deterministic ? 1 : 0);
  }
}

TEST(StreamTest, AWaitEndsWithTheGroupThatItIsFor) {
  SimulatedRuntime runtime;
  runtime.MayLeaveObjects();
  auto library = Library::Load(SimulatedRuntime::Library());
  ASSERT_OK(library);
  const auto device = Device::Open(*std::move(library), {});
  ASSERT_OK(device);
  auto stream = Stream::Create(**device);
  ASSERT_OK(stream);
  const auto there = DeviceBlock::Allocate(**device, 64);
  const auto here = PinnedBlock::Allocate(**device, 64);
  ASSERT_OK(there);
  ASSERT_OK(here);
  std::memset(here->data(), 0, 64);
  runtime.Command("hang-task 1");
  ASSERT_OK(stream->CopyToDevice(there->data(), here->data(), 64));
  CancelToken group_has_ended;
  group_has_ended.Raise();
  EXPECT_ERROR(stream->Synchronize({std::chrono::hours(1), &group_has_ended}), kUnavailable,
               "the group of ranks has ended");
  EXPECT_EQ((*device)->health(), Health::kSuspect);
  (*device)->Abandon();
}

TEST(AscendExecutorTest, WorkThatHangsIsGivenUpAtItsLimit) {
  SimulatedRuntime runtime;
  runtime.MayLeaveObjects();
  AscendExecutorOptions options = Simulated();
  options.call_limit = std::chrono::milliseconds(60);
  const auto executor = Load(One(SmallGraph()), options);
  ASSERT_OK(executor);
  std::vector<Tensor> outputs;
  runtime.Command("hang-task 3");
  EXPECT_ERROR((*executor)->Run(0, std::span(&kX, 1), {}, &outputs), kDeadlineExceeded,
               "aclrtSynchronizeStreamWithTimeout failed with");
  EXPECT_ERROR((*executor)->Run(0, std::span(&kX, 1), {}, &outputs), kUnavailable,
               "the device has failed");
}

}  // namespace
}  // namespace pipeserve::ascend
