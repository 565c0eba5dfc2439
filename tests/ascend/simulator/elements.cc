#include "elements.h"

#include <Eigen/Core>
#include <cmath>
#include <cstring>

namespace pipeserve::ascend::sim {
namespace {

using abi::AclDataType;

template <typename T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void Store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

}  // namespace

const char* NameOf(AclDataType type) {
  switch (type) {
    case AclDataType::kFloat:
      return "float32";
    case AclDataType::kFloat16:
      return "float16";
    case AclDataType::kDouble:
      return "float64";
    case AclDataType::kInt8:
      return "int8";
    case AclDataType::kUint8:
      return "uint8";
    case AclDataType::kInt16:
      return "int16";
    case AclDataType::kUint16:
      return "uint16";
    case AclDataType::kInt32:
      return "int32";
    case AclDataType::kUint32:
      return "uint32";
    case AclDataType::kInt64:
      return "int64";
    case AclDataType::kUint64:
      return "uint64";
    case AclDataType::kBool:
      return "bool";
    default:
      return "no known type";
  }
}

size_t SizeOf(AclDataType type) {
  switch (type) {
    case AclDataType::kInt8:
    case AclDataType::kUint8:
    case AclDataType::kBool:
      return 1;
    case AclDataType::kFloat16:
    case AclDataType::kInt16:
    case AclDataType::kUint16:
      return 2;
    case AclDataType::kFloat:
    case AclDataType::kInt32:
    case AclDataType::kUint32:
      return 4;
    case AclDataType::kDouble:
    case AclDataType::kInt64:
    case AclDataType::kUint64:
      return 8;
    default:
      return 0;
  }
}

bool IsReal(AclDataType type) {
  return type == AclDataType::kFloat || type == AclDataType::kFloat16 ||
         type == AclDataType::kDouble;
}

double LoadReal(AclDataType type, const std::byte* from) {
  switch (type) {
    case AclDataType::kFloat:
      return Load<float>(from);
    case AclDataType::kFloat16:
      return static_cast<float>(Load<Eigen::half>(from));
    case AclDataType::kDouble:
      return Load<double>(from);
    default:
      return static_cast<double>(LoadInteger(type, from));
  }
}

void StoreReal(AclDataType type, std::byte* to, double value) {
  switch (type) {
    case AclDataType::kFloat:
      return Store(to, static_cast<float>(value));
    case AclDataType::kFloat16:
      return Store(to, static_cast<Eigen::half>(static_cast<float>(value)));
    case AclDataType::kDouble:
      return Store(to, value);
    case AclDataType::kBool:
      return Store(to, value != 0);
    default:
      return StoreInteger(type, to, static_cast<int64_t>(value));
  }
}

int64_t LoadInteger(AclDataType type, const std::byte* from) {
  switch (type) {
    case AclDataType::kInt8:
      return Load<int8_t>(from);
    case AclDataType::kUint8:
    case AclDataType::kBool:
      return Load<uint8_t>(from);
    case AclDataType::kInt16:
      return Load<int16_t>(from);
    case AclDataType::kUint16:
      return Load<uint16_t>(from);
    case AclDataType::kInt32:
      return Load<int32_t>(from);
    case AclDataType::kUint32:
      return Load<uint32_t>(from);
    case AclDataType::kInt64:
      return Load<int64_t>(from);
    case AclDataType::kUint64:
      return static_cast<int64_t>(Load<uint64_t>(from));
    default:
      return static_cast<int64_t>(LoadReal(type, from));
  }
}

void StoreInteger(AclDataType type, std::byte* to, int64_t value) {
  switch (type) {
    case AclDataType::kBool:
      return Store(to, static_cast<uint8_t>(value != 0));
    case AclDataType::kInt8:
    case AclDataType::kUint8:
      return Store(to, static_cast<uint8_t>(value));
    case AclDataType::kInt16:
    case AclDataType::kUint16:
      return Store(to, static_cast<uint16_t>(value));
    case AclDataType::kInt32:
    case AclDataType::kUint32:
      return Store(to, static_cast<uint32_t>(value));
    case AclDataType::kInt64:
    case AclDataType::kUint64:
      return Store(to, value);
    default:
      return StoreReal(type, to, static_cast<double>(value));
  }
}

float RoundToHalf(float value) { return static_cast<float>(static_cast<Eigen::half>(value)); }

float RoundToHf32(float value) {
  if (!std::isfinite(value)) return value;
  constexpr uint32_t kDropped = 23 - 11;
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  bits += (1U << (kDropped - 1)) - 1 + ((bits >> kDropped) & 1);  // To even.
  bits &= ~((1U << kDropped) - 1);
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

}  // namespace pipeserve::ascend::sim
