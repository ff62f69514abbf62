// net/ticket_keys.hpp: which key tickets are made with, and which are still known.
#include "gateway/net/ticket_keys.hpp"

#include <gtest/gtest.h>

namespace gatehouse::net {
namespace {

using namespace std::chrono_literals;

constexpr TicketKey::Time start{std::chrono::seconds(1'796'000'000)};

TEST(TicketKeys, BeginWithOneThatIsActive) {
  const auto keys = TicketKeys::rotated(nullptr, start, 60s);
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->all().size(), 1U);
  EXPECT_EQ(keys->all().front().active_from, start);
  EXPECT_FALSE(TicketKeys::rotated(keys.get(), start + TicketKeys::rotation - 1s, 60s));
}

TEST(TicketKeys, AreKnownToAllBeforeTheyAreUsed) {
  const auto first = TicketKeys::rotated(nullptr, start, 60s);
  const auto due = start + TicketKeys::rotation;
  const auto second = TicketKeys::rotated(first.get(), due, 60s);
  ASSERT_TRUE(second);
  ASSERT_EQ(second->all().size(), 2U);
  EXPECT_EQ(second->current(due + 59s).name, first->all().front().name);
  EXPECT_NE(second->current(due + 60s).name, first->all().front().name);
  EXPECT_NE(second->find(first->all().front().name), nullptr);
  EXPECT_NE(second->find(second->current(due + 60s).name), nullptr);
  EXPECT_EQ(first->find(second->current(due + 60s).name), nullptr);
}

TEST(TicketKeys, AreForgottenAfterTheirLife) {
  auto keys = TicketKeys::rotated(nullptr, start, 60s);
  const auto name = keys->all().front().name;
  for (auto now = start; now < start + TicketKeys::life; now += 10min)
    if (auto next = TicketKeys::rotated(keys.get(), now, 60s)) keys = std::move(next);
  EXPECT_NE(keys->find(name), nullptr);
  EXPECT_LE(keys->all().size(), 4U);
  keys = TicketKeys::rotated(keys.get(), start + TicketKeys::life, 60s);
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->find(name), nullptr);
  keys = TicketKeys::rotated(keys.get(), start + 1000h, 60s);
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->all().size(), 1U);
  EXPECT_EQ(keys->current(start + 1000h).active_from, start + 1000h) << "after a long pause there is one at once";
}

}  // namespace
}  // namespace gatehouse::net
