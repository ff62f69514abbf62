// Errors of Redis; see redis_refusal.hpp.
#include "gateway/upstream/redis_refusal.hpp"

#include <algorithm>
#include <iterator>

namespace gatehouse::upstream {

namespace {

struct Refusal {
  std::string_view code;
  bool is_of_all_calls;
  std::string_view advice;
};

constexpr Refusal kRefusals[] = {
    {"OOM", true, "maxmemory is reached: raise it, or set maxmemory-policy volatile-ttl"},
    {"READONLY", true, "this is a replica: let redis.url lead to the primary"},
    {"MASTERDOWN", true, "this is a replica without its primary: let redis.url lead to the primary"},
    {"NOPERM", true, "allow the user what docs/rate-limits.md names, on gatehouse:*"},
    {"MISCONF", true, "Redis cannot save its data: see to its disk, or set stop-writes-on-bgsave-error no"},
    {"LOADING", true, "Redis is reading its data: wait"},
    {"NOREPLICAS", true, "Redis has fewer replicas than min-replicas-to-write: bring them back, or lower it"},
    {"BUSY", true, "another client's script keeps Redis busy: SCRIPT KILL ends it"},
    {"NOAUTH", true, "Redis wants a password: set redis.password_file"},
    {"WRONGPASS", true, "Redis knows another password or user: see redis.username and redis.password_file"},
    {"CLUSTERDOWN", true, "the cluster does not serve: see CLUSTER INFO"},
    {"MOVED", true, "this is one node of several in a cluster: let redis.url lead to a Redis that has all keys"},
    {redis_maxclients, false, "Redis takes no more connections: raise its maxclients, or see to who holds them"},
    {redis_login_refused, false,
     "see redis.username and redis.password_file: a Redis without a password refuses one, one before 6 knows no users"},
    {redis_database_refused, false, "see the database in redis.url: Redis has fewer; a cluster has 0 alone"},
    {"ERR", false, "redis.url must lead to Redis 5 or later that runs scripts (EVAL, EVALSHA)"},
    {"WRONGTYPE", false, "a key of the gateway's holds something else: delete it"},
};

const Refusal* find(std::string_view code) noexcept {
  const auto* const found = std::ranges::find(kRefusals, code, &Refusal::code);
  return found == std::end(kRefusals) ? nullptr : found;
}

/// Before Redis 7 what a script met is told within an ERR of its own: "ERR Error running script (call to f_...):
/// @user_script:1: @user_script: 1: -OOM command not allowed ..." of the server, "...: @user_script:1: WRONGTYPE ..." of
/// a key. What the user may not do within one has no code, ever.
std::string_view code_within_script(std::string_view text) noexcept {
  if (text.contains("The user executing the script can't run this command")) return "NOPERM";
  if (!text.starts_with("ERR Error running script")) return {};
  for (const Refusal& refusal : kRefusals) {
    const std::size_t at = text.find(refusal.code);
    if (at == std::string_view::npos || at < 2) continue;
    if (const std::string_view before = text.substr(at - 2, 2); before != " -" && before != ": ") continue;
    if (text.substr(at + refusal.code.size()).starts_with(' ')) return refusal.code;
  }
  return {};
}

}  // namespace

std::string redis_error_code(const ratelimit::RespValue& error) {
  constexpr std::size_t kLongest = 24;
  const std::string_view text = error.text;
  if (const std::string_view within = code_within_script(text); !within.empty()) return std::string{within};
  if (text.starts_with("ERR max number of clients")) return std::string{redis_maxclients};
  const std::string_view word = text.substr(0, std::min(text.find(' '), text.size()));
  const bool is_code = !word.empty() && word.size() <= kLongest &&
                       std::ranges::all_of(word, [](char c) { return c >= 'A' && c <= 'Z'; });
  return is_code ? std::string{word} : std::string{};
}

bool refuses_all_calls(std::string_view code) noexcept {
  const Refusal* const refusal = find(code);
  return refusal != nullptr && refusal->is_of_all_calls;
}

std::string_view redis_advice(std::string_view code) noexcept {
  const Refusal* const refusal = find(code);
  return refusal != nullptr ? refusal->advice : "see the error code in the documentation of Redis";
}

}  // namespace gatehouse::upstream
