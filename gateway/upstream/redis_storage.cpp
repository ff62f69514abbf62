// The common storage in Redis; see redis_storage.hpp.
#include "gateway/upstream/redis_storage.hpp"

#include <charconv>
#include <optional>
#include <vector>

#include "gateway/runtime/log.hpp"

namespace gatehouse::upstream {

using acme::Flow;
using acme::StorageError;
using acme::StorageResult;
using acme::SyncAnswer;
using ratelimit::RespValue;

namespace {

// One hash tag: in a cluster all of it is on one node, as a script needs.
constexpr std::string_view keys[] = {"gatehouse:{certificates}:items", "gatehouse:{certificates}:changes",
                                     "gatehouse:{certificates}:state", "gatehouse:{certificates}:members",
                                     "gatehouse:{certificates}:seen"};

// ARGV: member, epoch, seen, wants the lease (1, 0), ms of the lease, ms of a member's life, start of a new epoch, items a page.
constexpr std::string_view sync_script = R"(
local items, changes, state, members, seens = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', state, 'epoch')
if not epoch then
  epoch = ARGV[7] .. ':' .. string.format('%.0f', now)
  redis.call('HSET', state, 'epoch', epoch, 'fence', string.format('%.0f', now))
end
local seen = ARGV[3]
if epoch ~= ARGV[2] then seen = '0' end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', string.format('%.0f', now))) do
  redis.call('ZREM', members, gone)
  redis.call('HDEL', seens, gone)
end
local holder = redis.call('HGET', state, 'holder')
local till = tonumber(redis.call('HGET', state, 'until') or '0')
if till <= now then holder = false end
local fence = '0'
if ARGV[4] == '1' then
  redis.call('ZADD', members, string.format('%.0f', now + ARGV[6]), ARGV[1])
  redis.call('HSET', seens, ARGV[1], seen)
  if not holder then redis.call('HINCRBY', state, 'fence', 1) end
  if not holder or holder == ARGV[1] then
    redis.call('HSET', state, 'holder', ARGV[1], 'until', string.format('%.0f', now + ARGV[5]))
    fence = redis.call('HGET', state, 'fence')
  end
else
  redis.call('ZREM', members, ARGV[1])
  redis.call('HDEL', seens, ARGV[1])
  if holder == ARGV[1] then redis.call('HSET', state, 'until', '0') end
end
local least = redis.call('HGET', state, 'version') or '0'
for _, value in ipairs(redis.call('HVALS', seens)) do
  if tonumber(value) < tonumber(least) then least = value end
end
local found = redis.call('ZRANGEBYSCORE', changes, '(' .. seen, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[8] + 1)
local more = 0
if #found > 2 * ARGV[8] then more = 1 end
local answer = {epoch, fence, redis.call('ZCARD', members), least, more}
for i = 1, math.min(#found, 2 * ARGV[8]), 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = string.format('%.0f', found[i + 1])
  answer[#answer + 1] = redis.call('HGET', items, found[i]) or ''
end
return answer
)";

// ARGV: name, sealed value, expected version, fence.
constexpr std::string_view put_script = R"(
local items, changes, state = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[4] ~= '0' then
  local till = tonumber(redis.call('HGET', state, 'until') or '0')
  if redis.call('HGET', state, 'fence') ~= ARGV[4] or till <= now then return 'fenced' end
end
if tonumber(redis.call('ZSCORE', changes, ARGV[1]) or '0') ~= tonumber(ARGV[3]) then return 'conflict' end
local version = redis.call('HINCRBY', state, 'version', 1)
if ARGV[2] == '' then
  redis.call('HDEL', items, ARGV[1])
else
  redis.call('HSET', items, ARGV[1], ARGV[2])
end
redis.call('ZADD', changes, version, ARGV[1])
return version
)";

std::vector<std::string> eval(std::string_view script, std::size_t key_count) {
  std::vector<std::string> command{"EVAL", std::string(script), std::to_string(key_count)};
  command.insert(command.end(), std::begin(keys), std::begin(keys) + static_cast<std::ptrdiff_t>(key_count));
  return command;
}

std::optional<std::uint64_t> number_of(const RespValue& value) {
  if (value.type == RespValue::Type::integer)
    return value.integer < 0 ? std::nullopt : std::optional(static_cast<std::uint64_t>(value.integer));
  std::uint64_t number = 0;
  const char* const end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, number);
  if (value.type != RespValue::Type::string || error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::unexpected<StorageError> away(std::string reason) {
  return std::unexpected(StorageError{StorageError::Kind::away, std::move(reason)});
}

// Redis's own words repeat what it was asked; the first one says enough ("READONLY", "OOM", "NOSCRIPT").
std::unexpected<StorageError> refused(const RespValue& value) {
  return away("Redis answers " + acme::printable(value.text.substr(0, value.text.find(' ')), 40));
}

}  // namespace

Flow<StorageResult<SyncAnswer>> RedisStorage::sync(acme::SyncRequest request) {
  std::vector<std::string> command = eval(sync_script, 5);
  const auto milliseconds = [](acme::Seconds seconds) { return std::to_string(seconds.count() * 1000); };
  for (std::string argument :
       {member_, request.epoch, std::to_string(request.seen), std::string(request.wants_lease ? "1" : "0"),
        milliseconds(lease), milliseconds(member_life), member_, std::to_string(page)})
    command.push_back(std::move(argument));
  auto reply = co_await redis_.command(std::move(command));
  if (!reply) co_return away(std::move(reply.error()));
  if (reply->type == RespValue::Type::error) co_return refused(*reply);
  auto& values = reply->items;
  if (reply->type != RespValue::Type::array || values.size() < 5 || (values.size() - 5) % 3 != 0)
    co_return away("Redis answers what was not asked");
  SyncAnswer answer;
  answer.epoch = values[0].text;
  const auto fence = number_of(values[1]), members = number_of(values[2]), least = number_of(values[3]),
             more = number_of(values[4]);
  if (!fence || !members || !least || !more) co_return away("Redis answers what was not asked");
  answer.fence = *fence;
  answer.members = static_cast<std::size_t>(*members);
  answer.seen_by_all = *least;
  answer.has_more = *more != 0;
  answer.version = answer.epoch == request.epoch ? request.seen : 0;
  for (std::size_t i = 5; i < values.size(); i += 3) {
    const auto version = number_of(values[i + 1]);
    if (!version) co_return away("Redis answers what was not asked");
    answer.version = *version;
    acme::StoredItem item{values[i].text, {}, *version};
    const std::string& sealed = values[i + 2].text;
    if (sealed.empty()) {
      answer.changed.push_back(std::move(item));
      continue;
    }
    auto value = sealer_.open(item.name, sealed);
    if (value) {
      item.value = *std::move(value);
      answer.changed.push_back(std::move(item));
    } else if (value.error() == acme::Sealer::Fault::other_key) {
      co_return std::unexpected(StorageError{StorageError::Kind::damaged,
                                             "what is stored is encrypted with another key: give all gateways the same "
                                             "storage.redis.encryption_key_file"});
    } else {
      answer.damaged.push_back(std::move(item));
    }
  }
  co_return answer;
}

Flow<StorageResult<std::uint64_t>> RedisStorage::put(std::string name, std::string value, std::uint64_t expected,
                                                     std::uint64_t fence) {
  std::vector<std::string> command = eval(put_script, 3);
  command.push_back(name);
  command.push_back(value.empty() ? std::string() : sealer_.seal(name, value));
  command.push_back(std::to_string(expected));
  command.push_back(std::to_string(fence));
  const acme::Secret wiped(std::move(value));
  auto reply = co_await redis_.command(std::move(command));
  if (!reply) co_return away(std::move(reply.error()));
  if (reply->type == RespValue::Type::error) co_return refused(*reply);
  if (reply->text == "fenced")
    co_return std::unexpected(StorageError{StorageError::Kind::fenced, "another gateway holds the lease by now"});
  if (reply->text == "conflict")
    co_return std::unexpected(StorageError{StorageError::Kind::conflict, "it has been changed since"});
  const auto version = number_of(*reply);
  if (!version) co_return away("Redis answers what was not asked");
  co_return *version;
}

}  // namespace gatehouse::upstream
