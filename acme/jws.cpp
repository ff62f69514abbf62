// JSON Web Signatures; see jws.hpp.
#include "acme/jws.hpp"

#include "acme/base64url.hpp"
#include "acme/json.hpp"

namespace gatehouse::acme {

namespace {

std::string flattened(const Json& header, std::string_view payload, const auto& sign) {
  const std::string protected_part = base64url(header.dump());
  const std::string payload_part = base64url(payload);
  const Json jws = {{"protected", protected_part},
                    {"payload", payload_part},
                    {"signature", base64url(sign(protected_part + "." + payload_part))}};
  return jws.dump();
}

auto es256(const PrivateKey& key) {
  return [&key](const std::string& message) { return key.sign_es256(message); };
}

}  // namespace

std::string signed_request(const PrivateKey& key, std::string_view account, std::string_view nonce,
                           std::string_view url, std::string_view payload) {
  Json header = {{"alg", "ES256"}, {"nonce", nonce}, {"url", url}};
  if (account.empty())
    header["jwk"] = Json::parse(key.public_jwk());
  else
    header["kid"] = account;
  return flattened(header, payload, es256(key));
}

std::string external_account_binding(const PrivateKey& account_key, std::string_view mac_key_id, const Secret& mac_key,
                                     std::string_view new_account_url) {
  const Json header = {{"alg", "HS256"}, {"kid", mac_key_id}, {"url", new_account_url}};
  return flattened(header, account_key.public_jwk(),
                   [&](const std::string& message) { return hmac_sha256(mac_key.reveal(), message); });
}

std::string key_change(const PrivateKey& old_key, const PrivateKey& new_key, std::string_view account,
                       std::string_view key_change_url) {
  const Json header = {{"alg", "ES256"}, {"jwk", Json::parse(new_key.public_jwk())}, {"url", key_change_url}};
  const Json payload = {{"account", account}, {"oldKey", Json::parse(old_key.public_jwk())}};
  return flattened(header, payload.dump(), es256(new_key));
}

std::string key_authorization(std::string_view token, const PrivateKey& account_key) {
  return std::string(token) + "." + account_key.thumbprint();
}

}  // namespace gatehouse::acme
