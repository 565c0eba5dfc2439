// References to what may go before its owner does.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace pipeserve {

// What is gone is swept as the list grows, so that it takes no more room than twice what is alive.
// Not thread-safe.
template <typename T>
class WeakList {
 public:
  void Add(const std::shared_ptr<T>& item) {
    if (items_.size() >= next_sweep_) {
      std::erase_if(items_, [](const auto& each) { return each.expired(); });
      next_sweep_ = 2 * items_.size() + kFirstSweep;
    }
    items_.push_back(item);
  }

  std::vector<std::shared_ptr<T>> Alive() const {
    std::vector<std::shared_ptr<T>> alive;
    for (const auto& item : items_) {
      if (auto found = item.lock()) alive.push_back(std::move(found));
    }
    return alive;
  }

  size_t size() const { return items_.size(); }  // With those that are gone but not swept.

 private:
  static constexpr size_t kFirstSweep = 64;

  std::vector<std::weak_ptr<T>> items_;
  size_t next_sweep_ = kFirstSweep;
};

}  // namespace pipeserve
