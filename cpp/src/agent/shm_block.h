// Where the bytes of a tensor lie in the memory that a server shares with the ranks of its host.
#pragma once

#include <cstdint>

namespace pipeserve {

// Offsets are 64-byte aligned.
struct ShmBlock {
  enum Area : uint32_t { kInputs = 0, kOutputs = 1 };
  uint32_t area = kInputs;
  uint32_t reserved = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
  // Stands for the bytes, once they are written: another block there has another one, as have
  // bytes that may have been changed since. 0: nobody will know them again.
  uint64_t serial = 0;
};

}  // namespace pipeserve
