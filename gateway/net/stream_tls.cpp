// TLS on a stream; see stream.hpp.
//
// TLS runs over a BIO of ours: it reads from the socket only when epoll has said that there is something, sends large
// records from where OpenSSL made them and collects small ones in the loop's scratch buffer, so that they are one
// system call. What the socket does not take is kept: OpenSSL never sees a write that would block.
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "gateway/net/listener.hpp"
#include "gateway/net/stream.hpp"
#include "gateway/net/ticket_keys.hpp"

namespace gatehouse::net {

namespace {

constexpr std::size_t record_bytes = 16 * 1024;      // the largest TLS record's plaintext
constexpr std::size_t records_at_once = 4;           // collected before they are sent
constexpr std::size_t worth_a_send = 8 * 1024;       // from here on a system call costs less than a copy

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
    stream.saw_end_ = stream.saw_reset_ = true;
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

const char* Stream::tls_version() const noexcept { return ssl_ != nullptr ? SSL_get_version(ssl_) : ""; }

bool Stream::speaks_http2() const noexcept {
  if (ssl_ == nullptr) return false;
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &chosen, &size);
  return size == 2 && std::memcmp(chosen, "h2", 2) == 0;
}

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
    failure = errc_of(errno);
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

// Whether OpenSSL has taken from the socket what a read can give.
bool Stream::holds_input() const noexcept {
  return ssl_ != nullptr && !record_is_partial_ && SSL_has_pending(ssl_) != 0;
}

Stream::Progress Stream::try_read_tls(std::span<char> buffer, std::size_t& got, Errc& failure) noexcept {
  if (!descriptor_.readable && !holds_input()) return Progress::blocked;
  loop().scratch().clear();
  ERR_clear_error();
  const int result = SSL_read_ex(ssl_, buffer.data(), buffer.size(), &got);
  if (result != 1) {
    const int error = SSL_get_error(ssl_, result);
    if (error == SSL_ERROR_WANT_READ) {
      record_is_partial_ = true;
      send_scratch(failure);  // a KeyUpdate's answer, at most
      return Progress::blocked;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
      saw_end_ = true;
      failure = Errc::end_of_stream;
    } else {
      failure = saw_reset_ ? Errc::reset : saw_end_ ? Errc::truncated : Errc::tls;
      note_tls_error();
      send_scratch(failure);  // the alert
      handshake_done_ = false;
    }
    return Progress::failed;
  }
  record_is_partial_ = false;
  if (!loop().scratch().empty()) send_scratch(failure);
  return Progress::done;
}

Stream::Progress Stream::try_write_tls(std::span<std::string_view> slices, Errc& failure) noexcept {
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

IpAddress Stream::destination() const { return destination_ ? *destination_ : local_address(fd()).ip; }

Stream::HandshakeOperation Stream::accept_tls(const ServerTlsBase& base, SniSelector& selector,
                                              std::optional<IpAddress> destination) {
  destination_ = destination;
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
  if (server_name.empty() && SSL_get_verify_mode(ssl_) != SSL_VERIFY_NONE) {
    failed_ = Errc::tls_verify;  // OpenSSL would take anybody's certificate
  } else if (IpAddress::parse(server_name)) {
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

namespace {

// Whether the one protocol that the client offers is that of tls-alpn-01 (RFC 8737 section 3, RFC 7301 section 3.1).
bool is_acme_validation(SSL* ssl) {
  const unsigned char* extension = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &size) != 1)
    return false;
  return size == 3 + acme_alpn.size() && extension[2] == acme_alpn.size() &&
         std::string_view(reinterpret_cast<const char*>(extension) + 3, acme_alpn.size()) == acme_alpn;
}

}  // namespace

// 0: no ticket, a full handshake; 1: as asked; 2: good, but a new one is due (SSL_CTX_set_tlsext_ticket_key_evp_cb(3)).
int ServerTlsBase::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                             int is_new) {
  static const EVP_CIPHER* const aes = EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr);
  const auto* const stream = static_cast<const Stream*>(SSL_get_app_data(ssl));
  const TicketKeys* const keys = stream->selector_ != nullptr ? stream->selector_->ticket_keys() : nullptr;
  if (keys == nullptr || aes == nullptr) return 0;
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  const TicketKey& current = keys->current(now);
  const TicketKey* const key = is_new != 0 ? &current : keys->find(std::span<const unsigned char, 16>(name, 16));
  if (key == nullptr) return 0;
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key->mac_key.data()),
                                        key->mac_key.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_CTX_set_params(mac, parameters) != 1) return -1;
  if (is_new != 0) {
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return -1;
    std::ranges::copy(key->name, name);
    return EVP_EncryptInit_ex(cipher, aes, nullptr, key->cipher_key.data(), iv) == 1 ? 1 : -1;
  }
  if (EVP_DecryptInit_ex(cipher, aes, nullptr, key->cipher_key.data(), iv) != 1) return -1;
  // A TLS 1.3 client uses a ticket once and needs another for its next connection (RFC 8446 appendix C.4).
  return key != &current || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
}

// What becomes of a ticket that was read, or could not be (SSL_CTX_set_session_ticket_cb(3)). Clients are verified in full
// handshakes only: what they have shown must be good still.
SSL_TICKET_RETURN ServerTlsBase::on_session(SSL* ssl, SSL_SESSION* session, const unsigned char*, std::size_t,
                                            SSL_TICKET_STATUS status, void*) {
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const auto& tls = static_cast<const Stream*>(SSL_get_app_data(ssl))->server_tls_;
  if (tls && !tls->still_takes(SSL_SESSION_get0_peer(session))) return SSL_TICKET_RETURN_IGNORE_RENEW;
  return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int ServerTlsBase::on_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                           unsigned offered_size, void*) {
  static constexpr unsigned char ours[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  // the best first
  if (static_cast<const Stream*>(SSL_get_app_data(ssl))->server_tls_->is_challenge()) {
    if (offered_size != 1 + acme_alpn.size()) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 8737 section 3: nothing else
    *out = offered + 1;
    *out_size = static_cast<unsigned char>(acme_alpn.size());
    return SSL_TLSEXT_ERR_OK;
  }
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
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
  if (is_acme_validation(ssl)) {
    stream->server_tls_ = stream->selector_->select_challenge(name);
    if (!stream->server_tls_) {
      *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
      return SSL_CLIENT_HELLO_ERROR;
    }
  } else {
    stream->server_tls_ =
        name.empty() ? stream->selector_->select_unnamed(stream->destination()) : stream->selector_->select(name);
  }
  if (!stream->server_tls_->apply_to(ssl)) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  return SSL_CLIENT_HELLO_SUCCESS;
}

}  // namespace gatehouse::net
