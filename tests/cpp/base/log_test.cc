#include "pipeserve/log.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(LogTest, SinkGetsEventsFromTheLevelOn) {
  std::vector<std::string> seen;
  SetLogSink([&](const LogEvent& event) { seen.push_back(FormatLogEvent(event)); });
  Log(LogLevel::kDebug, "dropped");
  Log(LogLevel::kWarning, "agent lost", {{"rank", "3"}, {"epoch", "1"}});
  SetLogSink(nullptr);
  Log(LogLevel::kError, "nobody listens");
  EXPECT_THAT(seen, testing::ElementsAre("warning agent lost rank=3 epoch=1"));
}

}  // namespace
}  // namespace pipeserve
