#include "executor/ascend/kept_values.h"

#include <algorithm>
#include <utility>

namespace pipeserve::ascend {

KeptValues::BlockPtr KeptValues::Find(uint64_t serial, size_t bytes) {
  const auto found = values_.find(serial);
  if (found == values_.end() || found->second.block->size() != bytes) return nullptr;
  found->second.last_use = ++uses_;
  return found->second.block;
}

Result<KeptValues::BlockPtr> KeptValues::MakeRoom(size_t bytes) {
  if (bytes > limit_) return BlockPtr();
  while (true) {
    if (BlockPtr spare = TakeSpare(bytes)) return spare;
    if (BytesHeld() <= limit_ - bytes) break;
    if (spare_.empty()) {
      DropOldest();
    } else {
      spare_.pop_back();
    }
  }
  Result<DeviceBlock> block = DeviceBlock::Allocate(device_, bytes);
  // The device has better use for its memory, and the host has the value anyway.
  if (block.status().code() == StatusCode::kResourceExhausted) return BlockPtr();
  PIPESERVE_RETURN_IF_ERROR(block.status());
  return BlockPtr(std::make_shared<const DeviceBlock>(*std::move(block)));
}

void KeptValues::Keep(uint64_t serial, const std::byte* place, BlockPtr block) {
  Drop(place);
  if (const auto former = values_.find(serial); former != values_.end()) Drop(former->second.place);
  places_[place] = serial;
  values_[serial] = {std::move(block), place, ++uses_};
}

void KeptValues::Drop(const std::byte* place) {
  const auto found = places_.find(place);
  if (found == places_.end()) return;
  const auto value = values_.find(found->second);
  spare_.push_back(std::move(value->second.block));
  values_.erase(value);
  places_.erase(found);
}

void KeptValues::Clear() {
  values_.clear();
  places_.clear();
  spare_.clear();
}

size_t KeptValues::BytesHeld() const {
  size_t bytes = 0;
  for (const auto& [serial, value] : values_) bytes += value.block->size();
  for (const BlockPtr& block : spare_) bytes += block->size();
  return bytes;
}

KeptValues::BlockPtr KeptValues::TakeSpare(size_t bytes) {
  const auto found = std::find_if(spare_.begin(), spare_.end(), [bytes](const BlockPtr& block) {
    return block->size() == bytes;
  });
  if (found == spare_.end()) return nullptr;
  BlockPtr block = std::move(*found);
  spare_.erase(found);
  return block;
}

void KeptValues::DropOldest() {
  const auto oldest = std::min_element(
      values_.begin(), values_.end(),
      [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; });
  Drop(oldest->second.place);
}

}  // namespace pipeserve::ascend
