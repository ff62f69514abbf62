// acme/problem.hpp: problem documents as CAs send them, and worse.
#include "acme/problem.hpp"

#include <gmock/gmock.h>

namespace gatehouse::acme {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(Problem, IsReadWithItsParts) {
  const Problem problem = parse_problem(R"({
    "type": "urn:ietf:params:acme:error:compound", "detail": "two names", "status": 403,
    "subproblems": [
      {"type": "urn:ietf:params:acme:error:caa", "detail": "forbidden", "identifier": {"type": "dns", "value": "a.example"}},
      {"type": "urn:ietf:params:acme:error:dns", "detail": "gone", "identifier": {"type": "ip", "value": "192.0.2.1"}},
      {"type": "urn:ietf:params:acme:error:dns", "detail": "of no identifier"}, 7]})",
                                        403);
  EXPECT_EQ(problem.type, ProblemType::compound);
  EXPECT_EQ(problem.code, "compound");
  EXPECT_EQ(problem.detail, "two names");
  EXPECT_EQ(problem.status, 403);
  ASSERT_THAT(problem.parts, SizeIs(2));
  EXPECT_EQ(problem.parts[0].identifier, (Identifier{Identifier::Type::dns, "a.example"}));
  EXPECT_EQ(problem.parts[1].identifier, (Identifier{Identifier::Type::ip, "192.0.2.1"}));
  EXPECT_THAT(problem.to_string(),
              AllOf(HasSubstr("two names"), HasSubstr("a.example: forbidden"), HasSubstr("192.0.2.1: gone")));
}

TEST(Problem, KnowsEveryTypeOfTheRfcs) {
  for (const char* const code : {"accountDoesNotExist",
                                 "alreadyRevoked",
                                 "alreadyReplaced",
                                 "badCSR",
                                 "badNonce",
                                 "badPublicKey",
                                 "badRevocationReason",
                                 "badSignatureAlgorithm",
                                 "caa",
                                 "compound",
                                 "connection",
                                 "dns",
                                 "externalAccountRequired",
                                 "incorrectResponse",
                                 "invalidContact",
                                 "invalidProfile",
                                 "malformed",
                                 "orderNotReady",
                                 "rateLimited",
                                 "rejectedIdentifier",
                                 "serverInternal",
                                 "tls",
                                 "unauthorized",
                                 "unsupportedContact",
                                 "unsupportedIdentifier",
                                 "userActionRequired"}) {
    const Problem problem =
        parse_problem(R"({"type": "urn:ietf:params:acme:error:)" + std::string(code) + R"("})", 400);
    EXPECT_NE(problem.type, ProblemType::other) << code;
    EXPECT_EQ(problem.code, code);
    EXPECT_THAT(problem.to_string(), Not(HasSubstr("the CA refused"))) << code;
  }
}

TEST(Problem, OfAnUnknownTypeKeepsItsNameAndWords) {
  const Problem problem = parse_problem(R"({"type": "https://ca.test/odd", "detail": "try tomorrow"})", 400);
  EXPECT_EQ(problem.type, ProblemType::other);
  EXPECT_EQ(problem.to_string(), "the CA refused: https://ca.test/odd: try tomorrow");
}

TEST(Problem, OfOurOwnTypeIsNotTakenFromTheCa) {
  EXPECT_EQ(parse_problem(R"({"type": "urn:ietf:params:acme:error:noAnswer"})", 400).type, ProblemType::other);
}

TEST(Problem, WithoutADocumentIsTheStatusAlone) {
  for (const char* const body :
       {"", "<html>Bad Gateway</html>", "[]", "7", "null", R"({"type": 3, "detail": []})", R"({"type": "\u0000", )",
        R"({"subproblems": {}})", R"({"subproblems": [[], null]})"}) {
    const Problem problem = parse_problem(body, 502);
    EXPECT_EQ(problem.type, ProblemType::other) << body;
    EXPECT_EQ(problem.to_string(), "the CA answered with status 502") << body;
    EXPECT_THAT(problem.parts, IsEmpty());
  }
}

TEST(Problem, OfOurOwnSpeaksOfNoStatus) {
  Problem problem;
  problem.detail = "the order could not be stored: disk full";
  EXPECT_EQ(problem.to_string(), "the order could not be stored: disk full");
}

TEST(Problem, ShowsNothingThatATerminalOrALogWouldObey) {
  const Problem problem = parse_problem(
      "{\"type\": \"urn:ietf:params:acme:error:dns\\u001b[2J\", \"detail\": \"a\\nb\\u0007\xc3\xa4\\u001b]0;\", "
      "\"subproblems\": [{\"identifier\": {\"type\": \"dns\", \"value\": \"x\\ny\"}, \"detail\": \"\\r\\n\"}]}",
      400);
  for (const std::string& text : {problem.code, problem.detail, problem.to_string()})
    EXPECT_THAT(text, Each(AllOf(::testing::Ge(' '), ::testing::Le('~'))));
  EXPECT_EQ(problem.type, ProblemType::other);
}

TEST(Problem, IsBounded) {
  std::string body = R"({"type": ")" + std::string(5'000, 't') + R"(", "detail": ")" + std::string(5'000, 'd') +
                     R"(", "subproblems": [)";
  for (int i = 0; i < 300; ++i)
    body += R"({"identifier": {"type": "dns", "value": ")" + std::string(400, 'v') + R"("}, "detail": "x"},)";
  body.back() = ']';
  const Problem problem = parse_problem(body + "}", 400);
  EXPECT_THAT(problem.code, SizeIs(64));
  EXPECT_THAT(problem.detail, SizeIs(400));
  EXPECT_THAT(problem.parts, SizeIs(100));
  EXPECT_THAT(problem.parts[0].identifier.value, SizeIs(253));
  EXPECT_LE(problem.to_string().size(), 1000u);
}

TEST(Problem, TellsTheNamesFaultsFromTheCas) {
  for (const char* const code : {"caa", "compound", "connection", "dns", "incorrectResponse", "rejectedIdentifier",
                                 "tls", "unauthorized", "unsupportedIdentifier"})
    EXPECT_TRUE(
        parse_problem(R"({"type": "urn:ietf:params:acme:error:)" + std::string(code) + R"("})", 403).is_of_the_names())
        << code;
  for (const char* const code : {"badNonce", "rateLimited", "serverInternal", "malformed"})
    EXPECT_FALSE(
        parse_problem(R"({"type": "urn:ietf:params:acme:error:)" + std::string(code) + R"("})", 403).is_of_the_names())
        << code;
  EXPECT_FALSE(no_answer("connection refused").is_of_the_names());
}

TEST(Printable, ReplacesAndCuts) {
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("abcdef", 5), "ab...");
  EXPECT_EQ(printable("abc", 2), "ab");
  EXPECT_EQ(printable("a\x7f\xff\t", 10), "a???");
  EXPECT_EQ(printable("", 0), "");
}

}  // namespace
}  // namespace gatehouse::acme
