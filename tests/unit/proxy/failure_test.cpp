// What an error on an endpoint's connection says of the endpoint.
#include "gateway/proxy/failure.hpp"

#include <gtest/gtest.h>

namespace gatehouse::proxy {
namespace {

using filter::UpstreamError;
using runtime::Errc;

TEST(UpstreamError, TellsALateConnectionFromALateAnswer) {
  EXPECT_EQ(upstream_error(Errc::timed_out, true), UpstreamError::connect_timeout);
  EXPECT_EQ(upstream_error(Errc::timed_out, false), UpstreamError::timeout);
}

TEST(UpstreamError, IsClosedWhetherTlsWasEndedOrNot) {
  EXPECT_EQ(upstream_error(Errc::end_of_stream, false), UpstreamError::closed);
  EXPECT_EQ(upstream_error(Errc::truncated, false), UpstreamError::closed);
  EXPECT_EQ(upstream_error(Errc::reset, false), UpstreamError::reset);
}

TEST(UpstreamError, IsNoneWhenTheGatewayGaveTheConnectionUp) {
  EXPECT_EQ(upstream_error(Errc::cancelled, false), UpstreamError::none);
  EXPECT_EQ(upstream_error(Errc::ok, true), UpstreamError::none);
}

TEST(UpstreamError, HasANameForEveryValue) {
  EXPECT_STREQ(filter::upstream_error_name(UpstreamError::refused), "refused");
  EXPECT_STREQ(filter::upstream_error_name(UpstreamError::exhausted), "exhausted");
  EXPECT_STREQ(filter::cut_name(filter::Cut::upstream), "upstream");
  EXPECT_STREQ(filter::cut_name(filter::Cut::shutdown), "shutdown");
  EXPECT_STREQ(filter::reason_name(filter::Reason::max_forwards), "max_forwards");
}

}  // namespace
}  // namespace gatehouse::proxy
