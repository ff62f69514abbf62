// acme/sealed.hpp and acme/records.hpp: what is stored, and what comes back.
#include "acme/sealed.hpp"

#include <gmock/gmock.h>

#include "acme/records.hpp"
#include "pki.hpp"

namespace gatehouse::acme::test {
namespace {

// Of 32 bytes 0x00 to 0x1f, and of 32 bytes 0xff.
constexpr const char* one_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
constexpr const char* other_key = "//////////////////////////////////////////8=";

TEST(Sealer, TakesOneKeyOnALine) {
  EXPECT_TRUE(Sealer::from_base64(one_key));
  EXPECT_TRUE(Sealer::from_base64(std::string(one_key) + "\r\n"));
  for (const char* const text :
       {"", "AAEC", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGx==dHh8=",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "-AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}) {
    const auto sealer = Sealer::from_base64(text);
    ASSERT_FALSE(sealer) << text;
    EXPECT_THAT(sealer.error(), ::testing::HasSubstr("base64 of 32 bytes"));
  }
}

TEST(Sealer, OpensWhatItHasSealedUnderItsNameAlone) {
  const auto sealer = Sealer::from_base64(one_key).value();
  for (const std::string value : {"", "x", "-----BEGIN PRIVATE KEY-----\n"}) {
    const std::string sealed = sealer.seal("a name", value);
    EXPECT_EQ(sealer.open("a name", sealed).value(), value);
    EXPECT_EQ(sealer.open("another", sealed).error(), Sealer::Fault::damaged);
    EXPECT_NE(sealer.seal("a name", value), sealed) << "a nonce is used once";
    // A single byte may well be among those of the cipher.
    if (value.size() > 8) EXPECT_EQ(sealed.find(value), std::string::npos);
  }
}

TEST(Sealer, TellsDamageFromAnotherKey) {
  const auto sealer = Sealer::from_base64(one_key).value();
  const std::string sealed = sealer.seal("name", "value");
  EXPECT_EQ(Sealer::from_base64(other_key)->open("name", sealed).error(), Sealer::Fault::other_key);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string spoiled = sealed;
    spoiled[i] = static_cast<char>(spoiled[i] ^ 1);
    EXPECT_FALSE(sealer.open("name", spoiled)) << i;
    EXPECT_FALSE(sealer.open("name", sealed.substr(0, i))) << i;
  }
  EXPECT_EQ(sealer.open("name", sealed + "x").error(), Sealer::Fault::damaged);
}

TEST(Records, ComeBackAsTheyWere) {
  CertificateRecord record;
  record.chain = "no chain";
  record.key = Secret("key");
  record.authority = "https://ca.test/dir";
  record.key_type = "ecdsa_p256";
  record.profile = "tlsserver";
  record.renew_at = some_time;
  record.issued_at = some_time - Seconds(1);
  record.ask_at = some_time + Seconds(1);
  record.window = 0xffff'ffff'ffff'ffffU;
  record.progress.emplace(Progress{"https://ca.test/order/1", Secret("order key"), "tlsserver"});
  record.progress_authority = "https://other.test/dir";
  record.failures = 3;
  record.next_attempt = some_time + Seconds(2);
  record.last_error = "\x80 not UTF-8";
  record.last_error_at = some_time + Seconds(3);
  record.renew_now = true;
  record.revoke = 4;
  record.facts.emplace();
  record.facts->not_before = some_time - Seconds(5);
  record.facts->not_after = some_time + Seconds(5);
  record.facts->names = {{Identifier::Type::dns, "a.example"}, {Identifier::Type::ip, "192.0.2.1"}};
  record.facts->issuer = "issuer";
  record.facts->top_issuer = "top";
  record.facts->serial = "ab";
  record.facts->renewal_id = "x.y";

  const auto read = read_certificate(write_certificate(record));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->chain, record.chain);
  EXPECT_EQ(read->key.reveal(), "key");
  EXPECT_EQ(read->authority, record.authority);
  EXPECT_EQ(read->key_type, record.key_type);
  EXPECT_EQ(read->profile, record.profile);
  EXPECT_EQ(read->renew_at, record.renew_at);
  EXPECT_EQ(read->issued_at, record.issued_at);
  EXPECT_EQ(read->ask_at, record.ask_at);
  EXPECT_EQ(read->window, record.window);
  ASSERT_TRUE(read->progress);
  EXPECT_EQ(read->progress->order, record.progress->order);
  EXPECT_EQ(read->progress->key.reveal(), "order key");
  EXPECT_EQ(read->progress->profile, "tlsserver");
  EXPECT_EQ(read->progress_authority, record.progress_authority);
  EXPECT_EQ(read->failures, 3U);
  EXPECT_EQ(read->next_attempt, record.next_attempt);
  EXPECT_EQ(read->last_error_at, record.last_error_at);
  EXPECT_TRUE(read->renew_now);
  EXPECT_EQ(read->revoke, 4);
  ASSERT_TRUE(read->facts);
  EXPECT_EQ(read->facts->not_before, record.facts->not_before);
  EXPECT_EQ(read->facts->not_after, record.facts->not_after);
  EXPECT_EQ(read->facts->names, record.facts->names);
  EXPECT_EQ(read->facts->issuer, "issuer");
  EXPECT_EQ(read->facts->top_issuer, "top");
  EXPECT_EQ(read->facts->serial, "ab");
  EXPECT_EQ(read->facts->renewal_id, "x.y");

  const AccountRecord account{Secret("key"), "https://ca.test/account/1", Secret("next")};
  const auto read_back = read_account(write_account(account));
  ASSERT_TRUE(read_back);
  EXPECT_EQ(read_back->key.reveal(), "key");
  EXPECT_EQ(read_back->url, account.url);
  EXPECT_EQ(read_back->next_key.reveal(), "next");

  const std::vector<Presentation> challenges{
      {ChallengeType::tls_alpn_01, {Identifier::Type::ip, "192.0.2.1"}, "token", "answer"}};
  const auto challenges_back = read_challenges(write_challenges(challenges));
  ASSERT_TRUE(challenges_back);
  ASSERT_EQ(challenges_back->size(), 1U);
  EXPECT_EQ(challenges_back->front().type, ChallengeType::tls_alpn_01);
  EXPECT_EQ(challenges_back->front().identifier, challenges.front().identifier);
  EXPECT_EQ(challenges_back->front().token, "token");
  EXPECT_EQ(challenges_back->front().key_authorization, "answer");
}

TEST(Records, AreNotGuessed) {
  for (const char* const text : {"", "{}", "[]", "{\"format\":2,\"key\":\"k\",\"challenges\":[]}",
                                 "{\"format\":\"1\",\"key\":\"k\"}", "nonsense"}) {
    EXPECT_FALSE(read_account(text)) << text;
    EXPECT_FALSE(read_certificate(text)) << text;
    EXPECT_FALSE(read_challenges(text)) << text;
  }
  EXPECT_FALSE(read_account("{\"format\":1}")) << "an account without a key is none";
  EXPECT_FALSE(read_challenges("{\"format\":1,\"challenges\":[1]}"));
  EXPECT_FALSE(read_certificate("{\"format\":1}")->facts);
}

}  // namespace
}  // namespace gatehouse::acme::test
