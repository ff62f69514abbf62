// TCP and TLS byte streams; see stream.hpp.
//
// TLS runs over a BIO of ours: it reads from the socket only when epoll has said that there is something, sends large
// records from where OpenSSL made them and collects small ones in the loop's scratch buffer, so that they are one
// system call. What the socket does not take is kept: OpenSSL never sees a write that would block.
#include "gateway/net/stream.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace gatehouse::net {

namespace {

constexpr std::size_t record_bytes = 16 * 1024;      // the largest TLS record's plaintext
constexpr std::size_t records_at_once = 4;           // collected before they are sent
constexpr std::size_t worth_a_send = 8 * 1024;       // from here on a system call costs less than a copy
constexpr auto pace_interval = std::chrono::seconds(5);
// A byte that is moved earns the time that it may take at the least rate. Who is waited for spends it.
constexpr auto pace_grace = std::chrono::seconds(10);        // at the beginning
constexpr auto pace_most_credit = std::chrono::seconds(25);  // so that a fast start, or a full buffer, buys no more

Errc errc_of_errno(int error) noexcept {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EADDRNOTAVAIL: return Errc::exhausted;
    default: return Errc::reset;
  }
}

}  // namespace

// The BIO between OpenSSL and the descriptor.
struct SocketBio {
  static int read(BIO* bio, char* data, std::size_t size, std::size_t* got) {
    auto& stream = *static_cast<Stream*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    *got = 0;
    Descriptor& descriptor = stream.descriptor_;
    if (!descriptor.readable) {
      BIO_set_retry_read(bio);
      return 0;
    }
    ssize_t n = 0;
    do n = ::recv(descriptor.fd(), data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
      if (static_cast<std::size_t>(n) < size && !descriptor.hung_up) descriptor.readable = false;
      *got = static_cast<std::size_t>(n);
      stream.moved_ += static_cast<std::size_t>(n);
      return 1;
    }
    if (n == 0) {
      stream.saw_end_ = true;
      return 0;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      descriptor.readable = false;
      BIO_set_retry_read(bio);
      return 0;
    }
    stream.saw_end_ = true;
    return 0;
  }

  static int write(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
    auto& stream = *static_cast<Stream*>(BIO_get_data(bio));
    auto& scratch = stream.loop().scratch();
    *written = size;
    if (size >= worth_a_send && scratch.empty() && stream.unsent_.empty() && stream.descriptor_.writable) {
      const std::size_t sent = stream.send_record({data, size});
      data += sent;
      size -= sent;
    }
    scratch.insert(scratch.end(), data, data + size);
    return 1;
  }

  static long control(BIO*, int command, long, void*) {
    switch (command) {
      case BIO_CTRL_FLUSH:
      case BIO_CTRL_DUP: return 1;
      default: return 0;
    }
  }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "gatehouse socket");
      BIO_meth_set_read_ex(m, &SocketBio::read);
      BIO_meth_set_write_ex(m, &SocketBio::write);
      BIO_meth_set_ctrl(m, &SocketBio::control);
      return m;
    }();
    return made;
  }

  static void attach(SSL* ssl, Stream& stream) {
    BIO* const bio = BIO_new(method());
    BIO_set_data(bio, &stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
  }
};

Stream::Stream(Loop& loop) noexcept
    : descriptor_(loop), deadline_(loop, [](void* self) { static_cast<Stream*>(self)->on_deadline(); }, this) {}

Stream::~Stream() {
  if (ssl_ != nullptr) SSL_free(ssl_);
}

void Stream::expires_after(Duration delay) noexcept {
  if (failed_ == Errc::timed_out || failed_ == Errc::too_slow) failed_ = Errc::ok;
  idle_ = Duration::zero();
  deadline_.set_after(delay);
}

void Stream::expires_never() noexcept {
  if (failed_ == Errc::timed_out || failed_ == Errc::too_slow) failed_ = Errc::ok;
  idle_ = Duration::zero();
  deadline_.cancel();
}

void Stream::expires_when_idle(Duration idle, std::size_t min_rate) noexcept {
  if (failed_ == Errc::timed_out || failed_ == Errc::too_slow) failed_ = Errc::ok;
  idle_ = idle;
  min_rate_ = min_rate;
  moved_ = moved_before_ = 0;
  unsent_before_ = 0;
  silent_ = waited_ = waited_before_ = Duration::zero();
  delivered_before_ = 0;
  credit_ = pace_grace;
  deadline_.set_after(std::min<Duration>(idle, pace_interval));
}

void Stream::on_deadline() noexcept {
  Errc verdict = Errc::timed_out;
  if (idle_ != Duration::zero()) {
    const Duration interval = std::min<Duration>(idle_, pace_interval);
    const bool waiting = descriptor_.reader != nullptr || descriptor_.writer != nullptr;
    if (!waiting) {  // the other side of the relay is what we wait for
      silent_ = Duration::zero();
      deadline_.set_after(interval);
      return;
    }
    // Bytes that left the kernel's buffer were taken by the peer.
    int unsent = 0;
    if (descriptor_.writer != nullptr && ::ioctl(descriptor_.fd(), SIOCOUTQ, &unsent) == 0) {
      const std::uint64_t queued = moved_ - moved_before_;
      const auto taken = static_cast<std::int64_t>(queued) + unsent_before_ - unsent;
      silent_ = taken > 0 ? Duration::zero() : silent_ + interval;
      unsent_before_ = unsent;
    } else {
      silent_ = moved_ != moved_before_ ? Duration::zero() : silent_ + interval;
    }
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
  if (failed_ == Errc::ok) failed_ = verdict;
  descriptor_.fail_waiters(verdict);
}

void Stream::cancel(Errc reason) noexcept {
  failed_ = reason;
  descriptor_.fail_waiters(reason);
}

void Stream::close() noexcept {
  deadline_.cancel();
  if ((failed_ == Errc::timed_out || failed_ == Errc::too_slow) && descriptor_.is_open()) {
    // Who does not take what is sent would have the kernel keep it for minutes.
    int unsent = 0;
    if (::ioctl(descriptor_.fd(), SIOCOUTQ, &unsent) == 0 && unsent > 0) {
      abort();
      return;
    }
  }
  if (ssl_ != nullptr && handshake_done_ && descriptor_.is_open() && !saw_end_ && unsent_.empty()) {
    auto& scratch = loop().scratch();
    scratch.clear();
    ERR_clear_error();
    SSL_shutdown(ssl_);
    Errc ignored = Errc::ok;
    send_scratch(ignored);
  }
  ERR_clear_error();
  descriptor_.close();
}

void Stream::abort() noexcept {
  deadline_.cancel();
  if (!descriptor_.is_open()) return;
  const linger reset{1, 0};
  ::setsockopt(descriptor_.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  descriptor_.close();
}

void Stream::shutdown_send() noexcept {
  if (!descriptor_.is_open()) return;
  if (ssl_ != nullptr && handshake_done_ && unsent_.empty()) {
    loop().scratch().clear();
    SSL_shutdown(ssl_);
    Errc ignored = Errc::ok;
    send_scratch(ignored);
    ERR_clear_error();
  }
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

bool Stream::has_input() const noexcept {
  char byte = 0;
  return (ssl_ != nullptr && SSL_has_pending(ssl_) != 0) ||
         (descriptor_.is_open() && ::recv(descriptor_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

const char* Stream::tls_version() const noexcept { return ssl_ != nullptr ? SSL_get_version(ssl_) : ""; }

std::string Stream::peer_subject() const {
  if (ssl_ == nullptr) return {};
  X509* const certificate = SSL_get0_peer_certificate(ssl_);
  if (certificate == nullptr || SSL_get_verify_result(ssl_) != X509_V_OK) return {};
  BIO* const memory = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(memory, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string subject(data, static_cast<std::size_t>(std::max(size, 0L)));
  BIO_free(memory);
  return subject;
}

void Stream::note_tls_error() noexcept {
  try {
    tls_error_ = take_openssl_errors();
    if (ssl_ != nullptr) {
      const long verify = SSL_get_verify_result(ssl_);
      if (verify != X509_V_OK) tls_error_ += std::string(": ") + X509_verify_cert_error_string(verify);
    }
  } catch (...) {
    ERR_clear_error();
  }
}

// --- attempts

Stream::Progress Stream::flush(std::string_view bytes, Errc& failure) noexcept {
  std::size_t sent = 0;
  while (sent < bytes.size() && descriptor_.writable) {
    const ssize_t n = ::send(descriptor_.fd(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
      moved_ += static_cast<std::size_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      descriptor_.writable = false;
      break;
    }
    failure = errc_of_errno(errno);
    return Progress::failed;
  }
  if (sent == bytes.size()) return Progress::done;
  try {
    unsent_.append(bytes.substr(sent));
  } catch (...) {
    failure = Errc::exhausted;
    return Progress::failed;
  }
  return Progress::blocked;
}

// How much of it the socket took. An error shows itself again when the rest is sent.
std::size_t Stream::send_record(std::string_view record) noexcept {
  const int flags = MSG_NOSIGNAL | (more_follows_ ? MSG_MORE : 0);
  ssize_t n = 0;
  do n = ::send(descriptor_.fd(), record.data(), record.size(), flags);
  while (n < 0 && errno == EINTR);
  if (n < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK) descriptor_.writable = false;
    return 0;
  }
  moved_ += static_cast<std::size_t>(n);
  return static_cast<std::size_t>(n);
}

Stream::Progress Stream::send_scratch(Errc& failure) noexcept {
  auto& scratch = loop().scratch();
  if (scratch.empty()) return Progress::done;
  const Progress progress = flush({scratch.data(), scratch.size()}, failure);
  scratch.clear();
  return progress;
}

Stream::Progress Stream::flush_unsent(Errc& failure) noexcept {
  if (unsent_.empty()) return Progress::done;
  std::string bytes;
  bytes.swap(unsent_);
  return flush(bytes, failure);
}

Stream::Progress Stream::try_read(std::span<char> buffer, std::size_t& got, Errc& failure) noexcept {
  if (!descriptor_.is_open()) {
    failure = Errc::reset;
    return Progress::failed;
  }
  if (ssl_ == nullptr) {
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
  if (!descriptor_.readable && SSL_has_pending(ssl_) == 0) return Progress::blocked;
  loop().scratch().clear();
  ERR_clear_error();
  const int result = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &got);
  if (result != 1) {
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_WANT_READ) {
      send_scratch(failure);  // a KeyUpdate's answer, at most
      return Progress::blocked;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
      saw_end_ = true;
      failure = Errc::end_of_stream;
    } else {
      failure = saw_end_ ? Errc::reset : Errc::tls;
      note_tls_error();
      send_scratch(failure);  // the alert
      handshake_done_ = false;
    }
    return Progress::failed;
  }
  if (!loop().scratch().empty()) send_scratch(failure);
  return Progress::done;
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
      failure = errc_of_errno(errno);
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
  if (ssl_ == nullptr) return try_write_plain(slices, failure);
  if (const Progress progress = flush_unsent(failure); progress != Progress::done) return progress;

  auto& scratch = loop().scratch();
  std::size_t next = 0;
  while (next < slices.size()) {
    scratch.clear();
    for (std::size_t record = 0; record < records_at_once && next < slices.size();) {
      // Small slices travel together: a head and its short body are one record.
      [[clang::uninitialized]] char gathered[record_bytes];
      std::string_view plain = slices[next];
      if (plain.empty()) {
        ++next;
        continue;
      }
      if (plain.size() < record_bytes && next + 1 < slices.size()) {
        std::size_t size = 0;
        while (next < slices.size() && size < record_bytes) {
          std::string_view& slice = slices[next];
          const std::size_t piece = std::min(slice.size(), record_bytes - size);
          std::memcpy(gathered + size, slice.data(), piece);
          size += piece;
          slice.remove_prefix(piece);
          if (slice.empty()) ++next;
        }
        plain = {gathered, size};
      } else {
        plain = plain.substr(0, record_bytes);
        slices[next].remove_prefix(plain.size());
      }
      std::size_t written = 0;
      more_follows_ = next + 1 < slices.size() || (next < slices.size() && !slices[next].empty());
      ERR_clear_error();
      if (SSL_write_ex(ssl_, plain.data(), plain.size(), &written) != 1 || written != plain.size()) {
        failure = Errc::tls;
        note_tls_error();
        scratch.clear();
        return Progress::failed;
      }
      if (!scratch.empty()) ++record;
      if (!descriptor_.writable) break;
    }
    more_follows_ = false;
    if (const Progress progress = send_scratch(failure); progress != Progress::done) return progress;
  }
  return Progress::done;
}

Stream::Progress Stream::try_handshake(Errc& failure) noexcept {
  if (!descriptor_.is_open()) {
    failure = Errc::reset;
    return Progress::failed;
  }
  if (const Progress progress = flush_unsent(failure); progress != Progress::done) return progress;
  if (!handshake_done_) {
    loop().scratch().clear();
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_);
    const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, result);
    if (result == 1) {
      handshake_done_ = true;
    } else if (error != SSL_ERROR_WANT_READ) {
      note_tls_error();
      failure = saw_end_ && tls_error_.empty()                                         ? Errc::reset
                : SSL_is_server(ssl_) == 0 && SSL_get_verify_result(ssl_) != X509_V_OK ? Errc::tls_verify
                                                                                       : Errc::tls;
      Errc ignored = Errc::ok;
      send_scratch(ignored);  // the alert
      return Progress::failed;
    }
    const Progress progress = send_scratch(failure);
    if (progress == Progress::failed) return progress;
    if (!handshake_done_) return Progress::blocked;
    if (progress == Progress::blocked) return progress;
  }
  return Progress::done;
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
  suspended_ = true;
  stream_.begin_wait();
  stream_.descriptor_.reader = this;
}

std::expected<std::size_t, Errc> Stream::ReadOperation::await_resume() const noexcept {
  if (suspended_) stream_.end_wait();
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
  return stream_.descriptor_.readable || (stream_.ssl_ != nullptr && SSL_has_pending(stream_.ssl_) != 0);
}

void Stream::ReadableOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  suspended_ = true;
  stream_.begin_wait();
  stream_.descriptor_.reader = this;
}

Errc Stream::ReadableOperation::await_resume() const noexcept {
  if (suspended_) stream_.end_wait();
  return failure;
}

Stream::WriteOperation::WriteOperation(Stream& stream, std::span<const std::string_view> slices) noexcept
    : stream_(stream), count_(std::min(slices.size(), slices_.size())) {
  std::copy_n(slices.begin(), count_, slices_.begin());
}

Errc Stream::WriteOperation::await_resume() const noexcept {
  if (suspended_) stream_.end_wait();
  return failure;
}

bool Stream::WriteOperation::attempt() noexcept {
  return stream_.try_write({slices_.data(), count_}, failure) != Progress::blocked || failure != Errc::ok;
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
    failure = errno == EADDRNOTAVAIL ? Errc::exhausted : Errc::connect;
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
  if (error != 0) failure = Errc::connect;
  return true;
}

Stream::HandshakeOperation Stream::accept_tls(const ServerTlsBase& base, SniSelector& selector) {
  selector_ = &selector;
  ssl_ = SSL_new(base.context());
  if (ssl_ != nullptr) {
    SSL_set_app_data(ssl_, this);
    SocketBio::attach(ssl_, *this);
    SSL_set_accept_state(ssl_);
  } else {
    failed_ = Errc::exhausted;
  }
  return HandshakeOperation(*this);
}

Stream::HandshakeOperation Stream::connect_tls(const ClientTls& settings, const std::string& server_name) {
  ssl_ = SSL_new(settings.context());
  if (ssl_ == nullptr) {
    failed_ = Errc::exhausted;
    return HandshakeOperation(*this);
  }
  SocketBio::attach(ssl_, *this);
  SSL_set_connect_state(ssl_);
  if (IpAddress::parse(server_name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl_, server_name.c_str());
    SSL_set_hostflags(ssl_, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (SSL_set1_host(ssl_, server_name.c_str()) != 1) failed_ = Errc::tls_verify;
  }
  return HandshakeOperation(*this);
}

bool Stream::HandshakeOperation::attempt() noexcept { return stream_.try_handshake(failure) != Progress::blocked; }

bool Stream::HandshakeOperation::await_ready() noexcept {
  if (stream_.failed_ != Errc::ok) {
    failure = stream_.failed_;
    return true;
  }
  return attempt();
}

void Stream::HandshakeOperation::await_suspend(std::coroutine_handle<> awaiting) noexcept {
  coroutine = awaiting;
  stream_.descriptor_.reader = this;
  stream_.descriptor_.writer = this;
}

int ServerTlsBase::on_client_hello(SSL* ssl, int* alert, void*) {
  auto* const stream = static_cast<Stream*>(SSL_get_app_data(ssl));
  std::string_view name;
  const unsigned char* extension = nullptr;
  std::size_t size = 0;
  // server_name extension (RFC 6066 section 3): list length, type 0, name length, name.
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &extension, &size) == 1 && size > 5 &&
      extension[2] == 0) {
    const std::size_t list = static_cast<std::size_t>(extension[0]) << 8 | extension[1];
    const std::size_t length = static_cast<std::size_t>(extension[3]) << 8 | extension[4];
    if (list + 2 == size && length + 5 <= size) name = {reinterpret_cast<const char*>(extension) + 5, length};
  }
  stream->server_tls_ = stream->selector_->select(name);
  const ServerTls& chosen = *stream->server_tls_;
  if (SSL_set_SSL_CTX(ssl, chosen.context()) == nullptr) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  // These are copied into the connection when it is made and do not follow its context.
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(chosen.context()), nullptr);
  SSL_set_min_proto_version(ssl, chosen.min_version() == config::TlsVersion::tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  return SSL_CLIENT_HELLO_SUCCESS;
}

}  // namespace gatehouse::net
