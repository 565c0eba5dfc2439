// Damaged input for the tests of parsers: the same for every run, unless the environment asks for
// another seed (PIPESERVE_FUZZ_SEED) or another number of inputs (PIPESERVE_FUZZ_INPUTS), as
// `make fuzz` does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>
#include <string>
#include <string_view>

namespace pipeserve {

// How many a test throws: `usual`, or what the environment says.
inline int DamagedInputs(int usual) {
  const char* text = std::getenv("PIPESERVE_FUZZ_INPUTS");
  return text == nullptr ? usual : std::atoi(text);
}

inline uint32_t DamageSeed() {
  const char* text = std::getenv("PIPESERVE_FUZZ_SEED");
  return text == nullptr ? 1 : static_cast<uint32_t>(std::strtoul(text, nullptr, 10));
}

class Mutator {
 public:
  // `tokens` are put in whole, because few random bytes mean anything to a parser.
  explicit Mutator(std::span<const std::string_view> tokens)
      : random_(DamageSeed()), tokens_(tokens) {}

  // Below `limit`, which is not 0.
  size_t Pick(size_t limit) { return random_() % limit; }

  // `text` with no change or up to three.
  std::string Mutate(std::string text) {
    for (size_t changes = Pick(4); changes > 0; --changes) Change(&text);
    return text;
  }

 private:
  void Change(std::string* text) {
    const size_t at = Pick(text->size() + 1);
    const size_t size = Pick(text->size() - at + 1);
    switch (Pick(5)) {
      case 0:
        text->insert(at, 1, static_cast<char>(Pick(256)));
        break;
      case 1:
        text->erase(at, 1 + size % 4);
        break;
      case 2:
        if (at < text->size()) (*text)[at] = static_cast<char>((*text)[at] ^ (1 << Pick(8)));
        break;
      case 3:
        text->insert(at, text->substr(at, size % 16));
        break;
      default:
        text->replace(at, size % 4, tokens_[Pick(tokens_.size())]);
    }
  }

  std::mt19937 random_;
  const std::span<const std::string_view> tokens_;
};

}  // namespace pipeserve
