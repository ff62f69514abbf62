// The values of a transaction that are secret by their names, to be found again wherever rules have put them: copied
// to TX, into a message, without the name that told what they are. Used by waf/harvest.cpp, for matches alone.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "waf/mask.hpp"
#include "waf/modsecurity.hpp"

namespace gatehouse::waf {

class RequestSecrets {
 public:
  explicit RequestSecrets(const Masker& masker) : masker_(masker) {}

  /// There may be new values: headers, arguments.
  void phase_begins() noexcept { stale_ = true; }

  /// Copies may be in hexadecimal digits, base64 or as digests: while there are secrets, any text may be one of them.
  void may_be_encoded() noexcept { encoded_ = true; }

  /// True if there may be a secret, so that what rules have cut out of values may be a piece of it.
  [[nodiscard]] bool may_be_in_pieces(modsecurity::Transaction& transaction);

  /// Arguments and the body are about to be released. `gather`: rules that run later may show copies of them; else
  /// what might be one will not be shown.
  void body_goes(modsecurity::Transaction& transaction, bool gather);

  /// True if a good part of one of the secrets stands in the text, which is short.
  [[nodiscard]] bool show_in(std::string_view text, modsecurity::Transaction& transaction);

  /// True if one of the secrets stands in the text.
  [[nodiscard]] bool stand_in(std::string_view text, modsecurity::Transaction& transaction);

  /// Whether a text is several values in a row, in which numbers are no longer short.
  enum class Sum { no, yes };
  /// True if the text, of which nothing is known but that a rule has put it there, may be a secret or a part of one.
  [[nodiscard]] bool may_be(std::string_view text, modsecurity::Transaction& transaction, Sum sum = Sum::no);

  /// True if the body is XML and names a secret, so that none of its texts may be shown.
  [[nodiscard]] bool in_xml(modsecurity::Transaction& transaction);

 private:
  struct List {
    std::vector<std::string> essences;  // see essence() in the source
    std::vector<std::string> raw;  // of which too little stays: "!?!?"
    std::vector<std::string> within;  // essences of secrets in other values, which the mask hides where they stand
    std::size_t bytes = 0;
    std::size_t searched_bytes = 0;  // of values that are no secrets, for secrets in them
    bool complete = true;
    bool has_short = false;  // a secret that would hide every text which has it by chance
  };
  void gather(modsecurity::Transaction& transaction);
  void collect(const modsecurity::AnchoredSetVariable& variables, bool all, List& list) const;
  void collect_within(std::string_view text, List& list) const;
  enum class Form { value, credentials, within };
  static void add_forms(std::string_view value, Form form, List& list);
  static void add(std::string_view value, Form form, List& list);
  [[nodiscard]] bool is_complete() const noexcept;
  [[nodiscard]] bool have_parts_of(std::string_view essence, std::size_t part_bytes, bool whole) const;

  [[nodiscard]] bool are_there() const noexcept;

  const Masker& masker_;  // the engine's, which outlives every transaction
  List headers_;  // and cookies
  List arguments_;  // and a body of a form that the library does not read
  List answer_;  // the headers of the answer, and its body
  bool have_headers_ = false;
  bool have_body_ = false;
  std::size_t argument_count_ = 0;  // that `arguments_` was made of
  std::optional<bool> in_xml_;
  bool stale_ = true;  // see phase_begins()
  bool encoded_ = false;  // see may_be_encoded()
  bool gone_ = false;  // arguments and body are released
  bool lost_ = false;  // and nobody has looked for secrets in them before
};

}  // namespace gatehouse::waf
