#include "executor/device_choice.h"

#include <utility>

#include "pipeserve/log.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

// A machine whose place for the libraries is empty.
class DeviceChoiceTest : public testing::Test {
 protected:
  DeviceChoiceTest() {
    SetLogSink([this](const LogEvent& event) {
      for (const auto& [name, value] : event.fields) {
        if (name == "reason") reason_ = value;
      }
    });
  }
  ~DeviceChoiceTest() override { SetLogSink({}); }

  Status Make(DeviceKind kind) {
    TestGraph graph;
    const ValueId x = graph.Input({2});
    std::vector<ascend::AscendModel> models;
    models.emplace_back(graph.Return({graph.Node(OpType::kNeg, {x}, {2})}));
    RankExecutorOptions options;
    options.kind = kind;
    options.ascend.library.directory = folder_.path().string();
    return MakeRankExecutor(std::move(models), options).status();
  }

  std::string InFolder(const std::string& name) const { return folder_.File(name); }

  TestFolder folder_;
  std::string reason_;
};

TEST_F(DeviceChoiceTest, AutoTakesTheCpuAndLogsTheFirstReasonAlone) {
  EXPECT_OK(Make(DeviceKind::kAuto));
  EXPECT_EQ(reason_, "Ascend's runtime cannot be loaded: " + InFolder("libascendcl.so") +
                         ": cannot open shared object file: No such file or directory; "
                         "pipeserve-ascend-check tells the rest");
}

TEST_F(DeviceChoiceTest, AscendIsAnErrorWithAllThatWasTried) {
  const Status status = Make(DeviceKind::kAscend);
  EXPECT_ERROR(status, kFailedPrecondition, InFolder("libascendcl.so"));
  EXPECT_ERROR(status, kFailedPrecondition, InFolder("libacl_rt.so"));
  EXPECT_EQ(reason_, "");
}

}  // namespace
}  // namespace pipeserve
