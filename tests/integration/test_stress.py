"""Everything at once for some seconds: what each client sees must be right, and the sanitizers silent."""
import json
import signal
import threading
import time

from harness.client import chunked, request_bytes
from harness.gateway import Gateway, tenant
from harness.redis_server import RedisServer
from harness.upstream import Upstream

SECONDS = 4.0


class Clients:
    """Threads that repeat an action until the time is up; the first failure of each is kept."""

    def __init__(self):
        self.stop, self.failures, self.counts, self.threads = threading.Event(), [], {}, []

    def add(self, name, action):
        def run():
            try:
                while not self.stop.is_set():
                    action()
                    self.counts[name] = self.counts.get(name, 0) + 1
            except Exception as error:  # noqa: BLE001
                self.failures.append((name, repr(error)))
        self.threads.append(threading.Thread(target=run))

    def run(self, seconds):
        for thread in self.threads:
            thread.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.failures:
            self.stop.wait(0.05)
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        assert self.failures == []
        assert set(self.counts) and all(self.counts.values())


def test_everything_at_once():
    with Upstream(name="one") as one, Upstream(name="two", health="/healthz") as two, RedisServer() as redis:
        services = {"web": {"sites": [{"site": "here", "endpoints": [one.address]}, {"site": "there", "endpoints": [two.address]}], "balance": "least_request"}}
        limits = {"wide": {"key": ["client_ip", "host"], "rate": "1000000/s"}, "narrow": {"key": "client_ip", "rate": "1/h", "burst": 1, "on_store_failure": "closed"}}
        hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
        routes = [{"match": {"path": "/narrow"}, "service": "web", "rate_limits": ["wide", "narrow"]}, {"match": {"path": "/"}, "service": "web", "rate_limits": ["wide"]}]
        shop = tenant(hosts=hosts, services=services, routes=routes, rate_limits=limits, waf={"mode": "block"})
        with Gateway({"shop": shop}, {"redis": {"url": f"redis://127.0.0.1:{redis.port}"}, "workers": 4, "limits": {"connections_per_client": 0},
                                        "waf": {"time_budget": "10s"}}) as gateway:
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            gateway.request("/narrow")
            clients = Clients()

            def served(response):
                assert response.status == 200, response
                return json.loads(response.body)

            def keep_alive():
                with gateway.connect() as connection:
                    for number in range(20):
                        assert served(connection.exchange(request_bytes(target=f"/{number}")))["target"] == f"/{number}"

            def secure():
                with gateway.connect(tls=True, server_name="secure.test") as connection:
                    body = b"x=" + b"y" * 5000
                    connection.send(request_bytes("POST", "/form", "secure.test", [("Content-Type", "application/x-www-form-urlencoded")], body))
                    assert served(connection.response())["body_bytes"] == len(body)

            def attacker():
                assert gateway.request("/?id=1%27%20OR%20%271%27=%271").status == 403

            def limited():
                # 503: a store that a busy machine keeps waiting for too long counts as lost.
                assert gateway.request("/narrow").status in (429, 503)

            def leaver():
                with gateway.connect() as connection:
                    connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + chunked(b"x" * 1000)[:-5])
                    connection.reset()
                # It comes back: one that only left would outrun a gateway that a sanitizer slows down, to limits.connections.
                assert served(gateway.request("/back"))["target"] == "/back"

            def malformed():
                with gateway.connect() as connection:
                    assert connection.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status == 400

            def observer():
                assert gateway.metrics().total("gatehouse_build_info") == 1
                gateway.status_page()

            def reloader():
                gateway.signal(signal.SIGHUP)
                gateway.signal(signal.SIGUSR1)
                clients.stop.wait(0.2)

            for action in (keep_alive, keep_alive, secure, attacker, limited, leaver, malformed, observer, reloader):
                clients.add(action.__name__, action)
            clients.run(SECONDS)
            gateway.wait_metric(0, "gatehouse_requests_in_flight")
            gateway.wait_metric(0, "gatehouse_connections")
            metrics = gateway.metrics()
            verdicts = metrics.total("gatehouse_waf_requests_total", tenant="shop")
            assert verdicts == metrics.total("gatehouse_requests_total", tenant="shop")
            screened = metrics.total("gatehouse_waf_requests_total", tenant="shop", verdict="screened")
            assert verdicts - screened <= metrics.total("gatehouse_waf_duration_seconds_count", tenant="shop") <= verdicts
            refused = metrics.total("gatehouse_local_replies_total", tenant="shop", reason="overload")
            limited_requests = metrics.total("gatehouse_ratelimit_decisions_total", limit="narrow", decision="limited")
            assert metrics.total("gatehouse_requests_total", tenant="shop") == \
                metrics.total("gatehouse_ratelimit_decisions_total", limit="wide") + limited_requests + refused
        assert one.violations == [] and two.violations == []


def test_stop_in_the_middle_of_it():
    """SIGTERM, SIGQUIT under load: it ends, with 0, whatever goes on."""
    for number in (signal.SIGTERM, signal.SIGQUIT):
        with Upstream() as upstream:
            gateway = Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}, {"workers": 4, "timeouts": {"shutdown": "2s"}})
            stop, served = threading.Event(), []

            def load():
                while not stop.is_set():
                    try:
                        with gateway.connect(timeout=5) as connection:
                            for _ in range(5):
                                served.append(connection.exchange(request_bytes()).status)
                    except Exception:  # noqa: BLE001: it is being stopped
                        pass
            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            while len(served) < 50:
                stop.wait(0.01)
            gateway.signal(number)
            assert gateway.wait_exit() == 0
            stop.set()
            for thread in threads:
                thread.join()
            gateway.assert_clean()
            gateway.discard()
