// Commands to Redis; see redis_connection.hpp.
#include "gateway/upstream/redis_connection.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>

#include "gateway/runtime/event.hpp"
#include "gateway/upstream/name_lookup.hpp"
#include "gateway/upstream/redis_login.hpp"

namespace gatehouse::upstream {

using ratelimit::RespValue;
using runtime::Errc;
using runtime::Task;

namespace {

std::string why(Errc error, const net::Stream& stream) {
  std::string text = runtime::error_text(error);
  if (!stream.tls_error().empty()) text += ": " + stream.tls_error();
  return text;
}

// Redis's first word: the rest may repeat what was sent.
std::string error_word(const RespValue& value) { return value.text.substr(0, value.text.find(' ')); }

}  // namespace

/// Waits for the commands before this one.
struct RedisConnection::Turn {
  RedisConnection& connection;
  bool await_ready() const noexcept { return !std::exchange(connection.is_busy_, true); }
  void await_suspend(std::coroutine_handle<> waiting) const { connection.waiting_.push_back(waiting); }
  void await_resume() const noexcept {}
};

RedisConnection::~RedisConnection() = default;

void RedisConnection::next_turn() {
  if (waiting_.empty()) {
    is_busy_ = false;
    return;
  }
  const std::coroutine_handle<> next = waiting_.front();
  waiting_.pop_front();
  loop_.schedule(next);
}

Task<RedisConnection::Reply> RedisConnection::command(std::vector<std::string> arguments) {
  co_await Turn{*this};
  struct End {
    RedisConnection& connection;
    ~End() { connection.next_turn(); }
  } const end{*this};
  const bool is_kept = stream_ && stream_->is_open() && stream_->is_quiet();
  if (!is_kept) {
    stream_.reset();
    if (auto connected = co_await connect(); !connected) {
      stream_.reset();
      co_return std::unexpected("Redis: " + connected.error());
    }
  }
  stream_->expires_after(longest);
  const std::vector<std::string_view> views(arguments.begin(), arguments.end());
  auto reply = co_await exchange(views, false);
  if (!reply)
    stream_.reset();
  else
    stream_->expires_never();
  co_return reply;
}

Task<RedisConnection::Reply> RedisConnection::exchange(std::span<const std::string_view> arguments, bool is_secret) {
  std::string command;
  ratelimit::append_command(command, arguments);
  const Errc sent = co_await stream_->write(command);
  if (is_secret) OPENSSL_cleanse(command.data(), command.size());
  if (sent != Errc::ok) co_return std::unexpected("Redis: " + why(sent, *stream_));
  std::array<char, 16 * 1024> room;
  for (;;) {
    auto reply = reader_.next();
    if (!reply) co_return std::unexpected("Redis: " + reply.error());
    if (*reply) co_return **std::move(reply);
    const auto got = co_await stream_->read(room);
    if (!got) co_return std::unexpected("Redis: " + why(got.error(), *stream_));
    reader_.feed({room.data(), *got});
  }
}

Task<std::expected<void, std::string>> RedisConnection::connect() {
  reader_ = ratelimit::RespReader(most_reply_bytes);
  std::vector<IpAddress> addresses;
  if (const auto ip = IpAddress::parse(settings_.host)) {
    addresses.push_back(*ip);
  } else {
    runtime::Event found(loop_);
    NameLookup lookup(loop_, [&] { found.set(); });
    lookup.begin(settings_.host);
    runtime::Deadline late(loop_, [](void* event) { static_cast<runtime::Event*>(event)->set(); }, &found);
    late.set_after(longest);
    co_await found;
    if (auto result = lookup.take()) addresses = *std::move(result);
  }
  if (addresses.empty()) co_return std::unexpected("the name has no address");
  std::string failure;
  for (const IpAddress& address : addresses) {
    stream_ = std::make_unique<net::Stream>(loop_);
    stream_->expires_after(longest / std::min<int>(static_cast<int>(addresses.size()), 4));
    Errc error = co_await stream_->connect({address, settings_.port});
    if (error == Errc::ok && settings_.tls) {
      if (!tls_) {
        auto made = make_redis_tls(settings_);
        if (!made) co_return std::unexpected(made.error());
        tls_ = *std::move(made);
      }
      error = co_await stream_->connect_tls(*tls_, settings_.host);
    }
    if (error == Errc::ok) {
      failure.clear();
      break;
    }
    failure = why(error, *stream_);
  }
  if (!failure.empty()) co_return std::unexpected(std::move(failure));

  auto login = read_redis_login(settings_);
  if (!login) co_return std::unexpected("password_file cannot be read");
  if (login->authenticate) {
    std::vector<std::string_view> arguments{"AUTH"};
    if (!login->username.empty()) arguments.push_back(login->username);
    arguments.push_back(login->password);
    const auto reply = co_await exchange(arguments, true);
    OPENSSL_cleanse(login->password.data(), login->password.size());
    if (!reply) co_return std::unexpected(reply.error());
    if (reply->type == RespValue::Type::error) co_return std::unexpected("the login: " + error_word(*reply));
  }
  if (login->database != 0) {
    const std::string number = std::to_string(login->database);
    const std::string_view arguments[] = {"SELECT", number};
    const auto reply = co_await exchange(arguments, false);
    if (!reply) co_return std::unexpected(reply.error());
    if (reply->type == RespValue::Type::error) co_return std::unexpected("SELECT: " + error_word(*reply));
  }
  co_return std::expected<void, std::string>();
}

}  // namespace gatehouse::upstream
