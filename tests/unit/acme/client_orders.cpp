// acme/client.hpp: orders that end in a certificate, however the CA takes its time.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "acme/certificate.hpp"
#include "gateway.hpp"

namespace gatehouse::acme::test {
namespace {

using namespace std::chrono_literals;

class ClientOrder : public ClientTest {
 protected:
  /// The certificate is for the names and for the key that came with it.
  static void expect_issued(const Result<Issued>& issued, Identifiers names) {
    ASSERT_TRUE(issued) << issued.error().to_string();
    const auto key = PrivateKey::from_pem(issued->key.reveal());
    ASSERT_TRUE(key) << key.error();
    EXPECT_TRUE(is_for_key(issued->chain, *key));
    std::ranges::sort(names);
    EXPECT_EQ(read_chain(issued->chain).value().names, names);
  }
};

class ClientOrderByChallenge : public ClientOrder, public ::testing::WithParamInterface<ChallengeType> {};

TEST_P(ClientOrderByChallenge, EndsInACertificate) {
  expect_issued(obtain(order_of({host, domain}, GetParam())), {host, domain});
  EXPECT_EQ(world.ca.orders(), 1u);
  ASSERT_EQ(world.ca.presented.size(), 2u);
  EXPECT_EQ(world.ca.presented[0].type, GetParam());
  EXPECT_EQ(world.ca.count("/chall"), 2);
}

INSTANTIATE_TEST_SUITE_P(All, ClientOrderByChallenge,
                         ::testing::Values(ChallengeType::http_01, ChallengeType::dns_01, ChallengeType::tls_alpn_01));

TEST_F(ClientOrder, TakesDns01ForAWildcardAndTheOtherForTheRest) {
  expect_issued(obtain(order_of({domain, wildcard}, ChallengeType::http_01)), {domain, wildcard});
  ASSERT_EQ(world.ca.presented.size(), 2u);
  EXPECT_EQ(world.ca.presented[0].type, ChallengeType::http_01);
  EXPECT_EQ(world.ca.presented[1].type, ChallengeType::dns_01);
  EXPECT_EQ(world.ca.presented[1].identifier, domain);
}

TEST_F(ClientOrder, IsForAddressesToo) {
  expect_issued(obtain(order_of({address, address6}, ChallengeType::tls_alpn_01)), {address, address6});
}

TEST_F(ClientOrder, HasTheKeyThatWasAskedFor) {
  OrderRequest request = order_of({host});
  request.key_type = KeyType::rsa_2048;
  const auto issued = obtain(std::move(request));
  expect_issued(issued, {host});
  EXPECT_FALSE(PrivateKey::from_pem(issued->key.reveal()).value().is_p256());
}

TEST_F(ClientOrder, NeedsNoChallengeWhereNamesAreValidated) {
  world.ca.behaviour.keeps_authorizations = true;
  expect_issued(obtain(order_of({host})), {host});
  world.ca.presented.clear();
  const int told = world.ca.count("/chall");
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.ca.count("/chall"), told);
  EXPECT_TRUE(world.ca.presented.empty());
}

TEST_F(ClientOrder, AnswersOnlyForNamesThatAreNotValidated) {
  world.ca.behaviour.keeps_authorizations = true;
  expect_issued(obtain(order_of({host})), {host});
  expect_issued(obtain(order_of({host, domain})), {host, domain});
  ASSERT_EQ(world.ca.presented.size(), 1u);
  EXPECT_EQ(world.ca.presented[0].identifier, domain);
}

TEST_F(ClientOrder, WaitsForValidationAndIssuanceLongerEachTime) {
  world.ca.behaviour.validation_polls = 5;
  world.ca.behaviour.issuance_polls = 5;
  const Time before = world.now;
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.now - before, 2 * (1s + 2s + 4s + 8s + 15s));
}

TEST_F(ClientOrder, LooksAgainWhenTheCaSaysSo) {
  world.ca.behaviour.validation_polls = 2;
  world.ca.behaviour.retry_after = "7";
  const Time before = world.now;
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.now - before, 2 * 7s);
}

TEST_F(ClientOrder, LooksNoSoonerThanASecondLater) {
  world.ca.behaviour.issuance_polls = 3;
  world.ca.behaviour.retry_after = "0";
  const Time before = world.now;
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.now - before, 3s);
}

TEST_F(ClientOrder, IsFinalizedAgainWhenItWasNotReady) {
  world.ca.behaviour.finalize_not_ready = 2;
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(ClientOrder, SurvivesRefusedNonces) {
  world.ca.behaviour.refused_nonces = 0.2;
  for (int i = 0; i < 20; ++i) expect_issued(obtain(order_of({host, domain, wildcard})), {host, domain, wildcard});
  EXPECT_EQ(world.ca.orders(), 20u);
}

TEST_F(ClientOrder, AsksForItsProfile) {
  world.ca.behaviour.profiles = {{"shortlived", "six days"}};
  OrderRequest request = order_of({host});
  request.profile = "shortlived";
  expect_issued(obtain(std::move(request)), {host});
  EXPECT_EQ(world.ca.last_order()["profile"], "shortlived");
}

TEST_F(ClientOrder, NamesItsPredecessor) {
  OrderRequest request = order_of({host});
  request.replaces = "eA.B2U";
  expect_issued(obtain(request), {host});
  EXPECT_EQ(world.ca.last_order()["replaces"], "eA.B2U");
  // The second is told that the predecessor has been replaced, and goes without it.
  expect_issued(obtain(std::move(request)), {host});
  EXPECT_FALSE(world.ca.last_order().contains("replaces"));
}

TEST_F(ClientOrder, GoesWithoutAPredecessorThatTheCaDoesNotAccept) {
  for (const auto& [type, status] : std::map<std::string, int>{
           {"alreadyReplaced", 400}, {"malformed", 400}, {"unauthorized", 403}, {"conflict", 409}}) {
    const std::size_t before = world.ca.orders();
    world.ca.script.push_back({.path = "/order", .status = status, .type = type});
    OrderRequest request = order_of({host});
    request.replaces = "of." + type;
    expect_issued(obtain(std::move(request)), {host});
    EXPECT_EQ(world.ca.orders(), before + 1) << type;
    EXPECT_FALSE(world.ca.last_order().contains("replaces"));
  }
}

TEST_F(ClientOrder, IsNotPlacedTwiceWhereThePredecessorIsNotAtFault) {
  for (const char* const type : {"rateLimited", "rejectedIdentifier"}) {
    world.ca.script.push_back({.path = "/order", .status = 400, .type = type});
    OrderRequest request = order_of({host});
    request.replaces = std::string("of.") + type;
    EXPECT_FALSE(obtain(std::move(request)));
  }
  EXPECT_EQ(world.ca.count("/order"), 2);
}

TEST_F(ClientOrder, NamesNoPredecessorToACaWithoutRenewalInfo) {
  world.ca.behaviour.has_renewal_info = false;
  OrderRequest request = order_of({host});
  request.replaces = "eA.B2U";
  expect_issued(obtain(std::move(request)), {host});
}

TEST_F(ClientOrder, TakesTheChainThatIsPreferred) {
  world.ca.behaviour.has_alternates = true;
  const auto top_of = [&](const char* preferred) {
    OrderRequest request = order_of({host});
    request.preferred_chain = preferred;
    return read_chain(obtain(std::move(request)).value().chain).value().top_issuer;
  };
  EXPECT_EQ(top_of(""), "First Root");
  EXPECT_EQ(top_of("First Root"), "First Root");
  EXPECT_EQ(top_of("Second Root"), "Second Root");
  EXPECT_EQ(top_of("Third Root"), "First Root");
}

TEST_F(ClientOrder, TakesTheCasChainWhereTheOtherCannotBeHad) {
  world.ca.behaviour.has_alternates = true;
  world.ca.script.push_back({.path = "/cert/1/alternate", .status = 500});
  OrderRequest request = order_of({host});
  request.preferred_chain = "Second Root";
  EXPECT_EQ(read_chain(obtain(std::move(request)).value().chain).value().top_issuer, "First Root");
}

TEST_F(ClientOrder, IsOneAloneWhateverAnswerIsLost) {
  world.ca.behaviour.validation_polls = world.ca.behaviour.issuance_polls = 1;
  for (const bool is_strict : {false, true}) {
    world.ca.behaviour.refuses_second_tellings = is_strict;
    for (int lost = 0; lost < 16; ++lost) {
      for (const World::Fate fate : {World::Fate::request_lost, World::Fate::answer_lost}) {
        int number = 0;
        world.fate = [&](const HttpRequest& request) {
          // An order's placing is not repeated, and a directory is asked for by whoever tries again.
          if (request.url.ends_with("/order") || request.method == HttpRequest::Method::get)
            return World::Fate::answered;
          return number++ == lost ? fate : World::Fate::answered;
        };
        const std::size_t before = world.ca.orders();
        expect_issued(obtain(order_of({host, domain})), {host, domain});
        EXPECT_EQ(world.ca.orders(), before + 1);
      }
    }
  }
}

TEST_F(ClientOrder, WaitsWhileTheCaIsAwayForAMoment) {
  for (const char* const path : {"/nonce", "/authz", "/chall", "/order/1", "/cert"})
    for (int i = 0; i < 3; ++i) world.ca.script.push_back({.path = path, .status = 502 + i});
  expect_issued(obtain(order_of({host})), {host});
}

TEST_F(ClientOrder, WaitsAsLongAsACaThatIsAwaySays) {
  world.ca.script.push_back({.path = "/authz", .status = 503, .retry_after = "30"});
  const Time before = world.now;
  expect_issued(obtain(order_of({host})), {host});
  EXPECT_EQ(world.now - before, 30s);
}

}  // namespace
}  // namespace gatehouse::acme::test
