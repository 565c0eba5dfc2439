#include "server/version_table.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

std::string Title(const std::string& name, uint64_t version) {
  return StrCat("servable ", name, " version ", version);
}

Status NoSuchVersion(const std::string& name, uint64_t version) {
  return NotFound(StrCat(Title(name, version), " has not been started"));
}

}  // namespace

Status VersionTable::Reserve(const std::string& name, uint64_t version, bool on_request_only) {
  MutexLock lock(mutex_);
  if (all_retired_) return Unavailable("the server has been stopped");
  const auto [entry, is_new] = servables_[name].try_emplace(version);
  if (!is_new) return AlreadyExists(StrCat(Title(name, version), " is already being served"));
  entry->second.on_request_only = on_request_only;
  return OkStatus();
}

void VersionTable::Bind(const std::string& name, uint64_t version,
                        std::shared_ptr<Servable> servable) {
  MutexLock lock(mutex_);
  Entry* const entry = FindEntry(name, version);
  if (entry == nullptr) return;
  std::swap(entry->servable, servable);  // What it was goes when the lock has gone.
  entry->published = false;
  entry->available = nullptr;
}

void VersionTable::Publish(const std::string& name, uint64_t version, Probe available) {
  MutexLock lock(mutex_);
  Entry* const entry = FindEntry(name, version);
  if (entry == nullptr) return;
  if (available != nullptr) entry->available = std::make_shared<Probe>(std::move(available));
  entry->published = true;
}

Status VersionTable::Switch(const std::string& name, uint64_t version) {
  if (!Knows(name, version)) return NoSuchVersion(name, version);
  const std::vector<Entry> candidates = Candidates(name, version);
  if (!std::ranges::any_of(candidates, &Entry::IsAvailable)) {
    return Unavailable(StrCat(Title(name, version), " cannot be called at this moment"));
  }
  MutexLock lock(mutex_);
  const Entry* const wanted = FindEntry(name, version);
  if (wanted == nullptr || wanted->retired) return NoSuchVersion(name, version);
  for (auto& [number, entry] : servables_[name]) entry.on_request_only = &entry != wanted;
  return OkStatus();
}

Status VersionTable::Retire(const std::string& name, uint64_t version) {
  MutexLock lock(mutex_);
  Entry* const entry = FindEntry(name, version);
  if (entry == nullptr) return NoSuchVersion(name, version);
  if (entry->retired) {
    return FailedPrecondition(StrCat(Title(name, version), " is being unloaded already"));
  }
  const Versions& versions = servables_[name];
  const bool was_default = DefaultOf(versions) == version;
  entry->retired = true;
  const bool others =
      std::ranges::any_of(versions, [](const auto& item) { return item.second.is_open(); });
  if (was_default && others && DefaultOf(versions) == 0) {
    entry->retired = false;
    return FailedPrecondition(StrCat("requests for ", name,
                                     " that name no version come to version ", version,
                                     ": switch to another one first"));
  }
  return OkStatus();
}

void VersionTable::RetireAll() {
  MutexLock lock(mutex_);
  all_retired_ = true;
  for (auto& [name, versions] : servables_) {
    for (auto& [version, entry] : versions) entry.retired = true;
  }
}

bool VersionTable::Drain(const std::string& name, uint64_t version, Deadline deadline) const {
  std::shared_ptr<CallGate> requests;
  {
    MutexLock lock(mutex_);
    const auto versions = servables_.find(name);
    if (versions == servables_.end()) return true;
    const auto entry = versions->second.find(version);
    if (entry == versions->second.end()) return true;
    requests = entry->second.requests;
  }
  return requests->CloseUntil(deadline);
}

void VersionTable::Remove(const std::string& name, uint64_t version) {
  Entry removed;  // It may be the last reference to the servable, so it goes after the lock.
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return;
  const auto found = versions->second.find(version);
  if (found == versions->second.end()) return;
  removed = std::move(found->second);
  versions->second.erase(found);
  if (versions->second.empty()) servables_.erase(versions);
}

std::shared_ptr<Servable> VersionTable::Find(const std::string& name, uint64_t version) const {
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return nullptr;
  for (auto it = versions->second.rbegin(); it != versions->second.rend(); ++it) {
    if ((version == 0 || version == it->first) && it->second.servable != nullptr) {
      return it->second.servable;
    }
  }
  return nullptr;
}

std::shared_ptr<Servable> VersionTable::Peek(const std::string& name, uint64_t version) const {
  for (Entry& entry : Candidates(name, version)) {
    if (entry.IsAvailable()) return std::move(entry.servable);
  }
  return nullptr;
}

std::shared_ptr<Servable> VersionTable::Lead(const std::string& name, uint64_t version) const {
  while (true) {
    bool retired = false;
    for (Entry& entry : Candidates(name, version)) {
      if (!entry.IsAvailable()) continue;
      retired = !entry.requests->Enter();
      if (retired) break;  // Since this looked. What has taken its place is in the table.
      Servable* const servable = entry.servable.get();
      return {servable, [held = std::move(entry.servable),
                         requests = std::move(entry.requests)](Servable*) mutable {
                held.reset();  // First: whoever waits may be about to destroy it.
                requests->Leave();
              }};
    }
    if (!retired) return nullptr;
  }
}

bool VersionTable::Knows(const std::string& name, uint64_t version) const {
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  return versions != servables_.end() &&
         std::ranges::any_of(versions->second, [version](const auto& item) {
           return (version == 0 || version == item.first) && !item.second.retired;
         });
}

bool VersionTable::AllAvailable() const {
  std::vector<Entry> entries;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, versions] : servables_) {
      for (const auto& [version, entry] : versions) {
        if (!entry.on_request_only && !entry.retired) entries.push_back(entry);
      }
    }
  }
  return !entries.empty() && std::ranges::all_of(entries, &Entry::IsAvailable);
}

std::vector<VersionTable::Row> VersionTable::Rows() const {
  std::vector<Row> rows;
  std::vector<Entry> entries;
  {
    MutexLock lock(mutex_);
    for (const auto& [name, versions] : servables_) {
      const uint64_t default_version = DefaultOf(versions);
      for (const auto& [version, entry] : versions) {
        rows.push_back({name, version, entry.servable, /*available=*/false,
                        version == default_version, entry.retired, entry.requests->inside()});
        entries.push_back(entry);
      }
    }
  }
  for (size_t i = 0; i < rows.size(); ++i) rows[i].available = entries[i].IsAvailable();
  return rows;
}

VersionTable::Entry* VersionTable::FindEntry(const std::string& name, uint64_t version) {
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return nullptr;
  const auto found = versions->second.find(version);
  return found == versions->second.end() ? nullptr : &found->second;
}

std::vector<VersionTable::Entry> VersionTable::Candidates(const std::string& name,
                                                          uint64_t version) const {
  std::vector<Entry> candidates;
  MutexLock lock(mutex_);
  const auto versions = servables_.find(name);
  if (versions == servables_.end()) return candidates;
  for (auto it = versions->second.rbegin(); it != versions->second.rend(); ++it) {
    const bool meant = version == 0 ? !it->second.on_request_only : version == it->first;
    if (meant && it->second.is_open()) candidates.push_back(it->second);
  }
  return candidates;
}

uint64_t VersionTable::DefaultOf(const Versions& versions) {
  for (auto it = versions.rbegin(); it != versions.rend(); ++it) {
    if (it->second.is_open() && !it->second.on_request_only) return it->first;
  }
  return 0;
}

}  // namespace pipeserve
