#include "base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>

#include "base/socket.h"

namespace pipeserve {
namespace {

constexpr size_t kSecretBytes = 32;

}  // namespace

Status FillRandom(std::span<std::byte> bytes) {
  // Up to 256 bytes come at once, or none.
  if (getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size())) {
    return OkStatus();
  }
  return SocketError("getrandom", errno);
}

Result<std::string> NewSecret() {
  std::string secret(kSecretBytes, '\0');
  PIPESERVE_RETURN_IF_ERROR(FillRandom(std::as_writable_bytes(std::span(secret))));
  return secret;
}

bool SameSecret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Result<Proof> ProveSecret(std::string_view secret, std::span<const std::byte> message) {
  Proof proof;
  unsigned int length = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(message.data());
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes, message.size(),
           reinterpret_cast<unsigned char*>(proof.data()), &length) == nullptr ||
      length != proof.size()) {
    return Internal("OpenSSL makes no HMAC-SHA256");
  }
  return proof;
}

bool SameProof(const Proof& a, const Proof& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace pipeserve
