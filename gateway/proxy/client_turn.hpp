// Whose turn it is to write to a client. Used by h1_stream.hpp.
#pragma once

#include <coroutine>
#include <utility>

#include "gateway/runtime/loop.hpp"

namespace gatehouse::proxy {

/// Whose turn it is to write to the client while a body is under way, as a stream has one writer: the upload asks for the
/// body with 100 (Continue), and the side of the answer sends interim ones. For these two.
class ClientTurn {
 public:
  struct Taking {
    ClientTurn& turn;
    bool await_ready() const noexcept { return !std::exchange(turn.taken_, true); }
    void await_suspend(std::coroutine_handle<> awaiting) const noexcept { turn.waiting_ = awaiting; }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] Taking take() noexcept { return {*this}; }
  /// To the other side, if that waits.
  void give(runtime::Loop& loop) {
    if (waiting_)
      loop.schedule(std::exchange(waiting_, {}));
    else
      taken_ = false;
  }

 private:
  bool taken_ = false;
  std::coroutine_handle<> waiting_;
};

}  // namespace gatehouse::proxy
