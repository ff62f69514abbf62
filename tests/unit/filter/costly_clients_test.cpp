// Clients that are to wait for themselves.
#include "gateway/filter/costly_clients.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace gatehouse::filter {
namespace {

void note(CostlyClients& clients, std::uint64_t client, runtime::TimePoint now) {
  for (unsigned i = 0; i < CostlyClients::several; ++i) clients.note(client, now);
}

TEST(CostlyClients, AreKnownForTheirTermAndNoLonger) {
  const auto clients = std::make_unique<CostlyClients>();
  const runtime::TimePoint now = runtime::Clock::now();
  EXPECT_FALSE(clients->contains(7, now));
  EXPECT_FALSE(clients->contains(0, now));
  note(*clients, 7, now);
  EXPECT_TRUE(clients->contains(7, now));
  EXPECT_TRUE(clients->contains(7, now + CostlyClients::term - std::chrono::milliseconds(1)));
  EXPECT_FALSE(clients->contains(7, now + CostlyClients::term));
  EXPECT_FALSE(clients->contains(8, now));
}

TEST(CostlyClients, AreNotThoseOfOneCostlyRequest) {
  const auto clients = std::make_unique<CostlyClients>();
  runtime::TimePoint now = runtime::Clock::now();
  for (int i = 0; i < 10; ++i) {
    clients->note(7, now);
    EXPECT_FALSE(clients->contains(7, now));
    now += CostlyClients::term;
  }
  clients->note(7, now);
  clients->note(7, now + std::chrono::seconds(1));
  EXPECT_FALSE(clients->contains(7, now + std::chrono::seconds(1)));
  clients->note(7, now + std::chrono::seconds(2));
  EXPECT_TRUE(clients->contains(7, now + std::chrono::seconds(2)));
}

TEST(CostlyClients, OfOneNetworkAreMostlyKnownTogether) {
  const auto clients = std::make_unique<CostlyClients>();
  const runtime::TimePoint now = runtime::Clock::now();
  for (std::uint64_t client = 0xC0000200; client < 0xC0000300; ++client) note(*clients, client, now);
  int known = 0;
  for (std::uint64_t client = 0xC0000200; client < 0xC0000300; ++client) known += clients->contains(client, now);
  EXPECT_GT(known, 200);
}

TEST(TurnShares, BelongToOneTurn) {
  const auto shares = std::make_unique<TurnShares>();
  const runtime::TimePoint turn = runtime::Clock::now();
  EXPECT_EQ(shares->spent(7, turn).count(), 0);
  shares->add(7, turn, std::chrono::nanoseconds(30));
  shares->add(7, turn, std::chrono::nanoseconds(12));
  EXPECT_EQ(shares->spent(7, turn).count(), 42);
  EXPECT_EQ(shares->spent(8, turn).count(), 0);
  const runtime::TimePoint next = turn + std::chrono::milliseconds(1);
  EXPECT_EQ(shares->spent(7, next).count(), 0);
  shares->add(7, next, std::chrono::nanoseconds(5));
  EXPECT_EQ(shares->spent(7, next).count(), 5);
}

TEST(TurnShares, KnowWhoseRequestsWait) {
  const auto shares = std::make_unique<TurnShares>();
  const runtime::TimePoint turn = runtime::Clock::now();
  EXPECT_FALSE(shares->has_waiting(7));
  {
    const TurnShares::Waiting first(*shares, 7);
    {
      const TurnShares::Waiting second(*shares, 7);
      EXPECT_TRUE(shares->has_waiting(7));
      EXPECT_FALSE(shares->has_waiting(8));
    }
    shares->add(7, turn, std::chrono::nanoseconds(30));
    EXPECT_TRUE(shares->has_waiting(7));  // in the next turn as well
  }
  EXPECT_FALSE(shares->has_waiting(7));
  EXPECT_EQ(shares->spent(7, turn).count(), 30);
}

TEST(TurnShares, ForgetThoseWhoseEntryAnotherTakes) {
  const auto shares = std::make_unique<TurnShares>();
  {
    const TurnShares::Waiting first(*shares, 0);
    std::vector<std::unique_ptr<TurnShares::Waiting>> others;
    for (std::uint64_t client = 1; client < 5'000; ++client)
      others.push_back(std::make_unique<TurnShares::Waiting>(*shares, client));
    EXPECT_FALSE(shares->has_waiting(0));
  }
  for (std::uint64_t client = 0; client < 5'000; ++client) EXPECT_FALSE(shares->has_waiting(client)) << client;
}

}  // namespace
}  // namespace gatehouse::filter
