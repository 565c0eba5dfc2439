// Who gets in at the agents' door.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "agent.grpc.pb.h"
#include "agent/agent_hub.h"
#include "agent/agent_token.h"
#include "base/mutex.h"
#include "pipeserve/agent.h"
#include "pipeserve/log.h"
#include "support/certificate.h"
#include "support/matchers.h"
#include "support/test_agent.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

const std::string kToken = "a token of the right form";
const std::string kWithoutBlanks = "0123456789abcdef";

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

class AgentDoorTest : public ::testing::Test {
 protected:
  AgentDoorTest() {
    options_.servable_name = "gather";
    options_.rank_table.ranks = {{"127.0.0.1", 0}, {"127.0.0.1", 1}};
    options_.address = "127.0.0.1:0";
  }

  // With mutual TLS; "server" and "agent" are certificates of 127.0.0.1.
  void UseTls() {
    MakeCertificate(dir_, "server");
    MakeCertificate(dir_, "agent");
    options_.ssl = SslOptions{.certificate_file = dir_.File("server.crt"),
                              .private_key_file = dir_.File("server.key"),
                              .custom_ca_file = dir_.File("agent.crt"),
                              .verify_client = true};
  }
  AgentCredentials AgentFiles() const {
    return {.ssl = ClientSslOptions{.certificate_file = dir_.File("agent.crt"),
                                    .private_key_file = dir_.File("agent.key"),
                                    .custom_ca_file = dir_.File("server.crt")}};
  }
  static Status Ask(const AgentHub& hub, const AgentCredentials& credentials,
                    std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    return AcquireAgentConfig(hub.address(), timeout, credentials).status();
  }

  TestFolder dir_;
  AgentHubOptions options_;
};

TEST_F(AgentDoorTest, AgentsWithTheTokenFormAGroup) {
  options_.token = kWithoutBlanks;
  const auto hub = *AgentHub::Create(options_);
  const AgentCredentials known{.token = kWithoutBlanks};
  GatherAgent zero(hub->address(), 0, 2, known), one(hub->address(), 1, 2, known);
  EXPECT_OK(hub->WaitReady(Soon()));
  EXPECT_OK(Ask(*hub, known));
}

TEST_F(AgentDoorTest, WithoutTheTokenEveryCallIsRefusedForGood) {
  options_.token = kWithoutBlanks;
  const auto hub = *AgentHub::Create(options_);
  for (const std::string& token :
       {std::string(), "0123456789abcdeX" + std::string(), kWithoutBlanks + "0"}) {
    const AgentCredentials credentials{.token = token};
    const char* why = token.empty() ? "wants a token" : "is not the server's";
    EXPECT_ERROR(Ask(*hub, credentials), kUnauthenticated, why);
    EXPECT_ERROR(ReportAgentsFailed(hub->address(), "of a stranger", credentials), kUnauthenticated,
                 why);
    EXPECT_ERROR(GatherAgent(hub->address(), 0, 2, credentials).Join(), kUnauthenticated, why);
  }
  EXPECT_ERROR(hub->WaitReady(Deadline::After({})), kDeadlineExceeded, "count: 0");
}

TEST_F(AgentDoorTest, StreamWithoutTheTokenIsRefused) {
  options_.token = kWithoutBlanks;
  const auto hub = *AgentHub::Create(options_);
  const auto channel = grpc::CreateChannel(hub->address(), grpc::InsecureChannelCredentials());
  grpc::ClientContext context;
  const auto stream = proto::AgentHub::NewStub(channel)->Connect(&context);
  proto::ServerMessage message;
  EXPECT_FALSE(stream->Read(&message));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(AgentDoorTest, TokensHaveAForm) {
  for (const std::string& token : {std::string("short"), kToken, std::string(1025, 'x')}) {
    options_.token = token;
    EXPECT_ERROR(AgentHub::Create(options_), kInvalidArgument, "the agents' token has");
    EXPECT_ERROR(AcquireAgentConfig("127.0.0.1:1", std::chrono::seconds(1), {.token = token}),
                 kInvalidArgument, "the agents' token has");
  }
  EXPECT_EQ(ReadTokenFile(dir_.Write("token", kWithoutBlanks + "\n").string()).value(),
            kWithoutBlanks);
  EXPECT_ERROR(ReadTokenFile(dir_.Write("empty", "\n").string()), kInvalidArgument,
               "there is no token in");
  EXPECT_ERROR(ReadTokenFile(dir_.File("none")), kInvalidArgument, "cannot read");
}

TEST_F(AgentDoorTest, AgentsWithCertificatesFormAGroup) {
  UseTls();
  const auto hub = *AgentHub::Create(options_);
  GatherAgent zero(hub->address(), 0, 2, AgentFiles()), one(hub->address(), 1, 2, AgentFiles());
  EXPECT_OK(hub->WaitReady(Soon()));
}

TEST_F(AgentDoorTest, WhoeverHasNoCertificateOrMistrustsTheServerDoesNotGetIn) {
  UseTls();
  const auto hub = *AgentHub::Create(options_);
  const std::chrono::seconds shortly(1);
  EXPECT_OK(Ask(*hub, AgentFiles()));
  EXPECT_ERROR(Ask(*hub, {}, shortly), kDeadlineExceeded, "worker is not available");
  EXPECT_ERROR(
      Ask(*hub, {.ssl = ClientSslOptions{.custom_ca_file = dir_.File("server.crt")}}, shortly),
      kDeadlineExceeded, "worker is not available");
  AgentCredentials mistrusting = AgentFiles();
  mistrusting.ssl->custom_ca_file = dir_.File("agent.crt");
  EXPECT_ERROR(Ask(*hub, mistrusting, shortly), kDeadlineExceeded, "worker is not available");
}

TEST_F(AgentDoorTest, ServerIsKnownByTheNameInItsCertificate) {
  UseTls();
  options_.address = "127.0.0.2:0";
  const auto hub = *AgentHub::Create(options_);
  EXPECT_ERROR(Ask(*hub, AgentFiles(), std::chrono::seconds(1)), kDeadlineExceeded,
               "worker is not available");
}

TEST_F(AgentDoorTest, BadFilesAreNamed) {
  UseTls();
  options_.ssl->certificate_file = dir_.File("none");
  EXPECT_ERROR(AgentHub::Create(options_), kInvalidArgument, dir_.File("none"));
  AgentCredentials bad = AgentFiles();
  bad.ssl->custom_ca_file = dir_.File("none");
  EXPECT_ERROR(AcquireAgentConfig("127.0.0.1:1", std::chrono::seconds(1), bad), kInvalidArgument,
               dir_.File("none"));
  EXPECT_ERROR(GatherAgent("127.0.0.1:1", 0, 2, bad).Join(), kInvalidArgument, dir_.File("none"));
}

TEST_F(AgentDoorTest, ChangedCertificatesHoldForNewConnectionsAndOldOnesGoOn) {
  UseTls();
  const auto hub = *AgentHub::Create(options_);
  GatherAgent zero(hub->address(), 0, 2, AgentFiles()), one(hub->address(), 1, 2, AgentFiles());
  ASSERT_OK(hub->WaitReady(Soon()));
  MakeCertificate(dir_, "new");
  AgentCredentials told = AgentFiles();
  told.ssl->custom_ca_file = dir_.File("new.crt");
  std::filesystem::rename(dir_.File("new.key"), dir_.File("server.key"));
  std::filesystem::copy_file(dir_.File("new.crt"), dir_.File("server.crt"),
                             std::filesystem::copy_options::overwrite_existing);
  const Deadline deadline = Soon();
  Status status = Ask(*hub, told, std::chrono::milliseconds(500));
  while (!status.ok() && !deadline.HasPassed()) {
    status = Ask(*hub, told, std::chrono::milliseconds(500));
  }
  EXPECT_OK(status);
  EXPECT_TRUE(hub->ready());
}

class DoorWarningTest : public AgentDoorTest {
 protected:
  DoorWarningTest() {
    SetLogSink([this](const LogEvent& event) {
      MutexLock lock(mutex_);
      logged_ += FormatLogEvent(event);
    });
  }
  ~DoorWarningTest() override { SetLogSink(nullptr); }

  bool Warns(const std::string& address) {
    options_.address = address;
    EXPECT_OK(AgentHub::Create(options_));
    MutexLock lock(mutex_);
    return std::exchange(logged_, "").find("can register as an agent") != std::string::npos;
  }

 private:
  Mutex mutex_;
  std::string logged_;
};

TEST_F(DoorWarningTest, DoorThatIsOpenToTheNetworkWarns) {
  EXPECT_TRUE(Warns("0.0.0.0:0"));
  EXPECT_FALSE(Warns("127.0.0.1:0"));
  EXPECT_FALSE(Warns("localhost:0"));
  options_.token = kWithoutBlanks;
  EXPECT_FALSE(Warns("0.0.0.0:0"));
  options_.token.clear();
  UseTls();
  EXPECT_FALSE(Warns("0.0.0.0:0"));
  options_.ssl->verify_client = false;  // Encrypted, for whoever comes.
  EXPECT_TRUE(Warns("0.0.0.0:0"));
}

}  // namespace
}  // namespace pipeserve
