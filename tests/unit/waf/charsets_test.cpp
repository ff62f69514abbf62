// Which charsets hide nothing from rules.
#include <gtest/gtest.h>

#include "waf/charsets.hpp"

namespace gatehouse::waf {
namespace {

constexpr std::string_view form = "application/x-www-form-urlencoded";

TEST(Charsets, LikeAsciiAreKnown) {
  for (const std::string_view parameters :
       {"", "; charset=utf-8", ";charset=UTF-8", "; charset=\"utf-8\"", ";charset='utf-8'", "; Charset = us-ascii ",
        ";charset=iso-8859-15;a=b", "; a=b; charset=windows-1252", "; charset=utf8", "; boundary=x"})
    EXPECT_TRUE(has_known_charset(std::string(form) + std::string(parameters))) << parameters;
  EXPECT_TRUE(has_known_charset(""));
}

TEST(Charsets, AreUnknownHoweverTheyAreWritten) {
  for (const std::string_view parameters : {"; charset=ibm037",
                                            ";charset = ibm037",
                                            ";CHARSET=utf-7",
                                            ";charset=\"utf-16\"",
                                            ";charset='ibm037'",
                                            ";charset='utf-8",
                                            ";charset='utf-8\"",
                                            ";charset*=utf-8''ibm037",
                                            ";charset*0=ibm;charset*1=037",
                                            "; charset=utf-8; charset=ibm037",
                                            ";charset=\"utf-8\";charset=ibm037",
                                            ";xcharset=utf-8;charset=ibm037",
                                            ";charset=utf-8,ibm037",
                                            ";charset=windows-1252 ibm037",
                                            ";charset=ibm037;q",
                                            ";a=b;charset=ibm037",
                                            ";charset=utf-8\tibm037",
                                            ";boundary=charset=utf-8;charset=ibm037",
                                            ";charset=\\ibm037",
                                            ";charset:ibm037",
                                            ";charset=utf-8;;charset=ibm037",
                                            ";charset=\"utf-8",
                                            ";charset=\"utf-8\"x",
                                            ";charset=",
                                            ";charset",
                                            ";charset=\"\"",
                                            ";charset=iso-8859-",
                                            ";charset=windows-1252x",
                                            ";charset=utf-16le",
                                            ";charset=iso-2022-jp",
                                            ";charset=shift_jis"})
    EXPECT_FALSE(has_known_charset(std::string(form) + std::string(parameters))) << parameters;
}

}  // namespace
}  // namespace gatehouse::waf
