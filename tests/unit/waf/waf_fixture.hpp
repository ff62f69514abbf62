// One engine with Debian's CRS for the tests of waf/, and requests that are short to write.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "config/gateway_config.hpp"
#include "config/tenant_config.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf::testing {

/// The engine with the documented defaults; made once.
Engine& crs_engine();

/// A tenant with the default WAF settings.
config::TenantConfig tenant();

/// Its policy; fails the test if it is refused.
std::shared_ptr<const Policy> policy_of(const config::TenantConfig& tenant,
                                        config::TenantRules allowed = config::TenantRules::yes,
                                        config::Problems* warnings = nullptr);
config::Problems problems_of(const config::TenantConfig& tenant,
                             config::TenantRules allowed = config::TenantRules::yes);

struct Request {
  std::string method = "GET";
  std::string target = "/";
  std::string path;  // as routing would have it; empty: the target up to "?"
  std::vector<std::pair<std::string, std::string>> headers{
      {"Host", "shop.example.de"}, {"User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"}, {"Accept", "*/*"}};
  std::string body;
  bool pass_body = false;
  int response_status = 200;
  std::vector<std::pair<std::string, std::string>> response_headers{{"Content-Type", "text/html"}};
  std::string response_body;

  Request& header(std::string name, std::string value) {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
};
Request get(std::string target);
Request post(std::string content_type, std::string body, std::string target = "/");

struct Result {
  Outcome outcome;
  Step last = Step::proceed;
  int phase = 0;  // of the last step: 1 to 4
};
Result run(const Policy& policy, const Request& request);
Result run(Engine& engine, const Policy& policy, const Request& request);

/// The default policy on one request.
Result run(const Request& request);

std::vector<std::uint32_t> ids(const Outcome& outcome);
const RuleMatch* find(const Outcome& outcome, std::uint32_t id);

}  // namespace gatehouse::waf::testing
