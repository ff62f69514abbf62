// A byte stream over TCP or TLS, on one loop. Owned by an HTTP connection, a pool or a client; used by one reader
// and one writer at a time.
#pragma once

#include <openssl/ssl.h>

#include <coroutine>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "gateway/net/tls.hpp"
#include "gateway/runtime/error.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::net {

using runtime::Descriptor;
using runtime::Duration;
using runtime::Errc;
using runtime::IoWaiter;
using runtime::Loop;

class Stream {
 public:
  explicit Stream(Loop& loop) noexcept;
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// Takes over an accepted socket. False when it cannot be registered; the socket is closed then.
  [[nodiscard]] bool adopt(int fd) noexcept { return descriptor_.adopt(fd); }

  class ReadOperation;
  class ReadableOperation;
  class WriteOperation;
  class ConnectOperation;
  class HandshakeOperation;

  /// Reads at least one byte. Errc::end_of_stream when the peer has closed in an orderly way.
  [[nodiscard]] ReadOperation read(std::span<char> buffer) noexcept;
  /// One attempt that never waits: 0 when nothing is there yet.
  [[nodiscard]] std::expected<std::size_t, Errc> read_now(std::span<char> buffer) noexcept;
  /// Waits until a read may find something (bytes, end or error), so that an idle connection holds no buffer. Behind a
  /// read that found nothing it waits for more to arrive, whatever part of a TLS record is here already.
  [[nodiscard]] ReadableOperation readable() noexcept;
  /// Looks at what has arrived without taking it; plain sockets only. Empty when nothing has; an error at the end of the
  /// stream. After this, readable() waits until more has come.
  [[nodiscard]] std::expected<std::string_view, Errc> peek(std::span<char> room) noexcept;
  /// Takes bytes that peek() showed; plain sockets only.
  [[nodiscard]] bool discard(std::span<char> room) noexcept;
  /// Writes all bytes of all slices, in order. At most 8 slices.
  [[nodiscard]] WriteOperation write(std::span<const std::string_view> slices) noexcept;
  [[nodiscard]] WriteOperation write(std::string_view bytes) noexcept;
  /// Connects a new TCP socket.
  [[nodiscard]] ConnectOperation connect(const SocketAddress& peer) noexcept;
  /// TLS as a server; `selector` chooses the certificate by SNI and must live until the handshake ends. `destination`: what
  /// the client has connected to, where that is known to be another address than the socket's.
  [[nodiscard]] HandshakeOperation accept_tls(const ServerTlsBase& base, SniSelector& selector,
                                              std::optional<IpAddress> destination = std::nullopt);
  /// TLS as a client. `server_name` is sent as SNI (unless it is an address) and verified.
  [[nodiscard]] HandshakeOperation connect_tls(const ClientTls& settings, const std::string& server_name);

  /// From now on every wait fails with Errc::timed_out once `delay` has passed. A new deadline lifts an expired one.
  void expires_after(Duration delay) noexcept;
  void expires_never() noexcept;
  /// Whether a deadline has ended it.
  [[nodiscard]] bool has_expired() const noexcept { return failed_ == Errc::timed_out || failed_ == Errc::too_slow; }
  /// For bodies: fails with Errc::timed_out once nothing has moved for `idle`, and with Errc::too_slow when the peer, after
  /// 10 s of waiting for it, has moved less than `min_rate` bytes a second (0: any rate). Only time spent waiting for this
  /// peer counts, and what it takes out of the kernel's send buffer counts as moved.
  void expires_when_idle(Duration idle, std::size_t min_rate) noexcept;
  /// Besides: every wait fails with Errc::timed_out once the peer has taken nothing of what is being written for `limit`;
  /// 0: it may take its time. So what is read and what is written have times of their own.
  void writes_within(Duration limit) noexcept;
  /// For expires_when_idle(): whether only what is written counts, since nothing needs to be read.
  void let_reads_rest(bool rest) noexcept { reads_rest_ = rest; }

  /// Wakes whoever waits and makes every later operation fail with `reason`.
  void cancel(Errc reason) noexcept;

  /// Sends close_notify if TLS is up (best effort), then closes.
  void close() noexcept;
  /// Closes so that the peer gets a reset: the only way to say "this message is incomplete" without framing.
  void abort() noexcept;
  /// Ends our sending side; the peer reads the end of the stream.
  void shutdown_send() noexcept;

  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  [[nodiscard]] int fd() const noexcept { return descriptor_.fd(); }
  [[nodiscard]] Loop& loop() const noexcept { return descriptor_.loop(); }
  [[nodiscard]] Descriptor& descriptor() noexcept { return descriptor_; }

  /// True if the peer has closed its side and no byte of it is left unread: nothing more will ever come.
  [[nodiscard]] bool peer_is_gone() noexcept;
  /// For an idle pooled connection: bytes or an end that nobody asked for make it unusable. No system call.
  [[nodiscard]] bool is_quiet() const noexcept;
  /// The same, after a look at what a read that filled its buffer may have left, and at what TLS has to say for itself.
  [[nodiscard]] bool becomes_quiet() noexcept;
  /// Whether bytes have come that nobody has read, epoll having said so or not.
  [[nodiscard]] bool has_input() const noexcept;

  [[nodiscard]] bool is_tls() const noexcept { return ssl_ != nullptr; }
  /// Whether the handshake has agreed on HTTP/2 (ALPN "h2", RFC 9113 section 3.2).
  [[nodiscard]] bool speaks_http2() const noexcept;
  /// Bytes that have left for the peer, and those that came from it: what grows while it moves anything.
  [[nodiscard]] std::uint64_t delivered() const noexcept;
  /// The settings that SNI chose; null without TLS.
  [[nodiscard]] const ServerTls* server_tls() const noexcept { return server_tls_.get(); }
  [[nodiscard]] const char* tls_version() const noexcept;
  /// Subject of the verified client certificate (RFC 2253 form); empty if there is none.
  [[nodiscard]] std::string peer_subject() const;
  /// Why the last TLS operation failed, for the log; no secret in it.
  [[nodiscard]] const std::string& tls_error() const noexcept { return tls_error_; }

 private:
  friend struct SocketBio;

  enum class Progress { done, blocked, failed };

  // One attempt each; none suspends. `failure` is set with Progress::failed.
  Progress try_read(std::span<char> buffer, std::size_t& got, Errc& failure) noexcept;
  Progress try_write(std::span<std::string_view> slices, Errc& failure) noexcept;
  Progress try_write_plain(std::span<std::string_view> slices, Errc& failure) noexcept;
  Progress try_read_tls(std::span<char> buffer, std::size_t& got, Errc& failure) noexcept;
  [[nodiscard]] bool holds_input() const noexcept;
  Progress try_write_tls(std::span<std::string_view> slices, Errc& failure) noexcept;
  Progress try_handshake(Errc& failure) noexcept;
  Progress flush(std::string_view bytes, Errc& failure) noexcept;
  Progress flush_unsent(Errc& failure) noexcept;
  Progress send_scratch(Errc& failure) noexcept;
  std::size_t send_record(std::string_view record) noexcept;
  void note_tls_error() noexcept;
  [[nodiscard]] IpAddress destination() const;
  static Errc errc_of(int error) noexcept;  // of errno
  void on_deadline() noexcept;
  void expire(Errc verdict) noexcept;
  void send_farewell() noexcept;
  void arm_write_deadline() noexcept {
    if (write_limit_ != Duration::zero()) write_deadline_.set_after(write_limit_);
  }
  [[nodiscard]] int unsent_bytes() const noexcept;  // that the kernel holds for the peer
  void begin_wait() noexcept;
  void end_wait() noexcept { waited_ += descriptor_.loop().now() - wait_began_; }

  Descriptor descriptor_;
  runtime::Deadline deadline_;
  runtime::Deadline write_deadline_;
  Duration write_limit_{0};
  bool reads_rest_ = false;
  Errc failed_ = Errc::ok;

  // The pace of a body; see expires_when_idle().
  Duration idle_{0};  // 0: a plain deadline
  std::size_t min_rate_ = 0;
  std::uint64_t moved_ = 0;  // bytes since the body began
  std::uint64_t moved_before_ = 0;  // at the last look
  int unsent_before_ = 0;  // in the kernel, at the last look or when the body began
  bool knows_unsent_ = false;  // how many these were when the body began
  Duration silent_{0};  // without progress, over the last looks
  Duration waited_{0};  // for the peer
  Duration waited_before_{0};
  std::int64_t delivered_before_ = 0;
  Duration credit_{0};  // how long it may still be waited for at the least rate
  runtime::TimePoint wait_began_;

  SSL* ssl_ = nullptr;
  bool handshake_done_ = false;
  bool saw_end_ = false;
  bool is_farewell_sent_ = false;  // our close_notify
  bool saw_reset_ = false;  // the end that TLS saw was none
  bool record_is_partial_ = false;  // what OpenSSL holds is not a whole record: the last read found nothing in it
  std::shared_ptr<const ServerTls> server_tls_;
  SniSelector* selector_ = nullptr;
  std::optional<IpAddress> destination_;
  bool more_follows_ = false;  // the record being made is not the last of its write
  std::string unsent_;  // TLS records that the kernel did not take yet
  std::string tls_error_;

  friend class ServerTlsBase;
};

class Stream::ReadOperation final : public IoWaiter {
 public:
  ReadOperation(Stream& stream, std::span<char> buffer) noexcept : stream_(stream), buffer_(buffer) {}
  bool attempt() noexcept override;
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> awaiting) noexcept;
  std::expected<std::size_t, Errc> await_resume() const noexcept;

 private:
  Stream& stream_;
  std::span<char> buffer_;
  std::size_t got_ = 0;
  bool counts_ = false;  // it waits, and the peer's pace is looked at
};

class Stream::ReadableOperation final : public IoWaiter {
 public:
  explicit ReadableOperation(Stream& stream) noexcept : stream_(stream) {}
  bool attempt() noexcept override { return true; }
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> awaiting) noexcept;
  Errc await_resume() const noexcept;

 private:
  Stream& stream_;
  bool counts_ = false;
};

class Stream::WriteOperation final : public IoWaiter {
 public:
  WriteOperation(Stream& stream, std::span<const std::string_view> slices) noexcept;
  bool attempt() noexcept override;
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> awaiting) noexcept;
  Errc await_resume() const noexcept;

 private:
  Stream& stream_;
  bool suspended_ = false;
  std::array<std::string_view, 8> slices_;
  std::size_t count_ = 0;
};

class Stream::ConnectOperation final : public IoWaiter {
 public:
  ConnectOperation(Stream& stream, const SocketAddress& peer) noexcept : stream_(stream), peer_(peer) {}
  bool attempt() noexcept override;
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> awaiting) noexcept;
  Errc await_resume() const noexcept { return failure; }

 private:
  Stream& stream_;
  SocketAddress peer_;
};

class Stream::HandshakeOperation final : public IoWaiter {
 public:
  explicit HandshakeOperation(Stream& stream) noexcept : stream_(stream) {}
  bool attempt() noexcept override;
  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> awaiting) noexcept;
  Errc await_resume() const noexcept { return failure; }

 private:
  Stream& stream_;
};

}  // namespace gatehouse::net
