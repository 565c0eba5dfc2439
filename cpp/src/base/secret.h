// What processes know that strangers do not, and how they prove to each other that they know it.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "pipeserve/status.h"

namespace pipeserve {

// From the kernel. Errors: kUnavailable (no entropy).
Status FillRandom(std::span<std::byte> bytes);

// 256 random bits. Errors: kUnavailable (no entropy).
Result<std::string> NewSecret();

// The time that it takes does not tell where the two differ.
bool SameSecret(std::string_view a, std::string_view b);

// Only who knows the secret can make it, and it does not give the secret away.
using Proof = std::array<std::byte, 32>;

// HMAC-SHA256 of `message`. Errors: kInternal (OpenSSL refuses).
Result<Proof> ProveSecret(std::string_view secret, std::span<const std::byte> message);

// In a time that does not tell where they differ.
bool SameProof(const Proof& a, const Proof& b);

}  // namespace pipeserve
