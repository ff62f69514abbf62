// A connection that speaks HTTP/1: request after request, each the same ServerStream. Called by connection.cpp.
#pragma once

#include "gateway/http/h1_parser.hpp"
#include "gateway/http/read_buffer.hpp"
#include "gateway/proxy/answers.hpp"
#include "gateway/proxy/client_turn.hpp"
#include "gateway/proxy/connection.hpp"

namespace gatehouse::proxy {

class H1Stream final : public ServerStream, public Protocol {
 public:
  explicit H1Stream(Connection& connection);
  ~H1Stream() override = default;

  /// Serves requests until the connection ends.
  runtime::Task<void> run();

  // ServerStream
  [[nodiscard]] ConnectionFacts connection_facts() noexcept override { return connection_.facts(); }
  [[nodiscard]] std::expected<http::BodyFraming, http::Refusal> framing() const noexcept override;
  void start_body() override;
  [[nodiscard]] http::BodyReader::Result next_body() override { return body_.next(); }
  void start_reading() override;
  [[nodiscard]] runtime::Task<runtime::Errc> await_body() override;
  void stop_reading() noexcept override;
  [[nodiscard]] bool body_ended() const noexcept override { return body_.ended(); }
  [[nodiscard]] std::uint64_t body_received() const noexcept override { return body_.received(); }
  void finish_body() override { body_.finish(); }
  [[nodiscard]] runtime::Task<runtime::Errc> send_interim() override;
  [[nodiscard]] runtime::Task<void> end_interim() override;
  void begin_answer(const http::BodyFraming& framing) override;
  [[nodiscard]] std::size_t window() noexcept override { return static_cast<std::size_t>(-1); }
  [[nodiscard]] runtime::Task<runtime::Errc> await_window() override;
  [[nodiscard]] runtime::Task<runtime::Errc> write(std::span<const std::string_view> pieces, bool end) override;
  void set_trailers(std::string_view lines) override;
  void abort_answer() noexcept override { connection_.stream.abort(); }
  [[nodiscard]] runtime::Task<bool> reply() override;
  void must_close() noexcept override { keep_open_ = false; }
  [[nodiscard]] runtime::Task<runtime::Errc> switch_protocols() override;
  void keep_tunnel_alive(runtime::Duration idle) override { connection_.stream.expires_after(idle); }
  void cancel() noexcept override { connection_.stream.cancel(runtime::Errc::cancelled); }
  void watch(ClientWatcher* watcher) noexcept override;

  // Protocol
  void drain() noexcept override;
  void end() noexcept override;

 private:
  /// Reads one request head; false: the connection ends (an answer to what was malformed has been sent).
  runtime::Task<bool> read_head(bool first);
  runtime::Task<void> refuse_head(const http::ParseResult& result);
  runtime::Task<void> answer_without_head();
  /// Writes the answer that exchange.reply describes. False: the client is gone.
  runtime::Task<bool> send_reply(bool close);
  runtime::Task<void> linger();
  [[nodiscard]] bool skip_rest_of_body();
  void look_after_client() noexcept;

  Connection& connection_;
  http::ReadBuffer buffer_;
  http::BodyReader body_;
  ClientWatcher* watcher_ = nullptr;
  ClientFraming answer_framing_ = ClientFraming::none;
  std::string trailers_;
  ClientTurn turn_;
  bool sent_continue_ = false;  // 100 Continue has been sent for this request
  bool close_ = false;  // the answer says that the connection ends with it
  bool keep_open_ = false;  // another request may follow
  bool lingers_ = false;  // before the connection is closed
  bool is_tunnel_ = false;
  bool idle_ = false;  // waits for a request
  bool fresh_ = true;  // for its first
};

[[nodiscard]] runtime::Task<void> run_h1(Connection& connection);

}  // namespace gatehouse::proxy
