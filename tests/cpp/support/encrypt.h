// Encrypts model files as the releases of the original do.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <string>

namespace pipeserve {

inline constexpr uint32_t kMagic = 0x7F3A5ED8, kMagicCbc = 0x7F3A5ED9;
inline const std::string kIv = "sixteen bytes iv";

inline std::string Word(size_t value) {
  std::string bytes;
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

enum class CipherLayout { kOldGcm, kTaggedGcm, kOldCbc, kNewCbc };

inline const EVP_CIPHER* CipherOf(CipherLayout layout, size_t key_size) {
  const bool gcm = layout == CipherLayout::kOldGcm || layout == CipherLayout::kTaggedGcm;
  if (key_size == 16) return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
  if (key_size == 24) return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
  return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
}

// One block as the given release writes it.
inline std::string Encrypt(CipherLayout layout, const std::string& key, const std::string& plain) {
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
  if (layout == CipherLayout::kTaggedGcm) {
    tag.resize(16);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, tag.data());
  }
  EVP_CIPHER_CTX_free(context);
  return Word(layout == CipherLayout::kNewCbc ? kMagicCbc : kMagic) + tag +
         Word(4 + kIv.size() + 4 + cipher.size()) + Word(kIv.size()) + kIv + Word(cipher.size()) +
         cipher;
}

}  // namespace pipeserve
