// Results of operators, through the executor that agents run graphs with, against the CPU in
// double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/ascend_executor.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

constexpr int64_t kRows = 64, kInner = 96, kColumns = 48;

struct Case {
  OpType op;
  Precision precision = Precision::kStrict;

  bool is_product() const { return op == OpType::kMatMul; }
  bool has_weight() const { return op != OpType::kNeg && op != OpType::kReLU; }
  Shape weight_shape() const {
    return is_product() ? Shape{kInner, kColumns} : Shape{kRows, kInner};
  }
  Shape out_shape() const { return is_product() ? Shape{kRows, kColumns} : Shape{kRows, kInner}; }
};

Tensor ToTensor(const Shape& shape, const std::vector<float>& values) {
  Tensor tensor(DataType::kFloat32, shape);
  std::copy(values.begin(), values.end(), tensor.mutable_data_as<float>());
  return tensor;
}

std::vector<float> RandomOf(const Shape& shape, uint32_t seed) {
  return RandomFloats(static_cast<size_t>(shape.num_elements()), seed);
}

std::vector<float> WeightOf(const Case& each) { return RandomOf(each.weight_shape(), 2); }

Graph MakeGraph(const Case& each) {
  Graph graph;
  graph.name = OpTypeName(each.op);
  const auto value = [&](const char* name, Shape shape) {
    return graph.AddValue({name, DataType::kFloat32, std::move(shape)});
  };
  const ValueId x = value("x", {kRows, kInner});
  graph.inputs = {x};
  Node node;
  node.op = each.op;
  node.name = "node";
  node.inputs = {x};
  if (each.has_weight()) {
    const ValueId w = value("w", each.weight_shape());
    graph.constants.emplace(w, ToTensor(each.weight_shape(), WeightOf(each)));
    node.inputs.push_back(w);
  }
  if (each.is_product()) node.attributes = MatMulAttributes{};
  const ValueId y = value("y", each.out_shape());
  node.outputs = {y};
  graph.nodes.push_back(std::move(node));
  graph.outputs = {y};
  return graph;
}

double Apply(OpType op, double x, double w) {
  switch (op) {
    case OpType::kNeg:
      return -x;
    case OpType::kReLU:
      return x <= 0 ? 0 : x;
    case OpType::kAdd:
      return x + w;
    case OpType::kSub:
      return x - w;
    default:
      return x * w;
  }
}

std::vector<double> Wanted(const Case& each, const std::vector<float>& x) {
  const std::vector<float> w = WeightOf(each);
  std::vector<double> y(static_cast<size_t>(each.out_shape().num_elements()), 0);
  if (!each.is_product()) {
    for (size_t i = 0; i < y.size(); ++i) y[i] = Apply(each.op, x[i], w[i]);
    return y;
  }
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t k = 0; k < kInner; ++k) {
      for (size_t column = 0; column < kColumns; ++column) {
        y[row * kColumns + column] += double{x[row * kInner + k]} * w[k * kColumns + column];
      }
    }
  }
  return y;
}

// A row with each value that is not like others, and rows of zeros alone.
std::vector<float> SpecialInputs() {
  std::vector<float> x = RandomOf({kRows, kInner}, 3);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float specials[] = {0.0F, -0.0F, std::numeric_limits<float>::quiet_NaN(), kInfinity,
                            -kInfinity};
  size_t row = 0;
  for (const float special : specials) x[row++ * kInner] = special;
  for (const float zero : {0.0F, -0.0F}) std::fill_n(x.begin() + row++ * kInner, kInner, zero);
  return x;
}

// What float32, or a coarser type, may make of a sum of kInner products of up to 1.
double ToleranceOf(Precision precision) {
  switch (precision) {
    case Precision::kStrict:
      return 1e-5;
    case Precision::kHf32:
      return 2e-2;
    case Precision::kFloat16:
      return 5e-2;
  }
  return 0;
}

// How far results are from what was wanted.
class Comparison {
 public:
  explicit Comparison(double tolerance) : tolerance_(tolerance) {}

  void Add(size_t index, float came, double in_double) {
    const auto wanted = static_cast<float>(in_double);
    if (std::isnan(wanted) || std::isinf(wanted) || !std::isfinite(came)) {
      const bool same = std::isnan(wanted) ? std::isnan(came) : came == wanted;
      if (!same) Note(index, came, wanted);
      return;
    }
    const double error = std::abs(double{came} - in_double);
    most_ = std::max(most_, error);
    most_ulps_ = std::max(most_ulps_, UlpsBetween(came, wanted));
    if (wanted == 0 && came == 0 && std::signbit(wanted) != std::signbit(came)) ++zero_signs_;
    if (error > tolerance_) Note(index, came, wanted);
  }

  Status Tell(Json& part) const {
    part["largest_error"] = most_;
    part["largest_error_ulp"] = most_ulps_;
    part["zeros_of_other_sign"] = zero_signs_;
    part["wrong"] = wrong_;
    return wrong_ == 0 ? OkStatus() : Internal(first_);
  }

 private:
  void Note(size_t index, float came, float wanted) {
    if (wrong_++ > 0) return;
    first_ = StrCat("differs from the CPU: element ", index, " is ", came, ", wanted was ", wanted);
  }

  const double tolerance_;
  double most_ = 0;
  int64_t most_ulps_ = 0;
  int wrong_ = 0, zero_signs_ = 0;
  std::string first_;
};

Status Compare(AscendExecutor& executor, const Case& each, const std::vector<float>& x,
               Json& part) {
  const Tensor input = ToTensor({kRows, kInner}, x);
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(executor.Run(0, std::span(&input, 1), {}, &outputs));
  const std::vector<double> wanted = Wanted(each, x);
  Comparison comparison(ToleranceOf(each.precision));
  for (size_t i = 0; i < wanted.size(); ++i) {
    comparison.Add(i, outputs[0].data_as<float>()[i], wanted[i]);
  }
  return comparison.Tell(part);
}

// A precision or an operator that the product has not is told, and no failure.
bool IsUnsupported(const Status& status) {
  return status.code() == StatusCode::kUnimplemented ||
         status.message().find("precision must be") != std::string::npos;
}

Json CheckCase(const Options& options, const Case& each) {
  AscendExecutorOptions ascend;
  ascend.library = options.library;
  ascend.device = options.device;
  ascend.precision = each.precision;
  std::vector<AscendModel> models;
  models.emplace_back(MakeGraph(each));
  const auto executor = AscendExecutor::Create(std::move(models), ascend);
  if (!executor.ok()) {
    return IsUnsupported(executor.status()) ? Unsupported(executor.status())
                                            : Failed(executor.status());
  }
  Json part = Json::object();
  const Status random = Compare(**executor, each, RandomOf({kRows, kInner}, 1), part["random"]);
  if (!random.ok()) return Failed(random, std::move(part));
  const Status special = Compare(**executor, each, SpecialInputs(), part["special"]);
  return PartOf(special.WithContext("zeros, NaN and infinities"), std::move(part));
}

}  // namespace

Status CheckOperators(const Options& options, Json& found) {
  const std::pair<const char*, Case> cases[] = {
      {"MatMul strict", {OpType::kMatMul, Precision::kStrict}},
      {"MatMul hf32", {OpType::kMatMul, Precision::kHf32}},
      {"MatMul fp16", {OpType::kMatMul, Precision::kFloat16}},
      {"Neg", {OpType::kNeg}},
      {"Add", {OpType::kAdd}},
      {"Sub", {OpType::kSub}},
      {"Mul", {OpType::kMul}},
      {"ReLU", {OpType::kReLU}}};
  for (const auto& [name, each] : cases) {
    SayProgress(name);
    found[name] = CheckCase(options, each);
  }
  return FirstFailure(found);
}

}  // namespace pipeserve::ascend::check
