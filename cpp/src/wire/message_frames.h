// A protobuf message as the pieces that it is sent in: what is short is written together, the bytes
// of tensors stay where they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pipeserve/tensor.h"

namespace pipeserve {

// Fields come in the order in which they are added. A message inside of another one is made first.
class MessageFrames {
 public:
  void AddVarint(int field, uint64_t value);
  void AddPackedVarints(int field, const Shape& values);
  void AddBytes(int field, std::string_view bytes);  // Copied.
  void AddBytes(int field, Buffer bytes);            // Shared, unless they are few.
  void AddMessage(int field, MessageFrames message);

  size_t size() const { return size_; }
  // The bytes of the message, in order.
  std::vector<Buffer> Take() &&;
  // The same in one piece, for which what is shared is copied.
  std::string Join() &&;

 private:
  // Fewer are cheaper to copy than to keep track of.
  static constexpr size_t kShortBytes = 1024;

  struct Piece {
    size_t at = 0;  // Of the text, before which it comes.
    Buffer bytes;
  };

  void Append(std::string_view text);
  void AppendVarint(uint64_t value);
  void AppendHead(int field, size_t bytes);

  std::string text_;
  std::vector<Piece> pieces_;
  size_t size_ = 0;
};

}  // namespace pipeserve
