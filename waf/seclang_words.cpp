#include "waf/seclang_words.hpp"

#include <algorithm>
#include <array>

#include "waf/seclang.hpp"

namespace gatehouse::waf::seclang {
namespace {

constexpr std::array scalars{"ARGS_COMBINED_SIZE",
                             "AUTH_TYPE",
                             "DURATION",
                             "FILES_COMBINED_SIZE",
                             "FULL_REQUEST",
                             "FULL_REQUEST_LENGTH",
                             "HIGHEST_SEVERITY",
                             "INBOUND_DATA_ERROR",
                             "MATCHED_VAR",
                             "MATCHED_VAR_NAME",
                             "MULTIPART_BOUNDARY_QUOTED",
                             "MULTIPART_BOUNDARY_WHITESPACE",
                             "MULTIPART_CRLF_LF_LINES",
                             "MULTIPART_DATA_AFTER",
                             "MULTIPART_DATA_BEFORE",
                             "MULTIPART_FILE_LIMIT_EXCEEDED",
                             "MULTIPART_HEADER_FOLDING",
                             "MULTIPART_INVALID_HEADER_FOLDING",
                             "MULTIPART_INVALID_PART",
                             "MULTIPART_INVALID_QUOTING",
                             "MULTIPART_LF_LINE",
                             "MULTIPART_MISSING_SEMICOLON",
                             "MULTIPART_STRICT_ERROR",
                             "MULTIPART_UNMATCHED_BOUNDARY",
                             "OUTBOUND_DATA_ERROR",
                             "PATH_INFO",
                             "QUERY_STRING",
                             "REMOTE_ADDR",
                             "REMOTE_HOST",
                             "REMOTE_PORT",
                             "REQBODY_ERROR",
                             "REQBODY_ERROR_MSG",
                             "REQBODY_PROCESSOR",
                             "REQBODY_PROCESSOR_ERROR",
                             "REQBODY_PROCESSOR_ERROR_MSG",
                             "REQUEST_BASENAME",
                             "REQUEST_BODY",
                             "REQUEST_BODY_LENGTH",
                             "REQUEST_FILENAME",
                             "REQUEST_LINE",
                             "REQUEST_METHOD",
                             "REQUEST_PROTOCOL",
                             "REQUEST_URI",
                             "REQUEST_URI_RAW",
                             "RESPONSE_BODY",
                             "RESPONSE_CONTENT_LENGTH",
                             "RESPONSE_CONTENT_TYPE",
                             "RESPONSE_PROTOCOL",
                             "RESPONSE_STATUS",
                             "SERVER_ADDR",
                             "SERVER_NAME",
                             "SERVER_PORT",
                             "TIME",
                             "TIME_DAY",
                             "TIME_EPOCH",
                             "TIME_HOUR",
                             "TIME_MIN",
                             "TIME_MON",
                             "TIME_SEC",
                             "TIME_WDAY",
                             "TIME_YEAR",
                             "UNIQUE_ID",
                             "URLENCODED_ERROR"};

constexpr std::array collections{"ARGS",
                                 "ARGS_GET",
                                 "ARGS_GET_NAMES",
                                 "ARGS_NAMES",
                                 "ARGS_POST",
                                 "ARGS_POST_NAMES",
                                 "FILES",
                                 "FILES_NAMES",
                                 "FILES_SIZES",
                                 "MATCHED_VARS",
                                 "MATCHED_VARS_NAMES",
                                 "MULTIPART_FILENAME",
                                 "MULTIPART_NAME",
                                 "MULTIPART_PART_HEADERS",
                                 "REQUEST_COOKIES",
                                 "REQUEST_COOKIES_NAMES",
                                 "REQUEST_HEADERS",
                                 "REQUEST_HEADERS_NAMES",
                                 "RESPONSE_HEADERS",
                                 "RESPONSE_HEADERS_NAMES"};

constexpr std::array operators{OperatorWord{"rx", Argument::pattern},
                               OperatorWord{"pm", Argument::words},
                               OperatorWord{"streq", Argument::text},
                               OperatorWord{"contains", Argument::text},
                               OperatorWord{"beginsWith", Argument::text},
                               OperatorWord{"endsWith", Argument::text},
                               OperatorWord{"within", Argument::text},
                               OperatorWord{"eq", Argument::number},
                               OperatorWord{"ge", Argument::number},
                               OperatorWord{"gt", Argument::number},
                               OperatorWord{"le", Argument::number},
                               OperatorWord{"lt", Argument::number},
                               OperatorWord{"ipMatch", Argument::networks},
                               OperatorWord{"detectSQLi", Argument::none},
                               OperatorWord{"detectXSS", Argument::none},
                               OperatorWord{"validateByteRange", Argument::byte_ranges},
                               OperatorWord{"validateUrlEncoding", Argument::none},
                               OperatorWord{"validateUtf8Encoding", Argument::none}};

constexpr std::array<std::string_view, 36> transformations{"base64Decode",
                                                           "base64DecodeExt",
                                                           "base64Encode",
                                                           "cmdLine",
                                                           "compressWhitespace",
                                                           "cssDecode",
                                                           "escapeSeqDecode",
                                                           "hexDecode",
                                                           "hexEncode",
                                                           "htmlEntityDecode",
                                                           "jsDecode",
                                                           "length",
                                                           "lowercase",
                                                           "md5",
                                                           "none",
                                                           "normalisePath",
                                                           "normalisePathWin",
                                                           "normalizePath",
                                                           "normalizePathWin",
                                                           "parityEven7bit",
                                                           "parityOdd7bit",
                                                           "parityZero7bit",
                                                           "removeComments",
                                                           "removeCommentsChar",
                                                           "removeNulls",
                                                           "removeWhitespace",
                                                           "replaceComments",
                                                           "replaceNulls",
                                                           "sha1",
                                                           "sqlHexDecode",
                                                           "trim",
                                                           "trimLeft",
                                                           "trimRight",
                                                           "uppercase",
                                                           "urlDecode",
                                                           "urlDecodeUni"};
constexpr std::array<std::string_view, 2> more_transformations{"urlEncode", "utf8toUnicode"};

constexpr std::array<std::string_view, 8> severities{"EMERGENCY", "ALERT",  "CRITICAL", "ERROR",
                                                     "WARNING",   "NOTICE", "INFO",     "DEBUG"};

}  // namespace

VariableKind variable_kind(std::string_view name) noexcept {
  const auto listed = [&](const auto& list) { return std::find(list.begin(), list.end(), name) != list.end(); };
  if (name == "TX") return VariableKind::tx;
  if (name == "XML") return VariableKind::xml;
  if (listed(scalars)) return VariableKind::scalar;
  return listed(collections) ? VariableKind::collection : VariableKind::refused;
}

const OperatorWord* operator_word(std::string_view name) noexcept {
  const auto found = std::find_if(operators.begin(), operators.end(),
                                  [&](const OperatorWord& word) { return equals_ignoring_case(word.name, name); });
  return found == operators.end() ? nullptr : &*found;
}

std::string_view transformation(std::string_view name) noexcept {
  for (const std::string_view known : transformations) {
    if (equals_ignoring_case(known, name)) return known;
  }
  for (const std::string_view known : more_transformations) {
    if (equals_ignoring_case(known, name)) return known;
  }
  return {};
}

std::string_view severity_name(std::string_view value) noexcept {
  if (value.size() == 1 && value[0] >= '0' && value[0] <= '7')
    return severities[static_cast<std::size_t>(value[0] - '0')];
  for (const std::string_view known : severities) {
    if (equals_ignoring_case(known, value)) return known;
  }
  return {};
}

std::string_view severity_name(int value) noexcept {
  return value >= 0 && value < static_cast<int>(severities.size()) ? severities[static_cast<std::size_t>(value)]
                                                                   : std::string_view{};
}

std::string_view allowed_operators() noexcept {
  return "rx, pm, streq, contains, beginsWith, endsWith, within, eq, ge, gt, le, lt, ipMatch, detectSQLi, detectXSS, "
         "validateByteRange, validateUrlEncoding, validateUtf8Encoding";
}

std::string_view allowed_actions(bool trusted) noexcept {
  return trusted ? "id, phase, deny, pass, block, status, msg, tag, severity, log, nolog, logdata, chain, capture, "
                   "multiMatch, t, setvar, skipAfter, ctl"
                 : "id, phase, deny, pass, block, status, msg, tag, severity, log, nolog, logdata, chain, capture, "
                   "multiMatch, t, setvar, skipAfter";
}

}  // namespace gatehouse::waf::seclang
