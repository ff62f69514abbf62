#include "waf/base_rules.hpp"

#include <algorithm>

#include "waf/unicode_map.hpp"

namespace gatehouse::waf {
namespace {

using Properties = modsecurity::RulesSetProperties;

// The ids are those under which operators know these checks. Severity and tags are those of a protocol violation.
constexpr std::string_view text = R"rules(
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/(?:[a-z0-9._-]+\+)?xml\b" \
    "id:200000,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=XML"

SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/json\b" \
    "id:200001,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=JSON"

SecRule REQBODY_ERROR "!@eq 0" \
    "id:200002,phase:2,deny,status:400,log,t:none,msg:'The request body cannot be parsed',severity:2,tag:'gatehouse/body'"

SecRule MULTIPART_STRICT_ERROR "!@eq 0" \
    "id:200003,phase:2,deny,status:400,log,t:none,msg:'The multipart body is not well formed',severity:2,tag:'gatehouse/body'"

SecRule MULTIPART_UNMATCHED_BOUNDARY "@eq 1" \
    "id:200004,phase:2,deny,status:400,log,t:none,msg:'The multipart body has a line like a boundary that is none',severity:2,tag:'gatehouse/body'"

SecRule INBOUND_DATA_ERROR "@eq 1" \
    "id:200005,phase:2,deny,status:413,log,t:none,msg:'The request body is longer than what is inspected',severity:2,tag:'gatehouse/body'"

SecRule REQUEST_HEADERS:Content-Type "@rx ^[a-z0-9._-]+/[a-z0-9._-]+\+json\b" \
    "id:200006,phase:1,pass,nolog,t:none,t:lowercase,ctl:requestBodyProcessor=JSON"

SecRule &ARGS "@ge 1000" \
    "id:200007,phase:2,deny,status:400,log,t:none,msg:'The request has too many arguments',severity:2,tag:'gatehouse/body'"

SecRule INBOUND_DATA_ERROR "@eq 2" \
    "id:200008,phase:2,deny,status:400,log,t:none,msg:'The XML body has too much markup, an odd encoding or a document type of its own',severity:2,tag:'gatehouse/body'"

SecRule INBOUND_DATA_ERROR "@rx ^[37]$" \
    "id:200009,phase:2,deny,status:400,log,t:none,msg:'The multipart body has too many parts or lines in their heads, or can be read in more than one way',severity:2,tag:'gatehouse/body'"

SecRule REQUEST_BODY_LENGTH "@gt 0" \
    "id:200010,phase:2,deny,status:415,log,t:none,msg:'Of multipart bodies only form-data can be inspected',severity:2,tag:'gatehouse/body',chain"
    SecRule REQUEST_HEADERS:Content-Type "@rx ^multipart/(?!form-data)" "t:none,t:lowercase"

SecRule &REQUEST_HEADERS:Content-Type "@eq 0" \
    "id:200011,phase:1,pass,nolog,t:none,ctl:requestBodyProcessor=URLENCODED"

SecRule INBOUND_DATA_ERROR "@rx ^[47]$" \
    "id:200012,phase:2,deny,status:415,log,t:none,msg:'The charset of the body is one in which text may be other than it seems',severity:2,tag:'gatehouse/body'"

SecRule INBOUND_DATA_ERROR "@eq 5" \
    "id:200013,phase:2,deny,status:400,log,t:none,msg:'The names in the JSON body are too long for as many values',severity:2,tag:'gatehouse/body'"
)rules";
static_assert(xml_beyond_bounds == 2 && multipart_beyond_bounds == 3, "rules 200008 and 200009 name the numbers");
static_assert(unknown_charset == 4 && unknown_charset_and_multipart == 7 && json_beyond_bounds == 5,
              "rules 200012 and 200013 name the numbers");
static_assert(max_arguments + 1 == 1000, "rule 200007 names the number");

void set(modsecurity::ConfigDouble& to, std::size_t value) {
  to.m_set = true;
  to.m_value = static_cast<double>(value);
}

}  // namespace

std::string_view base_rules() noexcept { return text; }

void apply_properties(const SetProperties& properties, modsecurity::RulesSet& rules) {
  rules.m_secRuleEngine = properties.block ? Properties::EnabledRuleEngine : Properties::DetectionOnlyRuleEngine;
  rules.m_secRequestBodyAccess = Properties::TrueConfigBoolean;
  rules.m_secResponseBodyAccess =
      properties.response_body ? Properties::TrueConfigBoolean : Properties::FalseConfigBoolean;
  rules.m_secXMLExternalEntity = Properties::FalseConfigBoolean;
  rules.m_tmpSaveUploadedFiles = Properties::FalseConfigBoolean;
  rules.m_uploadKeepFiles = Properties::FalseConfigBoolean;
  // One more than what rule 200007 lets pass: the argument that the library drops is never the reason for a pass.
  set(rules.m_argumentsLimit, max_arguments + 1);
  set(rules.m_requestBodyJsonDepthLimit, max_json_depth);
  // The gateway limits bodies; above its limit the library refuses, and never inspects a part as if it were all.
  const std::size_t body = std::max<std::size_t>(properties.request_body_bytes, 1);
  set(rules.m_requestBodyLimit, body);
  set(rules.m_requestBodyNoFilesLimit, body);
  rules.m_requestBodyLimitAction = Properties::RejectBodyLimitAction;
  set(rules.m_responseBodyLimit, std::size_t{1} << 30);
  rules.m_responseBodyLimitAction = Properties::RejectBodyLimitAction;
  rules.m_responseBodyTypeToBeInspected = {};  // of any type: the gateway gives the library what is inspected, no more
  apply_unicode_map(rules);
}

}  // namespace gatehouse::waf
