// Who may write to the client while a body is under way.
#include "gateway/proxy/client_turn.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gatehouse::proxy {
namespace {

using runtime::Loop;
using runtime::Task;

/// Takes its turn so many times, and holds it for two turns of the loop each time.
Task<void> take_turns(Loop& loop, ClientTurn& turn, std::string& order, char name, int times, int& left) {
  for (int i = 0; i < times; ++i) {
    co_await turn.take();
    order += name;
    co_await loop.yield();
    co_await loop.yield();
    order += static_cast<char>(name - 'a' + 'A');
    turn.give(loop);
  }
  if (--left == 0) loop.stop();
}

TEST(ClientTurn, IsNeverOfTwoAtOnce) {
  Loop loop;
  ClientTurn turn;
  std::string order;
  int left = 2;
  loop.spawn(take_turns(loop, turn, order, 'a', 2, left));
  loop.spawn(take_turns(loop, turn, order, 'b', 2, left));
  loop.run();
  ASSERT_EQ(order.size(), 8U);
  for (std::size_t i = 0; i < order.size(); i += 2) EXPECT_EQ(order[i] - 'a', order[i + 1] - 'A') << order;
}

TEST(ClientTurn, IsThereAtOnceForOneAlone) {
  Loop loop;
  ClientTurn turn;
  EXPECT_TRUE(turn.take().await_ready());
  EXPECT_FALSE(turn.take().await_ready());
  turn.give(loop);
  EXPECT_TRUE(turn.take().await_ready());
}

}  // namespace
}  // namespace gatehouse::proxy
