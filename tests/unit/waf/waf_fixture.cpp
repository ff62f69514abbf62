#include "waf_fixture.hpp"

#include <algorithm>

namespace gatehouse::waf::testing {

Engine& crs_engine() {
  static const std::unique_ptr<Engine> engine = [] {
    config::PlatformWaf platform;
    platform.time_budget = config::Milliseconds(20'000);  // sanitizers are slow; budgets have tests of their own
    auto made = Engine::create(platform, config::AuditLog{}.mask);
    if (!made) {
      for (const auto& problem : made.error()) ADD_FAILURE() << problem.to_string();
      std::abort();
    }
    return std::move(*made);
  }();
  return *engine;
}

config::TenantConfig tenant() {
  config::TenantConfig out;
  out.file = "/etc/gatehouse/tenants/shop.yaml";
  out.name = "shop";
  out.waf.rules_before_place = {.file = out.file, .line = 20, .column = 5};
  out.waf.rules_after_place = {.file = out.file, .line = 40, .column = 5};
  return out;
}

std::shared_ptr<const Policy> policy_of(const config::TenantConfig& tenant, config::TenantRules allowed,
                                        config::Problems* warnings) {
  config::Problems ignored;
  auto policy = crs_engine().policy(tenant, allowed, warnings != nullptr ? *warnings : ignored);
  if (!policy) {
    for (const auto& problem : policy.error()) ADD_FAILURE() << problem.to_string();
    return nullptr;
  }
  return *policy;
}

config::Problems problems_of(const config::TenantConfig& tenant, config::TenantRules allowed) {
  config::Problems problems;
  auto policy = crs_engine().policy(tenant, allowed, problems);
  if (!policy) problems.insert(problems.end(), policy.error().begin(), policy.error().end());
  return problems;
}

Request get(std::string target) {
  Request request;
  request.target = std::move(target);
  return request;
}

Request post(std::string content_type, std::string body, std::string target) {
  Request request;
  request.method = "POST";
  request.target = std::move(target);
  request.header("Content-Type", std::move(content_type));
  request.header("Content-Length", std::to_string(body.size()));
  request.body = std::move(body);
  return request;
}

Result run(Engine& engine, const Policy& policy, const Request& request) {
  const std::string path = request.path.empty() ? request.target.substr(0, request.target.find('?')) : request.path;
  const auto transaction = engine.begin(policy,
                                        {.request_id = "0123456789abcdef",
                                         .client_ip = "203.0.113.9",
                                         .client_port = 50000,
                                         .server_ip = "192.0.2.1",
                                         .server_port = 443,
                                         .method = request.method,
                                         .target = request.target,
                                         .http_version = "1.1",
                                         .host = "shop.example.de",
                                         .path = path},
                                        engine.time_budget());
  for (const auto& [name, value] : request.headers) transaction->add_request_header(name, value);
  Result result;
  const auto step = [&](auto next) {
    if (result.last != Step::proceed) return;
    ++result.phase;
    result.last = next();
  };
  step([&] { return transaction->request_headers(); });
  if (result.last == Step::proceed) {
    if (request.pass_body) {
      transaction->pass_request_body();
    } else {
      // In pieces, as they come from a socket.
      for (std::size_t at = 0; at < request.body.size(); at += 1000) {
        transaction->append_request_body(std::string_view(request.body).substr(at, 1000));
      }
    }
  }
  step([&] { return transaction->request_body(); });
  if (result.last == Step::proceed) {
    for (const auto& [name, value] : request.response_headers) transaction->add_response_header(name, value);
  }
  step([&] { return transaction->response_headers(request.response_status, "1.1"); });
  if (result.last == Step::proceed) transaction->append_response_body(request.response_body);
  step([&] { return transaction->response_body(); });
  result.outcome = transaction->finish();
  return result;
}

Result run(const Policy& policy, const Request& request) { return run(crs_engine(), policy, request); }

Result run(const Request& request) {
  static const auto policy = policy_of(tenant());
  return run(*policy, request);
}

std::vector<std::uint32_t> ids(const Outcome& outcome) {
  std::vector<std::uint32_t> out;
  for (const RuleMatch& match : outcome.rules) out.push_back(match.id);
  return out;
}

const RuleMatch* find(const Outcome& outcome, std::uint32_t id) {
  const auto found =
      std::find_if(outcome.rules.begin(), outcome.rules.end(), [&](const RuleMatch& match) { return match.id == id; });
  return found == outcome.rules.end() ? nullptr : &*found;
}

}  // namespace gatehouse::waf::testing
