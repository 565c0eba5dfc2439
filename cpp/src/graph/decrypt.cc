#include "graph/decrypt.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kMagic = 0x7F3A5ED8;     // GCM of every release, CBC of 1.x.
constexpr uint32_t kMagicCbc = 0x7F3A5ED9;  // CBC of 2.x.
constexpr size_t kWord = sizeof(uint32_t);
constexpr size_t kIvSize = 16;
constexpr size_t kGcmIvSize = 12;  // GCM uses the first bytes of the stored IV.
constexpr size_t kTagSize = 16;

uint32_t WordAt(Bytes bytes, size_t offset) {
  uint32_t word = 0;
  for (size_t i = 0; i < kWord; ++i) {
    word |= std::to_integer<uint32_t>(bytes[offset + i]) << (8 * i);
  }
  return word;
}

struct Block {
  Bytes iv, cipher;
  std::optional<Bytes> tag;
  size_t size = 0;  // With its header.
};

// Reads body size, IV size, IV, cipher size and cipher text at `offset`; nothing when the sizes
// contradict each other or the file.
std::optional<Block> ReadBody(Bytes file, size_t offset) {
  constexpr size_t kFixed = kWord + kIvSize + kWord;  // Of a body, beside the cipher text.
  if (file.size() < offset + kWord + kFixed) return std::nullopt;
  const size_t body_size = WordAt(file, offset);
  const size_t iv_at = offset + 2 * kWord;
  const size_t cipher_at = iv_at + kIvSize + kWord;
  const size_t cipher_size = WordAt(file, iv_at + kIvSize);
  if (WordAt(file, offset + kWord) != kIvSize || body_size != kFixed + cipher_size ||
      cipher_size > file.size() - cipher_at) {
    return std::nullopt;
  }
  return Block{file.subspan(iv_at, kIvSize), file.subspan(cipher_at, cipher_size), std::nullopt,
               cipher_at + cipher_size};
}

// 1.x GCM has no tag and the layout of CBC, so the sizes have to tell the two apart.
std::optional<Block> ReadGcmBlock(Bytes file) {
  std::optional<Block> block = ReadBody(file, kWord);
  if (block.has_value() || file.size() < kWord + kTagSize) return block;
  block = ReadBody(file, kWord + kTagSize);
  if (block.has_value()) block->tag = file.subspan(kWord, kTagSize);
  return block;
}

Result<Block> ReadBlock(Bytes file, DecryptMode mode) {
  if (file.size() < kWord) return InvalidArgument("is encrypted and cut short");
  const uint32_t magic = WordAt(file, 0);
  if (magic != kMagic && magic != kMagicCbc) {
    return InvalidArgument("is encrypted, and a block does not start with its magic number");
  }
  if (mode == DecryptMode::kAesGcm && magic == kMagicCbc) {
    return InvalidArgument("is encrypted with AES-CBC, AES-GCM was asked for");
  }
  const std::optional<Block> block =
      mode == DecryptMode::kAesGcm ? ReadGcmBlock(file) : ReadBody(file, kWord);
  if (block.has_value()) return *block;
  if (mode == DecryptMode::kAesCbc && magic == kMagic && ReadGcmBlock(file).has_value()) {
    return InvalidArgument("is encrypted with AES-GCM, AES-CBC was asked for");
  }
  return InvalidArgument("is encrypted, and the sizes of a block do not fit the file");
}

const EVP_CIPHER* CipherOf(DecryptMode mode, size_t key_size) {
  const bool gcm = mode == DecryptMode::kAesGcm;
  switch (key_size) {
    case 16:
      return gcm ? EVP_aes_128_gcm() : EVP_aes_128_cbc();
    case 24:
      return gcm ? EVP_aes_192_gcm() : EVP_aes_192_cbc();
    case 32:
      return gcm ? EVP_aes_256_gcm() : EVP_aes_256_cbc();
    default:
      return nullptr;
  }
}

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

unsigned char* Raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* Raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

// Sets key, IV and, where there is one, the tag.
bool Begin(EVP_CIPHER_CTX* context, const Block& block, const Decryption& decryption) {
  static_assert(kGcmIvSize == 12, "OpenSSL's own default, so it need not be set");
  const EVP_CIPHER* cipher = CipherOf(decryption.mode, decryption.key.size());
  const auto* key = reinterpret_cast<const unsigned char*>(decryption.key.data());
  if (EVP_DecryptInit_ex(context, cipher, nullptr, key, Raw(block.iv.data())) != 1) return false;
  if (!block.tag.has_value()) return true;
  std::byte tag[kTagSize];
  std::copy(block.tag->begin(), block.tag->end(), tag);
  return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagSize, tag) == 1;
}

// Writes the plain bytes to `out`, which has room for the cipher text; returns how many.
Result<size_t> DecryptBlock(const Block& block, const Decryption& decryption, std::byte* out) {
  // OpenSSL counts in int.
  constexpr size_t kChunk = size_t{1} << 30;
  const Context context(EVP_CIPHER_CTX_new());
  if (context == nullptr || !Begin(context.get(), block, decryption)) {
    return Internal("AES cannot be set up");
  }
  size_t written = 0;
  for (size_t at = 0; at < block.cipher.size();) {
    const size_t chunk = std::min(kChunk, block.cipher.size() - at);
    int count = 0;
    if (EVP_DecryptUpdate(context.get(), Raw(out + written), &count, Raw(&block.cipher[at]),
                          static_cast<int>(chunk)) != 1) {
      return InvalidArgument("cannot be decrypted");
    }
    written += static_cast<size_t>(count);
    at += chunk;
  }
  // Without a tag there is nothing for GCM to finish.
  if (decryption.mode == DecryptMode::kAesGcm && !block.tag.has_value()) return written;
  int count = 0;
  if (EVP_DecryptFinal_ex(context.get(), Raw(out + written), &count) != 1) {
    return InvalidArgument("cannot be decrypted: the key is wrong or the file is damaged");
  }
  return written + static_cast<size_t>(count);
}

}  // namespace

bool IsEncrypted(std::span<const std::byte> file) {
  if (file.size() < kWord) return false;
  const uint32_t magic = WordAt(file, 0);
  return magic == kMagic || magic == kMagicCbc;
}

Result<Buffer> Decrypt(std::span<const std::byte> file, const Decryption& decryption) {
  if (CipherOf(decryption.mode, decryption.key.size()) == nullptr) {
    return InvalidArgument(StrCat("is encrypted, and the key has ", decryption.key.size(),
                                  " bytes, 16, 24 or 32 were wanted"));
  }
  // OpenSSL writes up to a cipher block past what it reports for CBC.
  Buffer plain = Buffer::Allocate(file.size() + kIvSize);
  size_t size = 0;
  while (!file.empty()) {
    PIPESERVE_ASSIGN_OR_RETURN(const Block block, ReadBlock(file, decryption.mode));
    PIPESERVE_ASSIGN_OR_RETURN(const size_t written,
                               DecryptBlock(block, decryption, plain.mutable_data() + size));
    size += written;
    file = file.subspan(block.size);
  }
  return plain.Slice(0, size);
}

}  // namespace pipeserve
