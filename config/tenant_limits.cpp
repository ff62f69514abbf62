// `rate_limits` of a tenant's file. See tenant_parts.hpp.
#include <fmt/format.h>

#include <algorithm>

#include "config/kinds.hpp"
#include "config/spelling.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::uint64_t kMostTokens = 1'000'000'000;

/// By what the buckets of a limit are told apart: one word, or a list of them.
struct LimitKeys {
  bool read(Source& source, const Node& node, std::vector<LimitKey>& out) const {
    if (node.kind != Node::Kind::sequence) {
      out.resize(1);
      return read_one(source, node, out[0]);
    }
    if (!check_list(source, node, 1, 8)) return false;
    out.clear();
    bool good = true;
    for (const Node& each : node.items) {
      LimitKey key;
      if (!read_one(source, each, key)) {
        good = false;
        continue;
      }
      if (std::ranges::any_of(out, [&](const LimitKey& k) { return k.kind == key.kind && k.name == key.name; })) {
        source.error(each.at, fmt::format("{} is given twice", cite(each.text)));
        good = false;
      }
      out.push_back(std::move(key));
    }
    return good;
  }

  [[nodiscard]] JsonObject schema() const {
    JsonObject one = schema_of_type("string");
    one.add_string("pattern", "^(client_ip|tenant|host|header:[A-Za-z0-9!#$%&'*+.^_`|~-]+)$");
    JsonObject several = schema_of_type("array");
    several.add("items", one.to_string()).add("minItems", "1");
    JsonObject schema;
    schema.add("anyOf", json_array({one.to_string(), several.to_string()}));
    return schema;
  }
  [[nodiscard]] std::string show(const std::vector<LimitKey>&) const { return json_string("client_ip"); }

 private:
  static bool read_one(Source& source, const Node& node, LimitKey& out) {
    static constexpr std::string_view known[] = {"client_ip", "tenant", "host", "header:NAME"};
    const std::string* text = text_of(source, node, "client_ip, tenant, host or header:NAME");
    if (text == nullptr) return false;
    if (*text == "client_ip")
      out.kind = LimitKeyKind::client_ip;
    else if (*text == "tenant")
      out.kind = LimitKeyKind::tenant;
    else if (*text == "host")
      out.kind = LimitKeyKind::host;
    else if (text->starts_with("header:")) {
      const std::string_view name = std::string_view(*text).substr(7);
      if (!is_token(name) || name.size() > 100) {
        source.error(node.at, fmt::format("{} does not name a header: write header:X-Api-Key", cite(*text)));
        return false;
      }
      out.kind = LimitKeyKind::header;
      out.name = to_lower(name);
    } else if (text->starts_with("cookie:") || text->starts_with("jwt:")) {
      source.error(node.at, not_in_this_version(text->substr(0, text->find(':') + 1),
                                                "use client_ip, tenant, host or header:NAME"));
      return false;
    } else {
      source.error(node.at, fmt::format("{} is not known here{}", cite(*text), suggestion(*text, known)));
      return false;
    }
    return true;
  }
};

void read_rate_limit(Mapping& m, RateLimit& limit) {
  limit.key = {LimitKey{}};
  m.read("key", limit.key, LimitKeys{},
         "By what clients are told apart: client_ip, tenant, host, header:NAME, or a list of them.");
  Rate rate{1, Milliseconds(1'000)};
  m.require("rate", rate, RateKind{kMostTokens}, "Requests in a time: 100/s, 60/m, 1000/h.");
  limit.rate_count = rate.count;
  limit.rate_period = rate.period;
  const auto period_ms = static_cast<std::uint64_t>(rate.period.count());
  limit.rate_per_second = static_cast<double>(rate.count) * 1000.0 / static_cast<double>(period_ms);
  limit.burst = m.describing() ? 0 : std::max<std::uint64_t>(1, (rate.count * 1000 + period_ms - 1) / period_ms);
  m.read("burst", limit.burst, Integer{1, kMostTokens},
         "Requests that may come at once. Default: one second of the rate, at least 1.");
  bool exact = true;
  m.read("mode", exact, Choice<bool>{{{"exact", true}}, {{"leased", "use exact"}}},
         "exact: counted over all gateways by the store.");
  m.read("on_store_failure", limit.on_store_failure,
         Choice<OnStoreFailure>{
             {{"local", OnStoreFailure::local}, {"open", OnStoreFailure::open}, {"closed", OnStoreFailure::closed}}},
         "While the store cannot be reached: local counts this gateway's share, open lets all in, closed none.");
  m.read("shadow", limit.shadow, Boolean{}, "Counts and reports, but refuses nothing.");
  m.read("headers", limit.headers_always, Choice<bool>{{{"limited", false}, {"always", true}}},
         "RateLimit fields on 429 alone, or on all answers.");
}

}  // namespace

void read_rate_limits(Mapping& m, TenantConfig& tenant, const Platform& platform) {
  m.read("rate_limits", tenant.rate_limits, named<RateLimit>("a rate limit's name", read_rate_limit),
         "Rate limits by name, for routes to refer to.");
  if (!tenant.rate_limits.empty() && !platform.gateway.redis && !platform.gateway.redis_unclear) {
    m.warning_at(m.name_at("rate_limits", tenant.rate_limits.front().name),
                 "without 'redis' in gateway.yaml a rate limit counts on this node alone: several gateways together "
                 "admit several times the rate");
  }
}

}  // namespace gatehouse::config
