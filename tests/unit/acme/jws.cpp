// acme/jws.hpp: what is signed is taken apart and verified as a CA does it.
#include "acme/jws.hpp"

#include <gtest/gtest.h>

#include "signed_message.hpp"

namespace gatehouse::acme::test {
namespace {

using nlohmann::json;

class Jws : public ::testing::Test {
 protected:
  PrivateKey key_ = PrivateKey::generate(KeyType::ecdsa_p256);
  json jwk_ = json::parse(key_.public_jwk());
};

TEST_F(Jws, NamesTheAccountByItsUrl) {
  const auto message =
      read_signed(signed_request(key_, "https://ca.test/account/1", "n0nce", "https://ca.test/order", "{}"));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header, json({{"alg", "ES256"},
                                   {"kid", "https://ca.test/account/1"},
                                   {"nonce", "n0nce"},
                                   {"url", "https://ca.test/order"}}));
  EXPECT_EQ(message->payload, "{}");
  EXPECT_TRUE(message->is_signed_by(jwk_));
  EXPECT_FALSE(message->is_signed_by(json::parse(PrivateKey::generate(KeyType::ecdsa_p256).public_jwk())));
}

TEST_F(Jws, BringsThePublicKeyWhereThereIsNoAccount) {
  const auto message = read_signed(signed_request(key_, "", "n0nce", "https://ca.test/account", "{}"));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header,
            json({{"alg", "ES256"}, {"jwk", jwk_}, {"nonce", "n0nce"}, {"url", "https://ca.test/account"}}));
  EXPECT_TRUE(message->is_signed_by(jwk_));
}

TEST_F(Jws, HasAnEmptyPayloadForPostAsGet) {
  const auto message =
      read_signed(signed_request(key_, "https://ca.test/account/1", "n", "https://ca.test/order/1", ""));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->payload, "");
  EXPECT_TRUE(message->is_signed_by(jwk_));
}

TEST_F(Jws, BindsAnExternalAccountWithItsMac) {
  const Secret mac(std::string("\x00\x01zmac of the CA's\xff", 18));
  const auto message = read_signed(external_account_binding(key_, "kid-1", mac, "https://ca.test/account"));
  ASSERT_TRUE(message);
  EXPECT_EQ(message->header, json({{"alg", "HS256"}, {"kid", "kid-1"}, {"url", "https://ca.test/account"}}));
  EXPECT_EQ(json::parse(message->payload), jwk_);
  EXPECT_EQ(message->signature, hmac_sha256(mac.reveal(), message->signing_input));
}

TEST_F(Jws, ChangesAKeyByTheNewOnesSignature) {
  const PrivateKey next = PrivateKey::generate(KeyType::ecdsa_p256);
  const auto message = read_signed(key_change(key_, next, "https://ca.test/account/1", "https://ca.test/key"));
  ASSERT_TRUE(message);
  const json next_jwk = json::parse(next.public_jwk());
  EXPECT_EQ(message->header, json({{"alg", "ES256"}, {"jwk", next_jwk}, {"url", "https://ca.test/key"}}));  // no nonce
  EXPECT_EQ(json::parse(message->payload), json({{"account", "https://ca.test/account/1"}, {"oldKey", jwk_}}));
  EXPECT_TRUE(message->is_signed_by(next_jwk));
}

TEST_F(Jws, AuthorizesAKeyByTokenAndThumbprint) {
  EXPECT_EQ(key_authorization("evaGxfADs6pSRb2LAv9IZ", key_), "evaGxfADs6pSRb2LAv9IZ." + thumbprint_of_jwk(jwk_));
}

}  // namespace
}  // namespace gatehouse::acme::test
