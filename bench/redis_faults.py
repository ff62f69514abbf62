#!/usr/bin/env python3
"""Two gateways, one Redis, 2,000 requests a second, and Redis killed, frozen and restarted empty.

Usage: bench/redis_faults.py [--binary build/gatehouse] [--rate 2000]; run by hand.
For each fault and each on_store_failure: answers by status; how long a request was in the gateway, its upstream's time
taken off (from the access log), at the most when the store fails and at the median, the 99th percentile and the most
while the breaker is open, and the same of requests to a route without limits, whose tail is the machine's alone; how much `local` admits over both gateways relative to its limit; how soon both count together
again. Exit 1 when a 5xx is not `closed`'s, the failure costs 50 ms or more, a decision with the breaker open 1 ms or more
(99th percentile), `local` admits more than 1.1 times its limit, or sharing takes longer than 2 s.
"""
import argparse
import collections
import datetime
import os
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.client import request_bytes  # noqa: E402
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402
from nginx_upstream import nginx_upstream  # noqa: E402

RATE, BURST = 200, 20  # of the limit
KINDS = ("local", "open", "closed")


def shop(upstream):
    return tenant(upstream=upstream, rate_limits={kind: {"key": "tenant", "rate": f"{RATE}/s", "burst": BURST, "on_store_failure": kind} for kind in KINDS},
                  routes=[{"match": {"path": f"/{kind}"}, "service": "web", "rate_limits": [kind]} for kind in KINDS] + [{"match": {"path": "/free"}, "service": "web"}])


class Client(threading.Thread):
    """One connection that asks at a steady pace; (time, latency, status) of each answer."""

    def __init__(self, gateway, kind, rate):
        super().__init__()
        self.gateway, self.kind, self.rate, self.answers, self.stop = gateway, kind, rate, [], threading.Event()

    def run(self):
        request = request_bytes(target=f"/{self.kind}")
        with self.gateway.connect() as connection:
            due = time.monotonic()
            while not self.stop.is_set():
                begin = time.monotonic()
                status = connection.exchange(request).status
                self.answers.append((begin, time.monotonic() - begin, status))
                due += 1 / self.rate
                time.sleep(max(0.0, due - time.monotonic()))


def between(clients, start, end, kind=None):
    return [answer for client in clients if kind in (None, client.kind) for answer in client.answers if start <= answer[0] < end]


def in_gateway(gateways, start, end, paths):
    """Milliseconds of each request for one of `paths` that ended between two Unix times, without its upstream's, in order."""
    durations = []
    for gateway in gateways:
        for record in gateway.access_records():
            ended = datetime.datetime.fromisoformat(record["@timestamp"].replace("Z", "+00:00")).timestamp()
            if start <= ended < end and record["url.path"] in paths:
                durations.append((record["event.duration"] - record.get("gatehouse.upstream_ns", 0)) / 1e6)
    return sorted(durations)


def describe(durations):
    """The quantiles of milliseconds that are in order."""
    return f"{len(durations)} requests, p50 {durations[len(durations) // 2]:.3f} ms, p99 {durations[int(len(durations) * .99)]:.3f} ms, most {durations[-1]:.3f} ms"


def wait_store(gateways, value, deadline=15):
    end = time.monotonic() + deadline
    while any(gateway.metric("gatehouse_ratelimit_store_up") != value for gateway in gateways):
        assert time.monotonic() < end, "the store's state did not change"
        time.sleep(0.01)
    return time.monotonic()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    failed = False
    limited = {f"/{kind}" for kind in KINDS}
    with RedisServer() as redis, nginx_upstream() as upstream:
        config = {"redis": {"url": f"redis://127.0.0.1:{redis.port}"}, "limits": {"connections_per_client": 0}}
        with Gateway({"shop": shop(upstream)}, config) as one, Gateway({"shop": shop(upstream)}, config) as two:
            gateways = (one, two)
            for gateway in gateways:
                gateway.wait_metric(2, "gatehouse_ratelimit_gateways")
            clients = [Client(gateway, kind, options.rate / 8) for gateway in gateways for kind in KINDS + ("free",)]
            for client in clients:
                client.start()
            time.sleep(2)
            for fault, break_it, mend in (("killed", redis.kill, redis.start), ("frozen", redis.pause, redis.resume)):
                clock = time.time() - time.monotonic()  # of the logs
                lost = time.monotonic()
                break_it()
                down = wait_store(gateways, 0)
                time.sleep(options.seconds)
                until = time.monotonic()
                mend()
                shared = wait_store(gateways, 1) - until
                time.sleep(1)
                first = in_gateway(gateways, clock + lost, clock + down + 0.1, limited)[-1]
                steady = in_gateway(gateways, clock + down + 0.1, clock + until, limited)
                control = in_gateway(gateways, clock + down + 0.1, clock + until, {"/free"})
                admitted = sum(status != 429 for _, _, status in between(clients, down, until, "local"))
                allowed = RATE * (until - down) + BURST
                statuses = {kind: dict(collections.Counter(status for _, _, status in between(clients, lost, until + 3, kind))) for kind in KINDS}
                late = steady[int(len(steady) * .99)]
                print(f"Redis {fault}: longest in the gateway at the failure {first:.1f} ms; breaker open: {describe(steady)}; "
                      f"without limits: {describe(control)}; local admitted "
                      f"{admitted} of {allowed:.0f} (x{admitted / allowed:.2f}); shared again after {shared * 1000:.0f} ms; {statuses}", flush=True)
                failed = failed or admitted > 1.1 * allowed or shared > 2 or first >= 50 or late >= 1
                failed = failed or any(status >= 500 and status != 503 for _, _, status in between(clients, 0, until + 9))
                failed = failed or any(503 in statuses[kind] for kind in ("local", "open"))
            for client in clients:
                client.stop.set()
            for client in clients:
                client.join()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
