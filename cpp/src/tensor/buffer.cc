// Buffer: an intrusive reference count in front of (pool) or beside (wrapped) the bytes.
#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "base/check.h"
#include "base/counters.h"
#include "pipeserve/tensor.h"
#include "tensor/buffer_pool.h"

namespace pipeserve {

struct Buffer::Control {
  std::atomic<int> references{1};
  size_t block_size = 0;          // Of a pool block; 0 when the bytes are wrapped.
  std::function<void()> release;  // Of wrapped bytes, like the rest.
  void* owner = nullptr;
  const std::byte* data = nullptr;
  size_t size = 0;
  std::atomic<const BufferCompanion*> companion{nullptr};

  void Unref() {
    if (references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    delete companion.load(std::memory_order_acquire);
    if (block_size == 0) {
      if (release) release();
      delete this;
      return;
    }
    const size_t size = block_size;
    this->~Control();
    BufferPool::Global().Free(this, size);
  }
};

namespace {

// The control block sits in front of pooled bytes, which stay aligned to a cache line.
constexpr size_t kHeader = 128;

}  // namespace

Buffer::Buffer(const Buffer& other)
    : control_(other.control_), data_(other.data_), size_(other.size_) {
  if (control_ != nullptr) control_->references.fetch_add(1, std::memory_order_relaxed);
}

Buffer::Buffer(Buffer&& other) noexcept
    : control_(std::exchange(other.control_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer other) noexcept {
  std::swap(control_, other.control_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Buffer::~Buffer() {
  if (control_ != nullptr) control_->Unref();
}

Buffer Buffer::Allocate(size_t size) {
  static_assert(sizeof(Control) <= kHeader && kHeader % 64 == 0);
  const size_t block_size = BufferPool::BlockSize(size + kHeader);
  void* block = BufferPool::Global().Allocate(block_size);
  auto* control = new (block) Control;
  control->block_size = block_size;
  control->data = static_cast<std::byte*>(block) + kHeader;
  control->size = size;
  return Buffer(control, static_cast<std::byte*>(block) + kHeader, size);
}

Buffer Buffer::CopyOf(std::span<const std::byte> bytes) {
  Buffer buffer = Allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data_, bytes.data(), bytes.size());
  CountCopy(bytes.size());
  return buffer;
}

Buffer Buffer::Wrap(void* data, size_t size, std::function<void()> release, void* owner) {
  auto* control = new Control;
  control->release = std::move(release);
  control->owner = owner;
  control->data = static_cast<std::byte*>(data);
  control->size = size;
  return Buffer(control, static_cast<std::byte*>(data), size);
}

Buffer Buffer::Slice(size_t offset, size_t size) const {
  PIPESERVE_DCHECK(offset + size <= size_);
  Buffer slice(*this);
  slice.data_ += offset;
  slice.size_ = size;
  return slice;
}

bool Buffer::is_whole() const {
  return control_ != nullptr && control_->data == data_ && control_->size == size_;
}

void* Buffer::owner() const { return is_whole() ? control_->owner : nullptr; }

bool Buffer::Attach(std::unique_ptr<const BufferCompanion> companion) const {
  if (!is_whole()) return false;
  const BufferCompanion* none = nullptr;
  if (!control_->companion.compare_exchange_strong(none, companion.get())) return false;
  companion.release();
  return true;
}

const BufferCompanion* Buffer::companion() const {
  return is_whole() ? control_->companion.load(std::memory_order_acquire) : nullptr;
}

bool Buffer::unique() const {
  return control_ != nullptr && control_->references.load(std::memory_order_acquire) == 1;
}

}  // namespace pipeserve
