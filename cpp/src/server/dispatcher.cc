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

bool Dispatcher::AllAvailable() const { return !closed_ && versions_.AllAvailable(); }

Buffer Dispatcher::MakeRoom(const std::string& name, uint64_t version, size_t bytes) const {
  const std::shared_ptr<Servable> servable = versions_.Peek(name, version);
  return servable == nullptr ? Buffer::Allocate(bytes) : servable->MakeRoom(bytes);
}

Result<std::shared_ptr<Servable>> Dispatcher::FindAvailable(const ClientRequest& request) const {
  if (!closed_) {
    if (auto servable = versions_.Lead(request.servable, request.version)) return servable;
  }
  std::string text = StrCat(Describe(request), ", servable is not available");
  const bool is_known = closed_ || versions_.Knows(request.servable, request.version);
  return is_known ? Unavailable(std::move(text)) : NotFound(std::move(text));
}

void Dispatcher::Close() {
  closed_ = true;
  versions_.RetireAll();
}

void Dispatcher::Drain(Deadline deadline) {
  for (const VersionTable::Row& row : versions_.Rows()) Drain(row.name, row.version, deadline);
}

void Dispatcher::Drain(const std::string& name, uint64_t version, Deadline deadline) {
  if (versions_.Drain(name, version, deadline)) return;
  if (const auto servable = versions_.Find(name, version)) {
    servable->GiveUpAll(Unavailable("servable is not available: it has been stopped"));
  }
  versions_.Drain(name, version, Deadline::Infinite());
}

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
  // Held until the request is answered, and until this call is over: nobody unloads it meanwhile.
  const std::shared_ptr<Servable> servable = ready->servable;
  servable->Submit(request.method, std::move(ready->inputs), MakeInfo(request, *std::move(ticket)),
                   [servable, output_names = std::move(ready->output_names),
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
