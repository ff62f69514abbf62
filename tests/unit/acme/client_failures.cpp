// acme/client.hpp: orders that fail, and what whoever runs them is told.
#include <gmock/gmock.h>

#include <map>

#include "gateway.hpp"

namespace gatehouse::acme::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class ClientFailure : public ClientTest {
 protected:
  Problem failure_of(OrderRequest request, std::optional<Progress> resumed = std::nullopt) {
    auto issued = obtain(std::move(request), std::move(resumed));
    EXPECT_FALSE(issued);
    return issued ? Problem{} : std::move(issued.error());
  }
};

TEST_F(ClientFailure, NamesTheNamesThatWereNotValidated) {
  world.can_answer = false;
  for (const char* const type : {"unauthorized", "connection", "dns", "caa", "tls", "incorrectResponse"}) {
    world.ca.behaviour.failure = type;
    const Problem problem = failure_of(order_of({host, domain}));
    EXPECT_EQ(problem.code, type);
    EXPECT_TRUE(problem.is_of_the_names());
    ASSERT_EQ(problem.parts.size(), 2u);
    EXPECT_EQ(problem.parts[0].identifier, host);
    EXPECT_THAT(problem.to_string(), HasSubstr("www.example.com: was not validated"));
  }
}

TEST_F(ClientFailure, OfAValidationIsTheNamesFaultWhateverTheCaCallsIt) {
  world.can_answer = false;
  world.ca.behaviour.failure = "somethingNew";
  const Problem problem = failure_of(order_of({host}));
  EXPECT_TRUE(problem.is_of_the_names());
  EXPECT_EQ(problem.code, "somethingNew");
  EXPECT_THAT(problem.to_string(), HasSubstr("no right answer"));
}

TEST_F(ClientFailure, OfManyNamesHasABoundedNumberOfParts) {
  world.can_answer = false;
  Identifiers names;
  for (int i = 0; i < 120; ++i) names.push_back({Identifier::Type::dns, "host" + std::to_string(i) + ".example.com"});
  EXPECT_EQ(failure_of(order_of(names)).parts.size(), 100u);
}

TEST_F(ClientFailure, ComesAfterTenMinutesOfWaitingForTheCa) {
  world.ca.behaviour.waits_for_good = true;
  const Time before = world.now;
  const Problem problem = failure_of(order_of({host, domain}));
  EXPECT_EQ(problem.type, ProblemType::no_answer);
  EXPECT_THAT(problem.detail, HasSubstr("has not validated www.example.com"));
  EXPECT_GE(world.now - before, 10min);
  EXPECT_LE(world.now - before, 11min);
  EXPECT_LE(world.ca.count("/authz"), 2 * 50);
}

TEST_F(ClientFailure, ComesAfterTenMinutesOfWaitingForTheCertificate) {
  world.ca.behaviour.issuance_polls = 1'000'000;
  const Time before = world.now;
  EXPECT_THAT(failure_of(order_of({host})).detail, HasSubstr("has not issued"));
  EXPECT_LE(world.now - before, 11min);
  EXPECT_LE(world.ca.count("/order/1"), 50);
}

TEST_F(ClientFailure, ComesAfterTenMinutesOfAnOrderThatIsNeverReady) {
  world.ca.behaviour.finalize_not_ready = 1'000'000;
  const Time before = world.now;
  EXPECT_EQ(failure_of(order_of({host})).type, ProblemType::no_answer);
  EXPECT_LE(world.now - before, 11min);
  EXPECT_LE(world.ca.count("/order/1"), 120);
}

TEST_F(ClientFailure, OfAProfileThatIsNotOfferedTellsWhichAre) {
  for (int i = 0; i < 50; ++i) world.ca.behaviour.profiles["profile-" + std::to_string(i)] = "x";
  OrderRequest request = order_of({host});
  request.profile = "shortlived";
  const Problem problem = failure_of(std::move(request));
  EXPECT_EQ(problem.type, ProblemType::invalid_profile);
  EXPECT_THAT(problem.detail, HasSubstr("profile-0, profile-1"));
  EXPECT_LE(problem.detail.size(), 400u);
  EXPECT_EQ(world.ca.orders(), 0u);
}

TEST_F(ClientFailure, OfAChallengeThatIsNotOfferedSaysSo) {
  world.ca.behaviour.challenges = {"dns-01"};
  const Problem problem = failure_of(order_of({host}, ChallengeType::tls_alpn_01));
  EXPECT_EQ(problem.type, ProblemType::unsupported_identifier);
  EXPECT_THAT(problem.detail, HasSubstr("no tls-alpn-01 for www.example.com"));
  EXPECT_EQ(failure_of(order_of({address}, ChallengeType::dns_01)).type, ProblemType::unsupported_identifier);
}

TEST_F(ClientFailure, OfARateLimitKnowsWhenToAskAgain) {
  world.ca.script.push_back({.path = "/order", .status = 429, .type = "rateLimited", .retry_after = "5400"});
  const Problem problem = failure_of(order_of({host}));
  EXPECT_EQ(problem.type, ProblemType::rate_limited);
  EXPECT_EQ(problem.retry_at, world.now + 90min);
  EXPECT_EQ(world.waited, 0s);
}

TEST_F(ClientFailure, OfACaThatIsAwayForLongComesAtOnce) {
  world.ca.script.push_back({.path = "/authz", .status = 503, .retry_after = "3600"});
  const Problem problem = failure_of(order_of({host}));
  EXPECT_EQ(problem.retry_at, world.now + 1h);
  EXPECT_EQ(world.waited, 0s);
}

TEST_F(ClientFailure, PlacesNoSecondOrderWhenTheFirstsAnswerIsLost) {
  world.fate = [](const HttpRequest& request) {
    return request.url.ends_with("/order") ? World::Fate::answer_lost : World::Fate::answered;
  };
  EXPECT_EQ(failure_of(order_of({host})).type, ProblemType::no_answer);
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(ClientFailure, PlacesNoSecondOrderWhenTheCaWasAway) {
  world.ca.script.push_back({.path = "/order", .status = 503, .acts = true});
  EXPECT_EQ(failure_of(order_of({host})).status, 503);
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(ClientFailure, AnswersForNoNameThatWasNotOrdered) {
  for (const Identifier& other : {Identifier{Identifier::Type::dns, "www.example.org"}, address, domain}) {
    world.ca.behaviour.authorizes = other;
    const Problem problem = failure_of(order_of({host}));
    EXPECT_EQ(problem.type, ProblemType::no_answer);
    EXPECT_THAT(problem.to_string(), HasSubstr("not an authorization for a name of the order: " + other.value));
  }
  EXPECT_TRUE(world.ca.presented.empty());
  EXPECT_EQ(world.ca.count("/chall"), 0);
}

TEST_F(ClientFailure, GoesNoFurtherThanTheStore) {
  world.can_keep = false;
  EXPECT_EQ(failure_of(order_of({host})).to_string(), "the order could not be stored: disk full");
  EXPECT_EQ(world.ca.count("/order"), 0) << "not to the CA";
}

TEST_F(ClientFailure, TellsTheCaNothingUnlessEveryGatewayAnswers) {
  world.can_present = false;
  EXPECT_THAT(failure_of(order_of({host})).to_string(), HasSubstr("all gateways: gateway 2 is away"));
  EXPECT_EQ(world.ca.count("/chall"), 0);
}

TEST_F(ClientFailure, GivesUpOnNoncesThatAreAllRefused) {
  world.ca.behaviour.refused_nonces = 1;
  EXPECT_EQ(failure_of(order_of({host})).type, ProblemType::bad_nonce);
  EXPECT_EQ(world.ca.count("/order"), 10);
}

// RFC 8555 section 6.5.1.
TEST_F(ClientFailure, ComesBeforeWhatIsNoNonceIsUsed) {
  for (const std::string& nonce :
       {std::string(), std::string("no nonce"), std::string("a+b/c="), std::string(257, 'a')}) {
    world.ca.behaviour.nonce = nonce;
    EXPECT_THAT(failure_of(order_of({host})).detail, HasSubstr("not a nonce")) << nonce;
  }
  EXPECT_EQ(world.ca.count("/order"), 0);
}

TEST_F(ClientFailure, OfAForgottenAccountSaysSo) {
  world.account = "https://ca.test/acct/99";
  EXPECT_EQ(failure_of(order_of({host})).type, ProblemType::account_does_not_exist);
}

TEST_F(ClientFailure, ComesSoonWhenTheCaIsGone) {
  world.fate = [](const HttpRequest&) { return World::Fate::request_lost; };
  EXPECT_EQ(failure_of(order_of({host})).type, ProblemType::no_answer);
  int left = 5;
  world.fate = [&](const HttpRequest&) { return left-- > 0 ? World::Fate::answered : World::Fate::request_lost; };
  EXPECT_EQ(failure_of(order_of({host, domain, wildcard})).type, ProblemType::no_answer);
  EXPECT_LE(world.waited, 30s);
}

TEST_F(ClientFailure, OfManyNamesStopsWhenTheCaGoesAway) {
  Identifiers names;
  for (int i = 0; i < 50; ++i) names.push_back({Identifier::Type::dns, "host" + std::to_string(i) + ".example.com"});
  world.ca.behaviour.validation_polls = 1'000;
  world.fate = [&](const HttpRequest&) {
    return world.ca.count("/chall") == 50 ? World::Fate::request_lost : World::Fate::answered;
  };
  EXPECT_EQ(failure_of(order_of(names)).type, ProblemType::no_answer);
  EXPECT_LE(world.waited, 60s);
}

TEST_F(ClientFailure, OfACertificateForAnotherKeySaysSo) {
  world.ca.behaviour.confuses_keys = true;
  EXPECT_THAT(failure_of(order_of({host})).detail, HasSubstr("not for the key"));
}

TEST_F(ClientFailure, OfACertificateThatLacksANameSaysWhich) {
  world.ca.behaviour.forgets_a_name = true;
  EXPECT_THAT(failure_of(order_of({host, domain})).detail, HasSubstr("not for example.com"));
}

TEST_F(ClientFailure, OfACertificateThatIsNotValidNowSaysSo) {
  world.ca.behaviour.age = 160h;
  Problem problem = failure_of(order_of({host}));
  EXPECT_THAT(problem.to_string(), HasSubstr("cannot be served: it has expired"));
  EXPECT_TRUE(problem.is_of_the_names()) << "the order is dropped, and another not placed soon";
  world.ca.behaviour.age = -300h;
  EXPECT_THAT(failure_of(order_of({host})).to_string(), HasSubstr("not valid yet"));
  world.ca.behaviour.age = -60s;  // our clock is behind
  EXPECT_TRUE(obtain(order_of({host})));
}

TEST_F(ClientFailure, SaysWhetherItIsOfWhatAllNeed) {
  for (const char* const path : {"/dir", "/nonce", "/order"}) {
    world.ca.script.push_back({.path = path, .status = 500});
    EXPECT_TRUE(failure_of(order_of({host})).is_of_the_service) << path;
  }
  for (const char* const path : {"/authz", "/chall", "/order/3/finalize", "/cert"}) {
    for (int i = 0; i < 4; ++i) world.ca.script.push_back({.path = path, .status = 500});
    EXPECT_FALSE(failure_of(order_of({host})).is_of_the_service) << path;
    world.ca.script.clear();
  }
}

TEST_F(ClientFailure, OfAnAnswerOfSomethingElseSaysWhatItIsNot) {
  for (const auto& [path, words] : std::map<std::string, const char*>{{"/order", "not an order with its URL"},
                                                                      {"/authz", "not an authorization"},
                                                                      {"/cert", "not a chain of certificates"}}) {
    world.ca.script.push_back({.path = path, .status = 200});
    const Problem problem = failure_of(order_of({host}));
    EXPECT_EQ(problem.type, ProblemType::no_answer);
    EXPECT_THAT(problem.detail, HasSubstr(words)) << path;
  }
}

TEST_F(ClientFailure, OfAnOrderWithoutAUrlComesBeforeItIsKept) {
  for (const char* const url : {"", "/order/1", "http://ca.test/order/1"}) {
    world.ca.behaviour.order_url = url;
    EXPECT_THAT(failure_of(order_of({host})).detail, HasSubstr("not an order with its URL")) << url;
  }
  EXPECT_EQ(world.stored.value().order, "");
}

TEST_F(ClientFailure, TakesARedirectionForNoAnswerOfAcme) {
  for (const char* const path : {"/order", "/authz", "/chall", "/cert"}) {
    world.ca.script.push_back({.path = path, .status = 302, .location = "https://ca.test/acct/1"});
    EXPECT_EQ(failure_of(order_of({host})).status, 302) << path;
  }
  world.ca.script.push_back({.path = "/nonce", .status = 302});
  EXPECT_EQ(failure_of(order_of({host})).status, 302);
}

}  // namespace
}  // namespace gatehouse::acme::test
