// Byte streams over TCP: time, pace, closing, and the operations that are awaited; see stream.hpp. TLS is in
// stream_tls.cpp.
#include "gateway/net/stream.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gatehouse::net {

namespace {

constexpr auto pace_interval = std::chrono::seconds(5);
// A byte that is moved earns the time that it may take at the least rate. Who is waited for spends it.
constexpr auto pace_grace = std::chrono::seconds(10);        // at the beginning
constexpr auto pace_most_credit = std::chrono::seconds(25);  // so that a fast start, or a full buffer, buys no more

Errc connect_failure(int error) noexcept {
  switch (error) {
    case ECONNREFUSED: return Errc::refused;
    case EADDRNOTAVAIL: return Errc::exhausted;
    default: return Errc::connect;
  }
}

}  // namespace

Errc Stream::errc_of(int error) noexcept {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: return Errc::exhausted;
    default: return Errc::reset;
  }
}

Stream::Stream(Loop& loop) noexcept
    : descriptor_(loop),
      deadline_(
          loop, [](void* self) { static_cast<Stream*>(self)->on_deadline(); }, this),
      write_deadline_(loop, [](void* self) { static_cast<Stream*>(self)->expire(Errc::timed_out); }, this) {}

Stream::~Stream() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

void Stream::expires_after(Duration delay) noexcept {
  if (has_expired()) failed_ = Errc::ok;
  idle_ = Duration::zero();
  deadline_.set_after(delay);
}

void Stream::expires_never() noexcept {
  if (has_expired()) failed_ = Errc::ok;
  idle_ = Duration::zero();
  deadline_.cancel();
}

void Stream::expires_when_idle(Duration idle, std::size_t min_rate) noexcept {
  if (has_expired()) failed_ = Errc::ok;
  idle_ = idle;
  min_rate_ = min_rate;
  moved_ = moved_before_ = 0;
  unsent_before_ = 0;
  delivered_before_ = 0;
  knows_unsent_ = false;
  silent_ = waited_ = waited_before_ = Duration::zero();
  credit_ = pace_grace;
  deadline_.set_after(std::min<Duration>(idle, pace_interval));
}

void Stream::writes_within(Duration limit) noexcept {
  write_limit_ = limit;
  if (limit == Duration::zero()) write_deadline_.cancel();
}

void Stream::expire(Errc verdict) noexcept {
  if (failed_ == Errc::ok) failed_ = verdict;
  descriptor_.fail_waiters(verdict);
}

void Stream::on_deadline() noexcept {
  Errc verdict = Errc::timed_out;
  if (idle_ != Duration::zero()) {
    const Duration interval = std::min<Duration>(idle_, pace_interval);
    const bool waiting = (descriptor_.reader != nullptr && !reads_rest_) || descriptor_.writer != nullptr;
    if (!waiting) {  // the other side of the relay is what we wait for
      silent_ = Duration::zero();
      deadline_.set_after(interval);
      return;
    }
    // Bytes that left the kernel's buffer were taken by the peer.
    const int unsent = unsent_bytes();
    const std::uint64_t queued = moved_ - moved_before_;
    const auto taken = static_cast<std::int64_t>(queued) + unsent_before_ - unsent;
    silent_ = taken > 0 ? Duration::zero() : silent_ + interval;
    unsent_before_ = unsent;
    moved_before_ = moved_;
    const Duration waited = waited_ + (loop().now() - wait_began_);
    const std::int64_t delivered = static_cast<std::int64_t>(moved_) - unsent;
    bool too_slow = false;
    if (min_rate_ > 0) {
      const double earned = static_cast<double>(delivered - delivered_before_) / static_cast<double>(min_rate_);
      const double credit = std::chrono::duration<double>(credit_).count() + earned;
      credit_ = credit < std::chrono::duration<double>(pace_most_credit).count()
                    ? std::chrono::duration_cast<Duration>(std::chrono::duration<double>(credit))
                    : Duration(pace_most_credit);
      credit_ -= waited - waited_before_;
      too_slow = credit_ <= Duration::zero();
    }
    delivered_before_ = delivered;
    waited_before_ = waited;
    if (silent_ < idle_ && !too_slow) {
      deadline_.set_after(interval);
      return;
    }
    verdict = too_slow ? Errc::too_slow : Errc::timed_out;
  }
  expire(verdict);
}

void Stream::cancel(Errc reason) noexcept {
  failed_ = reason;
  descriptor_.fail_waiters(reason);
}

void Stream::close() noexcept {
  deadline_.cancel();
  write_deadline_.cancel();
  if (has_expired() && descriptor_.is_open()) {
    // Who does not take what is sent would have the kernel keep it for minutes.
    if (unsent_bytes() > 0) {
      abort();
      return;
    }
  }
  if (descriptor_.is_open()) send_farewell();
  ERR_clear_error();
  descriptor_.close();
}

// Also to a peer that has sent its own: each side says that it has sent all (RFC 8446 section 6.1). To one that is gone
// it is sent in vain.
void Stream::send_farewell() noexcept {
  if (ssl_ == nullptr || !handshake_done_ || is_farewell_sent_ || !unsent_.empty() || saw_reset_) return;
  is_farewell_sent_ = true;
  loop().scratch().clear();
  ERR_clear_error();
  SSL_shutdown(ssl_);
  Errc ignored = Errc::ok;
  send_scratch(ignored);
  ERR_clear_error();
}

void Stream::abort() noexcept {
  deadline_.cancel();
  write_deadline_.cancel();
  if (!descriptor_.is_open()) return;
  const linger reset{1, 0};
  ::setsockopt(descriptor_.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  descriptor_.close();
}

void Stream::shutdown_send() noexcept {
  if (!descriptor_.is_open()) return;
  send_farewell();
  ::shutdown(descriptor_.fd(), SHUT_WR);
}

std::expected<std::size_t, Errc> Stream::read_now(std::span<char> buffer) noexcept {
  if (failed_ != Errc::ok) return std::unexpected(failed_);
  std::size_t got = 0;
  Errc failure = Errc::ok;
  switch (try_read(buffer, got, failure)) {
    case Progress::done: return got;
    case Progress::blocked: return 0;
    case Progress::failed: return std::unexpected(failure);
  }
  return 0;
}

std::expected<std::string_view, Errc> Stream::peek(std::span<char> room) noexcept {
  const ssize_t n = ::recv(descriptor_.fd(), room.data(), room.size(), MSG_PEEK);
  if (n == 0) return std::unexpected(Errc::end_of_stream);
  if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return std::unexpected(Errc::reset);
  descriptor_.readable = false;
  return std::string_view(room.data(), static_cast<std::size_t>(n < 0 ? 0 : n));
}

bool Stream::discard(std::span<char> room) noexcept {
  const bool taken = ::recv(descriptor_.fd(), room.data(), room.size(), 0) == static_cast<ssize_t>(room.size());
  descriptor_.readable = true;  // there may be more behind
  return taken;
}

bool Stream::peer_is_gone() noexcept {
  if (!descriptor_.hung_up) return false;
  if (saw_end_ || !descriptor_.is_open()) return true;
  char byte = 0;
  if (ssl_ != nullptr && handshake_done_) {
    std::size_t got = 0;
    ERR_clear_error();
    if (SSL_peek_ex(ssl_, &byte, 1, &got) == 1) return false;
    const int error = SSL_get_error(ssl_, 0);
    ERR_clear_error();
    return error != SSL_ERROR_WANT_READ;
  }
  return ::recv(descriptor_.fd(), &byte, 1, MSG_PEEK) <= 0;
}

bool Stream::is_quiet() const noexcept {
  return descriptor_.is_open() && !descriptor_.hung_up && !descriptor_.readable && failed_ == Errc::ok &&
         (ssl_ == nullptr || SSL_has_pending(ssl_) == 0);
}

bool Stream::becomes_quiet() noexcept {
  if (is_quiet()) return true;
  char byte = 0;
  const auto got = read_now({&byte, 1});
  return got && *got == 0 && is_quiet();
}

int Stream::unsent_bytes() const noexcept {
  int unsent = 0;
  return ::ioctl(descriptor_.fd(), SIOCOUTQ, &unsent) == 0 ? unsent : 0;
}

std::uint64_t Stream::delivered() const noexcept {
  return moved_ - std::min<std::uint64_t>(moved_, static_cast<std::uint64_t>(unsent_bytes()));
}

void Stream::begin_wait() noexcept {
  wait_began_ = descriptor_.loop().now();
  if (idle_ == Duration::zero() || std::exchange(knows_unsent_, true)) return;
  // What the kernel held before the body began was not moved since.
  const auto held_before = static_cast<std::int64_t>(unsent_bytes()) - static_cast<std::int64_t>(moved_);
  if (held_before <= 0) return;
  unsent_before_ = static_cast<int>(held_before);
  delivered_before_ = -held_before;
}

bool Stream::has_input() const noexcept {
  char byte = 0;
  return (ssl_ != nullptr && SSL_has_pending(ssl_) != 0) ||
         (descriptor_.is_open() && ::recv(descriptor_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

// --- attempts

Stream::Progress Stream::try_read(std::span<char> buffer, std::size_t& got, Errc& failure) noexcept {
  if (!descriptor_.is_open()) {
    failure = Errc::reset;
    return Progress::failed;
  }
  if (ssl_ != nullptr) return try_read_tls(buffer, got, failure);
  if (!descriptor_.readable) return Progress::blocked;
  for (;;) {
    const ssize_t n = ::recv(descriptor_.fd(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      got = static_cast<std::size_t>(n);
      moved_ += got;
      if (got < buffer.size() && !descriptor_.hung_up) descriptor_.readable = false;
      return Progress::done;
    }
    if (n == 0) {
      saw_end_ = true;
      failure = Errc::end_of_stream;
      return Progress::failed;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      descriptor_.readable = false;
      return Progress::blocked;
    }
    failure = Errc::reset;
    return Progress::failed;
  }
}

Stream::Progress Stream::try_write_plain(std::span<std::string_view> slices, Errc& failure) noexcept {
  for (;;) {
    iovec parts[8];
    int count = 0;
    for (const std::string_view slice : slices) {
      if (slice.empty()) continue;
      parts[count].iov_base = const_cast<char*>(slice.data());
      parts[count].iov_len = slice.size();
      ++count;
    }
    if (count == 0) return Progress::done;
    if (!descriptor_.writable) return Progress::blocked;
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = static_cast<std::size_t>(count);
    const ssize_t n = ::sendmsg(descriptor_.fd(), &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) {
        descriptor_.writable = false;
        return Progress::blocked;
      }
      failure = errc_of(errno);
      return Progress::failed;
    }
    auto left = static_cast<std::size_t>(n);
    moved_ += left;
    for (std::string_view& slice : slices) {
      const std::size_t taken = std::min(left, slice.size());
      slice.remove_prefix(taken);
      left -= taken;
    }
  }
}

Stream::Progress Stream::try_write(std::span<std::string_view> slices, Errc& failure) noexcept {
  if (!descriptor_.is_open()) {
    failure = Errc::reset;
    return Progress::failed;
  }
  return ssl_ == nullptr ? try_write_plain(slices, failure) : try_write_tls(slices, failure);
}

// --- operations

Stream::ReadOperation Stream::read(std::span<char> buffer) noexcept { return {*this, buffer}; }
Stream::ReadableOperation Stream::readable() noexcept { return ReadableOperation(*this); }
Stream::WriteOperation Stream::write(std::span<const std::string_view> slices) noexcept { return {*this, slices}; }
Stream::WriteOperation Stream::write(std::string_view bytes) noexcept { return {*this, {&bytes, 1}}; }
Stream::ConnectOperation Stream::connect(const SocketAddress& peer) noexcept { return {*this, peer}; }

bool Stream::ReadOperation::attempt() noexcept { return stream_.try_read(buffer_, got_, failure) != Progress::blocked; }

bool Stream::ReadOperation::await_ready() noexcept {
  if (stream_.failed_ != Errc::ok) {
    failure = stream_.failed_;
    return true;
  }
  return attempt();
}

void Stream::ReadOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  counts_ = !stream_.reads_rest_;
  if (counts_) stream_.begin_wait();
  stream_.descriptor_.reader = this;
}

std::expected<std::size_t, Errc> Stream::ReadOperation::await_resume() const noexcept {
  if (counts_) stream_.end_wait();
  if (failure != Errc::ok) return std::unexpected(failure);
  return got_;
}

bool Stream::ReadableOperation::await_ready() noexcept {
  if (stream_.failed_ != Errc::ok) {
    failure = stream_.failed_;
    return true;
  }
  if (!stream_.descriptor_.is_open()) {
    failure = Errc::reset;
    return true;
  }
  return stream_.descriptor_.readable || stream_.holds_input();
}

void Stream::ReadableOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  counts_ = !stream_.reads_rest_;
  if (counts_) stream_.begin_wait();
  stream_.descriptor_.reader = this;
}

Errc Stream::ReadableOperation::await_resume() const noexcept {
  if (counts_) stream_.end_wait();
  return failure;
}

Stream::WriteOperation::WriteOperation(Stream& stream, std::span<const std::string_view> slices) noexcept
    : stream_(stream), count_(std::min(slices.size(), slices_.size())) {
  std::copy_n(slices.begin(), count_, slices_.begin());
}

Errc Stream::WriteOperation::await_resume() const noexcept {
  if (suspended_) {
    stream_.end_wait();
    stream_.write_deadline_.cancel();
  }
  return failure;
}

bool Stream::WriteOperation::attempt() noexcept {
  const std::uint64_t before = stream_.moved_;
  const bool is_over = stream_.try_write({slices_.data(), count_}, failure) != Progress::blocked || failure != Errc::ok;
  if (!is_over && stream_.moved_ != before) stream_.arm_write_deadline();
  return is_over;
}

bool Stream::WriteOperation::await_ready() noexcept {
  if (stream_.failed_ != Errc::ok) {
    failure = stream_.failed_;
    return true;
  }
  return attempt();
}

void Stream::WriteOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  suspended_ = true;
  stream_.begin_wait();
  stream_.descriptor_.writer = this;
  stream_.arm_write_deadline();
}

bool Stream::ConnectOperation::await_ready() noexcept {
  if (stream_.failed_ != Errc::ok) {
    failure = stream_.failed_;
    return true;
  }
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (peer_.ip.is_v4()) {
    auto& address = reinterpret_cast<sockaddr_in&>(storage);
    address.sin_family = AF_INET;
    address.sin_port = htons(peer_.port);
    address.sin_addr.s_addr = htonl(peer_.ip.v4_value());
    size = sizeof address;
  } else {
    auto& address = reinterpret_cast<sockaddr_in6&>(storage);
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(peer_.port);
    std::memcpy(&address.sin6_addr, peer_.ip.bytes().data(), 16);
    size = sizeof address;
  }
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) {
    failure = Errc::exhausted;
    return true;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const int result = ::connect(fd, reinterpret_cast<sockaddr*>(&storage), size);
  if (result != 0 && errno != EINPROGRESS) {
    failure = connect_failure(errno);
    ::close(fd);
    return true;
  }
  if (!stream_.descriptor_.adopt(fd)) {
    failure = Errc::exhausted;
    return true;
  }
  stream_.descriptor_.readable = false;  // a peer that has just been called has said nothing yet; an edge will tell
  if (result == 0) return true;
  stream_.descriptor_.writable = false;
  return false;
}

void Stream::ConnectOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  stream_.descriptor_.writer = this;
}

bool Stream::ConnectOperation::attempt() noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(stream_.fd(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) failure = connect_failure(error);
  return true;
}

}  // namespace gatehouse::net
