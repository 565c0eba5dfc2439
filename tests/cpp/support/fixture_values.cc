#include "support/fixture_values.h"

#include <Eigen/Core>

#include "support/matchers.h"

namespace pipeserve {
namespace {

double Element(const Tensor& tensor, size_t i) {
  if (tensor.dtype() == DataType::kFloat16) {
    return static_cast<float>(tensor.data_as<Eigen::half>()[i]);
  }
  return tensor.data_as<float>()[i];
}

}  // namespace

std::map<std::string, Tensor> StoredValues(const std::string& stem) {
  auto data = ReadNpz(SharedFile("mindir/data/" + stem + ".npz"));
  EXPECT_OK(data);
  return data.ok() ? *std::move(data) : std::map<std::string, Tensor>();
}

std::vector<Tensor> Numbered(const std::map<std::string, Tensor>& data, const std::string& stem) {
  std::vector<Tensor> tensors;
  for (int i = 0; data.contains(stem + std::to_string(i)); ++i) {
    tensors.push_back(data.at(stem + std::to_string(i)));
  }
  return tensors;
}

void ExpectClose(const Tensor& came, const Tensor& wanted) {
  ASSERT_EQ(came.ToString(), wanted.ToString());
  const double tolerance = wanted.dtype() == DataType::kFloat16 ? 2e-3 : 1e-5;
  const size_t count = wanted.byte_size() / DataTypeSize(wanted.dtype());
  for (size_t i = 0; i < count; ++i) {
    const double value = Element(wanted, i);
    ASSERT_NEAR(Element(came, i), value, tolerance * (std::abs(value) + 1)) << "element " << i;
  }
}

}  // namespace pipeserve
