// What a filter is. The list, whose order is the security policy, is in builtin.cpp.
#pragma once

#include <span>

#include "gateway/filter/exchange.hpp"
#include "gateway/runtime/task.hpp"

namespace gatehouse::filter {

enum class Step {
  next,    // go on with the next filter
  answer,  // exchange.reply holds the answer
  wait,    // the filter's on_wait decides
};

/// How much of the request's body a filter must see before the upstream does.
struct BodyNeed {
  bool whole = false;            // buffer it, up to `limit`
  std::size_t limit = 0;         // bytes
  bool over_limit_blocks = true; // beyond the limit: 413; else it is streamed on without on_request_body
};

/// One station on a request's way. Members that a filter has no use for are null.
struct Filter {
  const char* name;
  Step (*on_request)(Exchange&) = nullptr;                          // the head is known, no byte of the body
  runtime::Task<Step> (*on_wait)(Exchange&) = nullptr;              // what on_request could not decide at once
  BodyNeed (*body_need)(const Exchange&) = nullptr;
  Step (*on_request_body)(Exchange&) = nullptr;  // exchange.body is whole, or known to be uninspected
  runtime::Task<Step> (*on_body_wait)(Exchange&) = nullptr;  // what on_request_body could not decide at once
  Step (*on_response)(Exchange&) = nullptr;  // the upstream's head is known, nothing has been sent
  runtime::Task<Step> (*on_response_wait)(Exchange&) = nullptr;  // what on_response could not decide at once
  Step (*on_response_body)(Exchange&,
                           std::string_view body) = nullptr;  // the whole body, if response_body_limit said so
  runtime::Task<Step> (*on_response_body_wait)(Exchange&, std::string_view body) = nullptr;
  std::size_t (*response_body_limit)(const Exchange&) = nullptr;  // 0: does not need it
  void (*on_complete)(Exchange&) = nullptr;  // once, whatever happened
};

/// The filters in the order in which a request meets them.
[[nodiscard]] std::span<const Filter> builtin_filters() noexcept;

}  // namespace gatehouse::filter
