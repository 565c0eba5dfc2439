#include "graph/decrypt.h"

#include "support/encrypt.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::HasSubstr;

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

// The plain text, or the error's.
std::string Decrypted(const std::string& file, const std::string& key, DecryptMode mode) {
  const auto plain = Decrypt(Bytes(file), {key, mode});
  if (!plain.ok()) return plain.status().message();
  return {reinterpret_cast<const char*>(plain->data()), plain->size()};
}

DecryptMode ModeOf(CipherLayout layout) {
  return layout == CipherLayout::kOldCbc || layout == CipherLayout::kNewCbc ? DecryptMode::kAesCbc
                                                                            : DecryptMode::kAesGcm;
}

constexpr CipherLayout kLayouts[] = {CipherLayout::kOldGcm, CipherLayout::kTaggedGcm,
                                     CipherLayout::kOldCbc, CipherLayout::kNewCbc};

TEST(DecryptTest, JoinsBlocksOfEveryLayoutAndKeySize) {
  const std::string first(1000, 'a'), second = "the rest";
  for (const CipherLayout layout : kLayouts) {
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
  std::string file = Encrypt(CipherLayout::kTaggedGcm, key, "plain text");
  file.back() ^= 1;
  EXPECT_THAT(Decrypted(file, key, DecryptMode::kAesGcm), HasSubstr("damaged"));
}

TEST(DecryptTest, RefusesEveryCut) {
  const std::string key(16, 'k');
  for (const CipherLayout layout : kLayouts) {
    const std::string block = Encrypt(layout, key, "plain text");
    for (size_t size = 1; size < block.size(); ++size) {
      EXPECT_THAT(Decrypted(block + block.substr(0, size), key, ModeOf(layout)),
                  HasSubstr("is encrypted"));
    }
  }
}

TEST(DecryptTest, RefusesSizesThatDoNotFit) {
  const std::string key(16, 'k');
  const std::string block = Encrypt(CipherLayout::kNewCbc, key, "plain text");
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
