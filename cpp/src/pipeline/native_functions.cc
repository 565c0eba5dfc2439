// Host functions that need no host language.
#include <cmath>
#include <cstring>
#include <limits>

#include "base/str_cat.h"
#include "pipeserve/servable.h"

namespace pipeserve {
namespace {

// The bits of an IEEE half, which standard C++ cannot compute with.
struct Half {
  uint16_t bits;
};

double ToDouble(float value) { return value; }
double ToDouble(double value) { return value; }
double ToDouble(Half half) {
  constexpr int kMantissaBits = 10, kBias = 15, kMaxExponent = 31;
  const int exponent = half.bits >> kMantissaBits & kMaxExponent;
  const int mantissa = half.bits & ((1 << kMantissaBits) - 1);
  double magnitude = 0;
  if (exponent == kMaxExponent) {
    magnitude = mantissa == 0 ? std::numeric_limits<double>::infinity()
                              : std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    magnitude = std::ldexp(mantissa, 1 - kBias - kMantissaBits);
  } else {
    magnitude = std::ldexp(mantissa + (1 << kMantissaBits), exponent - kBias - kMantissaBits);
  }
  return (half.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

// The first of the largest elements; a NaN loses against every number.
template <typename T>
int32_t IndexOfLargest(const Tensor& tensor) {
  const size_t count = tensor.byte_size() / sizeof(T);
  double largest = std::numeric_limits<double>::quiet_NaN();
  size_t index = 0;
  for (size_t i = 0; i < count; ++i) {
    T element;  // Copied out: bytes of a foreign buffer may be unaligned.
    std::memcpy(&element, tensor.buffer().data() + i * sizeof(T), sizeof(T));
    const double value = ToDouble(element);
    if (value > largest || (std::isnan(largest) && !std::isnan(value))) {
      largest = value;
      index = i;
    }
  }
  return static_cast<int32_t>(index);
}

class ArgmaxFunction : public HostFunction {
 public:
  const std::string& name() const override { return name_; }

  std::vector<Result<Instance>> Call(std::span<const Instance> instances) override {
    std::vector<Result<Instance>> results;
    results.reserve(instances.size());
    for (const Instance& instance : instances) results.push_back(Argmax(instance));
    return results;
  }

 private:
  Result<Instance> Argmax(const Instance& instance) const {
    if (instance.size() != 1) {
      return InvalidArgument(StrCat(name_, " takes 1 input, ", instance.size(), " came"));
    }
    const Tensor& input = instance[0];
    if (input.byte_size() == 0) {
      return InvalidArgument(
          StrCat(name_, ": input is ", input.ToString(), ", it has no elements"));
    }
    switch (input.dtype()) {
      case DataType::kFloat16:
        return Instance{Tensor::Of<int32_t>({}, {IndexOfLargest<Half>(input)})};
      case DataType::kFloat32:
        return Instance{Tensor::Of<int32_t>({}, {IndexOfLargest<float>(input)})};
      case DataType::kFloat64:
        return Instance{Tensor::Of<int32_t>({}, {IndexOfLargest<double>(input)})};
      default:
        return InvalidArgument(
            StrCat(name_, ": input is ", input.ToString(), ", wanted float16, float32 or float64"));
    }
  }

  const std::string name_ = "argmax_cpp";
};

}  // namespace

std::shared_ptr<HostFunction> FindNativeFunction(const std::string& name) {
  static const auto argmax = std::make_shared<ArgmaxFunction>();
  return name == argmax->name() ? argmax : nullptr;
}

}  // namespace pipeserve
