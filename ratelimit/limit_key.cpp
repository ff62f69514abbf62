// Bucket names; see limit_key.hpp.
#include "ratelimit/limit_key.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <stdexcept>

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kLongestPlainText = 64;  // an IPv6 address and most host names fit

constexpr bool is_plain(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_plain_name(std::string_view text) noexcept {
  return text.size() <= kLongestPlainText && std::ranges::all_of(text, is_plain);
}

bool is_plain_text(std::string_view text) noexcept {
  return text.size() <= kLongestPlainText && std::ranges::all_of(text, [](char c) { return is_plain(c) || c == ':'; });
}

void append_name(std::string& out, std::string_view name) {
  if (is_plain_name(name)) {
    out += name;
    return;
  }
  out += '~';
  append_sha256(out, name);
}

void append_part(std::string& out, const KeyPart& part) {
  constexpr std::size_t kDigestLength = 1 + 64;
  const std::string_view text = part.kind == KeyPart::Kind::tenant ? std::string_view{} : part.text;
  const bool plain = part.kind != KeyPart::Kind::header && is_plain_text(text);
  std::array<char, 20> digits;
  const auto [end, error] =
      std::to_chars(digits.data(), digits.data() + digits.size(), plain ? text.size() : kDigestLength);
  out += ':';
  out += static_cast<char>(part.kind);
  out.append(digits.data(), end);
  out += '=';
  if (plain) {
    out += text;
  } else {
    out += '~';
    append_sha256(out, text);
  }
}

struct MdDeleter {
  void operator()(EVP_MD* digest) const noexcept { EVP_MD_free(digest); }
};
struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

void append_digest(std::string& out, const EVP_MD* digest, std::string_view text) {
  // One context a thread: to make one costs more than to hash a header.
  thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context{EVP_MD_CTX_new()};
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int size = 0;
  if (!context || EVP_DigestInit_ex(context.get(), digest, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), text.data(), text.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), bytes.data(), &size) != 1) {
    throw std::runtime_error("OpenSSL cannot compute a digest");  // out of memory, or a broken installation
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (unsigned int i = 0; i < size; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
}

using Digest = std::unique_ptr<EVP_MD, MdDeleter>;

/// To be kept by the caller: in OpenSSL 3 looking a digest up costs several times its computation.
Digest fetch(const char* name) {
  Digest digest{EVP_MD_fetch(nullptr, name, nullptr)};
  if (!digest) throw std::runtime_error("OpenSSL lacks a digest that the limits need");
  return digest;
}

}  // namespace

std::string bucket_key(std::string_view tenant, std::string_view limit, std::span<const KeyPart> parts) {
  std::string key;
  key.reserve(96);
  key += "gatehouse:{";
  append_name(key, tenant);
  key += "}:";
  append_name(key, limit);
  for (const KeyPart& part : parts) append_part(key, part);
  return key;
}

void append_sha256(std::string& out, std::string_view text) {
  static const Digest digest = fetch("SHA256");
  append_digest(out, digest.get(), text);
}

void append_sha1(std::string& out, std::string_view text) {
  static const Digest digest = fetch("SHA1");
  append_digest(out, digest.get(), text);
}

}  // namespace gatehouse::ratelimit
