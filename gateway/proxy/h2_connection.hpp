// A connection that speaks HTTP/2: reads for all its streams, writes for all of them, serves each in a task of its own,
// and ends it when the client costs more than it brings. Called by connection.cpp.
#pragma once

#include <memory>
#include <vector>

#include "gateway/http/h2_session.hpp"
#include "gateway/net/pace.hpp"
#include "gateway/proxy/connection.hpp"
#include "gateway/proxy/h2_stream.hpp"
#include "gateway/runtime/event.hpp"

namespace gatehouse::proxy {

class H2Connection final : public Protocol, public http::H2Owner {
 public:
  explicit H2Connection(Connection& connection);
  ~H2Connection();
  H2Connection(const H2Connection&) = delete;
  H2Connection& operator=(const H2Connection&) = delete;

  /// Serves requests until the connection ends; joins every task of it.
  runtime::Task<void> run();

  // Protocol
  void drain() noexcept override;
  void end() noexcept override;

  // H2Owner
  [[nodiscard]] http::H2Stream* open_stream() override;

  /// Output has been submitted: it goes out at the end of the loop's turn, together with what others submit in it.
  void flush();
  [[nodiscard]] http::H2Session& session() noexcept { return session_; }
  [[nodiscard]] Connection& connection() noexcept { return connection_; }
  [[nodiscard]] runtime::Loop& loop() noexcept { return connection_.stream.loop(); }
  [[nodiscard]] bool is_ending() const noexcept { return connection_.worker.context.ending; }

 private:
  runtime::Task<void> read_all();
  runtime::Task<void> write_all();
  runtime::Task<void> write_frames();
  runtime::Task<void> serve(H2ServerStream& stream);
  runtime::Task<void> linger();
  void handle_events();
  void start_requests();
  void wake_for_window(http::H2Stream* stream);
  void remove(H2ServerStream& stream);
  void lose_streams();
  void note_abuse();
  void on_deadline();
  void arm();
  [[nodiscard]] runtime::Duration idle_time() const noexcept;
  void look_at_streams(runtime::TimePoint now);

  Connection& connection_;
  const config::Timeouts timeouts_;
  const std::size_t min_rate_;  // bytes a second
  const http::H2Limits limits_;
  http::H2Session session_;
  H2ServerStream* streams_ = nullptr;
  std::size_t stream_count_ = 0;
  std::vector<H2ServerStream*> waiting_;  // requests that nobody serves yet

  runtime::Event output_;  // there is some
  bool writer_ended_ = false;
  runtime::Event ended_;  // the writer, or the last stream

  runtime::Deadline deadline_;
  runtime::TimePoint began_;
  runtime::TimePoint idle_since_;
  runtime::TimePoint shutdown_at_ = runtime::TimePoint::max();  // when the second GOAWAY goes out at the latest
  net::Pace socket_pace_;
  std::uint64_t socket_moved_ = 0;
  std::uint64_t sent_before_ = 0;  // of all streams, at the last look
  runtime::TimePoint stalled_since_;
  bool drains_ = false;
  bool ends_ = false;  // reading is over
  bool broken_ = false;  // the socket is
  bool abuse_noted_ = false;
};

[[nodiscard]] runtime::Task<void> run_h2(Connection& connection);

}  // namespace gatehouse::proxy
