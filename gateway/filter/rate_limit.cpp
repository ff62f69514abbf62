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

// The answer's fields, and the answer itself if a limit says no.
Step conclude(Exchange& exchange, std::span<const RateLimitRule* const> rules, std::span<const Decision> decisions) {
  bool refused = false;
  ratelimit::Microseconds wait{0};
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Decision& decision = decisions[i];
    if (rules[i]->config->shadow) {
      (decision.allowed ? rules[i]->allowed : rules[i]->shadow_limited)->add();
      continue;
    }
    (decision.allowed ? rules[i]->allowed : rules[i]->limited)->add();
    if (decision.allowed) continue;
    refused = true;
    wait = std::max(wait, decision.retry_after);
  }
  if (refused || exchange.route->limits_always_in_headers) {
    std::string policies;
    std::string states;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      if (rules[i]->config->shadow || (!refused && !rules[i]->config->headers_always)) continue;
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

}  // namespace

Step rate_limit_on_request(Exchange& exchange) {
  const auto& rules = exchange.route->rate_limits;
  if (rules.empty()) return Step::next;
  if (exchange.worker.redis != nullptr) return Step::wait;

  const std::string client = client_key(exchange);
  std::vector<BucketRequest> enforced;
  std::vector<Decision> decisions(rules.size());
  for (const RateLimitRule* const rule : rules)
    if (!rule->config->shadow) enforced.push_back(bucket_of(exchange, *rule, client));
  std::vector<Decision> taken(enforced.size());
  exchange.worker.memory.take_all(enforced, memory_clock(exchange), taken);
  std::size_t next = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!rules[i]->config->shadow) {
      decisions[i] = taken[next++];
      continue;
    }
    // A limit that only watches has its bucket to itself: it never keeps another from being charged.
    const BucketRequest shadow = bucket_of(exchange, *rules[i], client);
    exchange.worker.memory.take_all({&shadow, 1}, memory_clock(exchange), {&decisions[i], 1});
  }
  return conclude(exchange, rules, decisions);
}

namespace {

// Redis did not answer: what each limit says is to happen then. `local` counts in this process's memory, all such limits of
// the request together, so that a refused request takes nothing; each gateway then has its share of the limit, and goes on
// from its share of what the shared bucket held. False: a limit says `closed`.
bool decide_without_store(Exchange& exchange, std::span<const RateLimitRule* const> rules,
                          std::span<const BucketRequest> requests, std::span<Decision> decisions) {
  const std::uint64_t gateways = exchange.worker.redis != nullptr ? exchange.worker.redis->live_gateways() : 1;
  std::vector<BucketRequest> local;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    decisions[i] = {};
    decisions[i].remaining = rules[i]->parameters.capacity;
    const config::OnStoreFailure policy = rules[i]->config->on_store_failure;
    BucketRequest share = requests[i];
    share.parameters = ratelimit::share_of(share.parameters, gateways);
    if (rules[i]->config->shadow) {
      if (policy == config::OnStoreFailure::local)
        exchange.worker.memory.take_all({&share, 1}, memory_clock(exchange), decisions.subspan(i, 1), true);
      continue;
    }
    if (policy == config::OnStoreFailure::closed) return false;
    if (policy == config::OnStoreFailure::local) local.push_back(std::move(share));
  }
  std::vector<Decision> taken(local.size());
  exchange.worker.memory.take_all(local, memory_clock(exchange), taken, true);
  std::size_t next = 0;
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (!rules[i]->config->shadow && rules[i]->config->on_store_failure == config::OnStoreFailure::local)
      decisions[i] = taken[next++];
  return true;
}

}  // namespace

runtime::Task<Step> rate_limit_on_wait(Exchange& exchange) {
  const std::span<const RateLimitRule* const> rules = exchange.route->rate_limits;
  const std::string client = client_key(exchange);

  // The enforced limits share one call; each that only watches has its own.
  std::vector<const RateLimitRule*> order;
  for (const RateLimitRule* const rule : rules)
    if (!rule->config->shadow) order.push_back(rule);
  const std::size_t enforced = order.size();
  for (const RateLimitRule* const rule : rules)
    if (rule->config->shadow) order.push_back(rule);

  std::vector<BucketRequest> requests;
  for (const RateLimitRule* const rule : order) requests.push_back(bucket_of(exchange, *rule, client));
  std::vector<Decision> decisions(order.size());
  std::vector<ratelimit::Debt> debts(order.size());
  const std::span<const BucketRequest> all_requests = requests;

  // A reload may take the worker's client away meanwhile; the client itself lives on.
  upstream::RedisClient& redis = *exchange.worker.redis;
  ratelimit::MemoryStore& memory = exchange.worker.memory;
  bool answered = true;
  for (std::size_t from = 0, count = 0; from < order.size() && answered; from += count) {
    count = from < enforced ? enforced : 1;
    const auto part = all_requests.subspan(from, count);
    const auto told = std::span{debts}.subspan(from, count);
    const auto decided = std::span{decisions}.subspan(from, count);
    const bool owes =
        !redis.refuses_calls() && memory.take_debts(part, redis.live_gateways(), memory_clock(exchange), told);
    const auto answer = co_await redis.take(
        part, owes ? std::span<const ratelimit::Debt>{told} : std::span<const ratelimit::Debt>{}, decided);
    answered = answer.decided;
    if (answered)
      memory.mirror(part, decided, redis.live_gateways(), memory_clock(exchange));
    else if (owes && !answer.reached)
      memory.put_back(part, told);
  }
  if (!answered && !decide_without_store(exchange, order, requests, decisions)) {
    exchange.answer_unavailable(Reason::overload, "The service is not available at the moment.");
    co_return Step::answer;
  }
  co_return conclude(exchange, order, decisions);
}

}  // namespace gatehouse::filter
