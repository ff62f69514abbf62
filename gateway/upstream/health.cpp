// Health checks; see health.hpp.
#include "gateway/upstream/health.hpp"

#include <fmt/format.h>

#include "gateway/http/h1_parser.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/runtime/spare_descriptors.hpp"

namespace gatehouse::upstream {

bool HealthState::observe(bool good, const config::HealthCheck& check) noexcept {
  if (!known_) {
    known_ = true;
    in_a_row_ = 0;
    const bool changed = healthy_ != good;
    healthy_ = good;
    return changed;
  }
  if (good == healthy_) {
    in_a_row_ = 0;
    return false;
  }
  if (++in_a_row_ < (healthy_ ? check.unhealthy_after : check.healthy_after)) return false;
  in_a_row_ = 0;
  healthy_ = good;
  return true;
}

struct HealthChecker::Check {
  HealthKey key;
  std::shared_ptr<const net::ClientTls> tls;  // used on the background thread alone, once it runs
  std::shared_ptr<EndpointHealth> health = std::make_shared<EndpointHealth>();
  std::atomic<bool> wanted = true;
  // Wakes the pause between two checks; used on the background thread alone.
  runtime::Deadline* pause = nullptr;
};

namespace {

using runtime::Errc;
using runtime::Task;

constexpr std::size_t first_head_bytes = 8 * 1024;
constexpr unsigned max_interim = 16;

// One check: empty when the endpoint is well, else why not; nothing when it could not be made, for want of a descriptor.
Task<std::optional<std::string>> probe(runtime::Loop& loop, const HealthKey& key, const net::ClientTls* tls) {
  const runtime::DescriptorRoom room;
  net::Stream stream(loop);
  stream.expires_after(key.timeout);
  if (const Errc error = co_await stream.connect(key.endpoint); error != Errc::ok) {
    if (error == Errc::exhausted) co_return std::nullopt;
    co_return error == Errc::timed_out ? "connecting took too long" : "connection refused or unreachable";
  }
  if (tls != nullptr) {
    if (const Errc error = co_await stream.connect_tls(*tls, key.tls_name); error != Errc::ok) {
      std::string why =
          std::string(runtime::error_text(error)) + (stream.tls_error().empty() ? "" : ": " + stream.tls_error());
      stream.close();
      co_return why;
    }
  }
  const std::string request = fmt::format(
      "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: gatehouse-health/{}\r\naccept: */*\r\nconnection: close\r\n\r\n",
      key.path, key.host, GATEHOUSE_VERSION);
  if (const Errc error = co_await stream.write(request); error != Errc::ok) {
    stream.close();
    co_return "the connection broke while the check was sent";
  }
  // Read as the answers to requests are (proxy/forward.cpp).
  http::HeadLimits limits;
  limits.header_count = 256;
  limits.underscores_allowed = true;
  std::string received(first_head_bytes, '\0');
  std::size_t size = 0;
  std::size_t scanned = 0;
  http::ResponseHead head;
  std::string why;
  for (unsigned interim = 0;;) {
    const http::ParseResult result =
        http::parse_response_head(std::string_view(received).substr(0, size), limits, scanned, head);
    if (result.status == http::ParseStatus::need_more) {
      if (size == received.size()) received.resize(limits.header_bytes + 1);
      const auto got = co_await stream.read(std::span<char>(received).subspan(size));
      if (!got) {
        why = got.error() == Errc::timed_out ? "no answer in time" : "the connection was closed without an answer";
        break;
      }
      size += *got;
      continue;
    }
    const bool is_complete = result.status == http::ParseStatus::complete;
    if (is_complete && head.status < 200 && head.status != 101 && interim < max_interim) {
      ++interim;
      received.erase(0, result.head_bytes);
      received.resize(std::max(received.size(), first_head_bytes));
      size -= result.head_bytes;
      scanned = 0;
      head.fields.clear();
      continue;
    }
    if (!is_complete)
      why = "the answer is not HTTP";
    else if (head.status < 200 || head.status > 399)
      why = fmt::format("status {}", head.status);
    break;
  }
  stream.close();
  co_return why;
}

}  // namespace

HealthChecker::HealthChecker(runtime::Loop& background,
                             std::function<void(const HealthKey&, bool, const std::string&)> on_change)
    : background_(background), on_change_(std::move(on_change)) {}

HealthChecker::~HealthChecker() = default;

Task<void> HealthChecker::run(HealthChecker& checker, std::shared_ptr<Check> check) {
  config::HealthCheck rule;
  rule.unhealthy_after = check->key.unhealthy_after;
  rule.healthy_after = check->key.healthy_after;
  HealthState state;
  std::shared_ptr<const net::ClientTls> tls = check->tls;
  while (check->wanted.load(std::memory_order_acquire)) {
    if (tls != check->tls && !state.healthy()) state = {};  // by the new settings its first result decides again
    tls = check->tls;
    const std::optional<std::string> why = co_await probe(checker.background_, check->key, tls.get());
    if (!check->wanted.load(std::memory_order_acquire)) break;
    if (why) {
      const bool first = !state.known();
      const bool changed = state.observe(why->empty(), rule);
      check->health->healthy.store(state.healthy(), std::memory_order_release);
      check->health->known.store(true, std::memory_order_release);
      if (changed || first) checker.on_change_(check->key, state.healthy(), *why);
    }
    // An endpoint that may have come back is asked again at the same pace; a pause ends early when the check does.
    struct Pause {
      runtime::Loop& loop;
      Check& check;
      std::coroutine_handle<> coroutine;
      runtime::Deadline deadline;
      Pause(runtime::Loop& owner, Check& of)
          : loop(owner),
            check(of),
            deadline(
                owner,
                [](void* self) {
                  auto* pause = static_cast<Pause*>(self);
                  pause->loop.schedule(pause->coroutine);
                },
                this) {}
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> awaiting) noexcept {
        coroutine = awaiting;
        check.pause = &deadline;
        deadline.set_after(check.key.interval);
      }
      void await_resume() noexcept { check.pause = nullptr; }
    };
    co_await Pause(checker.background_, *check);
  }
}

std::vector<std::shared_ptr<EndpointHealth>> HealthChecker::assign(const std::vector<Wanted>& wanted) {
  std::map<HealthKey, std::shared_ptr<Check>> next;
  std::vector<std::shared_ptr<EndpointHealth>> healths;
  for (const Wanted& item : wanted) {
    auto& check = next[item.key];
    if (!check) {
      const auto known = checks_.find(item.key);
      if (known != checks_.end()) {
        check = known->second;
        // Who failed by the old settings is asked at once by the new ones.
        background_.post([check, tls = item.tls] {
          if (check->tls == tls) return;
          check->tls = tls;
          if (check->pause != nullptr && !check->health->healthy.load(std::memory_order_relaxed))
            check->pause->set_after(runtime::Duration::zero());
        });
      } else {
        check = std::make_shared<Check>();
        check->key = item.key;
        check->tls = item.tls;
        background_.post([this, check] { background_.spawn(run(*this, check)); });
      }
    }
    healths.push_back(check->health);
  }
  for (auto& [key, check] : checks_) {
    if (next.contains(key)) continue;
    check->wanted.store(false, std::memory_order_release);
    background_.post([check] {
      if (check->pause != nullptr) check->pause->set_after(runtime::Duration::zero());
    });
  }
  checks_ = std::move(next);
  return healths;
}

void HealthChecker::stop() { (void)assign({}); }

}  // namespace gatehouse::upstream
