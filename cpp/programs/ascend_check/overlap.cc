// What more than one stream brings: items that are copied in, negated and copied out, each on one
// stream, in turns. A stream has one item at a time, as a caller who waits for it would have it.
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/operators.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

// A stream and all that one item needs. Used by one item after the other.
class Lane {
 public:
  static Result<std::unique_ptr<Lane>> Create(Device& device, size_t count) {
    std::unique_ptr<Lane> lane(new Lane(device, count * sizeof(float)));
    PIPESERVE_RETURN_IF_ERROR(lane->Allocate(count));
    return lane;
  }
  Lane(const Lane&) = delete;
  ~Lane() {
    if (!Synchronize().ok()) device_.Abandon();
  }

  Status Enqueue() {
    PIPESERVE_RETURN_IF_ERROR(stream_.CopyToDevice(x_.data(), from_.data(), bytes_));
    PIPESERVE_RETURN_IF_ERROR(neg_->Launch(stream_, workspace_));
    return stream_.CopyToHost(to_.data(), y_.data(), bytes_);
  }
  Status Synchronize() { return stream_.Synchronize(wait_); }

  // After Synchronize().
  Status Verify() const {
    const auto* const came = reinterpret_cast<const float*>(to_.data());
    for (size_t i = 0; i < bytes_ / sizeof(float); ++i) {
      if (came[i] == -static_cast<float>(i % 1000)) continue;
      return Internal(StrCat("element ", i, " is ", came[i], ", wanted was -", i % 1000));
    }
    return OkStatus();
  }

 private:
  Lane(Device& device, size_t bytes)
      : device_(device), bytes_(bytes), workspace_(device, stream_, wait_) {}

  Status Allocate(size_t count) {
    PIPESERVE_ASSIGN_OR_RETURN(stream_, Stream::Create(device_));
    PIPESERVE_ASSIGN_OR_RETURN(from_, PinnedBlock::Allocate(device_, bytes_));
    PIPESERVE_ASSIGN_OR_RETURN(to_, PinnedBlock::Allocate(device_, bytes_));
    PIPESERVE_ASSIGN_OR_RETURN(x_, DeviceBlock::Allocate(device_, RoomFor(bytes_)));
    PIPESERVE_ASSIGN_OR_RETURN(y_, DeviceBlock::Allocate(device_, RoomFor(bytes_)));
    for (size_t i = 0; i < count; ++i) {
      reinterpret_cast<float*>(from_.data())[i] = static_cast<float>(i % 1000);
    }
    std::memset(to_.data(), 0, bytes_);
    const auto length = static_cast<int64_t>(count);
    PIPESERVE_ASSIGN_OR_RETURN(
        neg_, MakeNeg(device_, View::Whole(x_.data(), DataType::kFloat32, {length}),
                      View::Whole(y_.data(), DataType::kFloat32, {length})));
    return OkStatus();
  }

  Device& device_;
  const size_t bytes_;
  const WaitFor wait_{std::chrono::seconds(60)};
  PinnedBlock from_, to_;
  DeviceBlock x_, y_;
  Stream stream_;
  Workspace workspace_;
  std::unique_ptr<Step> neg_;
};

using Lanes = std::vector<std::unique_ptr<Lane>>;

Status RunItems(Lanes& lanes, int items) {
  for (int i = 0; i < items; ++i) {
    Lane& lane = *lanes[static_cast<size_t>(i) % lanes.size()];
    PIPESERVE_RETURN_IF_ERROR(lane.Synchronize());
    PIPESERVE_RETURN_IF_ERROR(lane.Enqueue());
  }
  for (const auto& lane : lanes) PIPESERVE_RETURN_IF_ERROR(lane->Synchronize());
  return OkStatus();
}

// Milliseconds of one item among `items` on so many streams.
Result<double> TimeOf(Session& session, int streams, size_t count, int items) {
  Lanes lanes;
  for (int i = 0; i < streams; ++i) {
    PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Lane> lane, Lane::Create(session.device(), count));
    lanes.push_back(std::move(lane));
  }
  PIPESERVE_RETURN_IF_ERROR(RunItems(lanes, streams));  // The first is slower.
  const Stopwatch watch;
  PIPESERVE_RETURN_IF_ERROR(RunItems(lanes, items));
  const double milliseconds = watch.milliseconds() / items;
  for (const auto& lane : lanes) PIPESERVE_RETURN_IF_ERROR(lane->Verify());
  return milliseconds;
}

}  // namespace

Status CheckOverlap(Session& session, Json& found) {
  const std::pair<size_t, int> sizes[] = {
      {size_t{48} << 10, session.Size(600, 6)},
      {session.Size(size_t{64} << 20, size_t{1} << 20), session.Size(24, 6)}};
  found["sizes"] = Json::array();
  for (const auto& [bytes, items] : sizes) {
    Json size = {{"bytes", bytes}, {"items", items}};
    Status status;
    for (int streams = 1; streams <= 3 && status.ok(); ++streams) {
      SayProgress(StrCat(bytes, " bytes, ", streams, " streams"));
      const Result<double> time = TimeOf(session, streams, bytes / sizeof(float), items);
      status = time.status();
      if (time.ok()) size[StrCat("item_ms_of_", streams)] = *time;
    }
    found["sizes"].push_back(std::move(size));
    PIPESERVE_RETURN_IF_ERROR(status);
  }
  return OkStatus();
}

}  // namespace pipeserve::ascend::check
