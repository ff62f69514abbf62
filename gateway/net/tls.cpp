// TLS contexts; see tls.hpp. TLS 1.2 with AEAD and ECDHE only, and TLS 1.3 (RFC 9325).
#include "gateway/net/tls.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <stdexcept>

namespace gatehouse::net {

namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

BioPtr bio_of(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

int refuse_passphrase(char*, int, int, void*) { return -1; }  // an encrypted key is an error, never a prompt

int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                unsigned offered_size, void*) {
  static constexpr unsigned char ours[] = {2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1'};  // the best first
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, out_size, ours, sizeof ours, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 7301 section 3.2
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

int select_challenge_alpn(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                          unsigned offered_size, void*) {
  if (offered_size != 1 + acme_alpn.size()) return SSL_TLSEXT_ERR_ALERT_FATAL;  // RFC 8737 section 3: nothing else
  *out = offered + 1;
  *out_size = static_cast<unsigned char>(acme_alpn.size());
  return SSL_TLSEXT_ERR_OK;
}

void common_settings(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
  SSL_CTX_set_read_ahead(context, 1);
}

std::string digest_of(const ServerTlsSettings& settings) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  const std::string all = settings.certificate_pem + '\0' + settings.client_ca_pem + '\0' +
                          static_cast<char>('0' + static_cast<int>(settings.min_version)) +
                          static_cast<char>('0' + static_cast<int>(settings.client_auth));
  EVP_Digest(all.data(), all.size(), digest, &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<char*>(digest), size};
}

std::unexpected<std::string> failure(const std::string& what) {
  const std::string detail = take_openssl_errors();
  return std::unexpected(detail.empty() ? what : what + " (" + detail + ")");
}

}  // namespace

std::string take_openssl_errors() {
  std::string text;
  while (const unsigned long code = ERR_get_error()) {
    const char* const reason = ERR_reason_error_string(code);
    if (!text.empty()) text += "; ";
    text += reason != nullptr ? reason : "error " + std::to_string(ERR_GET_REASON(code));
  }
  return text;
}

namespace {

// A handshake signs on the worker, where others wait: 5 ms with RSA 4096, 40 ms with 7680, 200 ms with 15360.
constexpr int most_rsa_bits = 4096;
constexpr int most_chain_certificates = 16;  // all are sent in each handshake

bool costs_too_much(const EVP_PKEY* key) {
  return EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) > most_rsa_bits;
}

/// After a PEM reader has returned nothing: true if the text has ended, false if what stands there is damaged.
bool at_end_of_pem() {
  const unsigned long last = ERR_peek_last_error();
  if (last != 0 && (ERR_GET_LIB(last) != ERR_LIB_PEM || ERR_GET_REASON(last) != PEM_R_NO_START_LINE)) return false;
  ERR_clear_error();
  return true;
}

using Outcome = std::expected<void, std::string>;

/// The certificate, then those between it and the root. Returns the first.
std::expected<X509Ptr, std::string> use_chain(SSL_CTX* context, const std::string& pem) {
  const BioPtr chain = bio_of(pem);
  X509Ptr leaf(PEM_read_bio_X509_AUX(chain.get(), nullptr, refuse_passphrase, nullptr));
  if (!leaf) return failure("the certificate file holds no PEM certificate");
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) return failure("the certificate cannot be used");
  for (int count = 1;; ++count) {
    X509Ptr next(PEM_read_bio_X509(chain.get(), nullptr, refuse_passphrase, nullptr));
    if (!next) break;
    if (count >= most_chain_certificates) return failure("the certificate file holds more than 16 certificates");
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) return failure("a certificate of the chain cannot be used");
    (void)next.release();  // the context's
  }
  if (!at_end_of_pem()) return failure("the certificate chain is damaged");
  return leaf;
}

Outcome use_key(SSL_CTX* context, const std::string& pem) {
  const BioPtr text = bio_of(pem);
  const KeyPtr key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_passphrase, nullptr));
  if (!key) return failure("the key file holds no unencrypted PEM private key");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1)
    return failure("the private key does not belong to the certificate");
  if (costs_too_much(key.get()))
    return failure("an RSA key has at most 4096 bits: more costs all tenants too much time");
  return {};
}

/// The authorities that the peer's certificate may be signed by. A damaged one is an error, not the end of the file:
/// those behind it would silently not be trusted. `as_hint`: a server tells clients which they are.
Outcome trust(SSL_CTX* context, const std::string& pem, const std::string& file, bool as_hint) {
  const BioPtr text = bio_of(pem);
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  int count = 0;
  while (const X509Ptr ca{PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_passphrase, nullptr)}) {
    if (X509_STORE_add_cert(store, ca.get()) != 1 || (as_hint && SSL_CTX_add_client_CA(context, ca.get()) != 1))
      return failure("a certificate of " + file + " cannot be used");
    ++count;
  }
  if (!at_end_of_pem()) return failure("a certificate of " + file + " is damaged");
  if (count == 0) return failure(file + " holds no PEM certificate");
  return {};
}

}  // namespace

std::expected<std::shared_ptr<const ServerTls>, std::string> ServerTls::create(const ServerTlsSettings& settings) {
  ERR_clear_error();
  const ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return failure("no TLS context");
  common_settings(context.get());
  SSL_CTX_set_alpn_select_cb(context.get(), select_alpn, nullptr);

  const auto leaf = use_chain(context.get(), settings.certificate_pem);
  if (!leaf) return std::unexpected(leaf.error());
  if (const Outcome used = use_key(context.get(), settings.key_pem); !used) return std::unexpected(used.error());

  if (settings.client_auth != config::ClientAuth::off) {
    if (const Outcome done = trust(context.get(), settings.client_ca_pem, "client_ca_file", true); !done)
      return std::unexpected(done.error());
    SSL_CTX_set_verify(context.get(),
                       settings.client_auth == config::ClientAuth::required
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       nullptr);
  }
  // A session is resumed only under the settings that it was made with: this is part of what a ticket binds.
  const std::string digest = digest_of(settings);
  SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>(digest.data()),
                                 static_cast<unsigned>(digest.size()));

  std::shared_ptr<ServerTls> made(new ServerTls);
  SSL_CTX_up_ref(context.get());
  made->context_ = context.get();
  made->identity_ = settings.identity;
  made->min_version_ = settings.min_version;
  made->client_auth_ = settings.client_auth;
  std::tm expiry{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(leaf->get()), &expiry) == 1)
    made->not_after_ = std::chrono::system_clock::from_time_t(::timegm(&expiry));
  char issuer[256] = {};
  X509_NAME_oneline(X509_get_issuer_name(leaf->get()), issuer, sizeof issuer);
  made->issuer_ = issuer;
  made->self_signed_ = X509_NAME_cmp(X509_get_issuer_name(leaf->get()), X509_get_subject_name(leaf->get())) == 0;
  return made;
}

std::expected<std::shared_ptr<const ServerTls>, std::string> ServerTls::create_challenge(
    const std::string& certificate_pem, const std::string& key_pem) {
  ERR_clear_error();
  const ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return failure("no TLS context");
  common_settings(context.get());
  SSL_CTX_set_alpn_select_cb(context.get(), select_challenge_alpn, nullptr);
  if (const auto leaf = use_chain(context.get(), certificate_pem); !leaf) return std::unexpected(leaf.error());
  if (const Outcome used = use_key(context.get(), key_pem); !used) return std::unexpected(used.error());
  static constexpr unsigned char session_context[] = "acme-tls/1";
  SSL_CTX_set_session_id_context(context.get(), session_context, sizeof session_context - 1);
  std::shared_ptr<ServerTls> made(new ServerTls);
  SSL_CTX_up_ref(context.get());
  made->context_ = context.get();
  made->is_challenge_ = true;
  return made;
}

ServerTls::~ServerTls() { SSL_CTX_free(context_); }

ServerTlsBase::ServerTlsBase() : context_(SSL_CTX_new(TLS_server_method())) {
  if (context_ == nullptr) throw std::runtime_error("no TLS context: " + take_openssl_errors());
  common_settings(context_);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);  // tickets only: no shared state among workers
  SSL_CTX_set_num_tickets(context_, 1);
  SSL_CTX_set_client_hello_cb(context_, &ServerTlsBase::on_client_hello, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context_, &ServerTlsBase::on_ticket);
}

ServerTlsBase::~ServerTlsBase() { SSL_CTX_free(context_); }

std::expected<std::shared_ptr<const ClientTls>, std::string> ClientTls::create(const Settings& settings) {
  ERR_clear_error();
  const ContextPtr context(SSL_CTX_new(TLS_client_method()));
  if (!context) return failure("no TLS context");
  common_settings(context.get());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (!settings.ca_pem) {
    if (SSL_CTX_set_default_verify_paths(context.get()) != 1)
      return failure("cannot load the system's CA certificates");
  } else if (const Outcome done = trust(context.get(), *settings.ca_pem, "ca_file", false); !done) {
    return std::unexpected(done.error());
  }
  if (settings.certificate_pem) {
    if (const auto leaf = use_chain(context.get(), *settings.certificate_pem); !leaf)
      return std::unexpected("the client certificate: " + leaf.error());
    if (const Outcome used = use_key(context.get(), settings.key_pem); !used)
      return std::unexpected("the client certificate: " + used.error());
  }
  std::shared_ptr<ClientTls> made(new ClientTls);
  SSL_CTX_up_ref(context.get());
  made->context_ = context.get();
  return made;
}

ClientTls::~ClientTls() { SSL_CTX_free(context_); }

ServerTlsSettings make_self_signed(const std::vector<std::string>& names) {
  ERR_clear_error();
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate(X509_new());
  if (!key || !certificate) throw std::runtime_error("cannot make a key: " + take_openssl_errors());
  unsigned char serial[16];
  if (RAND_bytes(serial, sizeof serial) != 1) throw std::runtime_error("no random bytes: " + take_openssl_errors());
  serial[0] &= 0x7f;
  const std::unique_ptr<BIGNUM, Deleter<BN_free>> number(BN_bin2bn(serial, sizeof serial, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get()));
  X509_set_version(certificate.get(), X509_VERSION_3);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 397L * 24 * 3600);
  X509_set_pubkey(certificate.get(), key.get());
  const std::string common = names.empty() ? "gatehouse" : names.front().substr(0, 64);
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(common.c_str()), -1,
                             -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  // Subject alternative names are added as structures, not as OpenSSL's configuration text: a name is never syntax.
  if (!names.empty()) {
    const std::unique_ptr<GENERAL_NAMES, Deleter<GENERAL_NAMES_free>> alternatives(GENERAL_NAMES_new());
    for (const std::string& name : names) {
      GENERAL_NAME* const entry = GENERAL_NAME_new();
      ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
      GENERAL_NAME_set0_value(entry, GEN_DNS, text);
      sk_GENERAL_NAME_push(alternatives.get(), entry);
    }
    X509_add1_ext_i2d(certificate.get(), NID_subject_alt_name, alternatives.get(), 0, 0);
  }
  if (X509_sign(certificate.get(), key.get(), EVP_sha256()) == 0)
    throw std::runtime_error("cannot sign: " + take_openssl_errors());

  const auto text_of = [](BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<std::size_t>(size));
  };
  ServerTlsSettings settings;
  const BioPtr certificate_out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_out.get(), certificate.get());
  settings.certificate_pem = text_of(certificate_out.get());
  const BioPtr key_out(BIO_new(BIO_s_secmem()));
  PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  settings.key_pem = text_of(key_out.get());
  return settings;
}

}  // namespace gatehouse::net
