#include "base/socket.h"

#include <gtest/gtest.h>

namespace pipeserve {
namespace {

TEST(SocketTest, KnowsAddressesThatOnlyThisHostReaches) {
  for (const char* address : {"127.0.0.1:80", "127.1.2.3:0", "[::1]:80", "localhost:80"}) {
    EXPECT_TRUE(IsLoopbackAddress(address)) << address;
  }
  for (const char* address : {"0.0.0.0:80", "[::]:80", "10.0.0.127:80", "localhost.example:80"}) {
    EXPECT_FALSE(IsLoopbackAddress(address)) << address;
  }
}

}  // namespace
}  // namespace pipeserve
