// TLS contexts; see tls.hpp. TLS 1.2 with AEAD and ECDHE only, and TLS 1.3 (RFC 9325).
#include "gateway/net/tls.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <mutex>
#include <stdexcept>

namespace gatehouse::net {

namespace {

template <auto Free>
using Deleter = OpenSslDeleter<Free>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
void free_certificates(STACK_OF(X509) * certificates) { sk_X509_pop_free(certificates, X509_free); }
void free_names(STACK_OF(X509_NAME) * names) { sk_X509_NAME_pop_free(names, X509_NAME_free); }
using CertificatesPtr = std::unique_ptr<STACK_OF(X509), Deleter<free_certificates>>;
using NamesPtr = std::unique_ptr<STACK_OF(X509_NAME), Deleter<free_names>>;
using StorePtr = std::unique_ptr<X509_STORE, Deleter<X509_STORE_free>>;

BioPtr bio_of(const std::string& text) { return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

int refuse_passphrase(char*, int, int, void*) { return -1; }  // an encrypted key is an error, never a prompt

void common_settings(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
  SSL_CTX_set_read_ahead(context, 1);
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

struct Chain {
  X509Ptr leaf;
  CertificatesPtr others;  // those between it and the root
};

std::expected<Chain, std::string> read_chain(const std::string& pem) {
  const BioPtr text = bio_of(pem);
  Chain chain{.leaf = X509Ptr(PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_passphrase, nullptr)),
              .others = CertificatesPtr(sk_X509_new_null())};
  if (!chain.leaf) return failure("the certificate file holds no PEM certificate");
  for (int count = 1;; ++count) {
    X509Ptr next(PEM_read_bio_X509(text.get(), nullptr, refuse_passphrase, nullptr));
    if (!next) break;
    if (count >= most_chain_certificates) return failure("the certificate file holds more than 16 certificates");
    if (!chain.others || sk_X509_push(chain.others.get(), next.get()) <= 0) return failure("out of memory");
    (void)next.release();  // the stack's
  }
  if (!at_end_of_pem()) return failure("the certificate chain is damaged");
  return chain;
}

std::expected<KeyPtr, std::string> read_key(const std::string& pem) {
  const BioPtr text = bio_of(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(text.get(), nullptr, refuse_passphrase, nullptr));
  if (!key) return failure("the key file holds no unencrypted PEM private key");
  return key;
}

struct Credentials {
  Chain chain;
  KeyPtr key;
};

/// As far as they fit one another and the level of security that OpenSSL is told to hold.
std::expected<Credentials, std::string> read_credentials(const std::string& certificate_pem,
                                                         const std::string& key_pem) {
  auto chain = read_chain(certificate_pem);
  if (!chain) return std::unexpected(std::move(chain).error());
  auto key = read_key(key_pem);
  if (!key) return std::unexpected(std::move(key).error());
  if (X509_check_private_key(chain->leaf.get(), key->get()) != 1)
    return failure("the private key does not belong to the certificate");
  if (costs_too_much(key->get()))
    return failure("an RSA key has at most 4096 bits: more costs all tenants too much time");
  static SSL_CTX* const any = SSL_CTX_new(TLS_method());
  const std::unique_ptr<SSL, Deleter<SSL_free>> trial(any != nullptr ? SSL_new(any) : nullptr);
  if (!trial) return failure("no TLS context");
  if (SSL_use_cert_and_key(trial.get(), chain->leaf.get(), key->get(), chain->others.get(), 1) != 1)
    return failure("the certificate or one of its chain cannot be used");
  return Credentials{.chain = *std::move(chain), .key = *std::move(key)};
}

/// The authorities that the peer's certificate may be signed by. A damaged one is an error, not the end of the file:
/// those behind it would silently not be trusted. `names`, if there are any to fill: a server tells clients which they are.
Outcome trust(X509_STORE* store, STACK_OF(X509_NAME) * names, const std::string& pem, const std::string& file) {
  const BioPtr text = bio_of(pem);
  int count = 0;
  while (const X509Ptr ca{PEM_read_bio_X509_AUX(text.get(), nullptr, refuse_passphrase, nullptr)}) {
    if (X509_STORE_add_cert(store, ca.get()) != 1) return failure("a certificate of " + file + " cannot be used");
    if (names != nullptr) {
      std::unique_ptr<X509_NAME, Deleter<X509_NAME_free>> name(X509_NAME_dup(X509_get_subject_name(ca.get())));
      if (!name || sk_X509_NAME_push(names, name.get()) <= 0) return failure("out of memory");
      (void)name.release();  // the stack's
    }
    ++count;
  }
  if (!at_end_of_pem()) return failure("a certificate of " + file + " is damaged");
  if (count == 0) return failure(file + " holds no PEM certificate");
  return {};
}

std::optional<std::chrono::system_clock::time_point> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return std::nullopt;
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

/// From now on each client's certificate is looked up in its issuer's list; without a list that is valid now it is
/// refused (RFC 5280 section 6.3). `until`: the first of them runs out then.
Outcome revoke(X509_STORE* store, const std::string& pem, const std::string& file,
               std::chrono::system_clock::time_point& until) {
  const BioPtr text = bio_of(pem);
  int count = 0;
  while (const std::unique_ptr<X509_CRL, Deleter<X509_CRL_free>> list{
      PEM_read_bio_X509_CRL(text.get(), nullptr, refuse_passphrase, nullptr)}) {
    if (X509_STORE_add_crl(store, list.get()) != 1) return failure("a revocation list of " + file + " cannot be used");
    if (const auto next = time_of(X509_CRL_get0_nextUpdate(list.get()))) until = std::min(until, *next);
    ++count;
  }
  if (!at_end_of_pem()) return failure("a revocation list of " + file + " is damaged");
  if (count == 0) return failure(file + " holds no PEM revocation list (X509 CRL)");
  if (X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK) != 1) return failure(file + " cannot be used");
  return {};
}

}  // namespace

class Intermediates {
 public:
  explicit Intermediates(CertificatesPtr certificates) : certificates_(std::move(certificates)) {}
  [[nodiscard]] STACK_OF(X509) * get() const noexcept { return certificates_.get(); }

  /// The same object for the same certificates, for as long as anyone has it.
  static std::shared_ptr<const Intermediates> shared(CertificatesPtr certificates) {
    std::string digests;
    for (int i = 0; i < sk_X509_num(certificates.get()); ++i) {
      unsigned char digest[EVP_MAX_MD_SIZE];
      unsigned size = 0;
      if (X509_digest(sk_X509_value(certificates.get(), i), EVP_sha256(), digest, &size) != 1)
        return std::make_shared<const Intermediates>(std::move(certificates));
      digests.append(reinterpret_cast<const char*>(digest), size);
    }
    static std::mutex mutex;
    static std::map<std::string, std::weak_ptr<const Intermediates>> known;
    const std::scoped_lock lock(mutex);
    std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<const Intermediates>& place = known[digests];
    std::shared_ptr<const Intermediates> one = place.lock();
    if (!one) place = one = std::make_shared<const Intermediates>(std::move(certificates));
    return one;
  }

 private:
  CertificatesPtr certificates_;
};

struct ServerTls::ClientAuthorities {
  StorePtr store{X509_STORE_new()};
  NamesPtr names{sk_X509_NAME_new_null()};
  std::chrono::system_clock::time_point lists_until = std::chrono::system_clock::time_point::max();
};

std::expected<void, std::string> ServerTls::add_certificate(const std::string& certificate_pem,
                                                            const std::string& key_pem) {
  ERR_clear_error();
  auto credentials = read_credentials(certificate_pem, key_pem);
  if (!credentials) return std::unexpected(std::move(credentials).error());
  certificates_.push_back({.leaf = std::move(credentials->chain.leaf),
                           .key = std::move(credentials->key),
                           .intermediates = Intermediates::shared(std::move(credentials->chain.others))});
  return {};
}

std::expected<std::shared_ptr<const ServerTls>, std::string> ServerTls::create(const ServerTlsSettings& settings) {
  std::shared_ptr<ServerTls> made(new ServerTls);
  ServerTls& tls = *made;
  if (auto added = tls.add_certificate(settings.certificate_pem, settings.key_pem); !added)
    return std::unexpected(std::move(added).error());
  if (!settings.second_certificate_pem.empty()) {
    if (auto added = tls.add_certificate(settings.second_certificate_pem, settings.second_key_pem); !added)
      return std::unexpected("the second certificate: " + added.error());
    if (EVP_PKEY_get_base_id(tls.certificates_[0].key.get()) == EVP_PKEY_get_base_id(tls.certificates_[1].key.get()))
      return std::unexpected("the second certificate has the same kind of key as the first");
  }
  if (settings.client_auth != config::ClientAuth::off) {
    auto authorities = std::make_unique<ClientAuthorities>();
    if (!authorities->store || !authorities->names) return failure("out of memory");
    if (const Outcome done =
            trust(authorities->store.get(), authorities->names.get(), settings.client_ca_pem, "client_ca_file");
        !done)
      return std::unexpected(done.error());
    if (!settings.client_crl_pem.empty())
      if (const Outcome done =
              revoke(authorities->store.get(), settings.client_crl_pem, "client_crl_file", authorities->lists_until);
          !done)
        return std::unexpected(done.error());
    tls.client_authorities_ = std::move(authorities);
  }
  // A session is resumed only under the settings that it was made with: this is part of what a ticket binds.
  const std::string bound = settings.certificate_pem + '\0' + settings.second_certificate_pem + '\0' +
                            settings.client_ca_pem + '\0' + settings.client_crl_pem + '\0' +
                            static_cast<char>('0' + static_cast<int>(settings.min_version)) +
                            static_cast<char>('0' + static_cast<int>(settings.client_auth));
  if (EVP_Digest(bound.data(), bound.size(), tls.session_context_.data(), nullptr, EVP_sha256(), nullptr) != 1)
    return failure("no SHA-256");
  tls.lineage_ = settings.lineage;
  tls.min_version_ = settings.min_version;
  tls.client_auth_ = settings.client_auth;
  X509* const leaf = tls.certificates_.front().leaf.get();
  tls.not_before_ = time_of(X509_get0_notBefore(leaf)).value_or(tls.not_before_);
  tls.not_after_ = time_of(X509_get0_notAfter(leaf)).value_or(tls.not_after_);
  char issuer[256] = {};
  X509_NAME_oneline(X509_get_issuer_name(leaf), issuer, sizeof issuer);
  tls.issuer_ = issuer;
  tls.self_signed_ = X509_NAME_cmp(X509_get_issuer_name(leaf), X509_get_subject_name(leaf)) == 0;
  return made;
}

std::expected<std::shared_ptr<const ServerTls>, std::string> ServerTls::create_challenge(
    const std::string& certificate_pem, const std::string& key_pem) {
  std::shared_ptr<ServerTls> made(new ServerTls);
  if (auto added = made->add_certificate(certificate_pem, key_pem); !added)
    return std::unexpected(std::move(added).error());
  std::ranges::copy(acme_alpn, made->session_context_.begin());
  made->is_challenge_ = true;
  return made;
}

ServerTls::~ServerTls() = default;

bool ServerTls::names(const std::string& host) const {
  if (host == "*") return true;
  X509* const leaf = certificates_.front().leaf.get();
  if (X509_check_ip_asc(leaf, host.c_str(), 0) == 1) return true;
  // Of a wildcard any name below it, which no certificate has as a name of its own.
  const std::string name = host.starts_with("*.") ? "any-name-below" + host.substr(1) : host;
  return X509_check_host(leaf, name.data(), name.size(), X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, nullptr) == 1;
}

bool ServerTls::still_takes(const X509* client) const noexcept {
  if (!client_authorities_ || client == nullptr) return true;
  return std::chrono::system_clock::now() < client_authorities_->lists_until &&
         X509_cmp_current_time(X509_get0_notAfter(client)) > 0;
}

bool ServerTls::apply_to(SSL* connection) const noexcept {
  for (const Certificate& certificate : certificates_)
    if (SSL_use_cert_and_key(connection, certificate.leaf.get(), certificate.key.get(),
                             certificate.intermediates->get(), 1) != 1)
      return false;
  if (SSL_set_session_id_context(connection, session_context_.data(), static_cast<unsigned>(session_context_.size())) !=
      1)
    return false;
  SSL_set_min_proto_version(connection, min_version_ == config::TlsVersion::tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  if (!client_authorities_) return true;
  NamesPtr names(SSL_dup_CA_list(client_authorities_->names.get()));
  if (!names || SSL_set1_verify_cert_store(connection, client_authorities_->store.get()) != 1) return false;
  SSL_set0_CA_list(connection, names.release());
  SSL_set_verify(connection,
                 client_auth_ == config::ClientAuth::required ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                                              : SSL_VERIFY_PEER,
                 nullptr);
  return true;
}

ServerTlsBase::ServerTlsBase() : context_(SSL_CTX_new(TLS_server_method())) {
  if (context_ == nullptr) throw std::runtime_error("no TLS context: " + take_openssl_errors());
  common_settings(context_);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);  // tickets only: no shared state among workers
  SSL_CTX_set_num_tickets(context_, 1);
  SSL_CTX_set_client_hello_cb(context_, &ServerTlsBase::on_client_hello, nullptr);
  SSL_CTX_set_alpn_select_cb(context_, &ServerTlsBase::on_alpn, nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context_, &ServerTlsBase::on_ticket);
  SSL_CTX_set_session_ticket_cb(context_, nullptr, &ServerTlsBase::on_session, nullptr);
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
  } else if (const Outcome done = trust(SSL_CTX_get_cert_store(context.get()), nullptr, *settings.ca_pem, "ca_file");
             !done) {
    return std::unexpected(done.error());
  }
  if (settings.certificate_pem) {
    const auto credentials = read_credentials(*settings.certificate_pem, settings.key_pem);
    if (!credentials) return std::unexpected("the client certificate: " + credentials.error());
    if (SSL_CTX_use_cert_and_key(context.get(), credentials->chain.leaf.get(), credentials->key.get(),
                                 credentials->chain.others.get(), 1) != 1)
      return failure("the client certificate cannot be used");
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
      const bool has_brackets = name.starts_with('[') && name.ends_with(']');
      const std::string plain = has_brackets ? name.substr(1, name.size() - 2) : name;
      if (ASN1_OCTET_STRING* const address = a2i_IPADDRESS(plain.c_str())) {
        GENERAL_NAME_set0_value(entry, GEN_IPADD, address);
      } else {
        ASN1_IA5STRING* const text = ASN1_IA5STRING_new();
        ASN1_STRING_set(text, name.data(), static_cast<int>(name.size()));
        GENERAL_NAME_set0_value(entry, GEN_DNS, text);
      }
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
