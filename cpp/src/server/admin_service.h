// The service of the admin door: what an operator asks, and what is done for one.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bounded_queue.h"
#include "pipeserve/servable.h"
#include "server/admin_url.h"
#include "server/dispatcher.h"
#include "server/http_service.h"

namespace pipeserve {

// Actions begin in the order in which they came, on threads of the service: they load models and
// wait for agents. While one goes on there is a thread for others, which may end it. One that has
// begun is done, whether or not its client stays.
class AdminService final : public HttpService {
 public:
  static constexpr size_t kMaxBodyBytes = 64 << 10;  // For the door, which measures them.
  static constexpr size_t kMaxWaiting = 16;          // Actions; one more is refused.
  static constexpr int kWorkers = 2;

  // Writes the status of the server as JSON; must be quick and not throw.
  using WriteStatus = std::function<std::string()>;

  // `dispatcher` outlives it. `actions` is called with the action, the servable and the JSON object
  // that came as the body, "{}" for none, as three strings, and gives the JSON of the answer as
  // one.
  AdminService(const Dispatcher* dispatcher, WriteStatus write_status,
               std::shared_ptr<HostFunction> actions);
  ~AdminService() override;  // Close().

  std::string_view name() const override { return "admin"; }
  HttpAnswer AnswerAtOnce(std::string_view method, std::string_view url) override;
  void Post(HttpRequest request, Done done) override;
  HttpAnswer Refuse(int http_status, std::string_view text) const override;
  // Actions that wait are refused, those that are being done are awaited: not from an action.
  void Close() override;

 private:
  struct Order {
    AdminTarget target;
    std::string body;
    Done done;
  };

  HttpAnswer ReadPage(std::string_view path) const;
  // Leaves `order` as it is when it is refused. Errors: kUnavailable, kResourceExhausted.
  Status Enqueue(Order& order);
  void Work();
  Result<std::string> Do(const Order& order) const;

  const Dispatcher& dispatcher_;
  const WriteStatus write_status_;
  const std::shared_ptr<HostFunction> actions_;
  std::atomic<bool> closed_{false};
  BoundedQueue<Order> waiting_{kMaxWaiting};
  // Last, so that they are joined before anything they read is destroyed.
  std::vector<std::jthread> workers_;
};

}  // namespace pipeserve
