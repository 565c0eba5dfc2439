#include "scheduler/byte_account.h"

#include <utility>

namespace pipeserve {

void ByteAccount::Charge(Instance& instance) {
  for (Tensor& tensor : instance) tensor = ChargeOne(tensor);
}

Tensor ByteAccount::ChargeOne(const Tensor& tensor) {
  Buffer bytes = tensor.buffer();
  const size_t size = bytes.size();
  if (size == 0) return tensor;
  void* const data = bytes.mutable_data();
  void* const owner = bytes.owner();
  live_bytes_.fetch_add(size, std::memory_order_relaxed);
  auto release = [account = shared_from_this(), bytes = std::move(bytes)]() mutable {
    const size_t freed = bytes.size();
    bytes = {};
    account->live_bytes_.fetch_sub(freed, std::memory_order_relaxed);
  };
  return Tensor(tensor.dtype(), tensor.shape(),
                Buffer::Wrap(data, size, std::move(release), owner));
}

}  // namespace pipeserve
