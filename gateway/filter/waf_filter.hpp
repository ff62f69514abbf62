// The web application firewall's place on a request's way: phases, verdict, WAF event. The engine is in waf/.
#pragma once
#include "gateway/filter/filter.hpp"
namespace gatehouse::filter {
Step waf_on_request(Exchange& exchange);
runtime::Task<Step> waf_on_wait(Exchange& exchange);
BodyNeed waf_body_need(const Exchange& exchange);
Step waf_on_request_body(Exchange& exchange);
runtime::Task<Step> waf_on_body_wait(Exchange& exchange);
Step waf_on_response(Exchange& exchange);
runtime::Task<Step> waf_on_response_wait(Exchange& exchange);
std::size_t waf_response_body_limit(const Exchange& exchange);
Step waf_on_response_body(Exchange& exchange, std::string_view body);
runtime::Task<Step> waf_on_response_body_wait(Exchange& exchange, std::string_view body);
void waf_on_complete(Exchange& exchange);
inline constexpr Filter waf_filter{.name = "waf",
                                   .on_request = waf_on_request,
                                   .on_wait = waf_on_wait,
                                   .body_need = waf_body_need,
                                   .on_request_body = waf_on_request_body,
                                   .on_body_wait = waf_on_body_wait,
                                   .on_response = waf_on_response,
                                   .on_response_wait = waf_on_response_wait,
                                   .on_response_body = waf_on_response_body,
                                   .on_response_body_wait = waf_on_response_body_wait,
                                   .response_body_limit = waf_response_body_limit,
                                   .on_complete = waf_on_complete};
}  // namespace gatehouse::filter
