// Problem documents; see problem.hpp.
#include "acme/problem.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "acme/json.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::string_view prefix = "urn:ietf:params:acme:error:";
constexpr std::size_t most_code = 64;
constexpr std::size_t most_detail = 400;

struct Meaning {
  std::string_view code;
  ProblemType type;
  std::string_view words;
};

// RFC 8555 section 6.7, RFC 9773 section 7.4, draft-ietf-acme-profiles section 6.
constexpr std::array<Meaning, 28> meanings = {{
    {"accountDoesNotExist", ProblemType::account_does_not_exist, "the CA does not know the account; a new one is made"},
    {"alreadyRevoked", ProblemType::already_revoked, "the certificate has been revoked before"},
    {"alreadyReplaced", ProblemType::already_replaced, "the certificate has been replaced by another order"},
    {"badCSR", ProblemType::bad_csr, "the CA does not accept the certificate request; look at key type and names"},
    {"badNonce", ProblemType::bad_nonce, "the CA did not accept the nonce"},
    {"badPublicKey", ProblemType::bad_public_key, "the CA does not accept the kind of key"},
    {"badRevocationReason", ProblemType::bad_revocation_reason, "the CA does not accept the reason of the revocation"},
    {"badSignatureAlgorithm", ProblemType::bad_signature_algorithm, "the CA does not accept ES256"},
    {"caa", ProblemType::caa, "CAA records of the domain forbid this CA; allow it there"},
    {"compound", ProblemType::compound, "several names were refused"},
    {"connection", ProblemType::connection,
     "the CA could not reach the host; is its DNS record this gateway's, and port 80 (or 443 for tls-alpn-01) open?"},
    {"dns", ProblemType::dns, "the CA could not resolve the name; add the DNS record, or look at DNSSEC"},
    {"externalAccountRequired", ProblemType::external_account_required,
     "the CA wants an external account; set eab: {key_id, hmac_key_file}"},
    {"incorrectResponse", ProblemType::incorrect_response,
     "the CA found another answer than the gateway's; does the DNS record lead to another server?"},
    {"invalidContact", ProblemType::invalid_contact, "the CA does not accept the email address"},
    {"invalidProfile", ProblemType::invalid_profile, "the CA does not offer the profile"},
    {"malformed", ProblemType::malformed, "the CA did not understand the request"},
    {"orderNotReady", ProblemType::order_not_ready, "the order is not ready"},
    {"rateLimited", ProblemType::rate_limited, "a rate limit of the CA is reached; it is asked again later"},
    {"rejectedIdentifier", ProblemType::rejected_identifier, "the CA does not issue for this name"},
    {"serverInternal", ProblemType::server_internal, "the CA has an error of its own; it is asked again later"},
    {"tls", ProblemType::tls, "the CA could not make a TLS connection to the host"},
    {"unauthorized", ProblemType::unauthorized,
     "the CA did not get the right answer from the host, or the account may not do this"},
    {"unsupportedContact", ProblemType::unsupported_contact, "the CA does not accept this kind of contact"},
    {"unsupportedIdentifier", ProblemType::unsupported_identifier, "the CA does not issue for this kind of name"},
    {"userActionRequired", ProblemType::user_action_required, "the CA wants its terms agreed to anew; see its message"},
    {"noAnswer", ProblemType::no_answer, "the CA did not answer"},
    {"unusableCertificate", ProblemType::unusable_certificate, "the CA has issued what cannot be served"},
}};

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
  std::string out;
  out.reserve(std::min(text.size(), most));
  for (const char byte : text) {
    if (out.size() == most) break;
    out += byte >= ' ' && byte <= '~' ? byte : '?';
  }
  if (text.size() > most && most >= 3) out.replace(most - 3, 3, "...");
  return out;
}

Problem parse_problem(std::string_view body, int status) {
  Problem problem;
  problem.status = status;
  const auto document = parse_object(body);
  if (!document) return problem;
  std::string type = string_member(*document, "type");
  if (std::string_view(type).starts_with(prefix)) type.erase(0, prefix.size());
  problem.code = printable(type, most_code);
  const auto known = std::ranges::find(meanings, std::string_view(type), &Meaning::code);
  const bool is_our_own = known != meanings.end() &&
                          (known->type == ProblemType::no_answer || known->type == ProblemType::unusable_certificate);
  if (known != meanings.end() && !is_our_own) problem.type = known->type;
  problem.detail = printable(string_member(*document, "detail"), most_detail);
  const auto parts = document->find("subproblems");
  if (parts == document->end() || !parts->is_array()) return problem;
  for (const Json& part : *parts) {
    if (problem.parts.size() == Problem::most_parts) break;
    if (!part.is_object()) continue;
    const auto identifier = part.find("identifier");
    if (identifier == part.end() || !identifier->is_object()) continue;
    problem.parts.push_back(
        {Identifier{string_member(*identifier, "type") == "ip" ? Identifier::Type::ip : Identifier::Type::dns,
                    printable(string_member(*identifier, "value"), 253)},
         printable(string_member(part, "detail"), most_detail)});
  }
  return problem;
}

Problem no_answer(std::string detail) {
  Problem problem;
  problem.type = ProblemType::no_answer;
  problem.code = "noAnswer";
  problem.detail = printable(detail, most_detail);
  return problem;
}

Problem unusable_certificate(std::string_view detail) {
  Problem problem;
  problem.type = ProblemType::unusable_certificate;
  problem.code = "unusableCertificate";
  problem.detail = printable(detail, most_detail);
  return problem;
}

Problem not_acme(std::string_view what) { return no_answer("what the CA answered is not " + std::string(what)); }

std::string Problem::to_string() const {
  std::string text;
  const auto known = std::ranges::find(meanings, type, &Meaning::type);
  if (known != meanings.end())
    text = known->words;
  else if (!code.empty())
    text = "the CA refused: " + code;
  else if (status != 0)
    text = "the CA answered with status " + std::to_string(status);
  if (!detail.empty()) text += (text.empty() ? "" : ": ") + detail;
  for (const Part& part : parts) text += "; " + part.identifier.value + ": " + part.detail;
  return printable(text, 1000);
}

bool Problem::is_of_the_names() const noexcept {
  switch (type) {
    case ProblemType::caa:
    case ProblemType::compound:
    case ProblemType::connection:
    case ProblemType::dns:
    case ProblemType::incorrect_response:
    case ProblemType::rejected_identifier:
    case ProblemType::tls:
    case ProblemType::unauthorized:
    case ProblemType::unusable_certificate:
    case ProblemType::unsupported_identifier: return true;
    default: return false;
  }
}

}  // namespace gatehouse::acme
