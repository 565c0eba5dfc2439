#include "server/address.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(AddressTest, HostAndPort) {
  const Result<HostPort> parsed = ParseHostPort("127.0.0.1:5500", "Serving gRPC");
  ASSERT_OK(parsed);
  EXPECT_EQ(parsed->host, "127.0.0.1");
  EXPECT_EQ(parsed->port, 5500);
}

TEST(AddressTest, AnIpv6AddressIsInBrackets) {
  const Result<HostPort> parsed = ParseHostPort("[::1]:5500", "Serving gRPC");
  ASSERT_OK(parsed);
  EXPECT_EQ(parsed->host, "::1");
  EXPECT_EQ(parsed->port, 5500);
}

TEST(AddressTest, BadAddressesAreRefusedInTheOriginalsWords) {
  for (const auto& [address, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"localhost", "The format of the Serving gRPC address 'localhost' is illegal"},
           {":5500", "Missing ip or port of the Serving gRPC address"},
           {"127.0.0.1:", "Missing ip or port of the Serving gRPC address"},
           {"127.0.0.1:65536",
            "The port of the Serving gRPC address '127.0.0.1:65536' is out of "
            "legal range [1 ~ 65535]"},
           {"127.0.0.1:-1", "is out of legal range [1 ~ 65535]"},
           {"127.0.0.1:99999999999999999999", "is out of legal range [1 ~ 65535]"},
           {"127.0.0.1:http",
            "The type of Serving gRPC address '127.0.0.1:http' port is not a "
            "number"},
           {"127.0.0.1:55x", "port is not a number"}}) {
    SCOPED_TRACE(address);
    EXPECT_ERROR(ParseHostPort(address, "Serving gRPC"), kInvalidArgument, fragment);
  }
}

TEST(AddressTest, UnixAddressesBecomeAbsolute) {
  EXPECT_TRUE(IsUnixAddress("unix:a"));
  EXPECT_FALSE(IsUnixAddress("127.0.0.1:80"));
  const Result<std::string> resolved = ResolveUnixAddress("unix:socket");
  ASSERT_OK(resolved);
  EXPECT_EQ(resolved->rfind("unix:/", 0), 0u);
  EXPECT_ERROR(ResolveUnixAddress("unix:"), kInvalidArgument,
               "Serving Error: Empty grpc server unix domain socket address");
}

}  // namespace
}  // namespace pipeserve
