// What is thrown while a request's body is under way: whoever sends it ends before what it refers to is gone.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>
#include <string>

#include "gateway/proxy/relay.hpp"
#include "gateway/runtime/metric_families.hpp"

namespace gatehouse::proxy {
namespace {

using namespace std::chrono_literals;
using http::BodyReader;
using runtime::Errc;
using runtime::Loop;
using runtime::Task;

/// An endpoint that takes connections; what it answers is there before it is asked.
class Endpoint {
 public:
  explicit Endpoint(std::string answer) : answer_(std::move(answer)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 1) != 0)
      ADD_FAILURE() << "no endpoint";
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~Endpoint() {
    ::close(listener_);
    if (accepted_ >= 0) ::close(accepted_);
  }
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// From now on it says nothing.
  void mute() { answer_.clear(); }
  void answer() {
    accepted_ = ::accept(listener_, nullptr, nullptr);
    EXPECT_EQ(::send(accepted_, answer_.data(), answer_.size(), 0), static_cast<ssize_t>(answer_.size()));
  }

 private:
  std::string answer_;
  int listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  int accepted_ = -1;
  std::uint16_t port_ = 0;
};

/// A client whose body does not come, and a gateway that runs out of memory where a test says so.
class Client final : public ServerStream {
 public:
  using ServerStream::ServerStream;
  bool throws_at_answer = false;
  bool throws_at_body = false;
  bool is_waited_for = false;  // by the upload

  [[nodiscard]] ConnectionFacts connection_facts() noexcept override { return {.tenant_loads = loads_}; }
  [[nodiscard]] std::expected<http::BodyFraming, http::Refusal> framing() const noexcept override {
    return exchange.framing;
  }
  void start_body() override {}
  [[nodiscard]] BodyReader::Result next_body() override { return {.status = BodyReader::Status::need_read}; }
  void start_reading() override {}
  [[nodiscard]] Task<Errc> await_body() override {
    if (throws_at_body) throw std::bad_alloc();
    is_waited_for = true;
    while (!stopped_) co_await exchange.worker.loop.sleep(4ms);
    is_waited_for = false;
    co_return Errc::cancelled;
  }
  void stop_reading() noexcept override { stopped_ = true; }
  [[nodiscard]] bool body_ended() const noexcept override { return false; }
  [[nodiscard]] std::uint64_t body_received() const noexcept override { return 0; }
  void finish_body() override {}
  [[nodiscard]] Task<Errc> send_interim() override { co_return Errc::ok; }
  [[nodiscard]] Task<void> end_interim() override {
    if (throws_at_answer) throw std::bad_alloc();
    co_return;
  }
  void begin_answer(const http::BodyFraming&) override {}
  [[nodiscard]] std::size_t window() noexcept override { return 1; }
  [[nodiscard]] Task<Errc> await_window() override { co_return Errc::ok; }
  [[nodiscard]] Task<Errc> write(std::span<const std::string_view>, bool) override { co_return Errc::ok; }
  void set_trailers(std::string_view) override {}
  void abort_answer() noexcept override {}
  [[nodiscard]] Task<bool> reply() override { co_return true; }
  void must_close() noexcept override {}
  [[nodiscard]] Task<Errc> switch_protocols() override { co_return Errc::ok; }
  void keep_tunnel_alive(runtime::Duration) override {}
  void cancel() noexcept override {}
  void watch(ClientWatcher*) noexcept override {}

 private:
  TenantLoads loads_;
  bool stopped_ = false;
};

class Forward : public ::testing::Test {
 protected:
  Forward() {
    site.name = "here";
    site.endpoints = {*SocketAddress::parse("127.0.0.1:" + std::to_string(endpoint.port()))};
    service_config.name = "web";
    service_config.sites = {site};
    service.emplace(service_config, "", 1);
    service->sites[0].duration = metrics.histogram(runtime::families::request_duration, {"-", "-"});
    route.config = &route_config;
    route.service = &*service;
    client.exchange.settings = &settings;
    client.exchange.route = &route;
    client.exchange.head.method = http::Method::post;
    client.exchange.head.method_name = "POST";
    client.exchange.target.path = "/";
    client.exchange.target.host = "shop.test";
    client.exchange.framing = {http::BodyKind::length, 5};
  }

  static Task<void> tunnel(Forward& test) {
    upstream::PoolKey key{.endpoint = test.service->sites[0].endpoints[0].address};
    const auto connection = test.worker.pools.pool(key)->make();
    const Errc error = co_await connection->stream.connect(key.endpoint);
    EXPECT_EQ(error, Errc::ok);
    co_await run_tunnel(test.client, *connection);
  }

  /// Does what is to be done; whether memory ran out, and nothing of it is under way any more by then.
  bool runs_out_of_memory(Task<void> task) {
    bool thrown = false;
    const auto run = [](Forward& test, Task<void> what, bool& result) -> Task<void> {
      try {
        co_await std::move(what);
      } catch (const std::bad_alloc&) {
        result = true;
      }
      EXPECT_FALSE(test.client.is_waited_for) << "the upload goes on";
      EXPECT_EQ(test.loop.live_tasks(), 1U) << "this one";
      test.loop.stop();
    };
    runtime::Deadline patience(loop, [](void* owner) { static_cast<Loop*>(owner)->stop(); }, &loop);
    patience.set_after(10s);
    loop.spawn(run(*this, std::move(task), thrown));
    loop.post([this] { endpoint.answer(); });
    loop.run();
    return thrown;
  }

  Endpoint endpoint{"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"};
  Loop loop;
  runtime::Metrics metrics{1};
  ratelimit::MemoryStore memory;
  upstream::ConnectionBudget budget{10};
  filter::WorkerContext worker{0, loop, metrics, memory, budget};
  config::GatewayConfig settings;
  config::Site site;
  config::Service service_config;
  std::optional<upstream::Service> service;
  config::Route route_config;
  filter::Route route;
  Client client{worker};
};

TEST_F(Forward, EndsTheUploadBeforeWhatTheAnswerThrows) {
  client.throws_at_answer = true;
  EXPECT_TRUE(runs_out_of_memory(forward(client)));
}

TEST_F(Forward, EndsWithWhatTheUploadThrows) {
  client.throws_at_body = true;
  endpoint.mute();
  EXPECT_TRUE(runs_out_of_memory(forward(client)));
}

TEST_F(Forward, EndsBothDirectionsOfATunnelWithWhatOneThrows) {
  client.throws_at_body = true;
  endpoint.mute();
  EXPECT_TRUE(runs_out_of_memory(tunnel(*this)));
}

}  // namespace
}  // namespace gatehouse::proxy
