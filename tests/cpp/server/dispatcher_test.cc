#include "server/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "scheduler/request_scope.h"
#include "server/test_servable.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DispatcherTest : public ::testing::Test {
 protected:
  ~DispatcherTest() override {
    for (const auto& servable : servables_) servable->Stop();
    dispatcher_.Close();
    dispatcher_.Drain(Deadline::Infinite());
  }

  void Serve(const std::string& name, uint64_t version, Body body = Echo) {
    servables_.push_back(TestServable(name, version, std::move(body)));
    ASSERT_OK(dispatcher_.versions().Reserve(name, version));
    Publish(dispatcher_.versions(), name, version, servables_.back());
  }

  std::future<ClientReply> Start(ClientRequest request) {
    auto promise = std::make_shared<std::promise<ClientReply>>();
    // A second answer would throw out of set_value().
    dispatcher_.Dispatch(std::move(request),
                         [promise](ClientReply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
  ClientReply Ask(ClientRequest request) { return Start(std::move(request)).get(); }

  static ClientRequest MakeRequest(const std::string& servable, const std::string& method,
                                   uint64_t version = 0, std::vector<int32_t> values = {7}) {
    ClientRequest request;
    request.servable = servable;
    request.method = method;
    request.version = version;
    for (const int32_t value : values) {
      request.instances.push_back({{"x", Tensor::Of<int32_t>({}, {value})}});
    }
    return request;
  }

  // Within ten seconds.
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const Deadline limit = Deadline::After(std::chrono::seconds(10));
    while (!condition() && !limit.HasPassed()) std::this_thread::yield();
    return condition();
  }

  Dispatcher dispatcher_{
      DispatcherOptions{.limits = {.max_bytes = 1000}, .max_request_time = std::chrono::hours(1)}};
  std::vector<std::shared_ptr<Servable>> servables_;
};

// Fails for the value 0, with the value in the text for negative ones.
Result<Instance> FailForSome(const Instance& instance) {
  const int32_t value = *instance[0].data_as<int32_t>();
  if (value == 0) return InvalidArgument("zero");
  if (value < 0) return InvalidArgument(std::to_string(value));
  return instance;
}

TEST_F(DispatcherTest, AnswersEveryInstanceInOrder) {
  Serve("add", 1);
  const ClientReply reply = Ask(MakeRequest("add", "predict", 0, {1, 2, 3}));
  EXPECT_OK(reply.error);
  EXPECT_THAT(reply.output_names, ElementsAre("y"));
  ASSERT_THAT(reply.instances, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(reply.instances[i]);
    EXPECT_EQ(*(*reply.instances[i])[0].data_as<int32_t>(), i + 1);
  }
}

TEST_F(DispatcherTest, UnknownNamesAreRefusedInTheOriginalsWords) {
  Serve("add", 1);
  EXPECT_EQ(Ask(MakeRequest("sub", "predict")).error,
            NotFound("Request servable(sub) method(predict) , servable is not available"));
  EXPECT_EQ(
      Ask(MakeRequest("add", "predict", 3)).error,
      NotFound("Request servable(add) method(predict)  version(3) , servable is not available"));
  EXPECT_EQ(Ask(MakeRequest("add", "fun9")).error,
            NotFound("Request servable(add) method(fun9) , method is not available"));
  EXPECT_EQ(Ask(MakeRequest("add", "identity")).error,
            NotFound("Request servable(add) method(identity) , method is not available"));
}

TEST_F(DispatcherTest, VersionZeroIsTheNewestThatRuns) {
  const auto version_of = [](int32_t version) {
    return [version](const Instance&) -> Result<Instance> {
      return Instance{Tensor::Of<int32_t>({}, {version})};
    };
  };
  Serve("add", 2, version_of(2));
  Serve("add", 10, version_of(10));
  ASSERT_OK(dispatcher_.versions().Reserve("add", 11));
  EXPECT_EQ(*(*Ask(MakeRequest("add", "predict")).instances[0])[0].data_as<int32_t>(), 10);
  EXPECT_EQ(*(*Ask(MakeRequest("add", "predict", 2)).instances[0])[0].data_as<int32_t>(), 2);
  dispatcher_.versions().Remove("add", 10);
  EXPECT_EQ(*(*Ask(MakeRequest("add", "predict")).instances[0])[0].data_as<int32_t>(), 2);
}

TEST_F(DispatcherTest, AMissingInputFailsTheRequest) {
  Serve("add", 1);
  ClientRequest request = MakeRequest("add", "pair");
  request.instances = {{{"b", Tensor::Of<int32_t>({}, {1})}, {"a", Tensor::Of<int32_t>({}, {2})}},
                       {{"a", Tensor::Of<int32_t>({}, {1})}}};
  EXPECT_EQ(Ask(request).error,
            InvalidArgument("Cannot find input b in instance input , servable add, method pair"));
}

TEST_F(DispatcherTest, InputsAreOrderedByDeclarationAndExtrasIgnored) {
  Serve("add", 1);
  ClientRequest request = MakeRequest("add", "pair");
  request.instances = {{{"b", Tensor::Of<int32_t>({}, {1})},
                        {"extra", Tensor()},
                        {"a", Tensor::Of<int32_t>({}, {2})},
                        {"a", Tensor::Of<int32_t>({}, {3})}}};
  const ClientReply reply = Ask(request);
  ASSERT_THAT(reply.instances, SizeIs(1));
  ASSERT_OK(reply.instances[0]);
  EXPECT_EQ(*(*reply.instances[0])[0].data_as<int32_t>(), 3);
  EXPECT_EQ(*(*reply.instances[0])[1].data_as<int32_t>(), 1);
}

TEST_F(DispatcherTest, NoInstancesIsAnErrorAndLeaksNoPlace) {
  Serve("add", 1);
  dispatcher_.set_max_enqueued_requests(1);
  for (int i = 0; i < 3; ++i) {
    EXPECT_ERROR(Ask(MakeRequest("add", "predict", 0, {})).error, kInvalidArgument,
                 "Instances count of request cannot be 0");
  }
  EXPECT_OK(Ask(MakeRequest("add", "predict")).error);
}

TEST_F(DispatcherTest, EqualErrorsAreOneOfTheRequest) {
  Serve("add", 1, FailForSome);
  const ClientReply alike = Ask(MakeRequest("add", "predict", 0, {0, 0}));
  EXPECT_ERROR(alike.error, kInvalidArgument, "zero");
  EXPECT_THAT(alike.instances, IsEmpty());
  const ClientReply different = Ask(MakeRequest("add", "predict", 0, {-1, -2}));
  EXPECT_OK(different.error);
  EXPECT_THAT(different.instances, SizeIs(2));
  const ClientReply mixed = Ask(MakeRequest("add", "predict", 0, {0, 1}));
  EXPECT_OK(mixed.error);
  ASSERT_THAT(mixed.instances, SizeIs(2));
  EXPECT_ERROR(mixed.instances[0], kInvalidArgument, "zero");
  EXPECT_OK(mixed.instances[1]);
}

TEST_F(DispatcherTest, OneMoreThanTheLimitIsRefusedAndPlacesComeBack) {
  Gate gate;
  Serve("add", 1, [&gate](const Instance& instance) -> Result<Instance> {
    gate.Pass();
    return instance;
  });
  dispatcher_.set_max_enqueued_requests(2);
  std::future<ClientReply> first = Start(MakeRequest("add", "predict"));
  std::future<ClientReply> second = Start(MakeRequest("add", "predict"));
  EXPECT_EQ(Ask(MakeRequest("add", "predict")).error,
            ResourceExhausted("Serving Error: enqueued requests count exceeds the limit 2"));
  gate.Open();
  EXPECT_OK(first.get().error);
  EXPECT_OK(second.get().error);
  EXPECT_OK(Ask(MakeRequest("add", "predict")).error);
}

TEST_F(DispatcherTest, AServableThatIsNotThereAtTheMomentIsUnavailable) {
  const Status unavailable =
      Unavailable("Request servable(add) method(predict) , servable is not available");
  ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
  EXPECT_EQ(Ask(MakeRequest("add", "predict")).error, unavailable);
  std::atomic<bool> available = true;
  servables_.push_back(TestServable("add", 1));
  Publish(dispatcher_.versions(), "add", 1, servables_.back(),
          [&available] { return available.load(); });
  EXPECT_OK(Ask(MakeRequest("add", "predict")).error);
  available = false;
  EXPECT_EQ(Ask(MakeRequest("add", "predict")).error, unavailable);
  EXPECT_EQ(dispatcher_.versions().Find("add", 1), servables_.back());
  available = true;
  dispatcher_.Close();
  EXPECT_EQ(Ask(MakeRequest("add", "predict")).error, unavailable);
}

TEST_F(DispatcherTest, IsReadyWhileEveryServableIsAvailable) {
  EXPECT_FALSE(dispatcher_.AllAvailable());
  Serve("add", 1);
  EXPECT_TRUE(dispatcher_.AllAvailable());
  ASSERT_OK(dispatcher_.versions().Reserve("sub", 1));
  EXPECT_FALSE(dispatcher_.AllAvailable());
  std::atomic<bool> available = true;
  servables_.push_back(TestServable("sub", 1));
  Publish(dispatcher_.versions(), "sub", 1, servables_.back(),
          [&available] { return available.load(); });
  EXPECT_TRUE(dispatcher_.AllAvailable());
  available = false;
  EXPECT_FALSE(dispatcher_.AllAvailable());
  available = true;
  dispatcher_.Close();
  EXPECT_FALSE(dispatcher_.AllAvailable());
}

TEST_F(DispatcherTest, ARequestThatNobodyWaitsForDoesNotRun) {
  std::atomic<int> runs = 0;
  Serve("add", 1, [&runs](const Instance& instance) -> Result<Instance> {
    ++runs;
    return instance;
  });
  ClientRequest request = MakeRequest("add", "predict");
  request.cancel = std::make_shared<CancelToken>();
  EXPECT_OK(Ask(request).error);
  request.cancel->Raise();
  EXPECT_ERROR(Ask(request).error, kCancelled, "the client has left");
  EXPECT_EQ(runs, 1);
}

TEST_F(DispatcherTest, TheEarlierOfTheClientsDeadlineAndTheServersMaximumCounts) {
  Deadline seen;
  Serve("add", 1, [&seen](const Instance& instance) -> Result<Instance> {
    seen = RequestScope::Context().deadline;
    return instance;
  });
  EXPECT_OK(Ask(MakeRequest("add", "predict")).error);
  EXPECT_LE(seen.time(), Deadline::After(std::chrono::hours(1)).time());
  EXPECT_GT(seen.time(), Deadline::After(std::chrono::minutes(59)).time());
  ClientRequest request = MakeRequest("add", "predict");
  request.deadline = Deadline::After(std::chrono::minutes(1));
  EXPECT_OK(Ask(request).error);
  EXPECT_EQ(seen, request.deadline);
  request.deadline = Deadline::After(std::chrono::hours(2));
  EXPECT_OK(Ask(request).error);
  EXPECT_LE(seen.time(), Deadline::After(std::chrono::hours(1)).time());
}

TEST_F(DispatcherTest, MoreBytesThanTheLimitAreRefusedAlsoWhileTheyRun) {
  Gate gate;
  Serve("add", 1, [&gate](const Instance& instance) -> Result<Instance> {
    gate.Pass();
    return instance;
  });
  const auto request = [](int64_t bytes) {
    ClientRequest made = MakeRequest("add", "predict");
    made.instances = {{{"x", Tensor(DataType::kInt8, {bytes})}}};
    return made;
  };
  ClientRequest given_up = request(600);
  given_up.cancel = std::make_shared<CancelToken>();
  std::future<ClientReply> running = Start(given_up);
  ASSERT_TRUE(gate.WaitForArrivals(1));
  const ClientReply refused = Ask(request(401));
  EXPECT_EQ(refused.error, ResourceExhausted("Serving Error: enqueued bytes exceed the limit 1000: "
                                             "600 are in, the request has 401"));
  EXPECT_EQ(refused.retry_after, std::chrono::seconds(1));
  given_up.cancel->Raise();
  EXPECT_ERROR(running.get().error, kCancelled, "the client has left");
  EXPECT_ERROR(Ask(request(401)).error, kResourceExhausted, "600 are in");  // It still runs.
  gate.Open();
  EXPECT_TRUE(Eventually([&] { return Ask(request(1000)).error.ok(); }));
  EXPECT_EQ(Ask(request(1001)).error.code(), StatusCode::kResourceExhausted);
}

TEST_F(DispatcherTest, UnderOverloadEachRequestIsAnsweredOnce) {
  constexpr int kRequests = 3000;
  Serve("add", 1);
  dispatcher_.set_max_enqueued_requests(50);
  std::atomic<int> good = 0, refused = 0, other = 0;
  for (int i = 0; i < kRequests; ++i) {
    dispatcher_.Dispatch(MakeRequest("add", "predict"), [&](ClientReply reply) {
      if (reply.error.ok()) return void(++good);
      reply.error.code() == StatusCode::kResourceExhausted ? ++refused : ++other;
    });
  }
  EXPECT_TRUE(Eventually([&] { return good + refused + other == kRequests; }));
  EXPECT_GT(good, 0);
  EXPECT_EQ(other, 0);
  dispatcher_.set_max_enqueued_requests(1);
  EXPECT_OK(Ask(MakeRequest("add", "predict")).error);  // Every place came back.
}

TEST_F(DispatcherTest, ANameAndVersionIsServedOnce) {
  ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
  EXPECT_ERROR(dispatcher_.versions().Reserve("add", 1), kAlreadyExists, "add version 1");
  EXPECT_OK(dispatcher_.versions().Reserve("add", 2));
  dispatcher_.versions().Remove("add", 1);
  EXPECT_OK(dispatcher_.versions().Reserve("add", 1));
}

TEST_F(DispatcherTest, RequestsOfAStoppedServableAreAnswered) {
  Serve("add", 1);
  servables_[0]->Stop();
  EXPECT_EQ(Ask(MakeRequest("add", "predict")).error.code(), StatusCode::kUnavailable);
}

}  // namespace
}  // namespace pipeserve
