// One request of a connection that speaks HTTP/2, as the proxy sees it. Owned by h2_connection.hpp.
#pragma once

#include "gateway/http/h2_session.hpp"
#include "gateway/net/pace.hpp"
#include "gateway/proxy/server_stream.hpp"
#include "gateway/runtime/event.hpp"

namespace gatehouse::proxy {

class H2Connection;

class H2ServerStream final : public ServerStream {
 public:
  explicit H2ServerStream(filter::WorkerContext& worker);
  ~H2ServerStream() override = default;

  /// A request of `connection` begins; until conclude().
  void open(H2Connection& connection);
  /// The head is complete and can be served: exchange is told what it is to know of its configuration.
  void begin(const SnapshotRef& current);
  /// Answers and records a request whose head cannot be served.
  [[nodiscard]] runtime::Task<void> refuse();
  /// Records a request that the client has reset before it was looked at.
  void note_gone();
  /// The request has been served: ends the stream and forgets it.
  void conclude();

  http::H2Stream protocol;
  H2ServerStream* previous = nullptr;  // among the connection's
  H2ServerStream* next = nullptr;

  // What the connection tells of it.
  void on_body() { body_event_.set(); }
  void on_output() { output_event_.set(); }
  void on_closed();
  /// Looks whether the client is late.
  void on_tick(runtime::TimePoint now);
  /// Whether an answer waits for the client to open a window.
  [[nodiscard]] bool is_stalled() const noexcept { return output_pace_.is_waiting(); }

  // ServerStream
  [[nodiscard]] ConnectionFacts connection_facts() noexcept override;
  [[nodiscard]] std::expected<http::BodyFraming, http::Refusal> framing() const noexcept override;
  void start_body() override {}
  [[nodiscard]] http::BodyReader::Result next_body() override;
  void start_reading() override;
  [[nodiscard]] runtime::Task<runtime::Errc> await_body() override;
  void stop_reading() noexcept override;
  [[nodiscard]] bool body_ended() const noexcept override;
  [[nodiscard]] std::uint64_t body_received() const noexcept override { return taken_; }
  void finish_body() override { give_back_pieces(); }
  [[nodiscard]] runtime::Task<runtime::Errc> send_interim() override;
  [[nodiscard]] runtime::Task<void> end_interim() override;
  void begin_answer(const http::BodyFraming& framing) override;
  [[nodiscard]] std::size_t window() noexcept override;
  [[nodiscard]] runtime::Task<runtime::Errc> await_window() override;
  [[nodiscard]] runtime::Task<runtime::Errc> write(std::span<const std::string_view> pieces, bool end) override;
  void set_trailers(std::string_view lines) override { trailers_ = lines; }
  void abort_answer() noexcept override;
  [[nodiscard]] runtime::Task<bool> reply() override;
  void must_close() noexcept override {}  // a request that is not finished is reset behind its answer
  [[nodiscard]] runtime::Task<runtime::Errc> switch_protocols() override;
  void keep_tunnel_alive(runtime::Duration idle) override;
  void cancel() noexcept override;
  void watch(ClientWatcher* watcher) noexcept override;

 private:
  void name_request();
  [[nodiscard]] bool has_piece() const noexcept;
  void give_back(std::string& piece);
  void give_back_pieces();
  [[nodiscard]] runtime::Task<runtime::Errc> await_end();
  [[nodiscard]] runtime::Task<runtime::Errc> send(std::span<const std::string_view> pieces, bool end);

  H2Connection* connection_ = nullptr;
  runtime::Event body_event_;    // next_body() has something to say
  runtime::Event output_event_;  // what was written is framed, or a window was opened
  net::Pace input_pace_;
  net::Pace output_pace_;
  runtime::Errc late_ = runtime::Errc::ok;
  std::string pieces_[2];    // of the body, handed out by turns
  unsigned turn_ = 0;
  std::uint64_t taken_ = 0;  // bytes of the body
  http::BodyFraming answer_framing_;
  std::string trailers_;
  ClientWatcher* watcher_ = nullptr;
  runtime::TimePoint tunnel_end_ = runtime::TimePoint::max();
  bool sent_continue_ = false;
  bool stopped_ = false;  // nobody wants the rest of the body
  bool is_tunnel_ = false;
};

}  // namespace gatehouse::proxy
