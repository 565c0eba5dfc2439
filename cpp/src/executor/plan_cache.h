// The plans of a graph with unknown dimensions, one for each set of input shapes.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Keeps the kKept that were used last. Thread-safe.
template <typename Plan>
class PlanCache {
 public:
  static constexpr size_t kKept = 8;

  // Null when there is none.
  std::shared_ptr<Plan> Find(std::span<const Tensor> inputs) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (!HasShapes(inputs, it->inputs)) continue;
      std::rotate(entries_.begin(), it, it + 1);
      return entries_.front().plan;
    }
    return nullptr;
  }

  void Keep(std::span<const Tensor> inputs, std::shared_ptr<Plan> plan) EXCLUDES(mutex_) {
    Entry entry{{}, std::move(plan)};
    for (const Tensor& input : inputs) entry.inputs.push_back(input.shape());
    Entry dropped;  // Outlives the lock: freeing a plan takes time.
    MutexLock lock(mutex_);
    if (entries_.size() >= kKept) {
      dropped = std::move(entries_.back());
      entries_.pop_back();
    }
    entries_.insert(entries_.begin(), std::move(entry));
  }

  void Clear() EXCLUDES(mutex_) {
    std::vector<Entry> dropped;
    MutexLock lock(mutex_);
    dropped.swap(entries_);
  }

 private:
  struct Entry {
    std::vector<Shape> inputs;
    std::shared_ptr<Plan> plan;
  };

  static bool HasShapes(std::span<const Tensor> inputs, const std::vector<Shape>& shapes) {
    return std::equal(
        inputs.begin(), inputs.end(), shapes.begin(), shapes.end(),
        [](const Tensor& input, const Shape& shape) { return input.shape() == shape; });
  }

  Mutex mutex_;
  std::vector<Entry> entries_ GUARDED_BY(mutex_);  // The one used last comes first.
};

}  // namespace pipeserve
