// Certificates by OpenSSL; see certificate.hpp.
#include "acme/certificate.hpp"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <optional>
#include <vector>

#include "acme/base64url.hpp"
#include "acme/problem.hpp"
#include "config/address.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::size_t most_chain_bytes = 100 * 1024;
constexpr std::size_t most_certificates = 10;

struct FreeCertificate {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, FreeCertificate>;

// Whether every block in PEM form is a certificate: whatever else a CA sends, a key for example, would be served with it
// (RFC 8555 section 9.1).
bool has_certificates_alone(std::string_view pem) noexcept {
  static constexpr std::string_view begin = "-----BEGIN", rest = " CERTIFICATE-----";
  for (std::size_t at = pem.find(begin); at != std::string_view::npos; at = pem.find(begin, at))
    if (at += begin.size(); !pem.substr(at).starts_with(rest)) return false;
  return true;
}

// All of the chain, or nothing where a part of it is no certificate.
std::vector<Certificate> certificates_of(std::string_view pem) {
  std::vector<Certificate> chain;
  if (pem.empty() || pem.size() > most_chain_bytes || !has_certificates_alone(pem)) return chain;
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  if (!bio) throw std::bad_alloc();
  const auto no_passphrase = [](char*, int, int, void*) { return -1; };
  while (X509* const certificate = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    chain.emplace_back(certificate);
    if (chain.size() > most_certificates) break;
  }
  const unsigned long reason = ERR_peek_last_error();
  ERR_clear_error();
  const bool is_at_end = ERR_GET_LIB(reason) == ERR_LIB_PEM && ERR_GET_REASON(reason) == PEM_R_NO_START_LINE;
  if (!is_at_end || chain.size() > most_certificates) chain.clear();
  return chain;
}

std::optional<Time> time_of(const ASN1_TIME* time) {
  std::tm civil{};
  if (ASN1_TIME_to_tm(time, &civil) != 1) return std::nullopt;
  return Time(Seconds(::timegm(&civil)));
}

std::string name_of(const X509_NAME* name) {
  std::array<char, 256> text{};
  // The API takes names that are not const and leaves them alone.
  auto* const own = const_cast<X509_NAME*>(name);  // NOLINT(cppcoreguidelines-pro-type-const-cast)
  if (X509_NAME_get_text_by_NID(own, NID_commonName, text.data(), text.size()) <= 0)
    X509_NAME_oneline(own, text.data(), static_cast<int>(text.size()));
  return printable(text.data(), text.size());
}

std::string_view bytes_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

// RFC 5952's form of 4 or 16 bytes in network order.
std::string address_text(std::string_view bytes) {
  if (bytes.size() == 4) {
    std::uint32_t value = 0;
    for (const char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
    return IpAddress::v4(value).to_string();
  }
  if (bytes.size() != 16) return "?";
  std::array<std::uint8_t, 16> address{};
  std::ranges::transform(bytes, address.begin(), [](char byte) { return static_cast<std::uint8_t>(byte); });
  return IpAddress::v6(address).to_string();
}

Identifiers names_of(X509* certificate) {
  Identifiers identifiers;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
  for (int i = 0; i < count; ++i) {
    int type = 0;
    const void* const value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type);
    if (type == GEN_DNS) {
      std::string name(bytes_of(static_cast<const ASN1_STRING*>(value)));
      std::ranges::transform(name, name.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      identifiers.push_back({Identifier::Type::dns, printable(name, 253)});
    } else if (type == GEN_IPADD) {
      identifiers.push_back({Identifier::Type::ip, address_text(bytes_of(static_cast<const ASN1_STRING*>(value)))});
    }
  }
  std::ranges::sort(identifiers);
  return identifiers;
}

std::string hexadecimal(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text += digits[static_cast<unsigned char>(byte) >> 4];
    text += digits[static_cast<unsigned char>(byte) & 0x0F];
  }
  return text;
}

// The content bytes of the DER form: with a zero before a first bit that is set.
std::string serial_of(X509* certificate) {
  std::string serial(bytes_of(X509_get0_serialNumber(certificate)));
  if (serial.empty() || (static_cast<unsigned char>(serial[0]) & 0x80) != 0) serial.insert(serial.begin(), '\0');
  return serial;
}

}  // namespace

std::expected<CertificateFacts, std::string> read_chain(std::string_view pem) {
  const std::vector<Certificate> chain = certificates_of(pem);
  if (chain.empty()) return std::unexpected("not a chain of certificates in PEM form");
  X509* const leaf = chain.front().get();
  const auto not_before = time_of(X509_get0_notBefore(leaf));
  const auto not_after = time_of(X509_get0_notAfter(leaf));
  if (!not_before || !not_after || *not_after <= *not_before)
    return std::unexpected("the certificate's validity cannot be read");
  CertificateFacts facts{*not_before,
                         *not_after,
                         names_of(leaf),
                         name_of(X509_get_issuer_name(leaf)),
                         name_of(X509_get_issuer_name(chain.back().get())),
                         {},
                         {}};
  if (facts.names.empty()) return std::unexpected("the certificate is for no name");
  const std::string serial = serial_of(leaf);
  facts.serial = hexadecimal(serial);
  if (const ASN1_OCTET_STRING* const authority = X509_get0_authority_key_id(leaf))
    facts.renewal_id = base64url(bytes_of(authority)) + "." + base64url(serial);
  return facts;
}

bool is_for_key(std::string_view chain_pem, const PrivateKey& key) {
  const std::vector<Certificate> chain = certificates_of(chain_pem);
  const bool matches = !chain.empty() && X509_check_private_key(chain.front().get(), key.handle()) == 1;
  ERR_clear_error();
  return matches;
}

std::string leaf_der(std::string_view chain_pem) {
  const std::vector<Certificate> chain = certificates_of(chain_pem);
  if (chain.empty()) return {};
  unsigned char* der = nullptr;
  const int size = i2d_X509(chain.front().get(), &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

}  // namespace gatehouse::acme
