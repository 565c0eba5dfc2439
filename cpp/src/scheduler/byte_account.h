// How many bytes of tensors one request keeps alive.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "pipeserve/instance.h"

namespace pipeserve {

// Thread-safe. Tensors that are charged hold their account, so it may be asked after the request.
class ByteAccount : public std::enable_shared_from_this<ByteAccount> {
 public:
  // Counts the bytes of these tensors, which stay the same and keep the owner of their buffer,
  // until the last reference to them goes. Bytes that are charged twice count twice.
  void Charge(Instance& instance);

  size_t live_bytes() const { return live_bytes_.load(std::memory_order_relaxed); }

 private:
  Tensor ChargeOne(const Tensor& tensor);

  std::atomic<size_t> live_bytes_{0};
};

}  // namespace pipeserve
