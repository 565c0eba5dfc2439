#include "server/grpc_door.h"

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <future>
#include <thread>

#include "base/socket.h"
#include "pipeserve/client.h"
#include "scheduler/request_scope.h"
#include "server/test_servable.h"
#include "support/certificate.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class GrpcDoorTest : public ::testing::Test {
 protected:
  ~GrpcDoorTest() override {
    gate_.Open();
    dispatcher_.Close();
    dispatcher_.Drain(Deadline::Infinite());
    if (servable_ != nullptr) servable_->Stop();
  }

  void Serve(Body body = Echo) {
    servable_ = TestServable("add", 1, std::move(body));
    ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
    Publish(dispatcher_.versions(), "add", 1, servable_);
  }

  // Waits at the gate.
  Body Blocked() {
    return [this](const Instance& instance) -> Result<Instance> {
      gate_.Pass();
      return instance;
    };
  }

  std::unique_ptr<GrpcDoor> Open(ListenOptions options = AnyPort()) {
    auto door = GrpcDoor::Open(options, &dispatcher_);
    EXPECT_OK(door);
    return *std::move(door);
  }

  static ListenOptions AnyPort() {
    ListenOptions options;
    options.address = "127.0.0.1:0";
    return options;
  }

  static std::unique_ptr<Client> Connect(const std::string& address, ClientOptions options = {}) {
    options.address = address;
    options.servable = "add";
    options.method = "predict";
    auto client = Client::Create(options);
    EXPECT_OK(client);
    return *std::move(client);
  }

  static std::vector<NamedInstance> Values(std::initializer_list<float> values) {
    std::vector<NamedInstance> instances;
    for (const float value : values) {
      instances.push_back({{"x", Tensor::Of<float>({1}, {value})}});
    }
    return instances;
  }

  // The client's clock and the server's see the deadline pass at about the same time.
  static bool IsTooLate(const Result<InferReply>& reply) {
    if (!reply.ok()) return reply.status().code() == StatusCode::kDeadlineExceeded;
    return reply->errors.size() == 1 &&
           reply->errors[0].message == "the request's deadline passed before it was done";
  }

  TestFolder dir_;
  Gate gate_;
  Dispatcher dispatcher_{DispatcherOptions{}};
  std::shared_ptr<Servable> servable_;
};

TEST_F(GrpcDoorTest, RequestComesBackWithItsValues) {
  Serve();
  const auto door = Open();
  const auto reply = Connect(door->address())->Infer(Values({1.5f, 2.5f}));
  ASSERT_OK(reply);
  EXPECT_THAT(reply->errors, IsEmpty());
  ASSERT_THAT(reply->instances, SizeIs(2));
  for (int i = 0; i < 2; ++i) {
    ASSERT_THAT(reply->instances[i], SizeIs(1));
    EXPECT_EQ(reply->instances[i][0].first, "y");
    EXPECT_EQ(reply->instances[i][0].second.ToString(), "float32[1]");
    EXPECT_EQ(*reply->instances[i][0].second.data_as<float>(), 1.5f + i);
  }
}

TEST_F(GrpcDoorTest, ErrorsTravelInsideTheReply) {
  const auto door = Open();
  const auto reply = Connect(door->address())->Infer(Values({1}));
  ASSERT_OK(reply);
  EXPECT_THAT(reply->instances, IsEmpty());
  ASSERT_THAT(reply->errors, SizeIs(1));
  EXPECT_EQ(reply->errors[0].code, 2);
  EXPECT_EQ(reply->errors[0].message,
            "Request servable(add) method(predict) , servable is not available");
}

TEST_F(GrpcDoorTest, ABadTensorIsRefusedInsideTheReply) {
  Serve();
  const auto door = Open();
  const Tensor wrong(DataType::kFloat32, Shape{0, 2});  // Only the last dimension may be 0.
  const auto reply = Connect(door->address())->Infer({{{{"x", wrong}}}});
  ASSERT_OK(reply);
  ASSERT_THAT(reply->errors, SizeIs(1));
  EXPECT_EQ(reply->errors[0].code, 2);
  EXPECT_THAT(reply->errors[0].message, testing::HasSubstr("Instances input x check failed"));
}

TEST_F(GrpcDoorTest, WhatIsNoMessageIsRefusedAndTheDoorGoesOn) {
  Serve();
  const auto door = Open();
  grpc::GenericStub stub(grpc::CreateChannel(door->address(), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  const grpc::Slice slice("no message");
  const grpc::ByteBuffer garbage(&slice, 1);
  grpc::ByteBuffer reply;
  std::promise<grpc::Status> ended;
  stub.UnaryCall(&context, "/mindspore.serving.proto.MSService/Predict", {}, &garbage, &reply,
                 [&](grpc::Status status) { ended.set_value(std::move(status)); });
  const grpc::Status status = ended.get_future().get();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "the 10 bytes are no PredictRequest message");
  EXPECT_OK(Connect(door->address())->Infer(Values({1})));
}

// Gives out one room.
class RoomExecutor final : public IdentityExecutor {
 public:
  Buffer MakeRoom(size_t bytes) override {
    EXPECT_EQ(bytes, room_.size());
    return room_;
  }
  const void* room() const { return room_.data(); }

 private:
  const Buffer room_ = Buffer::Allocate(sizeof(float));
};

TEST_F(GrpcDoorTest, InputsAreReadToWhereTheExecutorWantsThem) {
  const auto executor = std::make_shared<RoomExecutor>();
  const void* seen = nullptr;
  const auto look = [&seen](const Instance& instance) -> Result<Instance> {
    seen = instance[0].data();
    return instance;
  };
  auto servable = Servable::Create(TestSpec("add", 1, look), executor);
  ASSERT_OK(servable);
  servable_ = *std::move(servable);
  ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
  Publish(dispatcher_.versions(), "add", 1, servable_);
  const auto door = Open();
  const auto reply = Connect(door->address())->Infer(Values({1.5f}));
  ASSERT_OK(reply);
  EXPECT_EQ(*reply->instances.at(0).at(0).second.data_as<float>(), 1.5f);
  EXPECT_EQ(seen, executor->room());
}

TEST_F(GrpcDoorTest, UnixSocketsWork) {
  Serve();
  const std::string address = "unix:" + dir_.File("socket");
  const auto door = Open({.address = address});
  EXPECT_EQ(door->address(), address);
  EXPECT_OK(Connect(address)->Infer(Values({1})));
}

TEST_F(GrpcDoorTest, TheClientsDeadlineIsTheRequests) {
  Serve(Blocked());
  const auto door = Open();
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(200);
  const auto client = Connect(door->address(), options);
  EXPECT_TRUE(IsTooLate(client->Infer(Values({1}))));
  gate_.Open();  // The door waits for it.
}

TEST_F(GrpcDoorTest, ACallThatTheClientHasGivenUpIsCancelled) {
  std::promise<bool> seen;
  Serve([&seen](const Instance& instance) -> Result<Instance> {
    const CallContext context = RequestScope::Context();
    const Deadline limit = Deadline::After(std::chrono::seconds(10));
    while (!context.is_cancelled() && !limit.HasPassed()) std::this_thread::yield();
    seen.set_value(context.is_cancelled());
    return instance;
  });
  const auto door = Open();
  ClientOptions options;
  options.timeout = std::chrono::milliseconds(200);
  const auto client = Connect(door->address(), options);
  EXPECT_TRUE(IsTooLate(client->Infer(Values({1}))));
  EXPECT_TRUE(seen.get_future().get());
}

TEST_F(GrpcDoorTest, ARequestThatRunsIsAnsweredWhileItsFunctionGoesOn) {
  ServableSpec spec = TestSpec("add", 1, Blocked());
  spec.pipelines[0].timeout = std::chrono::milliseconds(50);
  auto servable = Servable::Create(spec, std::make_shared<IdentityExecutor>());
  ASSERT_OK(servable);
  servable_ = *std::move(servable);
  ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
  Publish(dispatcher_.versions(), "add", 1, servable_);
  const auto door = Open();
  const auto reply = Connect(door->address())->Infer(Values({1}));
  ASSERT_OK(reply);
  ASSERT_THAT(reply->errors, SizeIs(1));
  EXPECT_EQ(reply->errors[0].code, 1);
  EXPECT_EQ(reply->errors[0].message, "the request's deadline passed before it was done");
}

TEST_F(GrpcDoorTest, AClientThatLeavesFreesItsPlaceAtOnce) {
  Serve(Blocked());
  dispatcher_.set_max_enqueued_requests(1);
  const auto door = Open();
  ClientOptions impatient;
  impatient.timeout = std::chrono::milliseconds(50);
  const auto client = Connect(door->address(), impatient);
  const auto leaves = [&] { return IsTooLate(client->Infer(Values({1}))); };
  ASSERT_TRUE(leaves());
  // Each finds the place free soon, though the functions of four of them never return meanwhile.
  for (int left = 1; left < 8;) left += leaves();
  ASSERT_TRUE(gate_.WaitForArrivals(4));
}

TEST_F(GrpcDoorTest, AMessageBeyondTheLimitIsRefusedBothWays) {
  Serve([](const Instance& instance) -> Result<Instance> {
    if (instance[0].byte_size() > 4) return instance;
    return Instance{Tensor(DataType::kInt8, Shape{100'000})};
  });
  const auto door = Open({.address = "127.0.0.1:0", .max_message_bytes = 10'000});
  const auto client = Connect(door->address());
  const NamedInstance large = {{"x", Tensor(DataType::kInt8, Shape{100'000})}};
  EXPECT_EQ(client->Infer(std::span(&large, 1)).status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(client->Infer(Values({1})).status().code(), StatusCode::kResourceExhausted);
}

TEST_F(GrpcDoorTest, AddressErrorsAreTheOriginals) {
  const auto error = [this](const std::string& address) {
    return GrpcDoor::Open({.address = address}, &dispatcher_).status();
  };
  EXPECT_ERROR(error("localhost"), kInvalidArgument,
               "The format of the Serving gRPC address 'localhost' is illegal");
  EXPECT_ERROR(error("unix:"), kInvalidArgument, "Empty grpc server unix domain socket address");
  EXPECT_ERROR(error("unix:" + dir_.File("no/such/socket")), kUnavailable,
               "create server failed, address unix:");
  const auto door = Open();
  EXPECT_EQ(error(door->address()),
            Unavailable("Serving Error: Serving gRPC server start failed, create server failed, "
                        "address " +
                        door->address()));
}

// Plain connections, as many as were asked for.
std::vector<Socket> Dials(const std::string& address, size_t count) {
  std::vector<Socket> sockets;
  for (size_t i = 0; i < count; ++i) {
    sockets.push_back(Dial(address, Deadline::After(std::chrono::seconds(10))).value());
  }
  return sockets;
}

bool IsClosed(const Socket& socket) {
  std::array<std::byte, 1> byte;
  const Deadline deadline = Deadline::After(std::chrono::seconds(5));
  return ReceiveAll(socket, byte, deadline).code() == StatusCode::kUnavailable;
}

TEST_F(GrpcDoorTest, ConnectionsBeyondTheLimitAreClosedUntilOthersLeave) {
  Serve();
  const auto door = Open({.address = "127.0.0.1:0", .max_connections = 3});
  const auto client = Connect(door->address());
  ASSERT_OK(client->Infer(Values({1})));
  {
    const std::vector<Socket> two = Dials(door->address(), 2);
    const std::vector<Socket> more = Dials(door->address(), 2);
    EXPECT_TRUE(IsClosed(more[0]));
    EXPECT_TRUE(IsClosed(more[1]));
    EXPECT_OK(client->Infer(Values({2})));
  }
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  Status status;
  do {
    status = Connect(door->address())->Infer(Values({3})).status();
  } while (!status.ok() && !deadline.HasPassed());
  EXPECT_OK(status);
}

TEST_F(GrpcDoorTest, DoorGoesOnAfterDescriptorsRanOut) {
  Serve();
  const auto door = Open();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  {
    const std::vector<Socket> warm = Dials(door->address(), 1);
    std::vector<Socket> waiting = Dials(door->address(), 20);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(waiting.back().fd()) + 1;
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
    // What is free below is taken, so that the door finds none for the next.
    std::vector<FileDescriptor> taken;
    for (int fd = 0; (fd = ::dup(0)) >= 0;) taken.emplace_back(fd);
    waiting.pop_back();
    EXPECT_OK(Dial(door->address(), Deadline::After(std::chrono::seconds(10))));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  }
  EXPECT_OK(Connect(door->address())->Infer(Values({1})));
}

TEST_F(GrpcDoorTest, UnixSocketOfAnEarlierProcessIsReplacedAndGoesWithTheDoor) {
  Serve();
  const std::string address = "unix:" + dir_.File("door");
  Open({.address = address})->Close();
  EXPECT_FALSE(std::filesystem::exists(dir_.File("door")));
  ::mknod(dir_.File("door").c_str(), S_IFSOCK | 0600, 0);
  const auto door = Open({.address = address});
  EXPECT_EQ(door->address(), address);
  EXPECT_OK(Connect(address)->Infer(Values({1})));
  dir_.Write("file", "is no socket");
  EXPECT_ERROR(GrpcDoor::Open({.address = "unix:" + dir_.File("file")}, &dispatcher_), kUnavailable,
               "create server failed");
  EXPECT_TRUE(std::filesystem::exists(dir_.File("file")));
}

TEST_F(GrpcDoorTest, HeadersAreLimited) {
  Serve();
  const auto door = Open();
  grpc::GenericStub stub(grpc::CreateChannel(door->address(), grpc::InsecureChannelCredentials()));
  for (const auto& [bytes, code] : {std::pair(8 << 10, grpc::StatusCode::INVALID_ARGUMENT),
                                    std::pair(32 << 10, grpc::StatusCode::RESOURCE_EXHAUSTED)}) {
    grpc::ClientContext context;
    context.AddMetadata("x-large", std::string(static_cast<size_t>(bytes), 'x'));
    const grpc::Slice text("no message");
    grpc::ByteBuffer request(&text, 1), reply;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/mindspore.serving.proto.MSService/Predict", {}, &request, &reply,
                   [&](const grpc::Status& status) { done.set_value(status); });
    EXPECT_EQ(done.get_future().get().error_code(), code);
  }
}

TEST_F(GrpcDoorTest, TlsWithVerifiedClients) {
  Serve();
  MakeCertificate(dir_, "server");
  MakeCertificate(dir_, "client");
  SslOptions ssl{.certificate_file = dir_.File("server.crt"),
                 .private_key_file = dir_.File("server.key"),
                 .custom_ca_file = dir_.File("client.crt"),
                 .verify_client = true};
  const auto door = Open({.address = "127.0.0.1:0", .ssl = ssl});
  ClientOptions options;
  options.timeout = std::chrono::seconds(10);
  options.ssl = {.certificate_file = dir_.File("client.crt"),
                 .private_key_file = dir_.File("client.key"),
                 .custom_ca_file = dir_.File("server.crt")};
  EXPECT_OK(Connect(door->address(), options)->Infer(Values({1})));
  options.ssl = {.custom_ca_file = dir_.File("server.crt")};
  EXPECT_EQ(Connect(door->address(), options)->Infer(Values({1})).status().code(),
            StatusCode::kUnavailable);
}

TEST_F(GrpcDoorTest, MissingAndBrokenCertificatesAreErrors) {
  SslOptions ssl{.certificate_file = dir_.File("none.crt"),
                 .private_key_file = dir_.File("none.key")};
  EXPECT_ERROR(GrpcDoor::Open({.address = "127.0.0.1:0", .ssl = ssl}, &dispatcher_),
               kInvalidArgument, "none.key");
  MakeCertificate(dir_, "server");
  ssl = {.certificate_file = dir_.File("server.key"), .private_key_file = dir_.File("server.crt")};
  EXPECT_ERROR(GrpcDoor::Open({.address = "127.0.0.1:0", .ssl = ssl}, &dispatcher_),
               kInvalidArgument, "load private_key from " + dir_.File("server.crt") + " failed");
}

TEST_F(GrpcDoorTest, ChangedCertificatesHoldForNewConnectionsAndOldOnesGoOn) {
  Serve();
  MakeCertificate(dir_, "server");
  MakeCertificate(dir_, "new");
  ClientOptions before, after;
  before.ssl = ClientSslOptions{.custom_ca_file = dir_.File("server.crt")};
  after.ssl = ClientSslOptions{.custom_ca_file = dir_.File("new.crt")};
  const SslOptions ssl{.certificate_file = dir_.File("server.crt"),
                       .private_key_file = dir_.File("server.key")};
  const auto door = Open({.address = "127.0.0.1:0", .ssl = ssl});
  const auto old = Connect(door->address(), before);
  ASSERT_OK(old->Infer(Values({1})));
  for (const std::string ending : {".key", ".crt"}) {
    std::filesystem::copy_file(dir_.File("new" + ending), dir_.File("server" + ending),
                               std::filesystem::copy_options::overwrite_existing);
  }
  const Deadline deadline = Deadline::After(std::chrono::seconds(20));
  Status status;
  do {
    status = Connect(door->address(), after)->Infer(Values({2})).status();
  } while (!status.ok() && !deadline.HasPassed());
  EXPECT_OK(status);
  EXPECT_OK(old->Infer(Values({3})));
}

TEST_F(GrpcDoorTest, ClosingWaitsForWhatWasAccepted) {
  Serve(Blocked());
  auto door = Open();
  const auto client = Connect(door->address());
  std::promise<Result<InferReply>> answered;
  client->InferAsync(Values({1}),
                     [&](Result<InferReply> reply) { answered.set_value(std::move(reply)); });
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  std::thread closer([&] { door->Close(); });
  gate_.Open();
  EXPECT_OK(answered.get_future().get());
  closer.join();
}

}  // namespace
}  // namespace pipeserve
