// One host's certificate that is replaced while handshakes go on. Made when a snapshot is built; each worker has a place
// of its own in it, which it alone reads and writes, so that a handshake takes no lock.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "gateway/net/tls.hpp"

namespace gatehouse::net {

/// Settings that are made when the first handshake needs them: ten thousand certificates take seconds to read.
class LazyServerTls {
 public:
  /// `make` is called once, on whichever thread needs it first, and must not throw. Null: there is nothing to serve with.
  explicit LazyServerTls(std::function<std::shared_ptr<const ServerTls>()> make) : make_(std::move(make)) {}
  [[nodiscard]] std::shared_ptr<const ServerTls> get() const;

 private:
  mutable std::once_flag once_;
  mutable std::function<std::shared_ptr<const ServerTls>()> make_;
  mutable std::shared_ptr<const ServerTls> made_;
};

class CertificateSlot {
 public:
  /// `interim` serves until there is a certificate. `lineage`: of all that are served here.
  CertificateSlot(std::size_t workers, std::shared_ptr<const LazyServerTls> interim, std::string lineage)
      : interim_(std::move(interim)), lineage_(std::move(lineage)), places_(workers) {}

  /// On the worker's thread.
  void set(unsigned worker, std::shared_ptr<const LazyServerTls> certificate) {
    places_[worker].made.reset();
    places_[worker].source = std::move(certificate);
  }
  /// Before the workers know the slot.
  void set_all(const std::shared_ptr<const LazyServerTls>& certificate) {
    for (Place& place : places_) place = {certificate, nullptr};
  }
  /// On the worker's thread. Null where not even the interim one can be made.
  [[nodiscard]] std::shared_ptr<const ServerTls> of(unsigned worker) {
    Place& place = places_[worker];
    if (!place.made && place.source) place.made = place.source->get();
    if (!place.made) place.made = interim_->get();
    return place.made;
  }
  [[nodiscard]] const std::string& lineage() const noexcept { return lineage_; }

 private:
  struct Place {
    std::shared_ptr<const LazyServerTls> source;
    std::shared_ptr<const ServerTls> made;
  };
  std::shared_ptr<const LazyServerTls> interim_;
  std::string lineage_;
  std::vector<Place> places_;
};

}  // namespace gatehouse::net
