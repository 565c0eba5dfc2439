#include "server/dispatcher.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

// The original's words for what a request asked for.
std::string Describe(const ClientRequest& request) {
  const std::string version =
      request.version > 0 ? StrCat(" version(", request.version, ") ") : std::string();
  return StrCat("Request servable(", request.servable, ") method(", request.method, ") ", version);
}

// The value of `name`; null when there is none. A method has few inputs, so each looks through
// all. From the back, because the last of equal names counts.
const Tensor* FindValue(const NamedInstance& instance, const std::string& name) {
  const auto found = std::find_if(instance.rbegin(), instance.rend(),
                                  [&](const auto& item) { return item.first == name; });
  return found == instance.rend() ? nullptr : &found->second;
}

// The values of every instance in the order of `names`; what is not asked for is left out.
Result<std::vector<Instance>> OrderInputs(const ClientRequest& request,
                                          const std::vector<std::string>& names) {
  std::vector<Instance> ordered;
  ordered.reserve(request.instances.size());
  for (const NamedInstance& named : request.instances) {
    Instance& instance = ordered.emplace_back();
    instance.reserve(names.size());
    for (const std::string& name : names) {
      const Tensor* value = FindValue(named, name);
      if (value == nullptr) {
        return InvalidArgument(StrCat("Cannot find input ", name, " in instance input , servable ",
                                      request.servable, ", method ", request.method));
      }
      instance.push_back(*value);
    }
  }
  return ordered;
}

size_t ByteSize(const Instance& instance) {
  size_t bytes = 0;
  for (const Tensor& tensor : instance) bytes += tensor.byte_size();
  return bytes;
}

size_t InputBytes(const ClientRequest& request) {
  size_t bytes = 0;
  for (const NamedInstance& instance : request.instances) {
    for (const auto& [name, tensor] : instance) bytes += tensor.byte_size();
  }
  return bytes;
}

ClientReply ErrorReply(Status error) {
  ClientReply reply;
  reply.error = std::move(error);
  return reply;
}

ClientReply MergeResults(std::vector<std::string> output_names,
                         std::vector<Result<Instance>> results) {
  PIPESERVE_DCHECK(!results.empty());
  const Status& first = results.front().status();
  const bool alike = std::all_of(results.begin(), results.end(), [&](const auto& result) {
    return !result.ok() && result.status() == first;
  });
  if (alike) return ErrorReply(first);
  return {OkStatus(), std::move(output_names), std::move(results), {}};
}

}  // namespace

Dispatcher::Dispatcher(const DispatcherOptions& options)
    : options_(options), admission_(options.limits) {}

void Dispatcher::set_max_enqueued_requests(size_t limit) { admission_.set_max_requests(limit); }

Status Dispatcher::Reserve(const std::string& name, uint64_t version) {
  MutexLock lock(mutex_);
  if (servables_[name].try_emplace(version).second) return OkStatus();
  return AlreadyExists(StrCat("servable ", name, " version ", version, " is already being served"));
}

void Dispatcher::Publish(const std::string& name, uint64_t version,
                         std::shared_ptr<Servable> servable, Probe available) {
  Entry entry{std::move(servable), std::move(available)};
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return;
  const auto found = versions->second.find(version);
  if (found != versions->second.end()) std::swap(found->second, entry);
}

void Dispatcher::Remove(const std::string& name, uint64_t version) {
  Entry removed;  // Its destruction stops threads, so it waits until the lock is gone.
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return;
  const auto found = versions->second.find(version);
  if (found == versions->second.end()) return;
  removed = std::move(found->second);
  versions->second.erase(found);
  if (versions->second.empty()) servables_.erase(versions);
}

std::vector<Dispatcher::Entry> Dispatcher::Candidates(const std::string& name,
                                                      uint64_t version) const {
  std::vector<Entry> candidates;
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return candidates;
  for (auto it = versions->second.rbegin(); it != versions->second.rend(); ++it) {
    if (version == 0 || version == it->first) candidates.push_back(it->second);
  }
  return candidates;
}

std::shared_ptr<Servable> Dispatcher::Find(const std::string& name, uint64_t version) const {
  for (Entry& entry : Candidates(name, version)) {
    if (entry.servable != nullptr) return std::move(entry.servable);
  }
  return nullptr;
}

bool Dispatcher::AllAvailable() const {
  std::vector<Entry> entries;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, versions] : servables_) {
      for (const auto& [version, entry] : versions) entries.push_back(entry);
    }
  }
  return !closed_ && !entries.empty() && std::ranges::all_of(entries, [](const Entry& entry) {
    return entry.servable != nullptr && (entry.available == nullptr || entry.available());
  });
}

Buffer Dispatcher::MakeRoom(const std::string& name, uint64_t version, size_t bytes) const {
  const std::shared_ptr<Servable> servable = Find(name, version);
  return servable == nullptr ? Buffer::Allocate(bytes) : servable->MakeRoom(bytes);
}

Result<std::shared_ptr<Servable>> Dispatcher::FindAvailable(const ClientRequest& request) const {
  std::vector<Entry> candidates = Candidates(request.servable, request.version);
  for (Entry& entry : candidates) {
    if (entry.servable == nullptr || closed_) continue;
    if (entry.available == nullptr || entry.available()) return std::move(entry.servable);
  }
  std::string text = StrCat(Describe(request), ", servable is not available");
  return candidates.empty() ? NotFound(std::move(text)) : Unavailable(std::move(text));
}

void Dispatcher::Close() { closed_ = true; }

void Dispatcher::Dispatch(ClientRequest request, Done done) {
  Result<Admission::Ticket> ticket = admission_.Enter(InputBytes(request));
  if (!ticket.ok()) {
    ClientReply reply = ErrorReply(ticket.status());
    reply.retry_after = admission_.RetryAfter();
    return done(std::move(reply));
  }
  Result<Ready> ready = Prepare(request);
  if (!ready.ok()) {
    ticket->Return();  // First: whoever has the reply may send the next request.
    return done(ErrorReply(ready.status()));
  }
  ready->servable->Submit(request.method, std::move(ready->inputs),
                          MakeInfo(request, *std::move(ticket)),
                          [output_names = std::move(ready->output_names),
                           done = std::move(done)](std::vector<Result<Instance>> results) {
                            done(MergeResults(output_names, std::move(results)));
                          });
}

Result<Instance> Dispatcher::Run(const ClientRequest& request, Instance inputs) {
  PIPESERVE_ASSIGN_OR_RETURN(Admission::Ticket ticket, admission_.Enter(ByteSize(inputs)));
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Servable> servable, FindAvailable(request));
  PIPESERVE_RETURN_IF_ERROR(FindCallable(request, *servable).status());
  return servable->RunRequest(request.method, std::move(inputs),
                              MakeInfo(request, std::move(ticket)));
}

RequestInfo Dispatcher::MakeInfo(const ClientRequest& request, Admission::Ticket ticket) {
  RequestInfo info{request.deadline, ++last_request_id_, request.cancel, std::move(ticket)};
  if (options_.max_request_time > Duration::zero()) {
    info.deadline = Earlier(info.deadline, Deadline::After(options_.max_request_time));
  }
  return info;
}

Result<const Servable::Signature*> Dispatcher::FindCallable(const ClientRequest& request,
                                                            const Servable& servable) const {
  if (const Servable::Signature* found = servable.FindCallable(request.method)) return found;
  return NotFound(StrCat(Describe(request), ", method is not available"));
}

Result<Dispatcher::Ready> Dispatcher::Prepare(const ClientRequest& request) const {
  Ready ready;
  PIPESERVE_ASSIGN_OR_RETURN(ready.servable, FindAvailable(request));
  PIPESERVE_ASSIGN_OR_RETURN(const Servable::Signature* const callable,
                             FindCallable(request, *ready.servable));
  if (request.instances.empty()) {
    return InvalidArgument(StrCat("Instances count of request cannot be 0, servable ",
                                  request.servable, ", method ", request.method));
  }
  PIPESERVE_ASSIGN_OR_RETURN(ready.inputs, OrderInputs(request, callable->input_names));
  ready.output_names = callable->output_names;
  return ready;
}

}  // namespace pipeserve
