#include "server/admin_service.h"

#include <simdjson.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "scheduler/host_call.h"
#include "server/http_health.h"
#include "server/json_text.h"

namespace pipeserve {
namespace {

constexpr std::string_view kStatusPath = "/v2/status";
constexpr std::string_view kPages[] = {kLivePath, kReadyPath, kStatusPath};
constexpr std::string_view kJsonType = "application/json";
constexpr size_t kMaxBodyDepth = 32;  // Lists and objects in each other.

bool IsPage(std::string_view path) { return std::ranges::find(kPages, path) != std::end(kPages); }

std::string_view WithoutQuery(std::string_view url) {
  return url.substr(0, url.find_first_of("?#"));
}

int AdminHttpStatus(StatusCode code) {
  switch (code) {
    case StatusCode::kInvalidArgument:
      return 400;
    case StatusCode::kUnauthenticated:
      return 401;
    case StatusCode::kPermissionDenied:
      return 403;
    case StatusCode::kNotFound:
      return 404;
    case StatusCode::kAlreadyExists:
    case StatusCode::kFailedPrecondition:
      return 409;
    case StatusCode::kResourceExhausted:
      return 429;
    case StatusCode::kUnimplemented:
      return 501;
    case StatusCode::kUnavailable:
    case StatusCode::kCancelled:  // What was going on when the server stopped.
      return 503;
    case StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

HttpAnswer AdminError(int http_status, std::string_view text) {
  HttpAnswer answer{http_status, "{\"error\": "};
  AppendJsonMessage(text, &answer.body);
  answer.body.push_back('}');
  return answer;
}

HttpAnswer AdminError(const Status& error) {
  return AdminError(AdminHttpStatus(error.code()), error.message());
}

HttpAnswer WrongMethod(std::string_view path, std::string_view wanted, std::string_view came) {
  HttpAnswer answer = AdminError(405, StrCat(path, " has the method ", wanted, ", not ", came));
  answer.allow = wanted;
  return answer;
}

Status StopsError() { return Unavailable("the server stops, it takes no more actions"); }

void Answer(const HttpService::Done& done, HttpAnswer answer) {
  done([answer = std::move(answer)] { return answer; });
}

// A page of the web may have a browser send anything else to an address of the browser's own host.
bool IsJson(std::string_view content_type) {
  return content_type.substr(0, content_type.find_first_of("; ")) == kJsonType;
}

Status CheckObject(const std::string& body) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  simdjson::error_code error = parser.allocate(body.size(), kMaxBodyDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(body).get(object);
  if (error == simdjson::SUCCESS) return OkStatus();
  return InvalidArgument(
      StrCat("the body must be empty or one JSON object: ", simdjson::error_message(error)));
}

Tensor StringOf(std::string_view text) { return Tensor::FromString(DataType::kString, text); }

}  // namespace

AdminService::AdminService(const Dispatcher* dispatcher, WriteStatus write_status,
                           std::shared_ptr<HostFunction> actions)
    : dispatcher_(*dispatcher),
      write_status_(std::move(write_status)),
      actions_(std::move(actions)) {
  for (int i = 0; i < kWorkers; ++i) workers_.emplace_back([this] { Work(); });
}

AdminService::~AdminService() { Close(); }

HttpAnswer AdminService::AnswerAtOnce(std::string_view method, std::string_view url) {
  const std::string_view path = WithoutQuery(url);
  if (IsPage(path)) return method == "GET" ? ReadPage(path) : WrongMethod(path, "GET", method);
  const Status status = ParseAdminPath(path).status();
  if (status.code() == StatusCode::kNotFound) return AdminError(status);
  return WrongMethod(path, "POST", method);
}

HttpAnswer AdminService::ReadPage(std::string_view path) const {
  if (path == kStatusPath) return {200, write_status_()};
  return *AnswerHealth(path, dispatcher_);
}

void AdminService::Post(HttpRequest request, Done done) {
  const std::string_view path = WithoutQuery(request.url);
  if (IsPage(path)) return Answer(done, WrongMethod(path, "GET", "POST"));
  Result<AdminTarget> target = ParseAdminPath(path);
  if (!target.ok()) return Answer(done, AdminError(target.status()));
  if (!request.origin.empty()) {
    return Answer(done, AdminError(403, StrCat("a page of ", request.origin, " sends this")));
  }
  if (!IsJson(request.content_type)) {
    return Answer(done, AdminError(415, StrCat("Content-Type is '", request.content_type,
                                               "', wanted ", kJsonType)));
  }
  if (request.body.empty()) request.body = "{}";
  Status status = CheckObject(request.body);
  Order order{*std::move(target), std::move(request.body), std::move(done)};
  if (status.ok()) status = Enqueue(order);
  if (!status.ok()) Answer(order.done, AdminError(status));
}

HttpAnswer AdminService::Refuse(int http_status, std::string_view text) const {
  return AdminError(http_status, text);
}

Status AdminService::Enqueue(Order& order) {
  if (waiting_.TryPush(order)) return OkStatus();
  if (closed_) return StopsError();
  return ResourceExhausted(StrCat(order.target.action, " of ", order.target.servable,
                                  " is refused, ", kMaxWaiting, " actions wait already"));
}

void AdminService::Work() {
  while (const std::optional<Order> order = waiting_.Pop()) {
    const Result<std::string> answer = closed_ ? StopsError() : Do(*order);
    Answer(order->done, answer.ok() ? HttpAnswer{200, *answer} : AdminError(answer.status()));
  }
}

Result<std::string> AdminService::Do(const Order& order) const {
  const auto& [servable, action] = order.target;
  Log(LogLevel::kInfo, "an action of an operator begins",
      {{"action", action}, {"servable", servable}});
  const Instance inputs = {StringOf(action), StringOf(servable), StringOf(order.body)};
  std::vector<Result<Instance>> results =
      CallHost(*actions_, std::span(&inputs, 1), 1, StrCat(action, " of ", servable));
  PIPESERVE_ASSIGN_OR_RETURN(const Instance outputs, std::move(results.front()));
  const Tensor& answer = outputs.front();
  if (answer.dtype() != DataType::kString || answer.shape().num_elements() != 1) {
    return Internal(StrCat(actions_->name(), " returned ", answer.ToString(), ", wanted a string"));
  }
  return std::string(answer.Strings().front());
}

void AdminService::Close() {
  closed_ = true;
  waiting_.Close();
  // Here, because the workers may be busy for long.
  while (const std::optional<Order> order = waiting_.TryPop()) {
    Answer(order->done, AdminError(StopsError()));
  }
  workers_.clear();
}

}  // namespace pipeserve
