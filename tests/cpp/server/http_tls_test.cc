#include "server/http_tls.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "support/certificate.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

class HttpTlsTest : public ::testing::Test {
 protected:
  HttpTlsTest() {
    MakeCertificate(dir_, "server");
    MakeCertificate(dir_, "new");
  }

  std::unique_ptr<HttpTls> Create() {
    const SslOptions options{.certificate_file = dir_.File("server.crt"),
                             .private_key_file = dir_.File("server.key")};
    return *HttpTls::Create(options, clock_);
  }
  void Exchange(const std::string& ending) {
    std::filesystem::rename(dir_.File("new" + ending), dir_.File("server" + ending));
  }
  // Past the time in which nobody looks.
  void Wait() { clock_.Advance(std::chrono::seconds(2)); }

  TestFolder dir_;
  FakeClock clock_;
};

TEST_F(HttpTlsTest, ChangedFilesAreReadAgainWhenItIsTime) {
  const auto tls = Create();
  const auto* before = tls->Current();
  Exchange(".crt");
  Exchange(".key");
  EXPECT_EQ(tls->Current(), before);
  Wait();
  const auto* after = tls->Current();
  EXPECT_NE(after, before);
  Wait();
  EXPECT_EQ(tls->Current(), after);
}

TEST_F(HttpTlsTest, FilesThatDoNotFitChangeNothingUntilTheyDo) {
  const auto tls = Create();
  const auto* before = tls->Current();
  Exchange(".crt");  // And not yet the key.
  Wait();
  EXPECT_EQ(tls->Current(), before);
  Exchange(".key");
  Wait();
  EXPECT_NE(tls->Current(), before);
}

TEST_F(HttpTlsTest, DoorNeedsACertificateAndWhatItVerifiesBy) {
  EXPECT_ERROR(HttpTls::Create({}), kInvalidArgument, "needs certificate_file");
  EXPECT_ERROR(HttpTls::Create({.certificate_file = dir_.File("server.crt"),
                                .private_key_file = dir_.File("server.key"),
                                .verify_client = true}),
               kInvalidArgument, "needs custom_ca_file");
}

TEST_F(HttpTlsTest, FilesThatAreGoneChangeNothing) {
  const auto tls = Create();
  const auto* before = tls->Current();
  std::filesystem::remove(dir_.File("server.crt"));
  Wait();
  EXPECT_EQ(tls->Current(), before);
}

}  // namespace
}  // namespace pipeserve
