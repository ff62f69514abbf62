// A worker of the running gateway, for the parts of server.hpp: server.cpp, server_workers.cpp and server_figures.cpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gateway/net/listener.hpp"
#include "gateway/server/server.hpp"
#include "gateway/upstream/redis_client.hpp"

namespace gatehouse::server {

inline constexpr auto farewell_time =
    std::chrono::milliseconds(40);  // for telling the other gateways that this one stops

/// One worker: its thread, loop, listeners and Redis connection.
struct Server::WorkerThread {
  WorkerThread(unsigned index, Server& server)
      : metrics(server.metrics_),
        redis_serving(server.redis_serving_),
        redis_trouble(server.redis_trouble_),
        gateway_id(server.gateway_id_),
        worker(index, loop, server.metrics_, server.memory_, *server.shared_) {}
  runtime::Metrics& metrics;
  std::atomic<int>& redis_serving;  // workers that Redis serves
  upstream::RedisTrouble& redis_trouble;
  const std::string& gateway_id;
  runtime::Loop loop;
  proxy::Worker worker;
  std::optional<config::Redis> redis_config;
  std::unique_ptr<upstream::RedisClient> redis;
  std::atomic<std::uint64_t> live_gateways = 1;  // as its Redis says
  std::vector<std::unique_ptr<net::Listener>> listeners;
  std::thread thread;

  /// Follows what the configuration says of Redis. On the worker's thread.
  void use_redis(const std::optional<config::Redis>& wanted);

  /// Tells the other gateways that this one stops, if Redis hears it in time.
  static runtime::Task<void> leave(WorkerThread& self, std::shared_ptr<std::atomic<std::size_t>> staying);

  /// Hands access records and figures over and closes old upstream connections, until the loop stops.
  static runtime::Task<void> housekeeping(WorkerThread& self);
};

}  // namespace gatehouse::server
