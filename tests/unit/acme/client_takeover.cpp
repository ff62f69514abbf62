// acme/client.hpp: an order that one gateway began and another ends.
#include <gmock/gmock.h>

#include <random>

#include "acme/certificate.hpp"
#include "gateway.hpp"

namespace gatehouse::acme::test {
namespace {

using namespace std::chrono_literals;

class TakeOver : public ClientTest {
 protected:
  TakeOver() {
    world.ca.behaviour.validation_polls = world.ca.behaviour.issuance_polls = 2;
    // Nobody answers between a death and the takeover; the CA asks again.
    world.ca.behaviour.validation_tries = 50;
  }

  /// Whether what is stored says where the order is.
  static bool is_placed(const World& world) { return world.stored && !world.stored->order.empty(); }

  const OrderRequest request_ = order_of({host, domain});

  void expect_issued(const Result<Issued>& issued) {
    ASSERT_TRUE(issued) << issued.error().to_string();
    EXPECT_TRUE(is_for_key(issued->chain, PrivateKey::from_pem(issued->key.reveal()).value()));
    EXPECT_EQ(read_chain(issued->chain).value().names, (Identifiers{domain, host}));
  }

  std::optional<Progress> stored() const { return world.stored; }

  /// Places an order that is stored and left alone.
  void place_order() {
    Gateway gateway(world);
    auto flow = gateway.client.obtain(request_, std::nullopt);
    for (int wants = 0; !is_placed(world); ++wants) {
      if (wants == 0) flow.start();
      gateway.fulfil();
    }
  }
};

/// The first gateway dies after so many wants; what it wanted last may have been done.
void die_after(World& world, const OrderRequest& request, int wants, bool is_last_done, bool& was_done) {
  Gateway gateway(world);
  auto flow = gateway.client.obtain(request, std::nullopt);
  was_done = gateway.run_for(flow, wants);
  if (!was_done && is_last_done) gateway.fulfil_in_vain();
}

TEST_F(TakeOver, EndsInACertificateWhereverTheFirstGatewayDied) {
  int points = 0;
  for (const bool is_last_done : {false, true}) {
    for (bool was_done = false; !was_done; ++points) {
      World fresh;
      fresh.ca.behaviour = world.ca.behaviour;
      fresh.account = register_account(fresh);
      die_after(fresh, request_, points % 100, is_last_done, was_done);
      if (was_done) break;
      const bool was_stored = is_placed(fresh);
      const std::size_t before = fresh.ca.orders();
      fresh.ca.presented.clear();  // the dead gateway answers no more
      Gateway second(fresh);
      expect_issued(second.run(second.client.obtain(request_, std::optional<Progress>(fresh.stored))));
      EXPECT_LE(fresh.ca.orders(), 2u);
      if (was_stored) {
        EXPECT_EQ(fresh.ca.orders(), 1u) << "died after " << points % 100;
      } else {
        EXPECT_LE(before, 1u);
      }
      EXPECT_THAT(fresh.ca.complaints(), ::testing::IsEmpty());
    }
    EXPECT_GT(points % 100, 20);  // there were that many places to die at
    points = 100;
  }
}

TEST_F(TakeOver, GoesOnThroughManyDeathsWithOneOrder) {
  std::mt19937 random(3);
  for (int run = 0; run < 30; ++run) {
    world.stored.reset();
    std::optional<std::size_t> orders;
    for (int lives = 0;; ++lives) {
      world.ca.presented.clear();
      Gateway gateway(world);
      auto flow = gateway.client.obtain(request_, stored());
      const bool is_done = gateway.run_for(flow, 6 + static_cast<int>(random() % 14));
      if (is_placed(world) && !orders) orders = world.ca.orders();
      if (is_done) {
        expect_issued(flow.result());
        break;
      }
      ASSERT_LT(lives, 100);
    }
    EXPECT_EQ(world.ca.orders(), orders);
  }
}

TEST_F(TakeOver, AnswersAgainWhatTheCaHasBeenToldOf) {
  Gateway first(world);
  auto flow = first.client.obtain(request_, std::nullopt);
  flow.start();
  while (world.ca.count("/chall") < 2) first.fulfil();
  world.ca.presented.clear();
  Gateway second(world);
  expect_issued(second.run(second.client.obtain(request_, stored())));
  EXPECT_EQ(world.ca.presented.size(), 2u);
  EXPECT_EQ(world.ca.count("/chall"), 2);  // and tells it no second time
}

TEST_F(TakeOver, CostsAnotherOrderWhereTheCaAskedOnceInBetween) {
  world.ca.behaviour.validation_polls = 0;
  world.ca.behaviour.validation_tries = 1;
  Gateway first(world);
  auto flow = first.client.obtain(request_, std::nullopt);
  flow.start();
  while (world.ca.count("/chall") < 2) first.fulfil();
  world.ca.presented.clear();
  const auto failed = obtain(request_, stored());
  ASSERT_FALSE(failed);
  EXPECT_TRUE(failed.error().is_of_the_names());
  EXPECT_EQ(world.ca.orders(), 1u);
  expect_issued(obtain(request_, stored()));
  EXPECT_EQ(world.ca.orders(), 2u);
}

TEST_F(TakeOver, UsesTheKeyOfTheFirst) {
  place_order();
  Gateway second(world);
  const auto issued = second.run(second.client.obtain(request_, stored()));
  expect_issued(issued);
  EXPECT_EQ(issued->key.reveal(), world.stored->key.reveal());
}

TEST_F(TakeOver, UsesTheKeyOfAnOrderThatWasNotPlaced) {
  Gateway first(world);
  auto flow = first.client.obtain(request_, std::nullopt);
  flow.start();
  while (!world.stored) first.fulfil();
  EXPECT_EQ(world.ca.orders(), 0u);
  Gateway second(world);
  const auto issued = second.run(second.client.obtain(request_, stored()));
  expect_issued(issued);
  EXPECT_EQ(issued->key.reveal(), world.stored->key.reveal());
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(TakeOver, PlacesAnotherOrderWhereAnotherKindOfKeyIsWantedByNow) {
  place_order();
  OrderRequest other = request_;
  other.key_type = KeyType::rsa_2048;
  const auto issued = obtain(other, stored());
  expect_issued(issued);
  EXPECT_EQ(PrivateKey::from_pem(issued->key.reveal()).value().type(), KeyType::rsa_2048);
  EXPECT_EQ(world.ca.orders(), 2u);
}

TEST_F(TakeOver, PlacesAnotherOrderWhereAnotherProfileIsWantedByNow) {
  world.ca.behaviour.profiles = {{"shortlived", "six days"}};
  place_order();
  OrderRequest other = request_;
  other.profile = "shortlived";
  expect_issued(obtain(other, stored()));
  EXPECT_EQ(world.ca.orders(), 2u);
  EXPECT_EQ(world.ca.last_order()["profile"], "shortlived");
  expect_issued(obtain(other, stored()));
  EXPECT_EQ(world.ca.orders(), 2u) << "and goes on with the one that was placed with it";
}

TEST_F(TakeOver, DoesNotMindTheOrderOfNames) {
  place_order();
  Gateway second(world);
  expect_issued(second.run(second.client.obtain(order_of({domain, host}), stored())));
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(TakeOver, PlacesAnotherOrderWhereTheFirstHasEndedBadly) {
  for (const char* const status : {"invalid", "expired", "deactivated", "revoked"}) {
    world.stored.reset();
    place_order();
    world.ca.set_orders(status);
    const std::size_t before = world.ca.orders();
    expect_issued(obtain(request_, stored()));
    EXPECT_EQ(world.ca.orders(), before + 1) << status;
    EXPECT_LT(world.waited, 1min);
    world.waited = 0s;
  }
}

TEST_F(TakeOver, PlacesAnotherOrderWhereTheCaHasForgottenTheFirst) {
  place_order();
  world.ca.forget_orders();
  expect_issued(obtain(request_, stored()));
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST_F(TakeOver, PlacesAnotherOrderWhereTheFirstIsForOtherNames) {
  place_order();
  const auto issued = obtain(order_of({host}), stored());
  ASSERT_TRUE(issued);
  EXPECT_EQ(read_chain(issued->chain).value().names, Identifiers{host});
}

TEST_F(TakeOver, PlacesAnotherOrderWhereTheKeyCannotBeRead) {
  place_order();
  expect_issued(obtain(request_, Progress{world.stored->order, Secret("no key")}));
  EXPECT_EQ(world.ca.orders(), 2u);
}

TEST_F(TakeOver, PlacesNoOtherOrderWhileTheCaCannotTellOfTheFirst) {
  place_order();
  const auto refused = [&](int status, const char* type) {
    for (int i = 0; i < 4; ++i) world.ca.script.push_back({.path = "/order/1", .status = status, .type = type});
    const auto issued = obtain(request_, stored());
    EXPECT_FALSE(issued) << status;
    world.ca.script.clear();
  };
  refused(503, "serverInternal");
  refused(500, "serverInternal");
  refused(429, "rateLimited");
  refused(302, "x");
  world.fate = [](const HttpRequest& request) {
    return request.url.ends_with("/order/1") ? World::Fate::answer_lost : World::Fate::answered;
  };
  EXPECT_FALSE(obtain(request_, stored()));
  EXPECT_EQ(world.ca.orders(), 1u);
}

TEST(Conversation, WantsNothingOnceTheFlowIsDropped) {
  World world;
  Gateway gateway(world);
  {
    auto flow = gateway.client.register_account({}, nullptr);
    flow.start();
    EXPECT_EQ(gateway.conversation.want(), Conversation::Want::send);
  }
  EXPECT_EQ(gateway.conversation.want(), Conversation::Want::nothing);
  EXPECT_TRUE(gateway.run(gateway.client.register_account({}, nullptr)));  // and serves the next one
}

}  // namespace
}  // namespace gatehouse::acme::test
