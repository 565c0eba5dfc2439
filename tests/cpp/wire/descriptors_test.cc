#include <google/protobuf/descriptor.h>

#include "agent.pb.h"
#include "ms_service.pb.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// A program that has code of its own for these messages registers descriptors of the same names.
TEST(DescriptorsTest, OurMessagesRegisterNone) {
  EXPECT_FALSE(mindspore::serving::proto::PredictRequest().GetTypeName().empty());
  EXPECT_FALSE(proto::AgentMessage().GetTypeName().empty());
  const google::protobuf::DescriptorPool* pool = google::protobuf::DescriptorPool::generated_pool();
  EXPECT_EQ(pool->FindFileByName("ms_service.proto"), nullptr);
  EXPECT_EQ(pool->FindFileByName("agent.proto"), nullptr);
}

}  // namespace
}  // namespace pipeserve
