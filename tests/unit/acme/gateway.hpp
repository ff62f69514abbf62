// Somebody who runs flows of acme/client.hpp against a FakeCa: does what they want, with a clock that jumps. Two of them
// share a World as two gateways share their store.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "acme/client.hpp"
#include "fake_ca.hpp"

namespace gatehouse::acme::test {

struct World {
  FakeCa ca;
  Time now = some_time;
  std::optional<Progress> stored;
  const PrivateKey account_key = PrivateKey::generate(KeyType::ecdsa_p256);
  std::string account;

  enum class Fate { answered, request_lost, answer_lost };
  std::function<Fate(const HttpRequest&)> fate = [](const HttpRequest&) { return Fate::answered; };
  bool can_keep = true, can_present = true;
  bool can_answer = true;  // the hosts, when the CA validates
  Seconds waited{};
};

class Gateway {
 public:
  explicit Gateway(World& world) : world_(world), client(conversation, world.ca.directory_url()) {
    client.use_account(world.account_key, world.account);
    conversation.set_now(world.now);
  }

  /// To its end.
  template <class T>
  T run(Flow<T> flow) {
    if (!run_for(flow, 20'000)) throw std::runtime_error("the flow does not end");
    return flow.result();
  }

  /// Fulfils so many wants; whether the flow has ended then.
  template <class T>
  bool run_for(Flow<T>& flow, int wants) {
    flow.start();
    for (; !flow.is_done(); --wants) {
      if (wants == 0) return false;
      fulfil();
    }
    EXPECT_EQ(conversation.want(), Conversation::Want::nothing);
    return true;
  }

  /// Does what is wanted, but the one who wanted it does not live to see it.
  void fulfil_in_vain() {
    if (conversation.want() == Conversation::Want::send)
      static_cast<void>(world_.ca.answer(conversation.request(), world_.now));
    else if (conversation.want() == Conversation::Want::keep)
      world_.stored.emplace(conversation.progress());
  }

  void fulfil() {
    switch (conversation.want()) {
      case Conversation::Want::nothing: throw std::logic_error("a flow that is not done wants nothing");
      case Conversation::Want::send: return send();
      case Conversation::Want::wait:
        EXPECT_GT(conversation.until(), world_.now);
        world_.waited += conversation.until() - world_.now;
        world_.now = conversation.until();
        return conversation.proceed(world_.now);
      case Conversation::Want::present:
        if (!world_.can_present) return conversation.lost("gateway 2 is away", world_.now);
        if (world_.can_answer) world_.ca.presented = conversation.presentations();
        return conversation.proceed(world_.now);
      case Conversation::Want::keep:
        if (!world_.can_keep) return conversation.lost("disk full", world_.now);
        world_.stored.emplace(conversation.progress());
        return conversation.proceed(world_.now);
    }
  }

 private:
  void send() {
    const HttpRequest request = conversation.request();
    const World::Fate fate = world_.fate(request);
    if (fate == World::Fate::request_lost) return conversation.lost("connection refused", world_.now);
    HttpResponse response = world_.ca.answer(request, world_.now);
    if (fate == World::Fate::answer_lost) return conversation.lost("connection reset", world_.now);
    conversation.deliver(std::move(response), world_.now);
  }

  World& world_;

 public:
  Conversation conversation;
  Client client;
};

/// A World with an account, whose CA has nothing to complain of in the end.
class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override { world.account = register_account(world); }
  void TearDown() override {
    for (const std::string& complaint : world.ca.complaints()) ADD_FAILURE() << complaint;
  }

  static std::string register_account(World& world) {
    Gateway gateway(world);
    return gateway.run(gateway.client.register_account({}, nullptr)).value();
  }

  /// One order from its placing to its end, by a gateway of its own.
  Result<Issued> obtain(OrderRequest request, std::optional<Progress> resumed = std::nullopt) {
    Gateway gateway(world);
    return gateway.run(gateway.client.obtain(std::move(request), std::move(resumed)));
  }

  static OrderRequest order_of(const Identifiers& names, ChallengeType challenge = ChallengeType::http_01) {
    OrderRequest request;
    request.identifiers = names;
    request.challenge = challenge;
    return request;
  }

  World world;
};

inline const Identifier host = {Identifier::Type::dns, "www.example.com"};
inline const Identifier domain = {Identifier::Type::dns, "example.com"};
inline const Identifier wildcard = {Identifier::Type::dns, "*.example.com"};
inline const Identifier address = {Identifier::Type::ip, "192.0.2.7"};
inline const Identifier address6 = {Identifier::Type::ip, "2001:db8::1"};

}  // namespace gatehouse::acme::test
