// Connections kept between requests.
#include "gateway/upstream/connection_pool.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace gatehouse::upstream {
namespace {

class Pools : public testing::Test {
 protected:
  ~Pools() override {
    pools.close_all();
    for (const int fd : far_ends_) ::close(fd);
  }

  PoolKey key(int port, std::string name = {}, std::shared_ptr<const net::ClientTls> tls = nullptr) {
    return {*SocketAddress::parse("127.0.0.1:" + std::to_string(port)), std::move(tls), std::move(name)};
  }
  std::unique_ptr<UpstreamConnection> connected(ConnectionPool& pool) {
    auto connection = pool.make();
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()), 0);
    EXPECT_TRUE(connection->stream.adopt(ends[0]));
    connection->stream.descriptor().readable = false;
    far_ends_.push_back(ends[1]);
    return connection;
  }

  runtime::Loop loop;
  ConnectionBudget budget{3};
  ConnectionPools pools{loop, budget};

  [[nodiscard]] const std::vector<int>& far_ends() const noexcept { return far_ends_; }

 private:
  std::vector<int> far_ends_;
};

TEST_F(Pools, GiveTheConnectionThatWasUsedLast) {
  ConnectionPool& pool = *pools.pool(key(1));
  auto first = connected(pool);
  auto second = connected(pool);
  UpstreamConnection* const last = second.get();
  EXPECT_EQ(pools.open_count(), 2U);
  pool.give_back(std::move(first));
  pool.give_back(std::move(second));
  EXPECT_EQ(pools.idle_count(), 2U);
  const auto taken = pool.take_idle();
  EXPECT_EQ(taken.get(), last);
  EXPECT_TRUE(taken->reused);
  EXPECT_EQ(pools.idle_count(), 1U);
  EXPECT_EQ(pools.open_count(), 2U);
}

TEST_F(Pools, DoNotKeepWhatHasUnaskedBytes) {
  ConnectionPool& pool = *pools.pool(key(1));
  // A read that filled its buffer says nothing of what is behind it.
  auto exact = connected(pool);
  exact->stream.descriptor().readable = true;
  pool.give_back(std::move(exact));
  EXPECT_EQ(pools.idle_count(), 1U);
  auto connection = pool.take_idle();
  ASSERT_EQ(::write(far_ends().back(), "x", 1), 1);
  connection->stream.descriptor().readable = true;
  pool.give_back(std::move(connection));
  EXPECT_EQ(pools.idle_count(), 0U);
  EXPECT_EQ(pools.open_count(), 0U);
  EXPECT_EQ(budget.open, 0U);
}

TEST_F(Pools, CloseTheLongestIdleWhereTheProcessHasEnough) {
  ConnectionPool& one = *pools.pool(key(1));
  ConnectionPool& two = *pools.pool(key(2));
  auto a = connected(one);
  auto b = connected(two);
  auto c = connected(two);
  two.give_back(std::move(b));
  one.give_back(std::move(a));
  const auto d = connected(*pools.pool(key(3)));
  EXPECT_EQ(two.idle_count(), 0U);
  EXPECT_EQ(one.idle_count(), 1U);
  EXPECT_EQ(budget.open, 3U);
  const auto e = connected(*pools.pool(key(3)));
  EXPECT_EQ(pools.idle_count(), 0U);
  // What is under way is not cut: the budget only ends what is idle.
  const auto f = connected(*pools.pool(key(3)));
  EXPECT_EQ(budget.open, 4U);
}

TEST_F(Pools, CloseWhatIsIdleWhenOthersHaveTooMany) {
  ConnectionPools others(loop, budget);
  ConnectionPool& mine = *pools.pool(key(1));
  ConnectionPool& theirs = *others.pool(key(1));
  auto kept = connected(mine);
  mine.give_back(std::move(kept));
  const auto a = connected(theirs);
  pools.sweep(std::chrono::hours(1));
  EXPECT_EQ(pools.idle_count(), 1U);
  const auto b = connected(theirs);
  EXPECT_EQ(budget.open, 3U);
  pools.sweep(std::chrono::hours(1));
  EXPECT_EQ(pools.idle_count(), 0U);
}

TEST_F(Pools, CloseWhatWasIdleForLong) {
  ConnectionPool& pool = *pools.pool(key(1));
  pool.give_back(connected(pool));
  pools.sweep(std::chrono::hours(1));
  EXPECT_EQ(pools.idle_count(), 1U);
  pools.sweep(std::chrono::seconds(0));
  EXPECT_EQ(pools.idle_count(), 0U);
}

TEST_F(Pools, ForgetWhatThePeerCloses) {
  ConnectionPool& pool = *pools.pool(key(1));
  pool.give_back(connected(pool));
  auto connection = pool.take_idle();
  auto* const raw = connection.get();
  pool.give_back(std::move(connection));
  raw->stream.descriptor().on_hangup(raw->stream.descriptor().hangup_context);
  EXPECT_EQ(pools.idle_count(), 0U);
  EXPECT_EQ(pool.take_idle(), nullptr);
}

TEST_F(Pools, OfNamesThatClientsChoseAndOfEndpointsThatAreGoneDoNotStay) {
  const auto tls = net::ClientTls::create({});
  ASSERT_TRUE(tls) << tls.error();
  for (int i = 0; i < 1000; ++i) (void)pools.pool(key(1, "h" + std::to_string(i) + ".test", *tls));
  (void)pools.pool(key(2));
  const auto held = pools.pool(key(3));  // as by a service of the configuration
  ConnectionPool& used = *pools.pool(key(1, "used.test", *tls));
  auto connection = connected(used);
  pools.sweep(std::chrono::hours(1));
  EXPECT_EQ(pools.pool_count(), 2U);
  connection.reset();
  pools.sweep(std::chrono::hours(1));
  EXPECT_EQ(pools.pool_count(), 1U);
}

}  // namespace
}  // namespace gatehouse::upstream
