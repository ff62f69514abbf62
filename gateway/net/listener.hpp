// Accepts connections on one address for one worker (SO_REUSEPORT, one socket a worker). Called by server/worker.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>

#include "config/address.hpp"
#include "gateway/runtime/loop.hpp"

namespace gatehouse::net {

/// Whether several sockets of this process listen on the address together (SO_REUSEPORT), one a worker.
enum class Sharing { alone, with_other_workers };

/// Binds and listens. IPv6's unspecified address serves both families. The error is a sentence with the address.
[[nodiscard]] std::expected<int, std::string> open_listener(const SocketAddress& address, Sharing sharing);

/// Empty if nobody listens on the address, else the error. Asked before the workers' sockets are opened: with SO_REUSEPORT a second
/// gateway of the same user would silently take a part of the first one's connections.
[[nodiscard]] std::string address_conflict(const SocketAddress& address);

/// The address that a socket is bound to (the port that the kernel chose for port 0).
[[nodiscard]] SocketAddress local_address(int fd);

class Listener {
 public:
  /// What to do with an accepted, non-blocking socket; owns it.
  using Handler = std::function<void(int fd, const SocketAddress& peer)>;

  /// `may_use_spare`: it accepts with spare descriptors when there are no others; else it waits until they are all there.
  enum class Descriptors { ordinary, may_use_spare };

  /// Takes over a listening socket; accepting begins with start().
  Listener(runtime::Loop& loop, int fd, Handler handler, Descriptors descriptors = Descriptors::ordinary);

  /// Called each time that accepting pauses because descriptors or memory are exhausted, with errno's value, and with 0 at the
  /// first connection after.
  std::function<void(int error)> on_exhausted;

  void start();
  /// Lets no new connection begin; those that are being made still are, and are accepted. A client whose SYN is ignored
  /// asks again after a second. To be followed by drain_and_close() after some round-trip times: a handshake that
  /// is under way when the socket closes ends in a reset.
  void ignore_newcomers() noexcept;
  /// Accepts what the kernel has already queued, then closes: closing alone would reset those clients.
  void drain_and_close();

 private:
  class AcceptOperation final : public runtime::IoWaiter {
   public:
    explicit AcceptOperation(Listener& listener) noexcept : listener_(listener) {}
    bool attempt() noexcept override {
      listener_.accept_some();
      return false;  // for ever
    }

   private:
    Listener& listener_;
  };

  void accept_some() noexcept;
  void pause(int error) noexcept;

  int fd_;
  runtime::Descriptor descriptor_;
  Handler handler_;
  AcceptOperation operation_{*this};
  runtime::Deadline resume_;
  const Descriptors descriptors_;
  bool is_pausing_ = false;
};

}  // namespace gatehouse::net
