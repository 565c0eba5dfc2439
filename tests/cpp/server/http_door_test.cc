#include "server/http_door.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <atomic>
#include <thread>

#include "scheduler/request_scope.h"
#include "server/raw_client.h"
#include "server/rest_service.h"
#include "server/test_servable.h"
#include "support/certificate.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string PostValue(int value) {
  return Post("/model/add:predict", "{\"instances\": {\"x\": " + std::to_string(value) + "}}");
}

class HttpDoorTest : public ::testing::Test {
 protected:
  ~HttpDoorTest() override {
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

  std::unique_ptr<HttpService> Rest(bool http_status_codes = false) {
    return std::make_unique<RestService>(&dispatcher_, http_status_codes);
  }

  std::unique_ptr<HttpDoor> Open(ListenOptions options = {}) {
    options.address = "127.0.0.1:0";
    auto door = HttpDoor::Open(options, Rest(options.http_status_codes));
    EXPECT_OK(door);
    return *std::move(door);
  }

  TestFolder dir_;
  Gate gate_;
  Dispatcher dispatcher_{DispatcherOptions{}};
  std::shared_ptr<Servable> servable_;
};

TEST_F(HttpDoorTest, RequestComesBackAsJson) {
  Serve();
  const auto door = Open();
  RawClient client(door->address());
  const std::string response =
      client.Ask(Post("/model/add/version/1:predict",
                      R"({"instances": [{"x": [[1.5, 2], [3, 4]]}, {"x": "text"}]})"));
  EXPECT_THAT(response, HasSubstr("elements type is not equal"));
  const std::string good = client.Ask(
      Post("/model/add/version/1:predict", R"({"instances": [{"x": [[1.5, 2.0]]}, {"x": "t"}]})"));
  EXPECT_THAT(good, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(good, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_EQ(BodyOf(good), R"({"instances": [{"y": [[1.5,2.0]]}, {"y": "t"}]})");
}

TEST_F(HttpDoorTest, ErrorsHaveStatus200AndTheOriginalsWords) {
  Serve();
  const auto door = Open({.max_message_bytes = 1000});
  for (const auto& [request, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"GET /model/add:predict HTTP/1.1\r\nHost: h\r\n\r\n",
            "http message only support POST right now"},
           {Post("/model/add:predict", ""), "http message invalid"},
           {Post("/model/add:predict", std::string(1001, ' ')), "http message is bigger than 1000"},
           {Post("/model/add:predict", "{"), "Illegal JSON format."},
           {Post("/model/add", R"({"instances": {"x": 1}})"),
            "please check url, the keyword:[service method] must contain."},
           {Post("/model/add:predict", R"({"instances": {"z": 1}})"),
            "Cannot find input x in instance input , servable add, method predict"},
           {Post("/model/add:fun", R"({"instances": {"x": 1}})"),
            "Request servable(add) method(fun) , method is not available"}}) {
    RawClient client(door->address());
    const std::string response = client.Ask(request);
    EXPECT_THAT(response, StartsWith("HTTP/1.1 200 "));
    EXPECT_THAT(BodyOf(response), StartsWith("{\"error_msg\": \""));
    EXPECT_THAT(response, HasSubstr(fragment));
  }
}

TEST_F(HttpDoorTest, RealStatusCodesWhenAskedFor) {
  Serve();
  const auto door = Open({.max_message_bytes = 1000, .http_status_codes = true});
  const auto status = [&](const std::string& request) {
    return RawClient(door->address()).Ask(request).substr(9, 3);
  };
  EXPECT_EQ(status(PostValue(1)), "200");
  EXPECT_EQ(status(Post("/model/add:predict", "{")), "400");
  EXPECT_EQ(status(Post("/model/sub:predict", R"({"instances": {"x": 1}})")), "404");
  EXPECT_EQ(status(Post("/model/add:predict", std::string(1001, ' '))), "413");
  dispatcher_.set_max_enqueued_requests(0);
  EXPECT_EQ(status(PostValue(1)), "429");
  EXPECT_THAT(RawClient(door->address()).Ask(PostValue(1)), HasSubstr("\r\nRetry-After: 1\r\n"));
  dispatcher_.set_max_enqueued_requests(1);
  dispatcher_.Close();
  EXPECT_EQ(status(PostValue(1)), "503");
}

TEST_F(HttpDoorTest, HealthTellsALivingServerFromOneThatIsReady) {
  const auto door = Open();  // Health has real status codes, whatever the door does with errors.
  RawClient client(door->address());
  const std::string live = "GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n";
  const std::string ready = "GET /v2/health/ready HTTP/1.1\r\nHost: h\r\n\r\n";
  EXPECT_THAT(client.Ask(live), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(client.Ask(ready), StartsWith("HTTP/1.1 503 "));
  Serve();
  const std::string answer = client.Ask(ready);
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(BodyOf(answer), R"({"ready": true})");
  dispatcher_.Close();
  EXPECT_THAT(client.Ask(ready), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(client.Ask(live), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpDoorTest, TheTimeoutOfTheClientIsAnsweredWhileTheFunctionGoesOn) {
  Serve([this](const Instance& instance) -> Result<Instance> {
    gate_.Pass();
    return instance;
  });
  const auto door = Open({.http_status_codes = true});
  const auto ask = [&](const std::string& timeout) {
    const std::string body = R"({"instances": {"x": 1}})";
    return RawClient(door->address())
        .Ask(Post("/model/add:predict", body, "X-Request-Timeout-Ms: " + timeout + "\r\n"));
  };
  const std::string late = ask("50");
  EXPECT_THAT(late, StartsWith("HTTP/1.1 504 "));
  EXPECT_THAT(BodyOf(late), HasSubstr("the request's deadline passed before it was done"));
  for (const std::string wrong :
       {"", "0", "-1", "1.5", "nan", "1e3", "99999999999999999999", "5 s"}) {
    const std::string response = ask(wrong);
    EXPECT_THAT(response, StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(BodyOf(response), HasSubstr("X-Request-Timeout-Ms is '" + wrong + "'"));
  }
}

TEST_F(HttpDoorTest, AClientThatClosesItsConnectionCancels) {
  std::atomic<int> seen = 0;
  Serve([&](const Instance& instance) -> Result<Instance> {
    gate_.Pass();
    const auto cancelled = RequestScope::Context().cancelled;
    const Deadline limit = Deadline::After(std::chrono::seconds(10));
    while (!cancelled->raised() && !limit.HasPassed()) std::this_thread::yield();
    seen += cancelled->raised();
    return instance;
  });
  dispatcher_.set_max_enqueued_requests(1);
  const auto door = Open();
  const auto leave = [&] {
    RawClient client(door->address());
    ASSERT_TRUE(client.Send(PostValue(1)));
  };
  for (int running = 1; running <= 4; ++running) {
    while (!gate_.WaitForArrivals(running, std::chrono::milliseconds(1))) leave();
  }
  gate_.Open();
  servable_->Stop();
  EXPECT_EQ(seen, 4);
}

TEST_F(HttpDoorTest, WhatAClientSendsAheadIsKept) {
  Serve([this](const Instance& instance) -> Result<Instance> {
    gate_.Pass();
    return instance;
  });
  const auto door = Open();
  RawClient client(door->address());
  ASSERT_TRUE(client.Send(PostValue(1)));
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  const std::string ahead(100'000, ' ');
  ASSERT_TRUE(client.Send(PostValue(2)));
  ASSERT_TRUE(
      client.Send(Post("/model/add:predict", R"({"instances": )" + ahead + R"({"x": 3}})")));
  gate_.Open();
  for (const std::string value : {"1", "2", "3"}) {
    EXPECT_THAT(client.Receive(), HasSubstr("\"y\": " + value));
  }
}

TEST_F(HttpDoorTest, AClientThatStillSendsSeesWhyItIsRefused) {
  const auto door = Open({.max_message_bytes = 1000});
  RawClient client(door->address());
  const std::string response = client.Ask(Post("/model/add:predict", std::string(8 << 20, ' ')));
  EXPECT_THAT(response, HasSubstr("http message is bigger than 1000"));
  EXPECT_THAT(response, HasSubstr("Connection: close"));
}

TEST_F(HttpDoorTest, AChunkedBodyIsMeasuredToo) {
  Serve();
  const auto door = Open({.max_message_bytes = 1000});
  const std::string head =
      "POST /model/add:predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawClient good(door->address());
  EXPECT_EQ(
      BodyOf(good.Ask(head + "b\r\n{\"instances\r\n9\r\n\":{\"x\":7}\r\n1\r\n}\r\n0\r\n\r\n")),
      R"({"instances": [{"y": 7}]})");
  RawClient large(door->address());
  EXPECT_THAT(large.Ask(head + "7d0\r\n" + std::string(2000, ' ') + "\r\n0\r\n\r\n"),
              HasSubstr("http message is bigger than 1000"));
}

TEST_F(HttpDoorTest, PipelinedRequestsAreAnsweredInOrder) {
  Serve();
  const auto door = Open();
  RawClient client(door->address());
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += PostValue(i);
  ASSERT_TRUE(client.Send(requests));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(BodyOf(client.Receive()), "{\"instances\": [{\"y\": " + std::to_string(i) + "}]}");
  }
}

TEST_F(HttpDoorTest, ExpectedContinueIsSent) {
  Serve();
  const auto door = Open();
  RawClient client(door->address());
  const std::string body = R"({"instances": {"x": 7}})";
  const std::string request = Post("/model/add:predict", body, "Expect: 100-continue\r\n");
  EXPECT_THAT(client.Ask(request.substr(0, request.size() - body.size())),
              StartsWith("HTTP/1.1 100 "));
  EXPECT_EQ(BodyOf(client.Ask(body)), R"({"instances": [{"y": 7}]})");
}

TEST_F(HttpDoorTest, ConnectionCloseIsObeyed) {
  Serve();
  const auto door = Open();
  RawClient client(door->address());
  EXPECT_THAT(
      client.Ask(Post("/model/add:predict", R"({"instances": {"x": 7}})", "Connection: close\r\n")),
      HasSubstr("\"y\": 7"));
  EXPECT_EQ(client.Receive(), "");
}

TEST_F(HttpDoorTest, GarbageIsRefusedAndHarmsNobody) {
  Serve();
  const auto door = Open();
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02garbage\r\n\r\n", 15), std::string("POST\r\n\r\n"),
        std::string("POST / HTTP/9.9\r\n\r\n"), std::string(100'000, 'a'),
        std::string("POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n")}) {
    RawClient client(door->address());
    EXPECT_THAT(client.Ask(garbage), StartsWith("HTTP/1.1 400 ")) << garbage.substr(0, 40);
  }
  EXPECT_THAT(RawClient(door->address()).Ask(PostValue(7)), HasSubstr("\"y\": 7"));
}

TEST_F(HttpDoorTest, HalfSentRequestsBlockNobody) {
  Serve();
  const auto door = Open();
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 10; ++i) {
    slow.push_back(std::make_unique<RawClient>(door->address()));
    ASSERT_TRUE(slow.back()->Send(PostValue(i).substr(0, 20 + 10 * i)));
  }
  EXPECT_THAT(RawClient(door->address()).Ask(PostValue(7)), HasSubstr("\"y\": 7"));
  EXPECT_THAT(slow[3]->Ask(PostValue(3).substr(50)), HasSubstr("\"y\": 3"));
}

TEST_F(HttpDoorTest, AddressErrorsAreTheOriginals) {
  const auto error = [this](const std::string& address) {
    return HttpDoor::Open({.address = address}, Rest()).status();
  };
  EXPECT_ERROR(error("unix:/tmp/socket"), kInvalidArgument,
               "RESTful server does not support binding to unix domain socket");
  EXPECT_ERROR(error("localhost"), kInvalidArgument, "address 'localhost' is illegal");
  const auto door = Open();
  EXPECT_ERROR(error(door->address()), kUnavailable,
               "Serving Error: RESTful server start failed, bind to the socket address " +
                   door->address() + " failed");
}

TEST_F(HttpDoorTest, ClosingAnswersWhatIsInFlightAndDropsTheIdle) {
  Serve([this](const Instance& instance) -> Result<Instance> {
    gate_.Pass();
    return instance;
  });
  const auto door = Open();
  RawClient busy(door->address());
  RawClient idle(door->address());
  ASSERT_TRUE(busy.Send(PostValue(7)));
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  std::thread closer([&] { door->Close(); });
  EXPECT_EQ(idle.Receive(), "");
  gate_.Open();
  EXPECT_THAT(busy.Receive(), HasSubstr("\"y\": 7"));
  closer.join();
  EXPECT_FALSE(RawClient(door->address()).connected());
}

class TlsContext {
 public:
  TlsContext() : context_(SSL_CTX_new(TLS_client_method())) {}
  ~TlsContext() { SSL_CTX_free(context_); }
  SSL_CTX* get() const { return context_; }

 private:
  SSL_CTX* context_;
};

TEST_F(HttpDoorTest, TlsWithVerifiedClients) {
  Serve();
  MakeCertificate(dir_, "server");
  MakeCertificate(dir_, "client");
  const SslOptions ssl{.certificate_file = dir_.File("server.crt"),
                       .private_key_file = dir_.File("server.key"),
                       .custom_ca_file = dir_.File("client.crt"),
                       .verify_client = true};
  const auto door = Open({.ssl = ssl});
  TlsContext known;
  SSL_CTX_load_verify_locations(known.get(), dir_.File("server.crt").c_str(), nullptr);
  SSL_CTX_set_verify(known.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_use_certificate_file(known.get(), dir_.File("client.crt").c_str(), SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(known.get(), dir_.File("client.key").c_str(), SSL_FILETYPE_PEM);
  EXPECT_THAT(RawClient(door->address(), known.get()).Ask(PostValue(7)), HasSubstr("\"y\": 7"));
  RawClient twice(door->address(), known.get());
  for (int i = 0; i < 20; ++i) {  // The door reads while it answers, and goes on after it.
    EXPECT_THAT(twice.Ask(PostValue(i)), HasSubstr("\"y\": " + std::to_string(i)));
  }
  ASSERT_TRUE(twice.Send(PostValue(1) + PostValue(2)));
  EXPECT_THAT(twice.Receive(), HasSubstr("\"y\": 1"));
  EXPECT_THAT(twice.Receive(), HasSubstr("\"y\": 2"));
  TlsContext stranger;
  EXPECT_EQ(RawClient(door->address(), stranger.get()).Ask(PostValue(7)), "");
  TlsContext outdated;
  SSL_CTX_set_max_proto_version(outdated.get(), TLS1_VERSION);
  EXPECT_FALSE(RawClient(door->address(), outdated.get()).connected());
  EXPECT_THAT(RawClient(door->address()).Ask(PostValue(7)), ::testing::Not(HasSubstr("HTTP/")));
}

TEST_F(HttpDoorTest, ConnectionsBeyondTheLimitAreClosedUntilOthersLeave) {
  Serve();
  const auto door = Open({.max_connections = 2});
  RawClient first(door->address());
  EXPECT_THAT(first.Ask(PostValue(1)), HasSubstr("\"y\": 1"));
  {
    RawClient second(door->address());
    EXPECT_THAT(second.Ask(PostValue(2)), HasSubstr("\"y\": 2"));
    EXPECT_EQ(RawClient(door->address()).Ask(PostValue(3)), "");
    EXPECT_THAT(first.Ask(PostValue(4)), HasSubstr("\"y\": 4"));
  }
  const Deadline deadline = Deadline::After(std::chrono::seconds(10));
  std::string answer;
  while (answer.empty() && !deadline.HasPassed()) {
    answer = RawClient(door->address()).Ask(PostValue(5));
  }
  EXPECT_THAT(answer, HasSubstr("\"y\": 5"));
}

TEST_F(HttpDoorTest, BadCertificatesAreRefusedInTheOriginalsWords) {
  MakeCertificate(dir_, "a");
  MakeCertificate(dir_, "b");
  const auto error = [this](const std::string& certificate, const std::string& key,
                            const std::string& ca) {
    const SslOptions ssl{.certificate_file = dir_.File(certificate),
                         .private_key_file = dir_.File(key),
                         .custom_ca_file = dir_.File(ca),
                         .verify_client = true};
    return HttpDoor::Open({.address = "127.0.0.1:0", .ssl = ssl}, Rest()).status();
  };
  const std::string prefix = "Serving Error: ";
  EXPECT_OK(error("a.crt", "a.key", "b.crt"));
  EXPECT_ERROR(error("a.crt", "a.key", "none"), kInvalidArgument,
               prefix + "load root certificate from " + dir_.File("none") + " failed");
  EXPECT_ERROR(error("a.key", "a.key", "a.crt"), kInvalidArgument,
               prefix + "load certificate_chain from " + dir_.File("a.key"));
  EXPECT_ERROR(error("a.crt", "a.crt", "a.crt"), kInvalidArgument,
               prefix + "load private_key from " + dir_.File("a.crt") + " failed");
  EXPECT_ERROR(error("a.crt", "b.key", "a.crt"), kInvalidArgument,
               prefix + "private_key is not consistent with certificate");
}

}  // namespace
}  // namespace pipeserve
