#include "graph/decrypt.h"

#include <openssl/evp.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::HasSubstr;

constexpr uint32_t kMagic = 0x7F3A5ED8, kMagicCbc = 0x7F3A5ED9;
const std::string kIv = "sixteen bytes iv";

std::string Word(size_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

enum class Layout { kOldGcm, kTaggedGcm, kOldCbc, kNewCbc };

const EVP_CIPHER* CipherOf(Layout layout, size_t key_size) {
  const bool gcm = layout == Layout::kOldGcm || layout == Layout::kTaggedGcm;
  if (key_size == 16) return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
  if (key_size == 24) return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
  return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
}

// One block as the given release writes it.
std::string Encrypt(Layout layout, const std::string& key, const std::string& plain) {
  const auto raw = [](const std::string& text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(context, CipherOf(layout, key.size()), nullptr, raw(key), raw(kIv));
  std::string cipher(plain.size() + 16, '\0');
  auto* out = reinterpret_cast<unsigned char*>(cipher.data());
  int size = 0, rest = 0;
  EVP_EncryptUpdate(context, out, &size, raw(plain), static_cast<int>(plain.size()));
  EVP_EncryptFinal_ex(context, out + size, &rest);
  cipher.resize(static_cast<size_t>(size + rest));
  std::string tag;
  if (layout == Layout::kTaggedGcm) {
    tag.resize(16);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
  }
  EVP_CIPHER_CTX_free(context);
  return Word(layout == Layout::kNewCbc ? kMagicCbc : kMagic) + tag +
         Word(4 + kIv.size() + 4 + cipher.size()) + Word(kIv.size()) + kIv + Word(cipher.size()) +
         cipher;
}

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// The plain text, or the error's.
std::string Decrypted(const std::string& file, const std::string& key, DecryptMode mode) {
  const auto plain = Decrypt(Bytes(file), {key, mode});
  if (!plain.ok()) return plain.status().message();
  return {reinterpret_cast<const char*>(plain->data()), plain->size()};
}

DecryptMode ModeOf(Layout layout) {
  return layout == Layout::kOldCbc || layout == Layout::kNewCbc ? DecryptMode::kAesCbc
                                                                : DecryptMode::kAesGcm;
}

constexpr Layout kLayouts[] = {Layout::kOldGcm, Layout::kTaggedGcm, Layout::kOldCbc,
                               Layout::kNewCbc};

TEST(DecryptTest, JoinsBlocksOfEveryLayoutAndKeySize) {
  const std::string first(1000, 'a'), second = "the rest";
  for (const Layout layout : kLayouts) {
    for (const size_t key_size : {16, 24, 32}) {
      const std::string key(key_size, 'k');
      const std::string file = Encrypt(layout, key, first) + Encrypt(layout, key, second);
      EXPECT_TRUE(IsEncrypted(Bytes(file)));
      EXPECT_EQ(Decrypted(file, key, ModeOf(layout)), first + second);
    }
  }
}

TEST(DecryptTest, TagCatchesADamagedByte) {
  const std::string key(16, 'k');
  std::string file = Encrypt(Layout::kTaggedGcm, key, "plain text");
  file.back() ^= 1;
  EXPECT_THAT(Decrypted(file, key, DecryptMode::kAesGcm), HasSubstr("damaged"));
}

TEST(DecryptTest, RefusesEveryCut) {
  const std::string key(16, 'k');
  for (const Layout layout : kLayouts) {
    const std::string block = Encrypt(layout, key, "plain text");
    for (size_t size = 1; size < block.size(); ++size) {
      EXPECT_THAT(Decrypted(block + block.substr(0, size), key, ModeOf(layout)),
                  HasSubstr("is encrypted"));
    }
  }
}

TEST(DecryptTest, RefusesSizesThatDoNotFit) {
  const std::string key(16, 'k');
  const std::string block = Encrypt(Layout::kNewCbc, key, "plain text");
  for (const size_t at : {4, 8, 28}) {  // Body size, IV size, cipher size.
    for (const uint32_t value : {0u, 1u, 0xFFFFFFFFu}) {
      std::string damaged = block;
      damaged.replace(at, 4, Word(value));
      EXPECT_THAT(Decrypted(damaged, key, DecryptMode::kAesCbc), HasSubstr("sizes of a block"));
    }
  }
}

TEST(DecryptTest, PlainFilesAreNotEncrypted) {
  EXPECT_FALSE(
      IsEncrypted(Bytes("\x0A\x05"
                        "0.1.0")));
  EXPECT_FALSE(IsEncrypted({}));
}

}  // namespace
}  // namespace pipeserve
