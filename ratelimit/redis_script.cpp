// The Lua script of the limits and its wire format; see redis_script.hpp.
#include "ratelimit/redis_script.hpp"

#include <array>
#include <cstdint>

namespace gatehouse::ratelimit {

namespace {

// Comments stay out of the script: its text crosses the wire after each NOSCRIPT.
// - room, j, until_full: time_to_full(). now, m, u: `now`, micro_tokens and updated of bucket i.
// - Every product is below 2^52 by RefillStep's bounds, so each number is an exact integer; numbers are formatted
//   with %.0f, since Lua's own conversion keeps 14 digits only.
// - What is not of the form that the script writes counts as a bucket that nobody has used.
constexpr std::string_view kTakeScript = R"lua(
local floor, ceil = math.floor, math.ceil
local longest = 4503599627370496
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function until_full(c, a, b, m)
  local room = c - m
  if room <= 0 then return 0 end
  local j = floor(room / a)
  if j >= floor(longest / b) then return longest end
  return j * b + ceil((room - j * a) * b / a)
end
local n, all = #KEYS, true
local micro, updated, write = {}, {}, {}
for i = 1, n do
  local c, a, b = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local m, u = c, now
  local stored = redis.call('GET', KEYS[i])
  if stored then
    local sm, su = string.match(stored, '^(%d+):(%d+)$')
    if sm then m, u = tonumber(sm), tonumber(su) end
  end
  local since = now - u
  if since < 0 then
    if m > c then m = c end
    local fill = until_full(c, a, b, 0)
    if -since > fill then
      u = now + fill
      write[i] = true
    end
  elseif since >= until_full(c, a, b, m) then
    m, u = c, now
  else
    local steps = floor(since / b)
    m = m + steps * a
    u = u + steps * b
  end
  if m < 1000000 then all = false end
  micro[i], updated[i] = m, u
end
local reply = {}
for i = 1, n do
  local c, a, b = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local m, u = micro[i], updated[i]
  local allowed, retry = 1, 0
  if all then m = m - 1000000 elseif m < 1000000 then allowed = 0 end
  local since = now - u
  local fill = until_full(c, a, b, m)
  local reset = fill - since
  if reset > longest then reset = longest end
  if allowed == 0 then
    local steps = ceil((1000000 - m) / a) * b
    if steps > fill then steps = fill end
    retry = steps - since
    if retry > longest then retry = longest end
  end
  if all or write[i] then
    redis.call('SET', KEYS[i], string.format('%.0f:%.0f', m, u), 'PX', string.format('%.0f', floor(reset / 1000) + 1000))
  end
  reply[4 * i - 3], reply[4 * i - 2], reply[4 * i - 1], reply[4 * i] = allowed, floor(m / 1000000), retry, reset
end
return reply
)lua";

}  // namespace

std::string_view take_script() noexcept { return kTakeScript; }

const std::string& take_script_sha1() {
  static const std::string sha1 = [] {
    std::string digest;
    append_sha1(digest, kTakeScript);
    return digest;
  }();
  return sha1;
}

void append_take_command(std::string& out, std::span<const BucketRequest> requests, bool full) {
  append_command_head(out, 3 + 4 * requests.size());
  append_bulk(out, full ? "EVAL" : "EVALSHA");
  append_bulk(out, full ? kTakeScript : std::string_view{take_script_sha1()});
  append_bulk(out, std::uint64_t{requests.size()});
  for (const BucketRequest& request : requests) append_bulk(out, request.key);
  for (const BucketRequest& request : requests) {
    const RefillStep step = refill_step(request.parameters);
    append_bulk(out, step.capacity_micro);
    append_bulk(out, step.micro_tokens);
    append_bulk(out, step.microseconds);
  }
}

bool read_take_reply(const RespValue& reply, std::span<Decision> decisions) {
  constexpr std::size_t kFields = 4;
  if (reply.type != RespValue::Type::array || reply.items.size() != kFields * decisions.size()) return false;
  for (const RespValue& item : reply.items) {
    if (item.type != RespValue::Type::integer || item.integer < 0) return false;
  }
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    const RespValue* fields = &reply.items[kFields * i];
    if (fields[0].integer > 1) return false;
    if (fields[1].integer > static_cast<std::int64_t>(kMaxTokens)) return false;
    if (fields[2].integer > kMaxWait.count() || fields[3].integer > kMaxWait.count()) return false;
    decisions[i] = {.allowed = fields[0].integer == 1,
                    .remaining = static_cast<std::uint64_t>(fields[1].integer),
                    .retry_after = Microseconds{fields[2].integer},
                    .reset_after = Microseconds{fields[3].integer}};
  }
  return true;
}

}  // namespace gatehouse::ratelimit
