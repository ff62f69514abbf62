// Keys by OpenSSL; see private_key.hpp.
#include "acme/private_key.hpp"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <array>
#include <new>
#include <stdexcept>
#include <utility>

#include "acme/base64url.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::size_t coordinate_bytes = 32;  // of P-256
constexpr std::size_t most_pem_bytes = 64 * 1024;
constexpr long challenge_certificate_seconds = 7 * 24 * 3600;

template <auto free>
struct Deleter {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
template <class T, auto free>
using Owned = std::unique_ptr<T, Deleter<free>>;

using Bio = Owned<BIO, BIO_free_all>;
using Request = Owned<X509_REQ, X509_REQ_free>;
using Certificate = Owned<X509, X509_free>;
using Extension = Owned<X509_EXTENSION, X509_EXTENSION_free>;
using Names = Owned<GENERAL_NAMES, GENERAL_NAMES_free>;
using Signature = Owned<ECDSA_SIG, ECDSA_SIG_free>;
using DigestContext = Owned<EVP_MD_CTX, EVP_MD_CTX_free>;
using Number = Owned<BIGNUM, BN_clear_free>;

// OpenSSL's failures here are of memory or of a broken library: nothing that an input brings about.
[[noreturn]] void fail(const char* what) {
  ERR_clear_error();
  throw std::runtime_error(std::string("OpenSSL: ") + what);
}

template <class T>
T* need(T* object, const char* what) {
  if (object == nullptr) fail(what);
  return object;
}

void need(int result, const char* what) {
  if (result <= 0) fail(what);
}

const unsigned char* bytes_of(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) noexcept { return reinterpret_cast<unsigned char*>(text.data()); }

std::string number_bytes(const BIGNUM* number) {
  std::string bytes(coordinate_bytes, '\0');
  need(BN_bn2binpad(number, bytes_of(bytes), coordinate_bytes), "number");
  return bytes;
}

// The content of a subjectAltName.
Names general_names(const Identifiers& identifiers) {
  Names names(need(sk_GENERAL_NAME_new_null(), "names"));
  for (const Identifier& identifier : identifiers) {
    Owned<GENERAL_NAME, GENERAL_NAME_free> name(need(GENERAL_NAME_new(), "name"));
    if (identifier.type == Identifier::Type::dns) {
      Owned<ASN1_IA5STRING, ASN1_IA5STRING_free> text(need(ASN1_IA5STRING_new(), "name"));
      need(ASN1_STRING_set(text.get(), identifier.value.data(), static_cast<int>(identifier.value.size())), "name");
      GENERAL_NAME_set0_value(name.get(), GEN_DNS, text.release());
    } else {
      ASN1_OCTET_STRING* const address = a2i_IPADDRESS(identifier.value.c_str());
      if (address == nullptr) throw std::invalid_argument("not an IP address: " + identifier.value);
      GENERAL_NAME_set0_value(name.get(), GEN_IPADD, address);
    }
    need(sk_GENERAL_NAME_push(names.get(), name.get()), "names");
    static_cast<void>(name.release());
  }
  return names;
}

Extension subject_alternative_names(const Identifiers& identifiers, bool is_critical) {
  const Names names = general_names(identifiers);
  return Extension(need(X509V3_EXT_i2d(NID_subject_alt_name, is_critical ? 1 : 0, names.get()), "subjectAltName"));
}

std::string text_of(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

// Behind a damaged block OpenSSL reads with what it has kept of its older versions. Such a key does not tell its numbers;
// from its DER it is read like any other. nullptr where that fails.
EVP_PKEY* of_a_provider(EVP_PKEY* key) noexcept {
  if (key == nullptr || EVP_PKEY_get0_provider(key) != nullptr) return key;
  unsigned char* der = nullptr;
  const int size = i2d_PrivateKey(key, &der);
  EVP_PKEY_free(key);
  if (size <= 0) return nullptr;
  const unsigned char* at = der;
  key = d2i_AutoPrivateKey(nullptr, &at, size);
  OPENSSL_clear_free(der, static_cast<std::size_t>(size));
  return key;
}

}  // namespace

// --- Secret

Secret::~Secret() { OPENSSL_cleanse(text_.data(), text_.size()); }

Secret& Secret::operator=(Secret&& other) noexcept {
  OPENSSL_cleanse(text_.data(), text_.size());
  text_ = std::exchange(other.text_, {});
  return *this;
}

// --- PrivateKey

void PrivateKey::Free::operator()(evp_pkey_st* key) const noexcept { EVP_PKEY_free(key); }

std::string name_of(KeyType type) {
  switch (type) {
    case KeyType::ecdsa_p256: return "ecdsa_p256";
    case KeyType::rsa_2048: return "rsa_2048";
    case KeyType::rsa_3072: return "rsa_3072";
    case KeyType::rsa_4096: return "rsa_4096";
  }
  return {};
}

PrivateKey PrivateKey::generate(KeyType type) {
  EVP_PKEY* key = nullptr;
  switch (type) {
    case KeyType::ecdsa_p256: key = EVP_EC_gen("P-256"); break;
    case KeyType::rsa_2048: key = EVP_RSA_gen(2048); break;
    case KeyType::rsa_3072: key = EVP_RSA_gen(3072); break;
    case KeyType::rsa_4096: key = EVP_RSA_gen(4096); break;
  }
  return PrivateKey(need(key, "no key could be generated"));
}

std::expected<PrivateKey, std::string> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > most_pem_bytes) return std::unexpected("it is too large for a private key");
  if (pem.data() == nullptr) pem = "";  // of which OpenSSL makes no buffer
  const Bio bio(need(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), "memory"));
  // Without a callback OpenSSL would ask a terminal for the passphrase.
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  EVP_PKEY* const key = of_a_provider(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();  // OpenSSL says the same of a file without a key and of a key that it cannot read
  if (key == nullptr) {
    if (!pem.contains("PRIVATE KEY-----")) return std::unexpected("there is no private key in PEM form");
    return std::unexpected("the private key cannot be read; it must not be encrypted");
  }
  return PrivateKey(key);
}

Secret PrivateKey::to_pem() const {
  const Bio bio(need(BIO_new(BIO_s_secmem()), "memory"));
  need(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr), "PEM");
  return Secret(text_of(bio));
}

std::optional<KeyType> PrivateKey::type() const noexcept {
  if (is_p256()) return KeyType::ecdsa_p256;
  if (!is_rsa()) return std::nullopt;
  switch (EVP_PKEY_get_bits(key_.get())) {
    case 2048: return KeyType::rsa_2048;
    case 3072: return KeyType::rsa_3072;
    case 4096: return KeyType::rsa_4096;
    default: return std::nullopt;
  }
}

bool PrivateKey::is_rsa() const noexcept { return EVP_PKEY_is_a(key_.get(), "RSA") == 1; }

bool PrivateKey::is_p256() const noexcept {
  std::array<char, 32> group{};
  return EVP_PKEY_is_a(key_.get(), "EC") != 0 &&
         EVP_PKEY_get_group_name(key_.get(), group.data(), group.size(), nullptr) != 0 &&
         std::string_view(group.data()) == SN_X9_62_prime256v1;
}

std::string PrivateKey::sign_es256(std::string_view message) const {
  const DigestContext context(need(EVP_MD_CTX_new(), "memory"));
  need(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()), "signature");
  std::size_t size = 0;
  need(EVP_DigestSign(context.get(), nullptr, &size, bytes_of(message), message.size()), "signature");
  std::string der(size, '\0');
  need(EVP_DigestSign(context.get(), bytes_of(der), &size, bytes_of(message), message.size()), "signature");
  const unsigned char* at = bytes_of(der);
  const Signature signature(need(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(size)), "signature"));
  return number_bytes(ECDSA_SIG_get0_r(signature.get())) + number_bytes(ECDSA_SIG_get0_s(signature.get()));
}

std::string PrivateKey::public_jwk() const {
  BIGNUM* x = nullptr;
  BIGNUM* y = nullptr;
  need(EVP_PKEY_get_bn_param(key_.get(), OSSL_PKEY_PARAM_EC_PUB_X, &x), "public key");
  const Number own_x(x);
  need(EVP_PKEY_get_bn_param(key_.get(), OSSL_PKEY_PARAM_EC_PUB_Y, &y), "public key");
  const Number own_y(y);
  return R"({"crv":"P-256","kty":"EC","x":")" + base64url(number_bytes(x)) + R"(","y":")" + base64url(number_bytes(y)) +
         R"("})";
}

std::string PrivateKey::thumbprint() const { return base64url(sha256(public_jwk())); }

std::string PrivateKey::certificate_request(const Identifiers& names) const {
  const Request request(need(X509_REQ_new(), "request"));
  need(X509_REQ_set_version(request.get(), X509_REQ_VERSION_1), "request");
  need(X509_REQ_set_pubkey(request.get(), key_.get()), "request");
  Owned<STACK_OF(X509_EXTENSION),
        [](STACK_OF(X509_EXTENSION) * stack) { sk_X509_EXTENSION_pop_free(stack, X509_EXTENSION_free); }>
      extensions(need(sk_X509_EXTENSION_new_null(), "request"));
  Extension alternative =
      subject_alternative_names(names, true);  // critical: the subject is empty (RFC 5280 section 4.2.1.6)
  need(sk_X509_EXTENSION_push(extensions.get(), alternative.get()), "request");
  static_cast<void>(alternative.release());
  need(X509_REQ_add_extensions(request.get(), extensions.get()), "request");
  need(X509_REQ_sign(request.get(), key_.get(), EVP_sha256()), "request");
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  need(size, "request");
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

std::string PrivateKey::challenge_certificate(const Identifier& name, std::string_view key_authorization) const {
  const Certificate certificate(need(X509_new(), "certificate"));
  need(X509_set_version(certificate.get(), X509_VERSION_3), "certificate");
  std::array<unsigned char, 16> random{};
  need(RAND_bytes(random.data(), random.size()), "randomness");
  random[0] &= 0x7F;
  const Number serial(need(BN_bin2bn(random.data(), random.size(), nullptr), "serial number"));
  need(BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get())), "serial number");
  need(X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600), "validity");
  need(X509_gmtime_adj(X509_getm_notAfter(certificate.get()), challenge_certificate_seconds), "validity");
  X509_NAME* const subject = X509_get_subject_name(certificate.get());
  need(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, bytes_of("ACME challenge"), -1, -1, 0), "subject");
  need(X509_set_issuer_name(certificate.get(), subject), "issuer");
  need(X509_set_pubkey(certificate.get(), key_.get()), "public key");

  const Extension alternative = subject_alternative_names({name}, false);
  need(X509_add_ext(certificate.get(), alternative.get(), -1), "subjectAltName");

  const Owned<ASN1_OBJECT, ASN1_OBJECT_free> type(need(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1), "acmeIdentifier"));
  const std::string digest = sha256(key_authorization);
  std::string value = {'\x04', static_cast<char>(digest.size())};  // an OCTET STRING
  value += digest;
  const Owned<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> data(need(ASN1_OCTET_STRING_new(), "acmeIdentifier"));
  need(ASN1_OCTET_STRING_set(data.get(), bytes_of(std::as_const(value)), static_cast<int>(value.size())),
       "acmeIdentifier");
  const Extension identifier(need(X509_EXTENSION_create_by_OBJ(nullptr, type.get(), 1, data.get()), "acmeIdentifier"));
  need(X509_add_ext(certificate.get(), identifier.get(), -1), "acmeIdentifier");

  need(X509_sign(certificate.get(), key_.get(), EVP_sha256()), "signature");
  const Bio bio(need(BIO_new(BIO_s_mem()), "memory"));
  need(PEM_write_bio_X509(bio.get(), certificate.get()), "PEM");
  return text_of(bio);
}

// --- digests

std::string sha256(std::string_view bytes) {
  std::string digest(32, '\0');
  need(EVP_Digest(bytes.data(), bytes.size(), bytes_of(digest), nullptr, EVP_sha256(), nullptr), "digest");
  return digest;
}

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::string digest(32, '\0');
  unsigned int size = 0;
  need(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message), message.size(), bytes_of(digest),
            &size),
       "digest");
  return digest;
}

}  // namespace gatehouse::acme
