// Memory that processes of one host share, without a name that could outlive them.
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "base/file_descriptor.h"
#include "pipeserve/status.h"

namespace pipeserve {

// An anonymous file (memfd) of fixed size and its mapping. Its descriptor is handed to a peer, who
// maps the same bytes; they last until the last of both is gone, however the processes end. All
// bytes are zero at first, and are backed by memory from the start: a later access cannot fail for
// want of it. Moving keeps the address.
//
// What lies in it can change at any time by a peer's hand: copy a value, check the copy, use it.
class SharedMemory {
 public:
  SharedMemory() = default;  // Of no bytes.
  SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SharedMemory();

  // `name` shows up in /proc/<pid>/maps and in messages; it names nothing else. Errors:
  // kInvalidArgument (no bytes), kResourceExhausted (memory, descriptors or a limit of this process
  // do not suffice; the message tells which and for how much).
  static Result<SharedMemory> Create(const std::string& name, size_t bytes);

  // What a peer created and sent. Takes nothing that the peer could take away again or that is not
  // backed by memory yet. Errors: kInvalidArgument (no such memory, or not of `expected_bytes`),
  // kResourceExhausted.
  static Result<SharedMemory> Map(FileDescriptor descriptor, size_t expected_bytes);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int fd() const { return descriptor_.fd(); }

 private:
  FileDescriptor descriptor_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pipeserve
