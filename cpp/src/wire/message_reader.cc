#include "wire/message_reader.h"

#include <google/protobuf/stubs/common.h>
#include <google/protobuf/wire_format_lite.h>

namespace pipeserve {

using google::protobuf::internal::WireFormatLite;

MessageReader::MessageReader(google::protobuf::io::ZeroCopyInputStream* message, size_t bytes)
    : input_(message) {
  input_.PushLimit(static_cast<int>(bytes));
}

bool MessageReader::Skip(uint32_t tag) {
  const int field = WireFormatLite::GetTagFieldNumber(tag);
  switch (WireFormatLite::GetTagWireType(tag)) {
    case WireFormatLite::WIRETYPE_LENGTH_DELIMITED:
      return field != 0 && SkipBytes();
    case WireFormatLite::WIRETYPE_START_GROUP:
      return field != 0 && SkipGroup(field);
    default:
      return WireFormatLite::SkipField(&input_, tag);
  }
}

bool MessageReader::SkipBytes() {
  size_t length = 0;
  return ReadLength(&length) && input_.Skip(static_cast<int>(length));
}

bool MessageReader::SkipGroup(int field) {
  const uint32_t end = WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_END_GROUP);
  if (!input_.IncrementRecursionDepth()) return false;
  uint32_t tag = 0;
  while (ReadTag(&tag) && tag != 0 && tag != end) {
    if (!Skip(tag)) return false;
  }
  input_.DecrementRecursionDepth();
  return tag == end;
}

bool MessageReader::ReadLength(size_t* bytes) {
  const int start = input_.CurrentPosition();
  int length = 0;
  if (!input_.ReadVarintSizeAsInt(&length) || length > input_.BytesUntilLimit()) return false;
  if (input_.CurrentPosition() - start > kMaxBytes32) return false;
  *bytes = static_cast<size_t>(length);
  return true;
}

bool MessageReader::ReadText(std::string* text) {
  return ReadBytes(text) && google::protobuf::internal::IsStructurallyValidUTF8(*text);
}

bool MessageReader::ReadBytes(std::string* bytes) {
  size_t length = 0;
  return ReadLength(&length) && input_.ReadString(bytes, static_cast<int>(length));
}

}  // namespace pipeserve
