// gRPC takes connections down in the background. A program that ends meanwhile leaves what looks
// like a leak, so tests that use gRPC wait for it at their end.
#include <grpc/grpc.h>
#include <gtest/gtest.h>

namespace pipeserve {
namespace {

class GrpcEnvironment final : public testing::Environment {
  void SetUp() override { grpc_init(); }
  void TearDown() override { grpc_shutdown_blocking(); }
};

[[maybe_unused]] const auto* const kEnvironment =
    testing::AddGlobalTestEnvironment(new GrpcEnvironment);

}  // namespace
}  // namespace pipeserve
