#include "pipeserve/client.h"

#include <gtest/gtest.h>

#include <atomic>

#include "support/matchers.h"

namespace pipeserve {
namespace {

// Nobody listens there: the name resolver refuses it before any network is asked.
constexpr char kNowhere[] = "unix:/nonexistent/socket";

TEST(ClientTest, OptionsAreChecked) {
  const ClientOptions good = {.address = kNowhere, .servable = "add", .method = "predict"};
  EXPECT_OK(Client::Create(good));
  ClientOptions bad = good;
  bad.address.clear();
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument, "address");
  bad = good;
  bad.servable.clear();
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument, "servable name");
  bad = good;
  bad.method.clear();
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument, "method name");
  bad = good;
  bad.timeout = std::chrono::milliseconds(-1);
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument, "must not be negative");
  bad = good;
  bad.ssl = {.certificate_file = "a.crt"};
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument,
               "The certificate and private_key should be passed at the same time");
  bad.ssl = {.custom_ca_file = "/nonexistent/ca.crt"};
  EXPECT_ERROR(Client::Create(bad), kInvalidArgument, "/nonexistent/ca.crt");
}

TEST(ClientTest, NoServerIsUnavailable) {
  const auto client = Client::Create({.address = kNowhere, .servable = "add", .method = "predict"});
  ASSERT_OK(client);
  EXPECT_EQ((*client)->Infer({}).status().code(), StatusCode::kUnavailable);
}

TEST(ClientTest, DestructionWaitsForRequestsInFlight) {
  std::atomic<int> answered = 0;
  {
    const auto client =
        Client::Create({.address = kNowhere, .servable = "add", .method = "predict"});
    ASSERT_OK(client);
    for (int i = 0; i < 20; ++i) {
      (*client)->InferAsync({}, [&](const Result<InferReply>&) { ++answered; });
    }
  }
  EXPECT_EQ(answered, 20);
}

// A call that lived on for a moment took the channel down on gRPC's own thread, which then joined
// itself and crashed. Many rounds, as the moment is short.
TEST(ClientTest, NothingOfACallOutlivesItsClient) {
  for (int round = 0; round < 300; ++round) {
    const auto client =
        Client::Create({.address = kNowhere, .servable = "add", .method = "predict"});
    ASSERT_OK(client);
    (*client)->InferAsync({}, [](const Result<InferReply>&) {});
  }
}

}  // namespace
}  // namespace pipeserve
