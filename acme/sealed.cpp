// Sealed values; see sealed.hpp. "GH1", the key's id, 12 bytes of nonce, the ciphertext, 16 bytes of tag.
#include "acme/sealed.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "acme/private_key.hpp"

namespace gatehouse::acme {
namespace {

constexpr std::string_view magic = "GH1";
constexpr std::size_t id_bytes = 8, nonce_bytes = 12, tag_bytes = 16;
constexpr std::size_t head_bytes = magic.size() + id_bytes + nonce_bytes;

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

const unsigned char* bytes_of(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

Sealer::Sealer(const std::array<unsigned char, key_bytes>& key) : key_(key) {
  Secret bytes(std::string(reinterpret_cast<const char*>(key_.data()), key_.size()));
  const std::string id = hmac_sha256(bytes.reveal(), "gatehouse key id");
  std::copy_n(id.begin(), id_.size(), id_.begin());
}

Sealer::~Sealer() { wipe(); }

void Sealer::wipe() noexcept { OPENSSL_cleanse(key_.data(), key_.size()); }

std::expected<Sealer, std::string> Sealer::from_base64(std::string_view text) {
  while (text.ends_with('\n') || text.ends_with('\r')) text.remove_suffix(1);
  std::array<unsigned char, key_bytes + 1> decoded{};
  if (text.size() != 44 ||
      text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") !=
          std::string_view::npos ||
      EVP_DecodeBlock(decoded.data(), bytes_of(text), 44) != static_cast<int>(key_bytes) + 1 || text[43] != '=' ||
      text[42] == '=')
    return std::unexpected(
        "it holds no key: base64 of 32 bytes on one line is expected, as of `openssl rand -base64 32`");
  std::array<unsigned char, key_bytes> key;
  std::copy_n(decoded.begin(), key_bytes, key.begin());
  OPENSSL_cleanse(decoded.data(), decoded.size());
  Sealer sealer(key);
  OPENSSL_cleanse(key.data(), key.size());
  return sealer;
}

std::string Sealer::seal(std::string_view name, std::string_view value) const {
  std::string sealed(head_bytes + value.size() + tag_bytes, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(sealed.data());
  std::memcpy(out, magic.data(), magic.size());
  std::memcpy(out + magic.size(), id_.data(), id_bytes);
  unsigned char* const nonce = out + magic.size() + id_bytes;
  const Context context(EVP_CIPHER_CTX_new());
  int size = 0;
  if (!context || RAND_bytes(nonce, nonce_bytes) != 1 ||
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nonce) != 1 ||
      EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(name), static_cast<int>(name.size())) != 1 ||
      EVP_EncryptUpdate(context.get(), out + head_bytes, &size, bytes_of(value), static_cast<int>(value.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get(), out + head_bytes + value.size(), &size) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, tag_bytes, out + head_bytes + value.size()) != 1)
    throw std::runtime_error("cannot encrypt");
  return sealed;
}

std::expected<std::string, Sealer::Fault> Sealer::open(std::string_view name, std::string_view sealed) const {
  if (sealed.size() < head_bytes + tag_bytes || !sealed.starts_with(magic)) return std::unexpected(Fault::damaged);
  const unsigned char* const in = bytes_of(sealed);
  if (std::memcmp(in + magic.size(), id_.data(), id_bytes) != 0) return std::unexpected(Fault::other_key);
  const unsigned char* const nonce = in + magic.size() + id_bytes;
  const std::size_t bytes = sealed.size() - head_bytes - tag_bytes;
  std::string value(bytes, '\0');
  unsigned char tag[tag_bytes];
  std::memcpy(tag, in + head_bytes + bytes, tag_bytes);
  const Context context(EVP_CIPHER_CTX_new());
  int size = 0;
  if (!context || EVP_DecryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key_.data(), nonce) != 1 ||
      EVP_DecryptUpdate(context.get(), nullptr, &size, bytes_of(name), static_cast<int>(name.size())) != 1 ||
      EVP_DecryptUpdate(context.get(), reinterpret_cast<unsigned char*>(value.data()), &size, in + head_bytes,
                        static_cast<int>(bytes)) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, tag_bytes, tag) != 1 ||
      EVP_DecryptFinal_ex(context.get(), reinterpret_cast<unsigned char*>(value.data()) + bytes, &size) != 1) {
    OPENSSL_cleanse(value.data(), value.size());
    return std::unexpected(Fault::damaged);
  }
  return value;
}

}  // namespace gatehouse::acme
