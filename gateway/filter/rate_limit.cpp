// Rate limits; see rate_limit.hpp.
#include "gateway/filter/rate_limit.hpp"

#include <algorithm>

#include "gateway/filter/forwarded_headers.hpp"
#include "gateway/http/validate.hpp"
#include "gateway/upstream/redis_client.hpp"
#include "ratelimit/headers.hpp"
#include "ratelimit/limit_key.hpp"

namespace gatehouse::filter {

namespace {

using ratelimit::BucketRequest;
using ratelimit::Decision;
using ratelimit::KeyPart;

ratelimit::Microseconds memory_clock(const Exchange& exchange) {
  return std::chrono::duration_cast<ratelimit::Microseconds>(exchange.worker.loop.now().time_since_epoch());
}

// A client with IPv6 has a whole network of addresses: its /64 is one client.
std::string client_key(const Exchange& exchange) { return exchange.client.truncated(32, 64).to_string(); }

BucketRequest bucket_of(const Exchange& exchange, const RateLimitRule& rule, const std::string& client) {
  std::vector<KeyPart> parts;
  for (const config::LimitKey& key : rule.config->key) {
    switch (key.kind) {
      case config::LimitKeyKind::client_ip: parts.push_back({KeyPart::Kind::client, client}); break;
      case config::LimitKeyKind::tenant: parts.push_back({KeyPart::Kind::tenant, {}}); break;
      case config::LimitKeyKind::host: parts.push_back({KeyPart::Kind::host, exchange.target.host}); break;
      case config::LimitKeyKind::header: {
        // Of several fields nobody knows which one the upstream takes: none is a name for the client.
        const http::Field* only = nullptr;
        std::size_t count = 0;
        for (const http::Field& field : exchange.head.fields.all()) {
          if (!http::equals_ignore_case(field.name, key.name) ||
              !is_believed_field(field, exchange.head.fields, exchange.peer_trusted))
            continue;
          only = &field;
          ++count;
        }
        if (count == 1 && only->id == http::FieldId::host)
          parts.push_back({KeyPart::Kind::header, exchange.target.host});  // one host however it is written
        else if (count == 1)
          parts.push_back({KeyPart::Kind::header, only->value});
        else
          parts.push_back({KeyPart::Kind::missing, client});
        break;
      }
    }
  }
  return {ratelimit::bucket_key(exchange.tenant->config->name, rule.config->name, parts), rule.parameters};
}

// Of one request: the limits that are enforced, or those that only watch.
std::vector<const RateLimitRule*> limits_of(const Exchange& exchange, bool shadow) {
  std::vector<const RateLimitRule*> limits;
  for (const RateLimitRule* const rule : exchange.route->rate_limits)
    if (rule->config->shadow == shadow) limits.push_back(rule);
  return limits;
}

std::vector<BucketRequest> buckets_of(const Exchange& exchange, std::span<const RateLimitRule* const> rules) {
  const std::string client = client_key(exchange);
  std::vector<BucketRequest> buckets;
  for (const RateLimitRule* const rule : rules) buckets.push_back(bucket_of(exchange, *rule, client));
  return buckets;
}

// What the enforced limits have decided: the answer's fields, and the answer itself if one says no. Then nothing was taken
// of the others, and they have allowed nothing.
Step conclude(Exchange& exchange, std::span<const RateLimitRule* const> rules, std::span<const Decision> decisions) {
  const bool refused = !std::ranges::all_of(decisions, &Decision::allowed);
  ratelimit::Microseconds wait{0};
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!refused) rules[i]->allowed->add();
    if (decisions[i].allowed) continue;
    rules[i]->limited->add();
    wait = std::max(wait, decisions[i].retry_after);
  }
  if (refused || exchange.route->limits_always_in_headers) {
    std::string policies;
    std::string states;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (!refused && !rules[i]->config->headers_always) continue;
      if (!policies.empty()) {
        policies += ", ";
        states += ", ";
      }
      policies += rules[i]->policy_field;
      ratelimit::append_limit(states, rules[i]->config->name, decisions[i]);
    }
    // A list without members is not sent (RFC 9651 section 3.1).
    if (!policies.empty())
      exchange.response_fields += "ratelimit-policy: " + policies + "\r\nratelimit: " + states + "\r\n";
  }
  if (!refused) return Step::next;
  exchange.answer(429, Reason::rate_limit, "Too many requests. Please slow down.");
  exchange.reply.fields += "retry-after: " + std::to_string(ratelimit::retry_after_seconds(wait)) + "\r\n";
  return Step::answer;
}

void count_shadow(const RateLimitRule& rule, const Decision& decision) {
  (decision.allowed ? rule.allowed : rule.shadow_limited)->add();
}

}  // namespace

Step rate_limit_on_request(Exchange& exchange) {
  if (exchange.route->rate_limits.empty()) return Step::next;
  if (exchange.worker.redis != nullptr) return Step::wait;

  const auto enforced = limits_of(exchange, false);
  std::vector<Decision> decisions(enforced.size());
  exchange.worker.memory.take_all(buckets_of(exchange, enforced), memory_clock(exchange), decisions);
  if (const Step step = conclude(exchange, enforced, decisions); step != Step::next) return step;
  // A limit that only watches has its bucket to itself, and sees what it would see if it were enforced.
  const auto shadows = limits_of(exchange, true);
  const auto buckets = buckets_of(exchange, shadows);
  for (std::size_t i = 0; i < shadows.size(); ++i) {
    Decision decision;
    exchange.worker.memory.take_all({&buckets[i], 1}, memory_clock(exchange), {&decision, 1});
    count_shadow(*shadows[i], decision);
  }
  return Step::next;
}

namespace {

// Redis did not answer: what each limit says is to happen then. `local` counts in this process's memory, all such limits of
// the call together, so that a refused request takes nothing; each gateway then has its share of the limit, and goes on
// from its share of what the shared bucket held. False: an enforced limit says `closed`.
bool decide_without_store(Exchange& exchange, std::span<const RateLimitRule* const> rules,
                          std::span<const BucketRequest> requests, std::span<Decision> decisions) {
  const std::uint64_t gateways = exchange.worker.redis != nullptr ? exchange.worker.redis->live_gateways() : 1;
  std::vector<BucketRequest> local;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    decisions[i] = {};
    decisions[i].remaining = rules[i]->parameters.capacity;
    const config::OnStoreFailure policy = rules[i]->config->on_store_failure;
    if (policy == config::OnStoreFailure::closed && !rules[i]->config->shadow) return false;
    if (policy != config::OnStoreFailure::local) continue;
    local.push_back(requests[i]);
    local.back().parameters = ratelimit::share_of(local.back().parameters, gateways);
  }
  std::vector<Decision> taken(local.size());
  exchange.worker.memory.take_all(local, memory_clock(exchange), taken, true);
  std::size_t next = 0;
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (rules[i]->config->on_store_failure == config::OnStoreFailure::local) decisions[i] = taken[next++];
  return true;
}

// One call to Redis, in which all of the limits are charged or none. False: it did not answer, and an enforced limit says
// `closed`. Once it has not answered (`answers`), it is not waited for a second time.
runtime::Task<bool> decide(Exchange& exchange, upstream::RedisClient& redis, bool& answers,
                           std::span<const RateLimitRule* const> rules, std::span<const BucketRequest> requests,
                           std::span<Decision> decisions) {
  if (answers) {
    ratelimit::MemoryStore& memory = exchange.worker.memory;
    std::vector<ratelimit::Debt> debts(rules.size());
    const bool owes =
        !redis.refuses_calls() && memory.take_debts(requests, redis.live_gateways(), memory_clock(exchange), debts);
    const auto answer = co_await redis.take(
        requests, owes ? std::span<const ratelimit::Debt>{debts} : std::span<const ratelimit::Debt>{}, decisions);
    answers = answer.decided;
    if (answers)
      memory.mirror(requests, decisions, redis.live_gateways(), memory_clock(exchange));
    else if (owes && !answer.reached)
      memory.put_back(requests, debts);
  }
  co_return answers || decide_without_store(exchange, rules, requests, decisions);
}

}  // namespace

runtime::Task<Step> rate_limit_on_wait(Exchange& exchange) {
  // A reload may take the worker's client away meanwhile; the client itself lives on.
  upstream::RedisClient& redis = *exchange.worker.redis;
  bool answers = true;
  const std::vector<const RateLimitRule*> enforced = limits_of(exchange, false);
  if (!enforced.empty()) {
    const std::vector<BucketRequest> buckets = buckets_of(exchange, enforced);
    std::vector<Decision> decisions(enforced.size());
    if (!co_await decide(exchange, redis, answers, enforced, buckets, decisions)) {
      exchange.answer_unavailable(Reason::overload, "The service is not available at the moment.");
      co_return Step::answer;
    }
    if (const Step step = conclude(exchange, enforced, decisions); step != Step::next) co_return step;
  }
  // Each that only watches has a call of its own: it never keeps another from being charged.
  const std::vector<const RateLimitRule*> shadows = limits_of(exchange, true);
  const std::vector<BucketRequest> buckets = buckets_of(exchange, shadows);
  const std::span<const BucketRequest> all_buckets = buckets;
  const std::span<const RateLimitRule* const> all_shadows = shadows;
  for (std::size_t i = 0; i < shadows.size(); ++i) {
    Decision decision;
    co_await decide(exchange, redis, answers, all_shadows.subspan(i, 1), all_buckets.subspan(i, 1), {&decision, 1});
    count_shadow(*shadows[i], decision);
  }
  co_return Step::next;
}

}  // namespace gatehouse::filter
