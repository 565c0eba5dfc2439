// The framing of protobuf messages, read field by field, so that long bytes go straight to where
// they are wanted instead of into a message object.
#pragma once

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace pipeserve {

// Tags of the fields that messages here have: numbers, and everything that has a length.
constexpr uint32_t VarintTag(int field) { return static_cast<uint32_t>(field) << 3; }
constexpr uint32_t LengthTag(int field) { return static_cast<uint32_t>(field) << 3 | 2; }

// Everything returns false when the bytes are no message: then reading ends. Takes what protobuf's
// own parser takes.
class MessageReader {
 public:
  // `bytes` is the size of the whole message.
  MessageReader(google::protobuf::io::ZeroCopyInputStream* message, size_t bytes);

  // Calls read(tag) for every field up to the end of the message; it reads that field, or skips it.
  template <typename Read>
  bool ForEachField(Read read) {
    uint32_t tag = 0;
    while (ReadTag(&tag)) {
      if (tag == 0) return input_.ConsumedEntireMessage();
      if (!read(tag)) return false;
    }
    return false;
  }
  // The same inside a field that is a message itself.
  template <typename Read>
  bool ForEachFieldOfMessage(Read read) {
    size_t bytes = 0;
    if (!ReadLength(&bytes)) return false;
    const auto outer = input_.PushLimit(static_cast<int>(bytes));
    const bool sound = ForEachField(read);
    input_.PopLimit(outer);
    return sound;
  }
  bool Skip(uint32_t tag);

  bool ReadVarint(uint64_t* value) { return input_.ReadVarint64(value); }
  // Numbers that came packed, each given to add(value).
  template <typename Add>
  bool ReadPackedVarints(Add add) {
    size_t bytes = 0;
    if (!ReadLength(&bytes)) return false;
    const auto outer = input_.PushLimit(static_cast<int>(bytes));
    bool sound = true;
    while (sound && input_.BytesUntilLimit() > 0) {
      uint64_t value = 0;
      sound = ReadVarint(&value);
      if (sound) add(value);
    }
    input_.PopLimit(outer);
    return sound;
  }
  // The size of what follows, all of which is there.
  bool ReadLength(size_t* bytes);
  bool ReadRaw(void* to, size_t bytes) { return input_.ReadRaw(to, static_cast<int>(bytes)); }
  // Text that must be UTF-8, and bytes of any kind.
  bool ReadText(std::string* text);
  bool ReadBytes(std::string* bytes);

 private:
  static constexpr int kMaxBytes32 = 5;  // Of a varint of 32 bits.

  // 0 at the end. CodedInputStream takes tags and lengths of more bytes, too; protobuf's parser
  // refuses them.
  bool ReadTag(uint32_t* tag) {
    const int start = input_.CurrentPosition();
    *tag = input_.ReadTag();
    return input_.CurrentPosition() - start <= kMaxBytes32;
  }
  bool SkipBytes();
  bool SkipGroup(int field);

  google::protobuf::io::CodedInputStream input_;
};

}  // namespace pipeserve
