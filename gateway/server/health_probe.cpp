// `gatehouse health`; see health_probe.hpp.
#include "gateway/server/health_probe.hpp"

#include "gateway/net/stream.hpp"

namespace gatehouse::server {

namespace {

runtime::Task<void> ask(runtime::Loop& loop, SocketAddress admin, bool& ready) {
  net::Stream stream(loop);
  stream.expires_after(std::chrono::seconds(3));
  // An unspecified address is where the gateway listens, not where one connects to.
  if (admin.ip == IpAddress()) admin.ip = IpAddress::v4(0x7f000001);
  const runtime::Errc connected = co_await stream.connect(admin);
  if (connected == runtime::Errc::ok) {
    const runtime::Errc sent =
        co_await stream.write("GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    std::string answer(512, '\0');
    std::size_t size = 0;
    while (sent == runtime::Errc::ok && size < 12) {
      const auto got = co_await stream.read(std::span<char>(answer).subspan(size));
      if (!got) break;
      size += *got;
    }
    ready = std::string_view(answer).substr(0, size).starts_with("HTTP/1.1 200");
  }
  stream.close();
  loop.stop();
}

}  // namespace

bool is_ready(const SocketAddress& admin) {
  runtime::Loop loop;
  bool ready = false;
  loop.spawn(ask(loop, admin, ready));
  loop.run();
  return ready;
}

}  // namespace gatehouse::server
