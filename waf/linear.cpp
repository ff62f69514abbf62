// Functions of libmodsecurity and of the C++ library that take time by the square of a value's length, written so that
// they take it by the length, with the same results. The library finds these first, as it does waf/rule_hooks.cpp's: one
// call on a long body took seconds, and no budget can be asked inside of it.
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "waf/modsecurity.hpp"
#include "waf/rule_hooks.hpp"

#define GATEHOUSE_EXPORT __attribute__((visibility("default"), used))

namespace gatehouse::waf {
namespace {

enum Function : unsigned {
  remove_nulls = 1,
  replace_nulls = 2,
  remove_whitespace = 4,
  remove_comments_char = 8,
  find = 16
};
constexpr unsigned all_functions = remove_nulls | replace_nulls | remove_whitespace | remove_comments_char | find;

thread_local constinit unsigned called = 0;

}  // namespace

bool linear_functions_active() noexcept { return called == all_functions; }

}  // namespace gatehouse::waf

namespace modsecurity::actions::transformations {

// Classes that the library's headers do not show: only as much of them as the names of their functions take.
class RemoveNulls {
 public:
  GATEHOUSE_EXPORT std::string evaluate(const std::string& value, Transaction* transaction);
};
class ReplaceNulls {
 public:
  GATEHOUSE_EXPORT std::string evaluate(const std::string& value, Transaction* transaction);
};
class RemoveWhitespace {
 public:
  GATEHOUSE_EXPORT std::string evaluate(const std::string& value, Transaction* transaction);
};
class RemoveCommentsChar {
 public:
  GATEHOUSE_EXPORT std::string evaluate(const std::string& value, Transaction* transaction);
};

std::string RemoveNulls::evaluate(const std::string& value, Transaction*) {
  gatehouse::waf::called |= gatehouse::waf::remove_nulls;
  std::string out = value;
  std::erase(out, '\0');
  return out;
}

std::string ReplaceNulls::evaluate(const std::string& value, Transaction*) {
  gatehouse::waf::called |= gatehouse::waf::replace_nulls;
  std::string out = value;
  for (char& c : out) c = c == '\0' ? ' ' : c;
  return out;
}

std::string RemoveWhitespace::evaluate(const std::string& value, Transaction*) {
  gatehouse::waf::called |= gatehouse::waf::remove_whitespace;
  std::string out = value;
  // Both bytes of a non-breaking space in UTF-8, wherever they stand, and the one of Latin-1.
  std::erase_if(out, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\xa0' || c == '\xc2'; });
  return out;
}

std::string RemoveCommentsChar::evaluate(const std::string& value, Transaction*) {
  gatehouse::waf::called |= gatehouse::waf::remove_comments_char;
  std::string out;
  out.reserve(value.size());
  for (std::size_t i = 0; i < value.size();) {
    const std::string_view rest = std::string_view(value).substr(i);
    if (rest.starts_with("/*") || rest.starts_with("*/")) {
      i += 2;
    } else if (rest.starts_with("<!--")) {
      i += 4;
    } else if (rest.starts_with("-->")) {
      i += 3;
    } else if (rest.starts_with("--")) {
      i += 2;
    } else if (rest.front() == '#') {
      i += 1;
    } else {
      out += value[i++];
    }
  }
  return out;
}

}  // namespace modsecurity::actions::transformations

// std::string::find, by which @contains and @within search. The C library's search does not go back in the text.
extern "C" {
GATEHOUSE_EXPORT std::size_t gatehouse_find(const std::string* self, const char* text, std::size_t at,
                                            std::size_t length) noexcept
    __asm__("_ZNKSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE4findEPKcmm");

GATEHOUSE_EXPORT std::size_t gatehouse_find(const std::string* self, const char* text, std::size_t at,
                                            std::size_t length) noexcept {
  gatehouse::waf::called |= gatehouse::waf::find;
  const std::size_t size = self->size();
  if (length == 0) return at <= size ? at : std::string::npos;
  if (at >= size || length > size - at) return std::string::npos;
  const char* const begin = self->data();
  const void* const found = memmem(begin + at, size - at, text, length);
  return found == nullptr ? std::string::npos : static_cast<std::size_t>(static_cast<const char*>(found) - begin);
}
}
