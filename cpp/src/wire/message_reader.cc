#include "wire/message_reader.h"

#include <google/protobuf/stubs/common.h>
#include <google/protobuf/wire_format_lite.h>

namespace pipeserve {

MessageReader::MessageReader(google::protobuf::io::ZeroCopyInputStream* message, size_t bytes)
    : input_(message) {
  input_.PushLimit(static_cast<int>(bytes));
}

bool MessageReader::Skip(uint32_t tag) {
  return google::protobuf::internal::WireFormatLite::SkipField(&input_, tag);
}

bool MessageReader::ReadLength(size_t* bytes) {
  int length = 0;
  if (!input_.ReadVarintSizeAsInt(&length) || length > input_.BytesUntilLimit()) return false;
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
