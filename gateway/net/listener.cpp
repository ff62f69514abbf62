// Listening sockets; see listener.hpp.
#include "gateway/net/listener.hpp"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "gateway/runtime/spare_descriptors.hpp"

namespace gatehouse::net {

namespace {

constexpr int accepts_a_turn = 256;  // then the other descriptors have their turn
constexpr auto pause_when_exhausted = std::chrono::milliseconds(100);

SocketAddress address_of(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    return {IpAddress::v4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, 16);
  return {IpAddress::v6(bytes), ntohs(v6.sin6_port)};
}

}  // namespace

namespace {

// A bound socket that does not listen yet.
std::expected<int, std::string> bind_socket(const SocketAddress& address, Sharing sharing) {
  const auto failed = [&](const char* what) {
    return std::unexpected("cannot listen on " + address.to_string() + ": " + what + ": " + std::strerror(errno));
  };
  const bool v4 = address.ip.is_v4();
  const int fd = ::socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return failed("socket");
  constexpr int unsent_bytes = 256 * 1024;
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (sharing == Sharing::with_other_workers) ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  // Accepted sockets inherit these. The second bounds what the kernel holds for a client that does not read: else
  // some megabytes for each (net.ipv4.tcp_wmem).
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes, sizeof unsent_bytes);
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (v4) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    in.sin_addr.s_addr = htonl(address.ip.v4_value());
    size = sizeof in;
  } else {
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    auto& in = reinterpret_cast<sockaddr_in6&>(storage);
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(address.port);
    std::memcpy(&in.sin6_addr, address.ip.bytes().data(), 16);
    size = sizeof in;
  }
  if (::bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) {
    const auto error = failed("bind");
    ::close(fd);
    return error;
  }
  return fd;
}

}  // namespace

std::expected<int, std::string> open_listener(const SocketAddress& address, Sharing sharing) {
  const auto fd = bind_socket(address, sharing);
  if (fd && ::listen(*fd, 4096) != 0) {
    const std::string error = "cannot listen on " + address.to_string() + ": " + std::strerror(errno);
    ::close(*fd);
    return std::unexpected(error);
  }
  return fd;
}

std::string address_conflict(const SocketAddress& address) {
  const auto fd = bind_socket(address, Sharing::alone);
  if (!fd) return fd.error();
  ::close(*fd);
  return {};
}

SocketAddress local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return {};
  return address_of(storage);
}

Listener::Listener(runtime::Loop& loop, int fd, Handler handler, Descriptors descriptors)
    : fd_(fd),
      descriptor_(loop),
      handler_(std::move(handler)),
      resume_(
          loop, [](void* self) { static_cast<Listener*>(self)->accept_some(); }, this),
      descriptors_(descriptors) {}

void Listener::start() {
  if (!descriptor_.adopt(fd_)) return;
  descriptor_.reader = &operation_;
  accept_some();
}

void Listener::accept_some() noexcept {
  for (int i = 0; i < accepts_a_turn; ++i) {
    if (!descriptor_.is_open()) return;
    if (descriptors_ == Descriptors::ordinary && !runtime::has_all_spare_descriptors()) {
      pause(EMFILE);
      return;
    }
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    const int fd =
        ::accept4(descriptor_.fd(), reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      if (std::exchange(is_pausing_, false) && on_exhausted) on_exhausted(0);
      handler_(fd, address_of(storage));
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      descriptor_.readable = false;
      return;
    }
    const int error = errno;
    if (descriptors_ == Descriptors::may_use_spare && runtime::gave_spare_descriptor(error)) continue;
    pause(error);  // EMFILE, ENFILE, ENOBUFS, ENOMEM
    return;
  }
  resume_.set_after(runtime::Duration::zero());
}

// The queue stays full and no edge will come, so it looks again a little later.
void Listener::pause(int error) noexcept {
  is_pausing_ = true;
  resume_.set_after(pause_when_exhausted);
  if (on_exhausted) on_exhausted(error);
}

void Listener::ignore_newcomers() noexcept {
  if (!descriptor_.is_open()) return;
  // A TCP socket's filter sees segments from their TCP header on (RFC 9293 section 3.1): the flags are its byte 13.
  constexpr std::uint32_t syn = 0x02;
  constexpr std::uint32_t syn_and_ack = 0x12;
  constexpr std::uint32_t whole = 0xFFFFFFFF;
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, syn_and_ack),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, syn, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, whole),
  };
  const sock_fprog filter{std::size(program), program};
  ::setsockopt(descriptor_.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

void Listener::drain_and_close() {
  resume_.cancel();
  if (!descriptor_.is_open()) return;
  for (int i = 0; i < 4096; ++i) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    const int fd =
        ::accept4(descriptor_.fd(), reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0) break;
    handler_(fd, address_of(storage));
  }
  descriptor_.reader = nullptr;
  descriptor_.close();
}

}  // namespace gatehouse::net
