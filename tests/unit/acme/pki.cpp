// Certificates, requests and public keys; see pki.hpp.
#include "pki.hpp"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>
#include <stdexcept>

#include "acme/base64url.hpp"

namespace gatehouse::acme::test {

namespace {

using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

void need(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

std::string names_text(const Identifiers& names) {
  std::string text;
  for (const Identifier& name : names)
    text += (text.empty() ? "" : ",") + std::string(name.type == Identifier::Type::dns ? "DNS:" : "IP:") + name.value;
  return text;
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  need(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension");
}

void add_authority_key(X509* certificate, std::string_view key_id) {
  const std::unique_ptr<AUTHORITY_KEYID, Freed<AUTHORITY_KEYID_free>> authority(AUTHORITY_KEYID_new());
  authority->keyid = ASN1_OCTET_STRING_new();
  ASN1_OCTET_STRING_set(authority->keyid, bytes_of(key_id), static_cast<int>(key_id.size()));
  need(X509_add1_ext_i2d(certificate, NID_authority_key_identifier, authority.get(), 0, 0) == 1, "authority key");
}

std::string pem_of(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  need(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void set_common_name(X509_NAME* name, const std::string& text) {
  if (!text.empty())
    need(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, bytes_of(text), -1, -1, 0) == 1, "name");
}

std::string sha256_of(std::string_view bytes) {
  std::string digest(32, '\0');
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr, EVP_sha256(),
             nullptr);
  return digest;
}

}  // namespace

std::string Issuer::issue(EVP_PKEY* subject_key, const Leaf& leaf) const {
  const X509Owner certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  const std::unique_ptr<BIGNUM, Freed<BN_free>> serial(
      BN_bin2bn(bytes_of(leaf.serial), static_cast<int>(leaf.serial.size()), nullptr));
  BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate.get()));
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), leaf.not_before.time_since_epoch().count());
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), leaf.not_after.time_since_epoch().count());
  set_common_name(X509_get_subject_name(certificate.get()), leaf.subject);
  const std::unique_ptr<X509_NAME, Freed<X509_NAME_free>> issuer(X509_NAME_new());
  set_common_name(issuer.get(), name_);
  X509_set_issuer_name(certificate.get(), issuer.get());
  need(X509_set_pubkey(certificate.get(), subject_key) == 1, "public key");
  if (!leaf.names.empty()) add_extension(certificate.get(), NID_subject_alt_name, names_text(leaf.names));
  if (!leaf.authority_key.empty()) add_authority_key(certificate.get(), leaf.authority_key);
  need(X509_sign(certificate.get(), key_.handle(), EVP_sha256()) > 0, "signature");
  return pem_of(certificate.get());
}

std::string Issuer::issue(const Issuer& other) const {
  Leaf leaf;
  leaf.subject = other.name_;
  leaf.not_after = some_time + std::chrono::hours(24 * 3650);
  return issue(other.key_.handle(), leaf);
}

std::optional<ReadRequest> read_request(std::string_view der) {
  const unsigned char* at = bytes_of(der);
  const std::unique_ptr<X509_REQ, Freed<X509_REQ_free>> request(
      d2i_X509_REQ(nullptr, &at, static_cast<long>(der.size())));
  if (!request || at != bytes_of(der) + der.size()) return std::nullopt;
  ReadRequest read;
  read.key.reset(X509_REQ_get_pubkey(request.get()));
  if (!read.key || X509_REQ_verify(request.get(), read.key.get()) != 1) return std::nullopt;
  read.has_subject = X509_NAME_entry_count(X509_REQ_get_subject_name(request.get())) > 0;
  STACK_OF(X509_EXTENSION)* const extensions = X509_REQ_get_extensions(request.get());
  int critical = 0;
  const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names(
      static_cast<GENERAL_NAMES*>(X509V3_get_d2i(extensions, NID_subject_alt_name, &critical, nullptr)));
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  read.is_critical = critical == 1;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* const value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    const std::string_view bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                                 static_cast<std::size_t>(ASN1_STRING_length(value)));
    if (type == GEN_DNS) read.names.push_back({Identifier::Type::dns, std::string(bytes)});
    if (type != GEN_IPADD) continue;
    std::array<char, 64> text{};
    if (bytes.size() == 4)
      std::snprintf(text.data(), text.size(), "%d.%d.%d.%d", bytes[0] & 255, bytes[1] & 255, bytes[2] & 255,
                    bytes[3] & 255);
    else if (bytes == std::string_view("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16))
      std::snprintf(text.data(), text.size(), "2001:db8::1");
    read.names.push_back({Identifier::Type::ip, text.data()});
  }
  return read;
}

PublicKey key_of_jwk(const nlohmann::json& jwk) {
  const auto member = [&](const char* name) {
    const auto bytes = from_base64url(jwk.value(name, ""));
    return bytes && bytes->size() == 32 ? *bytes : std::string();
  };
  const std::string x = member("x"), y = member("y");
  if (jwk.value("kty", "") != "EC" || jwk.value("crv", "") != "P-256" || x.empty() || y.empty()) return {};
  const std::string point = "\x04" + x + y;
  std::array<char, 6> group = {'P', '-', '2', '5', '6', '\0'};
  std::string own = point;
  const std::array<OSSL_PARAM, 3> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, own.data(), own.size()), OSSL_PARAM_construct_end()};
  const std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(parameters.data())) != 1)
    return {};
  return PublicKey(key);
}

std::string thumbprint_of_jwk(const nlohmann::json& jwk) {
  return base64url(sha256_of(R"({"crv":")" + jwk.value("crv", "") + R"(","kty":")" + jwk.value("kty", "") +
                             R"(","x":")" + jwk.value("x", "") + R"(","y":")" + jwk.value("y", "") + R"("})"));
}

bool verify_es256(EVP_PKEY* key, std::string_view message, std::string_view signature) {
  if (signature.size() != 64) return false;
  const std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>> parts(ECDSA_SIG_new());
  ECDSA_SIG_set0(parts.get(), BN_bin2bn(bytes_of(signature), 32, nullptr),
                 BN_bin2bn(bytes_of(signature) + 32, 32, nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts.get(), &der);
  const std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  const bool holds =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
      EVP_DigestVerify(context.get(), der, static_cast<std::size_t>(size), bytes_of(message), message.size()) == 1;
  OPENSSL_free(der);
  ERR_clear_error();
  return holds;
}

X509Owner first_certificate(std::string_view pem) {
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Owner(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
}

}  // namespace gatehouse::acme::test
