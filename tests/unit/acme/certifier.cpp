// acme/certifier.hpp and acme/fleet.hpp: what a fleet does in simulated time.
#include "acme/certifier.hpp"

#include <gmock/gmock.h>

#include <fmt/format.h>

#include <algorithm>

#include "simulation.hpp"

namespace gatehouse::acme::test {
namespace {

using namespace std::chrono_literals;

class CertifierTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& complaint : world.ca.complaints()) ADD_FAILURE() << complaint;
    world.gateways.clear();
  }
  void start(int gateways) {
    for (int i = 0; i < gateways; ++i) world.start(fmt::format("gateway {}", i));
  }
  [[nodiscard]] Seconds validity_left(const std::string& host) {
    const std::string& chain = world.gateways.front()->served.at(host);
    auto& [known, not_after] = expiries_[host];
    if (known != chain) {
      known = chain;
      not_after = read_chain(chain)->not_after;
    }
    return not_after - world.agenda.now();
  }

  Fleets world;

 private:
  std::map<std::string, std::pair<std::string, Time>> expiries_;  // by host, with the chain they are of
};

TEST_F(CertifierTest, ObtainsWhatIsWantedAndServesItEverywhere) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_EQ(world.ca.accounts(), 1);
  world.agenda.run_for(1h);
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_TRUE(world.gateways.front()->answers.empty());
}

TEST_F(CertifierTest, TenGatewaysPlaceOneOrderAndAllAnswer) {
  world.want("www.example.com");
  start(10);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_EQ(world.ca.accounts(), 1);
  EXPECT_TRUE(world.ca.failed_validations().empty());
}

TEST_F(CertifierTest, IsTakenOverWhereverTheHolderDies) {
  for (int moment = 0; moment < 60; moment += tenth) {
    Fleets fleets(static_cast<unsigned>(moment));
    fleets.want("www.example.com");
    for (int i = 0; i < 10; ++i) fleets.start(fmt::format("gateway {}", i));
    fleets.ca.behaviour.validation_polls = 2;
    fleets.ca.behaviour.validation_tries = 50;
    fleets.agenda.run_for(Milliseconds(moment * 60));
    if (SimulatedGateway* const leader = fleets.leader()) fleets.kill(leader->name);
    EXPECT_TRUE(fleets.run_until([&] { return fleets.is_complete(); }, 2 * fleets.storage.lease)) << moment;
    EXPECT_LE(fleets.ca.orders(), 2) << moment;
    EXPECT_EQ(fleets.ca.accounts(), 1) << moment;
    EXPECT_THAT(fleets.ca.complaints(), ::testing::IsEmpty());
  }
}

TEST_F(CertifierTest, ARestartOrdersNothing) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.kill("gateway 0");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.agenda.run_for(1h);
  EXPECT_EQ(world.ca.orders(), 1);
}

TEST_F(CertifierTest, ATenantWhoseHostsAllFailDelaysNobody) {
  world.pace = {.pause = 2s, .busy_pause = 200ms};
  for (int tenant = 0; tenant < 50; tenant += tenth)
    for (int host = 0; host < 10; ++host) {
      const std::string name = fmt::format("h{}.t{}.example", host, tenant);
      world.want(name, fmt::format("t{}", tenant));
      if (tenant == 20) world.broken.insert(name);
    }
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 10min));
  world.agenda.run_for(26h);
  EXPECT_GT(world.ca.failed_validations().size(), 20);
  for (const auto& failure : world.ca.failed_validations()) {
    EXPECT_THAT(failure.name, ::testing::HasSubstr(".t20."));
    const auto within_an_hour = std::ranges::count_if(world.ca.failed_validations(), [&](const auto& other) {
      return other.name == failure.name && other.when >= failure.when && other.when < failure.when + 1h;
    });
    EXPECT_LE(within_an_hour, 5) << failure.name;
  }
  EXPECT_EQ(world.ca.orders_of("h0.t30.example"), 1);
}

TEST_F(CertifierTest, ACaThatIsAwayForThreeDaysIsComeBackToWithoutAStampede) {
  world.ca.behaviour.lifetime = 45 * 24h;
  world.take_it_slowly();
  for (int i = 0; i < 100 / tenth; ++i) world.want(fmt::format("h{}.example", i), fmt::format("t{}", i / 10));
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 6h));
  world.agenda.run_for(27 * 24h);
  world.ca.behaviour.is_away = true;
  world.requests = 0;
  world.agenda.run_for(72h);
  EXPECT_LT(world.requests, 72 * 20);  // of a hundred hosts
  world.ca.behaviour.is_away = false;
  const int before = world.requests;
  world.agenda.run_for(90min);
  EXPECT_LT(world.requests - before, 100 * 30);
  world.agenda.run_for(24h);
  for (const Wanted& item : world.wanted) EXPECT_GT(validity_left(item.name.value), 10 * 24h) << item.name.value;
}

TEST_F(CertifierTest, AShortLivedCertificateKeepsTwoDaysThroughAYearOfOutages) {
  world.take_it_slowly();
  world.want("www.example.com");
  world.want("shop.example.com");
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 1h));
  Seconds least = 160h;
  Milliseconds change = world.agenda.passed();
  for (const Milliseconds end = world.agenda.passed() + 365 * 24h; world.agenda.passed() < end;) {
    if (world.agenda.passed() >= change) {
      world.ca.behaviour.is_away = !world.ca.behaviour.is_away;
      // Up to a day away; in between long enough to renew.
      std::uniform_int_distribution<int> hours(world.ca.behaviour.is_away ? 1 : 4,
                                               world.ca.behaviour.is_away ? 24 : 72);
      change = world.agenda.passed() + std::chrono::hours(hours(world.random));
    }
    world.agenda.run_for(30min);
    for (const char* const host : {"www.example.com", "shop.example.com"}) least = std::min(least, validity_left(host));
  }
  EXPECT_GE(least, 48h);
  EXPECT_GT(world.ca.orders(), 2 * 365 / 7);
  EXPECT_LT(world.ca.orders(), 2 * 365 / 3);
}

TEST_F(CertifierTest, ARevokedCertificateIsReplacedWhenTheCaTells) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  auto& certifier = world.gateways.front()->certifier;
  const std::string before = world.gateways.front()->served["www.example.com"];
  bool accepted = false;
  const auto ask = [&]() -> Flow<Done> {
    accepted = (co_await certifier.request_revocation(identifier_of("www.example.com"), 1)).has_value();
    co_return Done{};
  };
  world.gateways.front()->spawn(ask());
  world.agenda.run_for(1min);
  EXPECT_TRUE(accepted);
  EXPECT_EQ(world.ca.revoked().size(), 1);
  EXPECT_EQ(world.ca.orders(), 2);
  EXPECT_NE(world.gateways.front()->served["www.example.com"], before);
  EXPECT_TRUE(world.ca.last_order().contains("replaces"));
}

TEST_F(CertifierTest, TakesCertificatesFromElsewhereThatAreValidNow) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  auto& gateway = *world.gateways.front();
  const std::string before = gateway.served["www.example.com"];
  const Issuer elsewhere("Another CA");
  const PrivateKey key = PrivateKey::generate(KeyType::ecdsa_p256);
  const auto import = [&](Seconds from, Seconds until) {
    const Time now = world.agenda.now();
    const std::string chain = elsewhere.issue(
        key.handle(),
        {.names = {identifier_of("www.example.com")}, .not_before = now + from, .not_after = now + until});
    std::string refused;
    const auto ask = [&]() -> Flow<Done> {
      const auto done = co_await gateway.certifier.import(identifier_of("www.example.com"), chain, key.to_pem());
      refused = done ? "" : done.error();
      co_return Done{};
    };
    gateway.spawn(ask());
    world.agenda.run_for(10s);
    return refused;
  };
  EXPECT_THAT(import(24h, 240h), ::testing::HasSubstr("not valid yet"));
  EXPECT_THAT(import(-240h, -24h), ::testing::HasSubstr("expired"));
  EXPECT_EQ(gateway.served["www.example.com"], before);
  EXPECT_EQ(import(-24h, 240h), "");
  EXPECT_NE(gateway.served["www.example.com"], before);
}

TEST_F(CertifierTest, AnAskedForRenewalIsDoneByWhoeverHoldsTheLease) {
  world.want("www.example.com");
  start(3);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  SimulatedGateway* follower = nullptr;
  for (const auto& gateway : world.gateways)
    if (gateway.get() != world.leader()) follower = gateway.get();
  const auto ask = [&]() -> Flow<Done> {
    EXPECT_TRUE(co_await follower->certifier.request_renewal(identifier_of("www.example.com")));
    EXPECT_FALSE(co_await follower->certifier.request_renewal(identifier_of("other.example.com")));
    co_return Done{};
  };
  follower->spawn(ask());
  world.agenda.run_for(1min);
  EXPECT_EQ(world.ca.orders(), 2);
}

TEST_F(CertifierTest, AnEmptiedStorageIsFilledAgainWithoutAnOrder) {
  for (int i = 0; i < 100; ++i) world.want(fmt::format("h{}.example", i), fmt::format("t{}", i));
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 5min));
  world.agenda.run_for(5s);
  const std::size_t items = world.storage.items.size();
  world.storage.wipe();
  world.agenda.run_for(30s);
  EXPECT_EQ(world.storage.items.size(), items);
  EXPECT_EQ(world.ca.orders(), 100);
  EXPECT_EQ(world.ca.accounts(), 1);
  world.kill("gateway 0");
  world.kill("gateway 1");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.agenda.run_for(1min);
  EXPECT_EQ(world.ca.orders(), 100);
}

TEST_F(CertifierTest, ADamagedItemIsReplacedFromMemory) {
  world.want("www.example.com");
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.agenda.run_for(5s);
  // A third gateway meets it for the first time; the others know better.
  world.storage.damage("certificate/www.example.com");
  world.start("gateway 2");
  world.agenda.run_for(30s);
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_TRUE(world.storage.damaged.empty());
  EXPECT_TRUE(world.is_complete());
}

TEST_F(CertifierTest, AStorageThatIsAwayStopsOrdersAndNothingElse) {
  world.want("www.example.com");
  start(2);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.storage.is_away = true;
  world.want("new.example.com");
  world.configure();
  world.agenda.run_for(10min);
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_TRUE(world.gateways.front()->served.contains("www.example.com"));
  world.storage.is_away = false;
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 1min));
  EXPECT_EQ(world.ca.orders(), 2);
}

TEST_F(CertifierTest, AnotherCaIsAskedWhileTheFirstIsAway) {
  FakeCa& second = world.ca;  // of the test; the first one's URL leads nowhere
  const auto add = [&](Authority authority) {
    world.authorities.push_back(std::make_shared<const Authority>(std::move(authority)));
  };
  world.authorities.clear();
  add({.name = "default", .directory = "https://away.test/dir", .fallback = "second"});
  add({.name = "second", .directory = second.directory_url()});
  second.behaviour = {};
  world.want("www.example.com");
  start(1);
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 30min));
}

TEST_F(CertifierTest, ARehearsalThatIsAwayKeepsNobodyWaitingForLong) {
  const auto add = [&](Authority authority) {
    world.authorities.push_back(std::make_shared<const Authority>(std::move(authority)));
  };
  world.authorities.clear();
  add({.name = "default", .directory = world.ca.directory_url(), .rehearsal = "tests"});
  add({.name = "tests", .directory = "https://away.test/dir"});
  world.want("www.example.com");
  start(1);
  world.agenda.run_for(30s);
  EXPECT_EQ(world.ca.orders(), 0);
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 30min));
}

TEST_F(CertifierTest, AHostHasTwoKindsOfCertificatesIfAsked) {
  Authority authority = *world.authorities.front();
  const auto configure = [&](std::optional<KeyType> second) {
    authority.second_key_type = second;
    world.authorities.front() = std::make_shared<const Authority>(authority);
    world.configure();
  };
  configure(KeyType::rsa_2048);
  world.want("www.example.com");
  start(2);
  const auto are_complete = [&] {
    return world.is_complete() && std::ranges::all_of(world.gateways, [](const auto& gateway) {
             return gateway->served_second.contains("www.example.com");
           });
  };
  ASSERT_TRUE(world.run_until(are_complete, 2min));
  EXPECT_EQ(world.ca.orders(), 2);
  const auto& certifier = world.gateways.front()->certifier;
  const Identifier host = identifier_of("www.example.com");
  EXPECT_EQ(certifier.record({host, false})->key_type, "ecdsa_p256");
  EXPECT_EQ(certifier.record({host, true})->key_type, "rsa_2048");
  const std::string before = world.gateways.front()->served_second["www.example.com"];
  world.agenda.run_for(8 * 24h);
  EXPECT_NE(world.gateways.front()->served_second["www.example.com"], before);

  configure(std::nullopt);
  EXPECT_EQ(certifier.record({host, true}), nullptr) << "nobody renews it any more";
  const int orders = static_cast<int>(world.ca.orders());
  configure(KeyType::rsa_2048);
  world.agenda.run_for(1min);
  EXPECT_NE(certifier.record({host, true}), nullptr);
  EXPECT_EQ(world.ca.orders(), orders) << "what is stored is served again";
}

TEST_F(CertifierTest, AChangeOfKeysWhoseAnswerWasLostIsSettledByTheNextOrder) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  for (const bool acts : {true, false}) {
    world.ca.script.push_back({.path = "/key", .status = 503, .acts = acts});
    const std::size_t before = world.ca.orders();
    const auto ask = [&]() -> Flow<Done> {
      auto& certifier = world.gateways.front()->certifier;
      EXPECT_FALSE(co_await certifier.roll_over("default"));
      EXPECT_TRUE(co_await certifier.request_renewal(identifier_of("www.example.com")));
      co_return Done{};
    };
    world.gateways.front()->spawn(ask());
    world.agenda.run_for(10min);
    EXPECT_EQ(world.ca.orders(), before + 1) << acts;
    EXPECT_EQ(world.ca.accounts(), 1);
    EXPECT_LE(world.ca.forgive("a bad signature in a request to /order"), 2)
        << "with the other key, with and without replaces";
  }
}

TEST_F(CertifierTest, WhatCannotBeActedByStopsNothingElse) {
  world.want("www.example.com");
  start(1);
  SimulatedGateway& gateway = *world.gateways.front();
  const auto answer = gateway.certifier.on_challenges;
  gateway.certifier.on_challenges = [](const std::vector<Presentation>& presentations) -> Flow<Done> {
    if (!presentations.empty()) throw std::runtime_error("OpenSSL: a name");
    co_return Done{};
  };
  ASSERT_TRUE(world.run_until([&] { return !gateway.fleet.trouble().empty(); }, 30s));
  EXPECT_THAT(gateway.fleet.trouble(),
              ::testing::AllOf(::testing::HasSubstr("challenges"), ::testing::HasSubstr("a name")));
  gateway.certifier.on_challenges = answer;
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 10min));
  world.agenda.run_for(5s);
  EXPECT_EQ(gateway.fleet.trouble(), "");
}

TEST_F(CertifierTest, APartThatFailsAsTheLeaderKeepsNoOtherFromLeading) {
  struct Broken final : Fleet::Part {
    Flow<Done> changed(StoredItem) override { co_return Done{}; }
    void damaged(const std::string&, std::uint64_t) override {}
    void forgotten() override {}
    Flow<Done> lead() override {
      ++led;
      if (is_broken) throw std::runtime_error("no random bytes");
      co_return Done{};
    }
    int led = 0;
    bool is_broken = true;
  } broken;
  world.want("www.example.com");
  start(1);
  SimulatedGateway& gateway = *world.gateways.front();
  gateway.fleet.add({"broken"}, broken);
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  EXPECT_GT(broken.led, 2);
  EXPECT_THAT(gateway.fleet.trouble(), ::testing::HasSubstr("broken"));
  EXPECT_EQ(std::ranges::count_if(gateway.reports, [](const auto& line) { return line.contains("no random bytes"); }),
            1);
  broken.is_broken = false;
  world.agenda.run_for(2s);
  EXPECT_EQ(gateway.fleet.trouble(), "");
}

// --- a storage that fails

TEST_F(CertifierTest, NothingIsOrderedThatCannotBeStored) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  world.agenda.run_for(5s);
  world.storage.is_full = true;
  world.requests = 0;
  Authority authority = *world.authorities.front();
  authority.key_type = KeyType::rsa_2048;
  world.authorities.front() = std::make_shared<const Authority>(authority);
  world.want("new.example.com");
  world.configure();
  world.agenda.run_for(1h);
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_LT(world.requests, 40) << "it is tried again after pauses";
  world.storage.is_full = false;
  EXPECT_TRUE(world.run_until([&] { return world.is_complete() && world.ca.orders() == 3; }, 2h));
}

TEST_F(CertifierTest, AnAccountThatCannotBeStoredIsRegisteredAfterPauses) {
  world.want("www.example.com");
  start(1);
  while (world.ca.accounts() == 0) world.agenda.run_for(10ms);
  world.storage.is_full = true;
  world.agenda.run_for(1h);
  EXPECT_LT(world.ca.count("/account"), 10);
  world.storage.is_full = false;
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 2h));
  EXPECT_EQ(world.ca.accounts(), 1);
}

TEST_F(CertifierTest, ACertificateThatCannotBeStoredIsServedAndStoredLater) {
  world.want("www.example.com");
  start(1);
  while (world.ca.count("/order/1/finalize") == 0) world.agenda.run_for(10ms);
  world.storage.is_full = true;
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 1min));
  world.agenda.run_for(3h);
  EXPECT_EQ(world.ca.orders(), 1);
  EXPECT_LT(world.ca.count("/ari"), 5);
  world.storage.is_full = false;
  world.agenda.run_for(1min);
  world.kill("gateway 0");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 5s));
  world.agenda.run_for(1h);
  EXPECT_EQ(world.ca.orders(), 1);
}

// --- what is due at once

TEST_F(CertifierTest, AWindowThatIsAlwaysPastCostsAnOrderAnHourAtMost) {
  world.ca.behaviour.has_only_past_windows = true;
  world.want("www.example.com");
  start(1);
  world.agenda.run_for(24h);
  EXPECT_GT(world.ca.orders(), 2);
  EXPECT_LE(world.ca.orders(), 25);
  const auto before = world.ca.orders();
  const auto ask = [&]() -> Flow<Done> {
    EXPECT_TRUE(co_await world.gateways.front()->certifier.request_renewal(identifier_of("www.example.com")));
    co_return Done{};
  };
  world.agenda.run_for(world.ca.orders() == before ? 0s : 10s);
  world.gateways.front()->spawn(ask());
  world.agenda.run_for(10s);
  EXPECT_EQ(world.ca.orders(), before + 1) << "a person asked";
}

TEST_F(CertifierTest, ACertificateThatIsNotValidNowReplacesNoneAndIsAFailure) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  const std::string good = world.gateways.front()->served["www.example.com"];
  for (const Seconds age : {Seconds(160h), Seconds(-300h)}) {
    world.ca.behaviour.age = age;
    const auto before = world.ca.orders();
    const auto ask = [&]() -> Flow<Done> {
      EXPECT_TRUE(co_await world.gateways.front()->certifier.request_renewal(identifier_of("www.example.com")));
      co_return Done{};
    };
    world.gateways.front()->spawn(ask());
    world.agenda.run_for(1h);
    EXPECT_GT(world.ca.orders(), before);
    EXPECT_LE(world.ca.orders(), before + 5);
    EXPECT_EQ(world.gateways.front()->served["www.example.com"], good);
  }
}

// --- who is to blame

TEST_F(CertifierTest, RenewalInfoThatIsAwayMovesItsOwnQuestionAlone) {
  world.ca.behaviour.is_renewal_info_away = true;
  world.want("a.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.ca.count("/ari") == 1; }, 30s));
  world.agenda.run_for(1s);
  world.want("b.example.com");
  world.configure();
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 10s));
  world.agenda.run_for(30min);
  EXPECT_EQ(world.ca.count("/ari"), 2);
  for (const std::string& report : world.gateways.front()->reports)
    EXPECT_THAT(report, ::testing::Not(::testing::HasSubstr("the CA cannot be used")));
}

TEST_F(CertifierTest, AHostThatTheCaFailsAtKeepsNoOtherWaiting) {
  world.ca.behaviour.failing = {"a.example.com"};
  world.want("a.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.ca.count("/order/1/finalize") > 0; }, 30s));
  world.agenda.run_for(2s);
  world.want("b.example.com");
  world.want("c.example.com");
  world.configure();
  SimulatedGateway& gateway = *world.gateways.front();
  EXPECT_TRUE(world.run_until(
      [&] { return gateway.served.contains("b.example.com") && gateway.served.contains("c.example.com"); }, 10s));
  world.agenda.run_for(1h);
  EXPECT_LE(world.ca.count("/order/1"), 12) << "it has pauses of its own";
  world.ca.behaviour.failing.clear();
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 2h));
}

TEST_F(CertifierTest, ACaThatFailsAtHostAfterHostIsAskedByOneAtATime) {
  for (const char* const name : {"a", "b", "c", "d", "e", "f"}) {
    world.want(name + std::string(".example.com"), name);
    world.ca.behaviour.failing.insert(name + std::string(".example.com"));
  }
  start(1);
  world.agenda.run_for(10s);
  EXPECT_EQ(std::ranges::count_if(world.gateways.front()->reports,
                                  [](const auto& report) { return report.starts_with("the CA cannot be used"); }),
            1);
  world.agenda.run_for(3h);
  world.ca.behaviour.failing = {"a.example.com", "b.example.com", "c.example.com"};
  SimulatedGateway& gateway = *world.gateways.front();
  EXPECT_TRUE(world.run_until([&] { return gateway.served.size() == 3; }, 4h)) << "each is the one in turn";
}

TEST_F(CertifierTest, ALimitOfTheAccountsOrdersIsFoundOutByFew) {
  world.ca.behaviour.order_limit = "3600";
  world.ca.behaviour.order_limit_words = "too many new orders (300) from this account in the last 3h0m0s";
  for (int i = 0; i < 60; ++i) world.want(fmt::format("h{}.example", i), fmt::format("t{}", i / 10));
  start(1);
  world.agenda.run_for(59min);
  EXPECT_LE(world.ca.count("/order"), 12);
  world.ca.behaviour.order_limit.clear();
  EXPECT_TRUE(world.run_until([&] { return world.is_complete(); }, 30min));
}

TEST_F(CertifierTest, ALimitThatNamesNobodyIsTheAccountsAfterThreeHosts) {
  world.ca.behaviour.order_limit = "3600";
  world.ca.behaviour.order_limit_words = "no more";
  for (int i = 0; i < 40; ++i) world.want(fmt::format("h{}.example", i));
  start(1);
  world.agenda.run_for(59min);
  EXPECT_GE(world.ca.count("/order"), 3);
  EXPECT_LE(world.ca.count("/order"), 4);
}

// --- what the CA counts

TEST_F(CertifierTest, TwoCertificatesOfAHostShareItsFailures) {
  Authority authority = *world.authorities.front();
  authority.second_key_type = KeyType::rsa_2048;
  world.authorities.front() = std::make_shared<const Authority>(authority);
  world.want("www.example.com");
  world.broken.insert("www.example.com");
  start(2);
  world.agenda.run_for(60min);
  EXPECT_GE(world.ca.failed_validations().size(), 3);
  EXPECT_LE(world.ca.failed_validations().size(), 5);
  // Once it is well again, a person need ask once for both.
  world.broken.clear();
  const auto ask = [&]() -> Flow<Done> {
    EXPECT_TRUE(co_await world.gateways.back()->certifier.request_renewal(identifier_of("www.example.com")));
    co_return Done{};
  };
  world.gateways.back()->spawn(ask());
  EXPECT_TRUE(world.run_until([&] { return world.gateways.front()->served_second.contains("www.example.com"); }, 30s));
}

TEST_F(CertifierTest, AWildcardAndTheNameBehindItShareFailures) {
  world.want("*.example.com", "a");  // there is no DNS for it
  start(1);
  world.agenda.run_for(4h);
  world.want("example.com", "b");
  world.configure();
  SimulatedGateway& gateway = *world.gateways.front();
  EXPECT_TRUE(world.run_until([&] { return gateway.served.contains("example.com"); }, 61min));
}

TEST_F(CertifierTest, AnAccountGetsAnotherKey) {
  world.want("www.example.com");
  start(1);
  ASSERT_TRUE(world.run_until([&] { return world.is_complete(); }, 30s));
  auto& certifier = world.gateways.front()->certifier;
  bool is_changed = false;
  const auto ask = [&]() -> Flow<Done> {
    is_changed = (co_await certifier.roll_over("default")).has_value();
    EXPECT_TRUE(co_await certifier.request_renewal(identifier_of("www.example.com")));
    co_return Done{};
  };
  world.gateways.front()->spawn(ask());
  world.agenda.run_for(1min);
  EXPECT_TRUE(is_changed);
  EXPECT_EQ(world.ca.orders(), 2);
  EXPECT_EQ(world.ca.accounts(), 1);
}

}  // namespace
}  // namespace gatehouse::acme::test
