// Host functions of a callable.
#include <exception>
#include <utility>

#include "base/str_cat.h"
#include "pipeserve/servable.h"

namespace pipeserve {
namespace {

class CallableFunction final : public HostFunction {
 public:
  using Callable = std::function<Result<Instance>(const Instance&)>;

  CallableFunction(std::string name, Callable callable)
      : name_(std::move(name)), callable_(std::move(callable)) {}

  const std::string& name() const override { return name_; }

  std::vector<Result<Instance>> Call(std::span<const Instance> instances) override {
    std::vector<Result<Instance>> results;
    results.reserve(instances.size());
    for (const Instance& instance : instances) results.push_back(CallOne(instance));
    return results;
  }

 private:
  // An exception ends here, so that it costs no other instance.
  Result<Instance> CallOne(const Instance& instance) const {
    try {
      return callable_(instance);
    } catch (const std::exception& error) {
      return Internal(StrCat(name_, " threw: ", error.what()));
    } catch (...) {
      return Internal(StrCat(name_, " threw what is no std::exception"));
    }
  }

  const std::string name_;
  const Callable callable_;
};

}  // namespace

std::shared_ptr<HostFunction> MakeHostFunction(
    std::string name, std::function<Result<Instance>(const Instance&)> function) {
  return std::make_shared<CallableFunction>(std::move(name), std::move(function));
}

}  // namespace pipeserve
