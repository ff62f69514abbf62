// What a CA says when it refuses (RFC 9457, RFC 8555 section 6.7), and what that means for whoever asked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/identifier.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

/// The error types that something is made of; what is unknown is `other`.
enum class ProblemType : unsigned char {
  account_does_not_exist,
  already_revoked,
  already_replaced,     // the certificate named by `replaces` has been replaced before (RFC 9773 section 7.4)
  bad_csr,
  bad_nonce,            // sign again with the nonce that came with it
  bad_public_key,
  bad_revocation_reason,
  bad_signature_algorithm,
  caa,                  // CAA records forbid the CA
  compound,             // look at the subproblems
  connection,           // the CA could not reach the host
  dns,                  // the name does not resolve
  external_account_required,
  incorrect_response,   // somebody else answered the challenge
  invalid_contact,
  invalid_profile,
  malformed,
  order_not_ready,
  rate_limited,
  rejected_identifier,  // the CA's policy
  server_internal,
  tls,
  unauthorized,
  unsupported_contact,
  unsupported_identifier,
  user_action_required,
  no_answer,            // of our own: the CA cannot be reached, or what comes from there is not ACME
  unusable_certificate, // of our own: the CA has issued what cannot be served
  other,
};

struct Problem {
  ProblemType type = ProblemType::other;
  std::string code;    // the type's last part, as sent; at most 64 printable bytes
  std::string detail;  // the CA's words: at most 400 bytes, printable
  int status = 0;      // of HTTP; 0 where it is of our own
  struct Part {
    Identifier identifier;
    std::string detail;
  };
  static constexpr std::size_t most_parts = 100;
  std::vector<Part> parts;  // subproblems with an identifier (section 6.7.1); at most most_parts
  std::optional<Time> retry_at;  // the CA's Retry-After
  bool is_of_the_service =
      false;  // it came of the directory, a nonce, an account or an order's placing: of what all need

  /// One line for the operator: what it means, what to do about it, and the CA's words.
  [[nodiscard]] std::string to_string() const;
  /// Whether the names or their hosts are at fault, or what was issued cannot be used: to ask again soon costs what CAs
  /// count, failed validations or certificates, and the order is of no use any more.
  [[nodiscard]] bool is_of_the_names() const noexcept;
};

/// From the body of an answer; what is not a problem document becomes `other` with the status alone. Never throws but
/// std::bad_alloc, whatever the bytes.
[[nodiscard]] Problem parse_problem(std::string_view body, int status);

/// Of our own: `detail` says what happened.
[[nodiscard]] Problem no_answer(std::string detail);
/// Of our own: the CA has issued something, and this is wrong with it.
[[nodiscard]] Problem unusable_certificate(std::string_view detail);
/// The CA answered, but not with `what`.
[[nodiscard]] Problem not_acme(std::string_view what);

/// `text` with whatever is not printable ASCII replaced, cut to `most` bytes.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most);

}  // namespace gatehouse::acme
