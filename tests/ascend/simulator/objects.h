// Everything that callers hold by a handle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "origin.h"

namespace pipeserve::ascend::sim {

enum class Kind {
  kContext,
  kStream,
  kEvent,
  kTensor,
  kScalar,
  kIntArray,
  kExecutor,
  kModelDesc,
  kDataset,
  kDataBuffer,
  kComm,
};

// With its article.
const char* NameOf(Kind kind);
// The rule that a bad handle of that kind breaks.
const char* RuleOf(Kind kind);

class Object {
 public:
  explicit Object(Kind kind) : kind_(kind), origin_(Origin::Here()) {}
  virtual ~Object() = default;

  Kind kind() const { return kind_; }
  const Origin& origin() const { return origin_; }
  // What the caller holds.
  template <typename Handle>
  Handle* handle() const {
    return static_cast<Handle*>(handle_);
  }

  bool counted = true;  // Not made by the simulator itself.

 private:
  friend class ObjectTable;
  const Kind kind_;
  const Origin origin_;
  void* handle_ = nullptr;
};

// Handles are addresses that fault when they are touched and that are never given out again, so
// that use after destruction is found with certainty.
class ObjectTable {
 public:
  ObjectTable();

  // The handle.
  void* Add(const std::shared_ptr<Object>& object);
  void Remove(const Object& object);
  void Clear() { live_.clear(); }

  // Null when `handle` is none, or not of that kind.
  template <typename T>
  std::shared_ptr<T> Find(const void* handle) const {
    const auto found = live_.find(handle);
    if (found == live_.end() || found->second->kind() != T::kKind) return nullptr;
    return std::static_pointer_cast<T>(found->second);
  }

  // What `handle` is instead of a live object of `kind`.
  std::string Describe(const void* handle) const;

  const std::map<const void*, std::shared_ptr<Object>>& live() const { return live_; }

 private:
  std::byte* first_ = nullptr;
  std::byte* next_ = nullptr;
  std::map<const void*, std::shared_ptr<Object>> live_;
};

}  // namespace pipeserve::ascend::sim
