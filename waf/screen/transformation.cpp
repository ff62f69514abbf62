#include "waf/screen/transformation.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "waf/library.hpp"
#include "waf/modsecurity.hpp"
#include "waf/seclang.hpp"
#include "waf/unicode_map.hpp"

// The library's own, whose header is not installed; what it makes is an Action.
extern "C" modsecurity::actions::Action* gatehouse_instantiate_transformation(std::string) __asm__(
    "_ZN11modsecurity7actions15transformations14Transformation11instantiateENSt7__cxx1112basic_stringIcSt11char_"
    "traitsIcESaIcEEE");

namespace gatehouse::waf::screen {
namespace {

enum Trait : Traits {
  percent = 1U << 0,
  plus = 1U << 1,
  ampersand = 1U << 2,
  backslash = 1U << 3,
  nul = 1U << 4,
  high = 1U << 5,         // from 0x80 on
  upper = 1U << 6,
  lower = 1U << 7,
  blank = 1U << 8,        // ' '
  other_space = 1U << 9,  // \t \n \v \f \r
  dropped = 1U << 10,     // " ' ^, which cmdLine takes out
  separator = 1U << 11,   // , ;
  hash = 1U << 12,
  trailing_dot = 1U << 13,
  // Pairs.
  two_spaces = 1U << 16,
  space_slash = 1U << 17,    // a space before / or (
  comment_open = 1U << 18,   // /*
  comment_close = 1U << 19,  // */
  two_slashes = 1U << 20,
  dot_slash = 1U << 21,
  two_dashes = 1U << 22,
  markup_comment = 1U << 23,  // <!
};

struct ByteTables {
  std::array<Traits, 256> is{};      // of the byte alone
  std::array<Traits, 256> begins{};  // pairs of which it may be the first
  std::array<Traits, 256> ends{};    // and the second
};

constexpr ByteTables make_tables() {
  ByteTables t;
  for (unsigned c = 0x80; c < 0x100; ++c) t.is[c] = high;
  for (unsigned c = 'A'; c <= 'Z'; ++c) t.is[c] = upper;
  for (unsigned c = 'a'; c <= 'z'; ++c) t.is[c] = lower;
  t.is['%'] = percent;
  t.is['+'] = plus;
  t.is['&'] = ampersand;
  t.is['\\'] = backslash;
  t.is[0] = nul;
  t.is[' '] = blank;
  for (const unsigned char c : {'\t', '\n', '\v', '\f', '\r'}) t.is[c] = other_space;
  for (const unsigned char c : {'"', '\'', '^'}) t.is[c] = dropped;
  for (const unsigned char c : {',', ';'}) t.is[c] = separator;
  t.is['#'] = hash;
  for (const unsigned char c : {' ', '\t', '\n', '\v', '\f', '\r'}) {
    t.begins[c] = two_spaces | space_slash;
    t.ends[c] = two_spaces;
  }
  t.ends['/'] |= space_slash | two_slashes | dot_slash | comment_close;
  t.ends['('] |= space_slash;
  t.begins['/'] |= comment_open | two_slashes;
  t.ends['*'] |= comment_open;
  t.begins['*'] |= comment_close;
  t.begins['.'] |= dot_slash;
  t.begins['-'] |= two_dashes;
  t.ends['-'] |= two_dashes;
  t.begins['<'] |= markup_comment;
  t.ends['!'] |= markup_comment;
  return t;
}

constexpr ByteTables tables = make_tables();

struct Known {
  const char* name;
  Traits changing;       // a text without any of these stays as it is
  const char* made_as = nullptr;  // where the library's factory has another name than SecLang
};

constexpr Traits any = ~Traits{0};
constexpr Known known[] = {
    {"none", 0},
    {"lowercase", upper},
    {"uppercase", lower},
    {"urlDecode", percent | plus},
    {"urlDecodeUni", percent | plus},
    {"utf8toUnicode", high | nul},
    {"htmlEntityDecode", ampersand},
    {"jsDecode", backslash},
    {"cssDecode", backslash | nul},
    {"escapeSeqDecode", backslash},
    {"removeNulls", nul},
    {"replaceNulls", nul},
    {"removeWhitespace", blank | other_space | high},
    {"compressWhitespace", other_space | two_spaces | high, "compress_whitespace"},
    {"trim", blank | other_space | high},
    {"trimLeft", blank | other_space | high},
    {"trimRight", blank | other_space | high},
    {"replaceComments", comment_open},
    {"removeComments", comment_open | markup_comment | two_dashes | hash},
    {"removeCommentsChar", comment_open | comment_close | markup_comment | two_dashes | hash},
    {"cmdLine", dropped | backslash | separator | other_space | two_spaces | space_slash | upper, "cmd_line"},
    {"normalizePath", two_slashes | dot_slash | trailing_dot},
    {"normalisePath", two_slashes | dot_slash | trailing_dot},
    {"normalizePathWin", two_slashes | dot_slash | trailing_dot | backslash},
    {"normalisePathWin", two_slashes | dot_slash | trailing_dot | backslash},
    {"base64Decode", any},
    {"base64DecodeExt", any},
    {"base64Encode", any},
    {"hexDecode", any},
    {"hexEncode", any},
    {"length", any},
    {"md5", any},
    {"sha1", any},
    {"sqlHexDecode", any},
    {"urlEncode", any},
    {"parityEven7bit", any},
    {"parityOdd7bit", any},
    {"parityZero7bit", any},
};

// What functions of the library take their unicode map from.
modsecurity::Transaction& scratch() {
  static modsecurity::RulesSet* const set = [] {
    auto* const made =
        new modsecurity::RulesSet;  // static storage that is never destroyed: threads may outlive main's end
    apply_unicode_map(*made);
    return made;
  }();
  static char id[] = "screen";
  static thread_local modsecurity::Transaction transaction(&thread_library(), set, id, nullptr);
  return transaction;
}

}  // namespace

Traits traits_of(std::string_view text) noexcept {
  Traits traits = 0;
  unsigned char last = '0';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    traits |= tables.is[byte] | (tables.begins[last] & tables.ends[byte]);
    last = byte;
  }
  return last == '.' && !text.empty() ? traits | trailing_dot : traits;
}

char* Arena::allocate(std::size_t size) {
  constexpr std::size_t ordinary = std::size_t{64} * 1024;
  while (block_ < blocks_.size() && blocks_[block_].size - used_ < size) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const std::size_t room = std::max(size, ordinary);
    blocks_.push_back({std::make_unique_for_overwrite<char[]>(room), room});
  }
  char* const place = blocks_[block_].bytes.get() + used_;
  used_ += size;
  return place;
}

std::string_view Arena::keep(std::string_view text) {
  if (text.empty()) return {};
  char* const place = allocate(text.size());
  std::memcpy(place, text.data(), text.size());
  return {place, text.size()};
}

void Arena::clear() noexcept {
  constexpr std::size_t kept_blocks = 4;
  if (blocks_.size() > kept_blocks) blocks_.clear();
  block_ = used_ = 0;
}

std::optional<Transformation> Transformation::find(std::string_view name) {
  const auto found =
      std::ranges::find_if(known, [&](const Known& entry) { return seclang::equals_ignoring_case(entry.name, name); });
  if (found == std::end(known)) return std::nullopt;
  Transformation made;
  made.changing_ = found->changing;
  made.none_ = found->changing == 0;
  made.lowers_ = seclang::equals_ignoring_case(name, "lowercase");
  const char* const factory_name = found->made_as != nullptr ? found->made_as : found->name;
  made.function_.reset(gatehouse_instantiate_transformation(std::string("t:") + factory_name));
  return made;
}

Text Transformation::apply(const Text& text, Arena& arena) const {
  if (keeps(text.traits)) return text;
  if (lowers_) {
    char* const place = arena.allocate(text.bytes.size());
    for (std::size_t i = 0; i < text.bytes.size(); ++i) {
      const char c = text.bytes[i];
      place[i] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    }
    return {{place, text.bytes.size()}, (text.traits & ~Traits{upper}) | lower};
  }
  const std::string made = function_->evaluate(std::string(text.bytes), &scratch());
  if (made == text.bytes) return text;
  const std::string_view kept = arena.keep(made);
  return {kept, traits_of(kept)};
}

}  // namespace gatehouse::waf::screen
