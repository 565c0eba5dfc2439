#include "wire/message_frames.h"

#include <google/protobuf/io/coded_stream.h>

#include <array>
#include <utility>

#include "base/counters.h"
#include "wire/message_reader.h"

namespace pipeserve {

using google::protobuf::io::CodedOutputStream;

void MessageFrames::Append(std::string_view text) {
  text_ += text;
  size_ += text.size();
}

void MessageFrames::AppendVarint(uint64_t value) {
  std::array<uint8_t, 10> bytes;
  const uint8_t* end = CodedOutputStream::WriteVarint64ToArray(value, bytes.data());
  Append({reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(end - bytes.data())});
}

void MessageFrames::AppendHead(int field, size_t bytes) {
  AppendVarint(LengthTag(field));
  AppendVarint(bytes);
}

void MessageFrames::AddVarint(int field, uint64_t value) {
  AppendVarint(VarintTag(field));
  AppendVarint(value);
}

void MessageFrames::AddPackedVarints(int field, const Shape& values) {
  size_t bytes = 0;
  for (const int64_t value : values) bytes += CodedOutputStream::VarintSize64(value);
  AppendHead(field, bytes);
  for (const int64_t value : values) AppendVarint(static_cast<uint64_t>(value));
}

void MessageFrames::AddBytes(int field, std::string_view bytes) {
  AppendHead(field, bytes.size());
  Append(bytes);
}

void MessageFrames::AddBytes(int field, Buffer bytes) {
  AppendHead(field, bytes.size());
  if (bytes.size() < kShortBytes) {
    CountCopy(bytes.size());
    return Append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  size_ += bytes.size();
  pieces_.push_back({text_.size(), std::move(bytes)});
}

void MessageFrames::AddMessage(int field, MessageFrames message) {
  AppendHead(field, message.size_);
  for (Piece& piece : message.pieces_) {
    pieces_.push_back({text_.size() + piece.at, std::move(piece.bytes)});
  }
  text_ += message.text_;
  size_ += message.size_;
}

std::string MessageFrames::Join() && {
  std::string joined;
  joined.reserve(size_);
  size_t done = 0;
  for (const Piece& piece : pieces_) {
    joined.append(text_, done, piece.at - done);
    joined.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    CountCopy(piece.bytes.size());
    done = piece.at;
  }
  joined.append(text_, done);
  return joined;
}

std::vector<Buffer> MessageFrames::Take() && {
  auto* text = new std::string(std::move(text_));
  const Buffer all_text = Buffer::Wrap(text->data(), text->size(), [text] { delete text; });
  std::vector<Buffer> frames;
  frames.reserve(2 * pieces_.size() + 1);
  size_t done = 0;
  const auto add_text_up_to = [&](size_t end) {
    if (end > done) frames.push_back(all_text.Slice(done, end - done));
    done = end;
  };
  for (Piece& piece : pieces_) {
    add_text_up_to(piece.at);
    frames.push_back(std::move(piece.bytes));
  }
  add_text_up_to(all_text.size());
  return frames;
}

}  // namespace pipeserve
