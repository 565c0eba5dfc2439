#include "base/secret.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

Proof Prove(std::string_view secret, std::string_view message) {
  return ProveSecret(secret, std::as_bytes(std::span(message))).value();
}

TEST(SecretTest, NoTwoAreAlike) {
  const std::string a = NewSecret().value(), b = NewSecret().value();
  EXPECT_EQ(a.size(), 32u);
  EXPECT_FALSE(SameSecret(a, b));
  EXPECT_TRUE(SameSecret(a, std::string(a)));
  EXPECT_FALSE(SameSecret(a, a + "x"));
  EXPECT_TRUE(SameSecret("", ""));
}

TEST(SecretTest, ProofIsOfTheSecretAndTheMessage) {
  EXPECT_TRUE(SameProof(Prove("secret", "message"), Prove("secret", "message")));
  EXPECT_FALSE(SameProof(Prove("secret", "message"), Prove("another", "message")));
  EXPECT_FALSE(SameProof(Prove("secret", "message"), Prove("secret", "another")));
  EXPECT_FALSE(SameProof(Prove("", "message"), Proof{}));
}

// RFC 4231, test case 2.
TEST(SecretTest, ProofIsHmacSha256) {
  const Proof proof = Prove("Jefe", "what do ya want for nothing?");
  EXPECT_EQ(proof[0], std::byte{0x5b});
  EXPECT_EQ(proof[1], std::byte{0xdc});
  EXPECT_EQ(proof[31], std::byte{0x43});
}

}  // namespace
}  // namespace pipeserve
