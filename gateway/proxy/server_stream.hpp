// One request and its answer, whichever version of HTTP the client speaks. The story (proxy.cpp), the relay and the
// filters know no other face of a client; h1_stream.hpp and h2_stream.hpp are behind it.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/filter/exchange.hpp"
#include "gateway/http/body_reader.hpp"
#include "gateway/proxy/snapshot.hpp"
#include "gateway/runtime/task.hpp"

namespace gatehouse::net {
class ServerTls;
}

namespace gatehouse::proxy {

/// Is told when the client leaves while somebody else is waited for.
class ClientWatcher {
 public:
  virtual void client_left() noexcept = 0;

 protected:
  ~ClientWatcher() = default;
};

/// The tenants whose shares of connections a connection takes.
using TenantLoads = std::vector<std::shared_ptr<filter::TenantLoad>>;

/// The connection of a stream, as far as a request is concerned with it.
struct ConnectionFacts {
  const net::ServerTls* tls = nullptr;  // the settings that SNI chose; null: no TLS
  std::uint16_t redirect_port = 443;
  TenantLoads& tenant_loads;
};

class ServerStream {
 public:
  explicit ServerStream(filter::WorkerContext& worker) : exchange(worker) {}
  virtual ~ServerStream() = default;
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;

  SnapshotRef snapshot;  // the one that the present exchange began with; outlives it
  filter::Exchange exchange;
  std::string out;  // heads on their way out; keeps its memory

  [[nodiscard]] virtual ConnectionFacts connection_facts() noexcept = 0;

  // --- the request's body

  /// How the body of exchange.head is framed, or why the request is refused.
  [[nodiscard]] virtual std::expected<http::BodyFraming, http::Refusal> framing() const noexcept = 0;
  /// The framing is settled: next_body() may be called from now on.
  virtual void start_body() = 0;
  /// The next piece at hand, valid until await_body() or the call after the next one, so that two pieces can be written
  /// at once; need_read: await_body().
  [[nodiscard]] virtual http::BodyReader::Result next_body() = 0;
  /// From now on the client has to send: the times and rates of bodies hold.
  virtual void start_reading() = 0;
  /// Waits until next_body() has something to say; sends 100 (Continue) before if the client waits for that (RFC 9110
  /// section 10.1.1). Errc::timed_out or too_slow: the client is late. Errc::reset: it is gone.
  [[nodiscard]] virtual runtime::Task<runtime::Errc> await_body() = 0;
  /// Wakes who waits in await_body(): the rest of the body is of no use to anybody.
  virtual void stop_reading() noexcept = 0;
  [[nodiscard]] virtual bool body_ended() const noexcept = 0;
  /// Bytes of the body handed out so far, without framing.
  [[nodiscard]] virtual std::uint64_t body_received() const noexcept = 0;
  /// After the end, when no piece is used any more: frees what the body was read with. What was read beyond it stays apart
  /// until the request is served: exchange.head and exchange.target are views into the connection's buffer.
  virtual void finish_body() = 0;

  // --- the answer

  /// Passes exchange.response, an interim answer (1xx but 100 and 101), on to a client that knows such (RFC 9110
  /// section 15.2).
  [[nodiscard]] virtual runtime::Task<runtime::Errc> send_interim() = 0;
  /// The final answer is here: waits for what is being sent to a client that has not yet sent its body, and sends neither
  /// 100 (Continue) nor other interim answers from now on.
  [[nodiscard]] virtual runtime::Task<void> end_interim() = 0;
  /// The head of exchange.response is sent with the first write(). `framing` is how the upstream framed its body.
  virtual void begin_answer(const http::BodyFraming& framing) = 0;
  /// How much of the body the client takes now, in bytes: no more is to be read for it. 0: await_window().
  [[nodiscard]] virtual std::size_t window() noexcept = 0;
  /// Waits until window() is not 0.
  [[nodiscard]] virtual runtime::Task<runtime::Errc> await_window() = 0;
  /// Sends at most two pieces of the body, and its end if `end`.
  [[nodiscard]] virtual runtime::Task<runtime::Errc> write(std::span<const std::string_view> pieces, bool end) = 0;
  /// Trailer fields, as lines each ending in CRLF, that follow the body: for the next write() with `end`. Dropped where
  /// the client has not said that it takes them.
  virtual void set_trailers(std::string_view lines) = 0;
  /// Ends the answer so that the client sees that it is incomplete.
  virtual void abort_answer() noexcept = 0;
  /// Sends the gateway's own answer that exchange.reply describes. False: the client is gone.
  [[nodiscard]] virtual runtime::Task<bool> reply() = 0;
  /// No other request may follow on this stream.
  virtual void must_close() noexcept = 0;

  // --- WebSockets

  /// The upstream has switched protocols (exchange.response is its 101): tells the client. From now on next_body() and
  /// write() are the tunnel's.
  [[nodiscard]] virtual runtime::Task<runtime::Errc> switch_protocols() = 0;
  /// Ends the tunnel unless called again within `idle`.
  virtual void keep_tunnel_alive(runtime::Duration idle) = 0;

  // --- both

  /// Wakes whoever waits for the client and makes what follows fail.
  virtual void cancel() noexcept = 0;
  /// From now on `watcher` is told when the client leaves; null: nobody. Told at once if it has left already.
  virtual void watch(ClientWatcher* watcher) noexcept = 0;
};

/// Serves the request whose head `stream.exchange` holds, up to the access record. proxy.cpp
[[nodiscard]] runtime::Task<void> serve_request(ServerStream& stream);

/// Ends the exchange: filters, metrics, access record. Once a request.
void complete(filter::Exchange& exchange);

}  // namespace gatehouse::proxy
