// Operators whose inputs do not lie in memory row after row.
#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/operators.h"

namespace pipeserve::ascend::check {
namespace {

constexpr float kUntouched = 7;  // What lies where nothing is written.

// Milliseconds of one launch among many on the session's stream.
Result<double> TimeOf(Session& session, Step& step) {
  const int times = session.Size(100, 3);
  PIPESERVE_RETURN_IF_ERROR(step.Launch(session.stream(), session.workspace()));
  PIPESERVE_RETURN_IF_ERROR(session.Synchronize());
  const Stopwatch watch;
  for (int i = 0; i < times; ++i) {
    PIPESERVE_RETURN_IF_ERROR(step.Launch(session.stream(), session.workspace()));
  }
  PIPESERVE_RETURN_IF_ERROR(session.Synchronize());
  return watch.milliseconds() / times;
}

Status Compare(const std::vector<float>& came, const std::vector<float>& wanted, double tolerance) {
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (std::abs(double{came[i]} - double{wanted[i]}) <= tolerance) continue;
    return Internal(StrCat("element ", i, " is ", came[i], ", wanted was ", wanted[i]));
  }
  return OkStatus();
}

// A step, what it writes, and what it should.
struct Trial {
  std::unique_ptr<Step> step;
  const DeviceBlock& out;
  const std::vector<float>& wanted;
  double tolerance;
};

Status Try(Session& session, const Trial& trial, const char* name, Json& part) {
  PIPESERVE_RETURN_IF_ERROR(
      session.Overwrite(trial.out, std::vector<float>(trial.wanted.size(), kUntouched)));
  PIPESERVE_ASSIGN_OR_RETURN(part[name], TimeOf(session, *trial.step));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<float> came,
                             session.Download(trial.out, trial.wanted.size()));
  return Compare(came, trial.wanted, trial.tolerance).WithContext(name);
}

// As after an AllGather of columns: blocks [rows, width], read as rows of all their columns.
Status TryNeg(Session& session, Json& part) {
  const int64_t rows = session.Size(1024, 16), ranks = 4, width = session.Size(256, 12);
  const auto count = static_cast<size_t>(rows * ranks * width);
  const std::vector<float> x = RandomFloats(count, 1);
  std::vector<float> whole(count), strided(count);
  for (int64_t i = 0; i < rows * ranks * width; ++i) {
    const int64_t row = i / (ranks * width), rank = i / width % ranks, column = i % width;
    whole[static_cast<size_t>(i)] = -x[static_cast<size_t>(i)];
    strided[static_cast<size_t>(i)] = -x[static_cast<size_t>((rank * rows + row) * width + column)];
  }
  part["shape"] = {rows, ranks, width};
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock from, session.Upload(x));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock to, session.Upload(x));
  const Drain drain(session);
  const View out = View::Whole(to.data(), DataType::kFloat32, {rows, ranks, width});
  const View packed = View::Whole(from.data(), DataType::kFloat32, {rows, ranks, width});
  const View blocks = View::Whole(from.data(), DataType::kFloat32, {ranks, rows, width});
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> of_whole,
                             MakeNeg(session.device(), packed, out));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> of_view,
                             MakeNeg(session.device(), blocks.Transposed({1, 0, 2}), out));
  PIPESERVE_RETURN_IF_ERROR(Try(session, {std::move(of_whole), to, whole, 0}, "whole_ms", part));
  return Try(session, {std::move(of_view), to, strided, 0}, "view_ms", part);
}

// a [rows, inner] times w [inner, columns], the latter also from its transpose in memory.
Status TryMatMul(Session& session, Json& part) {
  const auto precision = session.MatMulPrecision();
  if (!precision.ok()) {
    part = Unsupported(precision.status());
    return OkStatus();
  }
  const int64_t size = session.Size(512, 16);
  const auto count = static_cast<size_t>(size * size);
  // Small whole numbers, whose products every precision has exactly.
  std::vector<float> a(count), w(count), transposed(count), wanted(count);
  for (size_t i = 0; i < count; ++i) {
    a[i] = static_cast<float>(i % 5) - 2;
    w[i] = static_cast<float>(i % 7) - 3;
  }
  const auto n = static_cast<size_t>(size);
  for (size_t i = 0; i < count; ++i) transposed[i % n * n + i / n] = w[i];
  for (size_t row = 0; row < n; ++row) {
    for (size_t k = 0; k < n; ++k) {
      for (size_t j = 0; j < n; ++j) wanted[row * n + j] += a[row * n + k] * w[k * n + j];
    }
  }
  part["shape"] = {size, size, size};
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock left, session.Upload(a));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock right, session.Upload(w));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock turned, session.Upload(transposed));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock to, session.Upload(a));
  const Drain drain(session);
  const auto whole = [size](const DeviceBlock& block) {
    return View::Whole(block.data(), DataType::kFloat32, {size, size});
  };
  PIPESERVE_ASSIGN_OR_RETURN(
      std::unique_ptr<Step> of_whole,
      MakeMatMul(session.device(), whole(left), whole(right), whole(to), *precision));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> of_view,
                             MakeMatMul(session.device(), whole(left),
                                        whole(turned).Transposed({1, 0}), whole(to), *precision));
  PIPESERVE_RETURN_IF_ERROR(Try(session, {std::move(of_whole), to, wanted, 0}, "whole_ms", part));
  return Try(session, {std::move(of_view), to, wanted, 0}, "view_ms", part);
}

// What Split and slices make: columns of a matrix, from a place that is no multiple of 32 bytes on.
Status TrySlice(Session& session, Json& part) {
  const int64_t rows = session.Size(1024, 16), all = 100, first = 3, width = 37;
  const std::vector<float> x = RandomFloats(static_cast<size_t>(rows * all), 1);
  std::vector<float> wanted;
  for (int64_t i = 0; i < rows * width; ++i) {
    wanted.push_back(-x[static_cast<size_t>(i / width * all + first + i % width)]);
  }
  part["shape"] = {rows, width};
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock from, session.Upload(x));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock to, session.Upload(wanted));
  const Drain drain(session);
  const View whole = View::Whole(from.data(), DataType::kFloat32, {rows, all});
  const View out = View::Whole(to.data(), DataType::kFloat32, {rows, width});
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> of_view,
                             MakeNeg(session.device(), whole.Part(1, first, width), out));
  return Try(session, {std::move(of_view), to, wanted, 0}, "view_ms", part);
}

// What Concat makes: a copy into some columns of a matrix, whose others stay as they are.
Status TryConcat(Session& session, Json& part) {
  const int64_t rows = session.Size(1024, 16), all = 100, first = 3, width = 37;
  const std::vector<float> x = RandomFloats(static_cast<size_t>(rows * width), 1);
  std::vector<float> wanted(static_cast<size_t>(rows * all), kUntouched);
  for (int64_t i = 0; i < rows * width; ++i) {
    wanted[static_cast<size_t>(i / width * all + first + i % width)] = x[static_cast<size_t>(i)];
  }
  part["shape"] = {rows, width};
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock from, session.Upload(x));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock to, session.Upload(wanted));
  const Drain drain(session);
  const View in = View::Whole(from.data(), DataType::kFloat32, {rows, width});
  const View whole = View::Whole(to.data(), DataType::kFloat32, {rows, all});
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Step> into_view,
                             MakeCopy(session.device(), in, whole.Part(1, first, width)));
  return Try(session, {std::move(into_view), to, wanted, 0}, "view_ms", part);
}

}  // namespace

Status CheckViews(Session& session, Json& found) {
  const std::pair<const char*, Status (*)(Session&, Json&)> trials[] = {
      {"strided_neg", TryNeg},
      {"transposed_matmul", TryMatMul},
      {"slice", TrySlice},
      {"concat", TryConcat}};
  for (const auto& [name, trial] : trials) {
    Json part = Json::object();
    const Status status = trial(session, part);
    found[name] = part.contains("unsupported") ? part : PartOf(status, std::move(part));
  }
  return FirstFailure(found);
}

}  // namespace pipeserve::ascend::check
