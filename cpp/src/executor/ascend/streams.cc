#include "executor/ascend/streams.h"

#include <utility>

namespace pipeserve::ascend {
namespace {

Status HandOver(const Event& event, Stream* from, Stream* to) {
  PIPESERVE_RETURN_IF_ERROR(from->Record(event));
  return to->BeginAfter(event);
}

}  // namespace

Result<Streams> Streams::Create(Device& device, bool apart) {
  Streams streams;
  streams.apart_ = apart;
  PIPESERVE_ASSIGN_OR_RETURN(streams.compute_, Stream::Create(device));
  if (!apart) return streams;
  PIPESERVE_ASSIGN_OR_RETURN(streams.upload_, Stream::Create(device));
  PIPESERVE_ASSIGN_OR_RETURN(streams.download_, Stream::Create(device));
  return streams;
}

Result<Streams::Events> Streams::MakeEvents(Device& device) const {
  Events events;
  if (!apart_) return events;
  for (Event* event : {&events.uploaded, &events.computed, &events.done}) {
    PIPESERVE_ASSIGN_OR_RETURN(*event, Event::Create(device));
  }
  return events;
}

Status Streams::HandToCompute(const Events& events) {
  return apart_ ? HandOver(events.uploaded, &upload_, &compute_) : OkStatus();
}

Status Streams::HandToDownload(const Events& events) {
  return apart_ ? HandOver(events.computed, &compute_, &download_) : OkStatus();
}

Status Streams::HandBack(const Events& events) {
  return apart_ ? download_.Record(events.done) : OkStatus();
}

Status Streams::Synchronize(const WaitFor& wait) {
  Status first;
  for (Stream* stream : {&upload_, &compute_, &download_}) {
    Status status = stream->Synchronize(wait);
    if (first.ok() || status.code() == StatusCode::kDeadlineExceeded) first = std::move(status);
  }
  return first;
}

}  // namespace pipeserve::ascend
