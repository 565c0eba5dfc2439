#include "objects.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <functional>

namespace pipeserve::ascend::sim {
namespace {

constexpr size_t kHandles = size_t{16} << 30;
constexpr size_t kStep = 64;

struct KindFacts {
  const char* name;
  const char* rule;
};

KindFacts FactsOf(Kind kind) {
  switch (kind) {
    case Kind::kContext:
      return {"a context", "C3"};
    case Kind::kStream:
      return {"a stream", "S4"};
    case Kind::kEvent:
      return {"an event", "E1"};
    case Kind::kTensor:
      return {"a tensor", "N5"};
    case Kind::kScalar:
      return {"a scalar", "N5"};
    case Kind::kIntArray:
      return {"an array of integers", "N5"};
    case Kind::kExecutor:
      return {"an executor", "N1"};
    case Kind::kModelDesc:
      return {"a model descriptor", "O1"};
    case Kind::kDataset:
      return {"a dataset", "O2"};
    case Kind::kDataBuffer:
      return {"a data buffer", "O2"};
    case Kind::kComm:
      return {"a communicator", "H4"};
  }
  return {"an object", "P5"};
}

}  // namespace

const char* NameOf(Kind kind) { return FactsOf(kind).name; }
const char* RuleOf(Kind kind) { return FactsOf(kind).rule; }

ObjectTable::ObjectTable() {
  void* const range =
      mmap(nullptr, kHandles, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) {
    std::perror("the simulator's handles");
    std::abort();
  }
  first_ = next_ = static_cast<std::byte*>(range);
}

void* ObjectTable::Add(const std::shared_ptr<Object>& object) {
  next_ += kStep;
  if (next_ >= first_ + kHandles) std::abort();  // 268 million objects.
  object->handle_ = next_;
  live_[next_] = object;
  return next_;
}

void ObjectTable::Remove(const Object& object) { live_.erase(object.handle_); }

std::string ObjectTable::Describe(const void* handle) const {
  if (handle == nullptr) return "null";
  const auto found = live_.find(handle);
  if (found != live_.end()) return NameOf(found->second->kind());
  const auto* const at = static_cast<const std::byte*>(handle);
  const bool was = std::less<>()(first_, at) && std::less_equal<>()(at, next_);
  return was ? "destroyed already" : "no handle at all";
}

}  // namespace pipeserve::ascend::sim
