// The guess where a request's inspection begins.
#include "waf/cost.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gatehouse::waf {
namespace {

Cost cost_of(std::string_view piece, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  text.resize(bytes);
  Weight weight;
  weight.add(text);
  return weight.cost();
}

constexpr std::string_view prose = "The quick brown fox jumps over the lazy dog ";
constexpr std::string_view attack = "'%2B";

TEST(Cost, IsSmallForShortRequestsWhateverIsInThem) {
  EXPECT_EQ(cost_of(attack, 2048), Cost::small);
  EXPECT_EQ(cost_of(prose, 16 * 1024), Cost::small);
}

TEST(Cost, GrowsWithLengthAndPunctuation) {
  EXPECT_EQ(cost_of(attack, 2049), Cost::moderate);
  EXPECT_EQ(cost_of(attack, 120'000), Cost::high);
  EXPECT_EQ(cost_of(prose, 17 * 1024), Cost::moderate);
  EXPECT_EQ(cost_of(prose, 65 * 1024), Cost::high);
  EXPECT_EQ(cost_of(R"({"id":1,"name":"x"})", 17 * 1024), Cost::high);
}

TEST(Cost, GrowsWithTheNumberOfValues) {
  const auto cost = [](std::size_t values) {
    std::string query = "a";
    for (std::size_t i = 1; i < values; ++i) query += "&a";
    Weight weight;
    weight.add_values(query, "&");
    EXPECT_EQ(weight.values(), values);
    EXPECT_EQ(weight.bytes(), query.size());
    return weight.cost();
  };
  EXPECT_EQ(cost(1), Cost::small);
  EXPECT_EQ(cost(48), Cost::small);
  EXPECT_EQ(cost(49), Cost::moderate);
  EXPECT_EQ(cost(400), Cost::moderate);
  EXPECT_EQ(cost(401), Cost::high);
  Weight weight;
  weight.add_values("a=1; b=2;c=3", ";");
  weight.add_values("", ";");
  weight.add_values("{\"a\":1,\"b\":2}", "&,");
  EXPECT_EQ(weight.values(), 5U);
}

TEST(Cost, AddsUpOverTheParts) {
  Weight weight;
  weight.add("abc'");
  weight.add(std::string(2000, '<'));
  EXPECT_EQ(weight.bytes(), 2004U);
  EXPECT_EQ(weight.marks(), 2001U);
  EXPECT_EQ(weight.cost(), Cost::small);
  weight.add(std::string(100, '"'));
  EXPECT_EQ(weight.cost(), Cost::moderate);
}

}  // namespace
}  // namespace gatehouse::waf
