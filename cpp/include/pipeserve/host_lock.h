// What a thread holds while it runs code of the host language: an interpreter's lock.
#pragma once

namespace [[gnu::visibility("default")]] pipeserve {

// Handed to the core by a thread that holds it, so that the core can give it up where it may take
// long or has to wait, and need not where it is done in a moment. The core calls both on that
// thread, with no lock of its own held.
class HostLock {
 public:
  virtual ~HostLock() = default;
  virtual void Release() = 0;
  // After Release(). Waits until the lock is free.
  virtual void Acquire() = 0;
};

// Gives the lock up while it lives.
class HostLockPause {
 public:
  explicit HostLockPause(HostLock* lock) : lock_(lock) {  // Null: there is nothing to give up.
    if (lock_ != nullptr) lock_->Release();
  }
  ~HostLockPause() {
    if (lock_ != nullptr) lock_->Acquire();
  }
  HostLockPause(const HostLockPause&) = delete;
  HostLockPause& operator=(const HostLockPause&) = delete;

 private:
  HostLock* const lock_;
};

}  // namespace pipeserve
