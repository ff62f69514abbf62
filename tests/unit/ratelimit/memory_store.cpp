// ratelimit/memory_store.hpp: decisions, bounds, what is forgotten, and many threads at once.
#include "ratelimit/memory_store.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <random>
#include <thread>
#include <vector>

#include "ratelimit/memory_shard.hpp"

namespace gatehouse::ratelimit {
namespace {

using namespace std::chrono_literals;

constexpr BucketParameters kThree{.capacity = 3, .tokens = 1, .period = 1s};

Decision take_one(MemoryStore& store, const std::string& key, const BucketParameters& parameters, Microseconds now) {
  const std::array<BucketRequest, 1> request{{{key, parameters}}};
  std::array<Decision, 1> decision;
  store.take_all(request, now, decision);
  return decision[0];
}

TEST(MemoryStore, DecidesAsTakeDoes) {
  MemoryStore store;
  std::map<std::string, BucketState> states;
  std::mt19937_64 random{3};
  Microseconds now{1'000'000};
  for (int i = 0; i < 20'000; ++i) {
    now += Microseconds{static_cast<std::int64_t>(random() % 200'000)};
    const std::string key = fmt::format("k{}", random() % 20);
    const BucketParameters parameters{.capacity = key.size() * 3, .tokens = 7, .period = 1min};
    const auto [state, fresh] = states.try_emplace(key, full_bucket(parameters, now));
    ASSERT_EQ(take_one(store, key, parameters, now), take(parameters, state->second, now));
  }
}

TEST(MemoryStore, ChargesAllLimitsOrNone) {
  MemoryStore store;
  const std::array<BucketRequest, 2> both{{{"wide", {10, 1, 1s}}, {"narrow", {1, 1, 1h}}}};
  std::array<Decision, 2> decisions;
  store.take_all(both, 1s, decisions);
  EXPECT_TRUE(decisions[0].allowed && decisions[1].allowed);
  for (int i = 0; i < 5; ++i) {
    store.take_all(both, 1s, decisions);
    EXPECT_TRUE(decisions[0].allowed);
    EXPECT_EQ(decisions[0].remaining, 9u);
    EXPECT_FALSE(decisions[1].allowed);
    EXPECT_EQ(decisions[1].retry_after, 1h);
  }
}

TEST(MemoryStore, CreatesNoBucketForARefusedRequest) {
  MemoryStore store;
  (void)take_one(store, "narrow", {1, 1, 1h}, 1s);
  const std::array<BucketRequest, 2> both{{{"other", kThree}, {"narrow", {1, 1, 1h}}}};
  std::array<Decision, 2> decisions;
  store.take_all(both, 1s, decisions);
  EXPECT_EQ(store.size(), 1u);
}

TEST(MemoryStore, ChargesAKeyThatIsGivenTwiceOnce) {
  MemoryStore store;
  const std::array<BucketRequest, 2> twice{{{"k", kThree}, {"k", kThree}}};
  std::array<Decision, 2> decisions;
  for (std::uint64_t left : {2u, 1u, 0u}) {
    store.take_all(twice, 1s, decisions);
    EXPECT_TRUE(decisions[1].allowed);
    EXPECT_EQ(decisions[0].remaining, left);
    EXPECT_EQ(decisions[1], decisions[0]);
  }
  store.take_all(twice, 1s, decisions);
  EXPECT_FALSE(decisions[0].allowed);
}

TEST(MemoryStore, TakesNoLimitsAndMany) {
  MemoryStore store;
  store.take_all({}, 1s, {});
  EXPECT_EQ(store.size(), 0u);
  std::vector<BucketRequest> requests;
  for (int i = 0; i < 100; ++i) requests.push_back({fmt::format("k{}", i), kThree});
  std::vector<Decision> decisions(requests.size());
  store.take_all(requests, 1s, decisions);
  for (const Decision& decision : decisions) EXPECT_EQ(decision.remaining, 2u);
  EXPECT_EQ(store.size(), 100u);
}

TEST(MemoryStore, IsBoundedWhateverArrives) {
  for (const std::size_t most : {std::size_t{1}, std::size_t{10}, std::size_t{5'000}}) {
    MemoryStore store{most};
    for (int i = 0; i < 20'000; ++i) (void)take_one(store, fmt::format("k{}", i), kThree, 1s);
    EXPECT_LE(store.size(), most);
    EXPECT_GE(store.size(), most * 9 / 10);
  }
}

TEST(MemoryStore, AFloodOfNewKeysDoesNotRefillALimitedClient) {
  MemoryStore store{100};
  while (take_one(store, "victim", kThree, 1s).allowed) continue;
  for (int i = 0; i < 10'000; ++i) (void)take_one(store, fmt::format("flood{}", i), kThree, 1s);
  EXPECT_FALSE(take_one(store, "victim", kThree, 1s).allowed);
  int forgotten = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (take_one(store, fmt::format("flood{}", i), kThree, 1s).remaining == 2) ++forgotten;
  }
  EXPECT_GE(forgotten, 9'800);
}

TEST(MemoryStore, ForgetsFullBucketsAsNewOnesCome) {
  MemoryStore store{100'000};
  for (int i = 0; i < 10'000; ++i) (void)take_one(store, fmt::format("old{}", i), kThree, 1s);
  EXPECT_EQ(store.size(), 10'000u);
  for (int i = 0; i < 10'000; ++i) (void)take_one(store, fmt::format("new{}", i), kThree, 10s);
  EXPECT_LT(store.size(), 11'000u);
}

TEST(MemoryStore, AdmitsExactlyTheBurstAcrossThreads) {
  MemoryStore store{10'000};
  constexpr int kThreads = 4;
  constexpr BucketParameters kHundred{.capacity = 100, .tokens = 1, .period = 1h};
  std::array<std::atomic<int>, 8> admitted{};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random{static_cast<std::uint64_t>(t)};
      for (int i = 0; i < 1'000; ++i) {
        // Pairs in both orders, and keys of one's own that make the shards grow.
        const std::size_t a = random() % admitted.size();
        const std::size_t b = random() % admitted.size();
        const std::array<BucketRequest, 3> requests{{{fmt::format("k{}", a), kHundred},
                                                     {fmt::format("k{}", b), kHundred},
                                                     {fmt::format("own{}-{}", t, i), kHundred}}};
        std::array<Decision, 3> decisions;
        store.take_all(requests, 1s, decisions);
        if (decisions[0].allowed && decisions[1].allowed && decisions[2].allowed) {
          ++admitted[a];
          if (a != b) ++admitted[b];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < admitted.size(); ++i) {
    EXPECT_LE(admitted[i], 100);
    EXPECT_EQ(take_one(store, fmt::format("k{}", i), kHundred, 1s).allowed, admitted[i] < 100);
  }
}

// --- beside a common store

constexpr BucketParameters kTwenty{.capacity = 20, .tokens = 10, .period = 1s};
constexpr std::uint64_t kToken = 1'000'000;

std::array<BucketRequest, 1> asked(const BucketParameters& parameters = kTwenty) { return {{{"k", parameters}}}; }

/// The common store has decided: so many tokens are left of twenty.
void mirror_left(MemoryStore& store, std::uint64_t left, Microseconds now, std::uint64_t gateways = 2) {
  const BucketState state{.micro_tokens = left * kToken, .updated = now};
  store.mirror(asked(), std::array{peek(kTwenty, state, now)}, gateways, now);
}

Decision take_share(MemoryStore& store, Microseconds now, std::uint64_t gateways = 2) {
  std::array<Decision, 1> decision;
  store.take_all(asked(share_of(kTwenty, gateways)), now, decision, true);
  return decision[0];
}

Debt debt_of(MemoryStore& store, Microseconds now, std::uint64_t gateways = 2) {
  std::array<Debt, 1> debts;
  const bool any = store.take_debts(asked(), gateways, now, debts);
  EXPECT_EQ(any, debts[0] != Debt{});
  return debts[0];
}

TEST(MirroredStore, GoesOnFromItsShareOfWhatTheCommonBucketHeld) {
  MemoryStore store;
  mirror_left(store, 6, 10s);
  EXPECT_EQ(take_share(store, 10s).remaining, 2u);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  const Decision refused = take_share(store, 10s);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, 200ms);  // five a second
  mirror_left(store, 0, 11s);
  EXPECT_FALSE(take_share(store, 11s).allowed) << "the newest is what counts";
}

TEST(MirroredStore, WaitsForADebtThatDelaysTheCommonBucket) {
  MemoryStore store;
  const BucketState indebted{.micro_tokens = 0, .updated = 11s};
  store.mirror(asked(), std::array{peek(kTwenty, indebted, 10s)}, 2, 10s);
  const Decision refused = take_share(store, 10s);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, 1'200ms);
}

TEST(MirroredStore, KeepsNothingOfABucketThatIsAsGoodAsFull) {
  MemoryStore store;
  for (int i = 0; i < 100; ++i) {
    const std::array<BucketRequest, 1> request{{{fmt::format("k{}", i), kTwenty}}};
    store.mirror(request, std::array{Decision{.remaining = 19, .reset_after = 100ms}}, 2, 10s);
  }
  EXPECT_EQ(store.size(), 0u);
  mirror_left(store, 18, 10s);
  EXPECT_EQ(store.size(), 1u);
  mirror_left(store, 20, 10s);
  EXPECT_EQ(take_share(store, 10s).remaining, 9u) << "what is kept is kept up to date";
  const std::array<BucketRequest, 1> small{{{"small", {1, 1, 1h}}}};
  store.mirror(small, std::array{Decision{.reset_after = 1h}}, 1, 10s);
  EXPECT_FALSE(take_one(store, "small", {1, 1, 1h}, 10s).allowed);
}

TEST(MirroredStore, IsBounded) {
  MemoryStore store{100};
  for (int i = 0; i < 10'000; ++i) {
    const std::array<BucketRequest, 1> request{{{fmt::format("k{}", i), kTwenty}}};
    store.mirror(request, std::array{Decision{.reset_after = 1s}}, 2, 10s);
  }
  EXPECT_LE(store.size(), 100u);
}

TEST(Debts, AreNoneWhileTheStoreAnswers) {
  MemoryStore store;
  mirror_left(store, 2, 10s);
  EXPECT_EQ(debt_of(store, 10s), Debt{});
  std::array<Decision, 1> decision;
  store.take_all(asked(), 10s, decision);  // in memory because there is no store
  EXPECT_EQ(debt_of(store, 10s), Debt{});
}

TEST(Debts, AreWhatWasTakenMeanwhile) {
  MemoryStore store;
  mirror_left(store, 10, 10s);
  store.store_lost(11s);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(take_share(store, 11s).allowed);
  // The share is 10: half of it was there, half a second's five came, three went.
  EXPECT_EQ(debt_of(store, 11s), (Debt{.owed = 3 * kToken, .missing = 6 * kToken, .gateways = 2, .silence = 1s}));
}

TEST(Debts, AreToldByOneCallOfSeveral) {
  MemoryStore store;
  mirror_left(store, 10, 10s);
  store.store_lost(10s);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  EXPECT_EQ(debt_of(store, 10s).owed, kToken);
  const Debt second = debt_of(store, 10s);
  EXPECT_EQ(second.owed, 0u);
  EXPECT_EQ(second.missing, 12 * kToken) << "whichever call finds no bucket says what it lacks";
}

TEST(Debts, EndWithTheNextSharedDecision) {
  MemoryStore store;
  mirror_left(store, 10, 10s);
  store.store_lost(11s);
  EXPECT_TRUE(take_share(store, 11s).allowed);
  EXPECT_EQ(debt_of(store, 11s).owed, kToken);
  mirror_left(store, 8, 12s);
  EXPECT_EQ(debt_of(store, 12s), Debt{});
}

TEST(Debts, ArePutBackWhenTheCallWasLost) {
  MemoryStore store;
  mirror_left(store, 20, 10s);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  const std::array<Debt, 1> debts{debt_of(store, 10s)};
  EXPECT_EQ(debts[0].owed, 2 * kToken);
  EXPECT_TRUE(take_share(store, 10s).allowed);
  store.put_back(asked(), debts);
  EXPECT_EQ(debt_of(store, 10s).owed, 3 * kToken);
}

TEST(Debts, AreSettledByTime) {
  MemoryStore store;
  mirror_left(store, 20, 10s);
  store.store_lost(10s);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(take_share(store, 10s).allowed);
  const Debt all = debt_of(store, 10s);
  EXPECT_EQ(all.owed, 10 * kToken);
  EXPECT_EQ(all.missing, 20 * kToken);
  store.put_back(asked(), std::array{all});
  const Debt half = debt_of(store, 11s);  // the share has five tokens again
  EXPECT_EQ(half.owed, 5 * kToken);
  EXPECT_EQ(half.missing, 10 * kToken);
  store.put_back(asked(), std::array{half});
  EXPECT_EQ(debt_of(store, 12s), Debt{});
  EXPECT_EQ(debt_of(store, 13s), Debt{});
}

TEST(Debts, CountAgainstTheShareUntilTheStoreKnows) {
  MemoryStore store;
  mirror_left(store, 20, 10s);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(take_share(store, 10s).allowed);
  mirror_left(store, 12, 10s);  // a decision that was on its way when the store was lost
  EXPECT_EQ(take_share(store, 10s).remaining, 1u);
  EXPECT_EQ(debt_of(store, 10s).owed, 5 * kToken);
}

TEST(Debts, SayWhatIsMissingEvenWhenNothingWasTaken) {
  MemoryStore store;
  mirror_left(store, 0, 10s);
  store.store_lost(10s);
  store.store_lost(9s);  // another worker's, told late
  EXPECT_FALSE(take_share(store, 10s).allowed);
  EXPECT_EQ(debt_of(store, 10s), (Debt{.owed = 0, .missing = 20 * kToken, .gateways = 2, .silence = 0s}));
}

TEST(Debts, OfBucketsThatTheStoreHasNeverTold) {
  MemoryStore store;
  EXPECT_TRUE(take_share(store, 10s).allowed);
  EXPECT_EQ(debt_of(store, 10s), (Debt{.owed = kToken, .missing = 2 * kToken, .gateways = 2, .silence = 10s}));
}

TEST(Debts, AreToldOnceByManyThreads) {
  MemoryStore store;
  constexpr int kTaken = 20'000;
  constexpr BucketParameters kHuge{.capacity = 1'000'000, .tokens = 1, .period = 1h};
  std::atomic<std::uint64_t> told = 0;
  std::atomic<int> taking = 2;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      std::array<Decision, 1> decision;
      for (int i = 0; i < kTaken; ++i) store.take_all(asked(kHuge), 10s, decision, true);
      --taking;
    });
    threads.emplace_back([&] {
      std::array<Debt, 1> debts;
      int calls = 0;
      for (bool last = false; !last;) {
        last = taking == 0;
        if (!store.take_debts(asked(kHuge), 1, 10s, debts)) continue;
        if (++calls % 3 == 0)
          store.put_back(asked(kHuge), debts);
        else
          told += debts[0].owed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::array<Debt, 1> rest;
  (void)store.take_debts(asked(kHuge), 1, 10s, rest);
  EXPECT_EQ(told + rest[0].owed, 2 * kTaken * kToken);
}

// The shard against a model: a map, of which the entry that is full first goes when there is no room.
TEST(MemoryShard, KeepsWhatAModelKeeps) {
  constexpr std::size_t kMost = 50;
  MemoryShard shard{kMost};
  std::map<std::uint64_t, Microseconds> model;  // key -> full_at
  std::mt19937_64 random{5};
  Microseconds now{0};
  std::int64_t unique = 0;
  for (int i = 0; i < 50'000; ++i) {
    now += 3us;
    const std::uint64_t number = random() % 120;
    const Fingerprint key{number, ~number};
    const Microseconds full_at =
        now + Microseconds{static_cast<std::int64_t>(random() % 300) * 1'000'000 + ++unique % 1'000'000};
    KeptBucket* const found = shard.find(key);
    ASSERT_EQ(found != nullptr, model.contains(number));
    if (found != nullptr) {
      ASSERT_EQ(found->state.micro_tokens, number);
      ASSERT_EQ(found->owed, ~number);
      shard.set_full_at(found, full_at);
      model[number] = full_at;
      continue;
    }
    const auto first = [&] {
      return std::ranges::min_element(model, {}, [](const auto& entry) { return entry.second; });
    };
    for (int cleared = 0; cleared < 2 && !model.empty() && first()->second <= now; ++cleared) model.erase(first());
    if (model.size() >= kMost) model.erase(first());
    model[number] = full_at;
    shard.insert(key, 7, {.state = {.micro_tokens = number}, .owed = ~number}, full_at, now);
    ASSERT_EQ(shard.size(), model.size());
  }
}

// Two owners: nobody loses a bucket while another has more, and who asks for few keeps them all.
TEST(MemoryShard, TakesFromWhoHasTheMost) {
  constexpr std::size_t kMost = 60;
  MemoryShard shard{kMost};
  std::mt19937_64 random{6};
  for (std::uint64_t few = 0; few < 20; ++few) shard.insert({few, 1}, 1, {}, 1s, 0s);
  for (std::uint64_t many = 0; many < 5000; ++many) {
    shard.insert({many, 2}, 2, {}, Microseconds{1 + static_cast<std::int64_t>(random() % 1'000'000'000)}, 0s);
    ASSERT_EQ(shard.size(), std::min<std::size_t>(20 + many + 1, kMost));
  }
  for (std::uint64_t few = 0; few < 20; ++few) EXPECT_NE(shard.find({few, 1}), nullptr) << few;
  for (std::uint64_t third = 0; third < 5000; ++third) shard.insert({third, 3}, 3, {}, 3600s, 0s);
  for (std::uint64_t few = 0; few < 20; ++few) EXPECT_NE(shard.find({few, 1}), nullptr) << few;
  std::size_t left = 0;
  for (std::uint64_t many = 0; many < 5000; ++many) left += shard.find({many, 2}) != nullptr;
  EXPECT_NEAR(static_cast<double>(left), 20, 1);
}

TEST(MemoryShard, ForgetsWhatIsFullWhosesoeverItIs) {
  MemoryShard shard{1000};
  for (std::uint64_t number = 0; number < 900; ++number)
    shard.insert({number, 0}, number % 30, {}, Microseconds{static_cast<std::int64_t>(number) + 1}, Microseconds{0});
  EXPECT_EQ(shard.size(), 900U);
  for (std::uint64_t number = 1000; number < 1900; ++number) shard.insert({number, 0}, 99, {}, 10s, 1s);
  EXPECT_EQ(shard.size(), 900U);  // all of the others are gone
  EXPECT_EQ(shard.find({5, 0}), nullptr);
  EXPECT_NE(shard.find({1000, 0}), nullptr);
}

// Who fills the memory with keys of his own choice fills nobody else's buckets.
TEST(MemoryStore, LosesBucketsOfTheTenantThatHasTheMost) {
  MemoryStore store{4096};
  constexpr BucketParameters kSlow{.capacity = 5, .tokens = 1, .period = 1h};
  constexpr BucketParameters kQuick{.capacity = 5, .tokens = 1, .period = 1min};
  const auto take = [&](const std::string& tenant, std::uint64_t client, const BucketParameters& parameters) {
    const std::string text = std::to_string(client);
    const std::array parts{KeyPart{.kind = KeyPart::Kind::client, .text = text}};
    const std::array<BucketRequest, 1> request{{{bucket_key(tenant, "limit", parts), parameters}}};
    std::array<Decision, 1> decision;
    store.take_all(request, 1s, decision);
    return decision[0].allowed;
  };
  for (std::uint64_t client = 0; client < 200; ++client) {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(take("quiet", client, kQuick));
  }
  for (std::uint64_t client = 0; client < 20'000; ++client) (void)take("flooded", client, kSlow);
  for (std::uint64_t client = 0; client < 200; ++client) EXPECT_FALSE(take("quiet", client, kQuick)) << client;
}

}  // namespace
}  // namespace gatehouse::ratelimit
