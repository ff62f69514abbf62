// acme/client.hpp: the directory, accounts and their keys, revocation, renewal information.
#include <gmock/gmock.h>

#include "acme/certificate.hpp"
#include "gateway.hpp"

namespace gatehouse::acme::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// --- the directory

TEST(ClientDirectory, IsFetchedOnce) {
  World world;
  Gateway gateway(world);
  EXPECT_TRUE(gateway.run(gateway.client.open()));
  EXPECT_TRUE(gateway.run(gateway.client.open()));
  EXPECT_EQ(world.ca.count("/dir"), 1);
  EXPECT_EQ(gateway.client.directory().new_order, "https://ca.test/order");
}

TEST(ClientDirectory, IsFetchedAgainAfterAFailure) {
  World world;
  world.ca.script.push_back({.path = "/dir", .status = 503, .retry_after = "60"});
  world.ca.script.push_back({.path = "/dir", .status = 200});  // some JSON, but no directory
  Gateway gateway(world);
  EXPECT_EQ(gateway.run(gateway.client.open()).error().retry_at, world.now + 60s);
  EXPECT_THAT(gateway.run(gateway.client.open()).error().detail, HasSubstr("not an ACME directory"));
  EXPECT_TRUE(gateway.run(gateway.client.open()));
}

// --- accounts

class ClientAccount : public ClientTest {};

TEST_F(ClientAccount, IsFoundAgainByItsKey) {
  EXPECT_EQ(register_account(world), world.account);
  EXPECT_EQ(world.ca.accounts(), 1u);
}

TEST_F(ClientAccount, IsMadeOnceThoughTheAnswerIsLost) {
  World fresh;
  int lost = 0;
  fresh.fate = [&](const HttpRequest& request) {
    return request.url.ends_with("/account") && lost++ == 0 ? World::Fate::answer_lost : World::Fate::answered;
  };
  EXPECT_EQ(register_account(fresh), "https://ca.test/acct/1");
  EXPECT_EQ(fresh.ca.accounts(), 1u);
}

TEST_F(ClientAccount, IsNotWhereARedirectionLeads) {
  World fresh;
  fresh.ca.script.push_back({.path = "/account", .status = 307, .location = "https://ca.test/elsewhere"});
  Gateway gateway(fresh);
  EXPECT_EQ(gateway.run(gateway.client.register_account({}, nullptr)).error().status, 307);
}

class ExternalAccountTest : public ClientTest {
 protected:
  void SetUp() override {
    world.ca.behaviour.wants_external_account = true;
    world.ca.external_accounts.emplace("kid-1", Secret("a MAC key of the CA"));
  }
  Result<std::string> register_with(const ExternalAccount* external) {
    Gateway gateway(world);
    return gateway.run(gateway.client.register_account({"mailto:ops@example.com"}, external));
  }
};

TEST_F(ExternalAccountTest, IsBoundByItsMac) {
  const ExternalAccount external{"kid-1", Secret("a MAC key of the CA")};
  EXPECT_EQ(register_with(&external), "https://ca.test/acct/1");
}

TEST_F(ExternalAccountTest, IsRefusedWithAnotherMac) {
  const ExternalAccount external{"kid-1", Secret("another key")};
  EXPECT_EQ(register_with(&external).error().type, ProblemType::unauthorized);
  EXPECT_EQ(world.ca.accounts(), 0u);
}

TEST_F(ExternalAccountTest, IsMissedBeforeTheCaIsAsked) {
  EXPECT_EQ(register_with(nullptr).error().type, ProblemType::external_account_required);
  EXPECT_EQ(world.ca.count("/account"), 0);
}

// --- keys of accounts

TEST_F(ClientAccount, GetsAnotherKey) {
  const PrivateKey next = PrivateKey::generate(KeyType::ecdsa_p256);
  Gateway gateway(world);
  ASSERT_TRUE(gateway.run(gateway.client.change_key(next)));
  EXPECT_TRUE(world.ca.is_key_of(world.account, next));
  EXPECT_TRUE(gateway.run(gateway.client.obtain(order_of({host}), std::nullopt)));  // with the new key from now on
}

TEST_F(ClientAccount, KeepsItsKeyWhenTheCaRefusesTheOther) {
  const PrivateKey taken = PrivateKey::generate(KeyType::ecdsa_p256);
  Gateway stranger(world);
  stranger.client.use_account(taken, "");
  ASSERT_TRUE(stranger.run(stranger.client.register_account({}, nullptr)));
  Gateway gateway(world);
  EXPECT_EQ(gateway.run(gateway.client.change_key(taken)).error().status, 409);
  world.ca.script.push_back({.path = "/key", .status = 302});
  const PrivateKey next = PrivateKey::generate(KeyType::ecdsa_p256);
  EXPECT_EQ(gateway.run(gateway.client.change_key(next)).error().status, 302);
  EXPECT_TRUE(gateway.run(gateway.client.obtain(order_of({host}), std::nullopt)));
}

TEST_F(ClientAccount, ChangesItsKeyAtMostOnceWhenTheAnswerIsLost) {
  const PrivateKey next = PrivateKey::generate(KeyType::ecdsa_p256);
  world.fate = [](const HttpRequest& request) {
    return request.url.ends_with("/key") ? World::Fate::answer_lost : World::Fate::answered;
  };
  Gateway gateway(world);
  EXPECT_EQ(gateway.run(gateway.client.change_key(next)).error().type, ProblemType::no_answer);
  EXPECT_EQ(world.ca.count("/key"), 1);
}

// --- revocation

class Revocation : public ClientTest {
 protected:
  void SetUp() override {
    ClientTest::SetUp();
    issued_.emplace(obtain(order_of({host})).value());
    der_ = leaf_der(issued_->chain);
  }
  std::optional<Issued> issued_;
  std::string der_;
};

TEST_F(Revocation, IsByTheAccount) {
  Gateway gateway(world);
  EXPECT_TRUE(gateway.run(gateway.client.revoke(der_, 4, nullptr)));
  EXPECT_EQ(world.ca.revoked(), (std::map<std::string, int>{{der_, 4}}));
}

TEST_F(Revocation, IsByTheCertificatesKey) {
  const auto key = PrivateKey::from_pem(issued_->key.reveal()).value();
  world.account = "https://ca.test/acct/99";  // the account is lost
  Gateway gateway(world);
  EXPECT_TRUE(gateway.run(gateway.client.revoke(der_, 1, &key)));
  EXPECT_EQ(world.ca.revoked(), (std::map<std::string, int>{{der_, 1}}));
}

TEST_F(Revocation, IsRefusedToOthers) {
  const PrivateKey other = PrivateKey::generate(KeyType::ecdsa_p256);
  Gateway gateway(world);
  EXPECT_EQ(gateway.run(gateway.client.revoke(der_, 1, &other)).error().type, ProblemType::unauthorized);
  EXPECT_TRUE(world.ca.revoked().empty());
}

TEST_F(Revocation, IsDoneWhenItHasBeenDone) {
  Gateway gateway(world);
  EXPECT_TRUE(gateway.run(gateway.client.revoke(der_, 4, nullptr)));
  EXPECT_TRUE(gateway.run(gateway.client.revoke(der_, 4, nullptr)));
  EXPECT_EQ(world.ca.count("/revoke"), 2);
}

TEST_F(Revocation, IsRepeatedWhenTheAnswerIsLost) {
  int lost = 0;
  world.fate = [&](const HttpRequest& request) {
    return request.url.ends_with("/revoke") && lost++ == 0 ? World::Fate::answer_lost : World::Fate::answered;
  };
  Gateway gateway(world);
  EXPECT_TRUE(gateway.run(gateway.client.revoke(der_, 4, nullptr)));
}

TEST_F(Revocation, IsNotDoneByARedirection) {
  world.ca.script.push_back({.path = "/revoke", .status = 302});
  Gateway gateway(world);
  EXPECT_FALSE(gateway.run(gateway.client.revoke(der_, 4, nullptr)));
}

TEST_F(Revocation, ByAnRsaKeyIsLeftToTheAccount) {
  OrderRequest request = order_of({host});
  request.key_type = KeyType::rsa_2048;
  const Issued issued = obtain(std::move(request)).value();
  const auto key = PrivateKey::from_pem(issued.key.reveal()).value();
  Gateway gateway(world);
  EXPECT_THAT(gateway.run(gateway.client.revoke(leaf_der(issued.chain), 1, &key)).error().to_string(),
              HasSubstr("revoke with the account"));
  EXPECT_EQ(world.ca.count("/revoke"), 0);
}

// --- renewal information

class RenewalInformation : public ClientTest {
 protected:
  Result<std::optional<Renewal>> ask(std::string id = "eA.B2U") {
    Gateway gateway(world);
    return gateway.run(gateway.client.renewal_info(std::move(id)));
  }
};

TEST_F(RenewalInformation, HasAWindowAndATimeToAskAgain) {
  const auto renewal = ask();
  ASSERT_TRUE(renewal && *renewal);
  EXPECT_EQ((*renewal)->info.start, world.now + 24h);
  EXPECT_EQ((*renewal)->info.end, world.now + 48h);
  EXPECT_EQ((*renewal)->ask_again, world.now + 6h);
  EXPECT_EQ(world.ca.count("/ari/eA.B2U"), 1);
}

TEST_F(RenewalInformation, IsNoneWithoutAnIdOrAnOffer) {
  EXPECT_EQ(ask("").value(), std::nullopt);
  world.ca.behaviour.has_renewal_info = false;
  EXPECT_EQ(ask().value(), std::nullopt);
  EXPECT_EQ(world.ca.count("/ari"), 0);
}

TEST_F(RenewalInformation, ThatFailsTellsWhenToAskAgain) {
  world.ca.script.push_back({.path = "/ari", .status = 429, .type = "rateLimited", .retry_after = "3600"});
  EXPECT_EQ(ask().error().retry_at, world.now + 1h);
  world.ca.script.push_back({.path = "/ari", .status = 200});  // some JSON, but no window
  EXPECT_THAT(ask().error().detail, HasSubstr("not renewal information"));
  world.fate = [](const HttpRequest& request) {
    return request.url.find("/ari") != std::string::npos ? World::Fate::request_lost : World::Fate::answered;
  };
  EXPECT_EQ(ask().error().type, ProblemType::no_answer);
}

}  // namespace
}  // namespace gatehouse::acme::test
