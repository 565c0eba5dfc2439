// The servables of a server by name and version, and which of them a client's request is led to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "scheduler/call_gate.h"
#include "scheduler/servable.h"

namespace pipeserve {

// Thread-safe. A version is reserved, bound, published, perhaps unpublished and published again,
// retired and removed, in this order.
class VersionTable {
 public:
  // Whether a servable can be called at this moment; must be quick.
  using Probe = std::function<bool()>;

  struct Row {
    std::string name;
    uint64_t version = 0;
    std::shared_ptr<Servable> servable;  // Null: none is bound.
    bool available = false;              // Requests that name the version run at this moment.
    bool is_default = false;             // Requests that name no version come to it.
    bool retired = false;
    int requests = 0;  // Of clients, that wait or run.
  };

  // Takes the name and version. With `on_request_only` requests that name no version do not come to
  // it until Switch(). Errors: kAlreadyExists; kUnavailable (all have been retired).
  Status Reserve(const std::string& name, uint64_t version, bool on_request_only = false);
  // From now on Find() finds `servable`; no request of a client is led to it before Publish().
  // Null: nothing is bound any more.
  void Bind(const std::string& name, uint64_t version, std::shared_ptr<Servable> servable);
  // From now on requests of clients are led to the servable while `available`; null is always.
  void Publish(const std::string& name, uint64_t version, Probe available = nullptr);
  // Requests that name no version come to this one alone. Errors: kNotFound, kUnavailable (it
  // cannot be called at this moment).
  Status Switch(const std::string& name, uint64_t version);
  // No further request of a client is led to that version; Find() goes on. Errors: kNotFound,
  // kFailedPrecondition (retired already; requests that name no version would have nowhere to go
  // although there are other versions).
  Status Retire(const std::string& name, uint64_t version);
  // The same for every version, whatever there is; no other one comes.
  void RetireAll();
  // After Retire(): waits until the version's requests are answered; false when some are not at
  // `deadline`.
  bool Drain(const std::string& name, uint64_t version, Deadline deadline) const;
  void Remove(const std::string& name, uint64_t version);

  // What is bound to that name, the newest for version 0, whether or not it can be called at this
  // moment. Null: nothing is.
  std::shared_ptr<Servable> Find(const std::string& name, uint64_t version) const;
  // The servable that a client's request would be led to now. Null: none.
  std::shared_ptr<Servable> Peek(const std::string& name, uint64_t version) const;
  // The servable for a client's request, which is counted until the last copy of the pointer is
  // gone; whoever waits for it has a reference of its own until then. Null: no such version can be
  // called at this moment.
  std::shared_ptr<Servable> Lead(const std::string& name, uint64_t version) const;
  // Whether there is such a version, or for version 0 any, that has not been retired.
  bool Knows(const std::string& name, uint64_t version) const;
  // Whether everything that requests come to without naming a version can be called. False when
  // there is nothing.
  bool AllAvailable() const;
  // By name and version.
  std::vector<Row> Rows() const;

 private:
  struct Entry {
    std::shared_ptr<Servable> servable = nullptr;
    std::shared_ptr<const Probe> available =
        nullptr;  // Null: always. Shared, as it is copied often.
    bool published = false;
    bool on_request_only = false;
    bool retired = false;
    // Requests that were led here. Closed only after `retired` is set.
    std::shared_ptr<CallGate> requests = std::make_shared<CallGate>();

    bool is_open() const { return published && !retired; }
    // Not with the table's mutex held: it may take locks of its own.
    bool IsAvailable() const { return is_open() && (available == nullptr || (*available)()); }
  };
  using Versions = std::map<uint64_t, Entry>;

  Entry* FindEntry(const std::string& name, uint64_t version) REQUIRES(mutex_);
  // Of a name, newest first; without the retired ones.
  std::vector<Entry> Candidates(const std::string& name, uint64_t version) const;
  // The version that requests come to that name none; 0: there is none.
  static uint64_t DefaultOf(const Versions& versions);

  mutable Mutex mutex_;
  bool all_retired_ GUARDED_BY(mutex_) = false;
  std::map<std::string, Versions> servables_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
