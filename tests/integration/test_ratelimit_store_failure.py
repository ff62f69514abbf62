"""Redis is lost: killed, frozen or never there. Each limit does what it was told for that case, and requests go on."""
import threading
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.redis_server import RedisServer


def limited(upstream, rate="1/h", burst=3):
    kinds = ("local", "open", "closed")
    return tenant(upstream=upstream, rate_limits={kind: {"key": "client_ip", "rate": rate, "burst": burst, "on_store_failure": kind} for kind in kinds},
                  routes=[{"match": {"path": f"/{kind}"}, "service": "web", "rate_limits": [kind]} for kind in kinds]
                  + [{"match": {"path": "/"}, "service": "web"}])


@pytest.fixture
def store():
    with RedisServer() as server:
        yield server


def statuses(gateway, count, target, source="127.0.1.1"):
    return [gateway.request(target, source=source).status for _ in range(count)]


def expect_failure_modes(gateway, source):
    assert statuses(gateway, 5, "/local", source) == [200] * 3 + [429] * 2
    assert statuses(gateway, 6, "/open", source) == [200] * 6
    response = gateway.request("/closed", source=source)
    assert response.status == 503
    assert int(response.header("retry-after")) >= 1 and response.has("x-request-id")
    assert gateway.request("/", source=source).status == 200


def test_killed(store, upstream):
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(gateway, 4, "/closed") == [200] * 3 + [429]
        store.kill()
        begin = time.monotonic()
        expect_failure_modes(gateway, "127.0.1.2")
        assert time.monotonic() - begin < 10, "a store that refuses connections costs next to nothing"
        gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        store.start()
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        poll(lambda: gateway.request("/closed", source="127.0.1.3").status == 200, "limits in Redis again")


def test_two_gateways_divide_a_local_limit(store, upstream):
    config = {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}
    with Gateway({"shop": limited(upstream, burst=6)}, config) as one, Gateway({"shop": limited(upstream, burst=6)}, config) as two:
        for gateway in (one, two):
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            gateway.wait_metric(2, "gatehouse_ratelimit_gateways")
        store.kill()
        for gateway in (one, two):
            assert statuses(gateway, 5, "/local") == [200] * 3 + [429] * 2
        store.start()
        for gateway in (one, two):
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        answers = statuses(one, 4, "/local", "127.0.1.7") + statuses(two, 4, "/local", "127.0.1.7")
        assert answers.count(200) == 6, "one bucket again"


def test_frozen_and_thawed(store, upstream):
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(gateway, 1, "/local") == [200]
        store.pause()
        try:
            begin = time.monotonic()
            expect_failure_modes(gateway, "127.0.1.2")
            assert time.monotonic() - begin < 15, "requests do not each wait for a store that is silent"
            gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        finally:
            store.resume()
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        poll(lambda: gateway.request("/closed", source="127.0.1.3").status == 200, "limits in Redis again")
        assert statuses(gateway, 3, "/closed", "127.0.1.4") == [200] * 3


def test_frozen_store_delays_no_other_request(store, upstream):
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}, "workers": 1}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        store.pause()
        try:
            with gateway.connect(source="127.0.1.5") as waiting, gateway.connect() as other:
                waiting.send(request_bytes(target="/local"))
                begin = time.monotonic()
                for _ in range(20):
                    assert other.exchange(request_bytes(target="/")).status == 200
                assert time.monotonic() - begin < 2
                assert waiting.response().status == 200
        finally:
            store.resume()


def test_never_there(upstream):
    from harness.ports import free_port
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{free_port()}"}}) as gateway:
        expect_failure_modes(gateway, "127.0.1.2")
        assert gateway.metric("gatehouse_ratelimit_store_up") == 0


def test_a_store_that_comes_later(upstream):
    store = RedisServer()
    try:
        store.kill()
        with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
            assert gateway.request("/closed").status == 503
            store.start()
            poll(lambda: gateway.request("/closed", source="127.0.1.9").status == 200, "the store to be used")
    finally:
        store.close()


def test_a_server_that_speaks_something_else(upstream):
    """Garbage instead of RESP, and an answer without end: the connection is dropped, the limit fails as told."""
    from harness.upstream import Upstream

    def garbage(connection):
        while connection.buffer.fill():
            connection.buffer.data.clear()
            connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"*1000000000\r\n" * 100)

    with Upstream(on_connect=garbage) as fake, Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://{fake.address}"}}) as gateway:
        expect_failure_modes(gateway, "127.0.1.2")


@pytest.mark.parametrize("answers", ["to everything", "but to PING"])
def test_a_server_that_answers_as_redis_does_not(upstream, answers):
    """Well-formed RESP, but never what was asked for."""
    from harness.upstream import Upstream

    def agreeable(connection):
        while connection.buffer.fill():
            asked = bytes(connection.buffer.data)
            connection.buffer.data.clear()
            connection.send(b"+PONG\r\n" if answers == "but to PING" and b"PING" in asked else b"+OK\r\n")

    with Upstream(on_connect=agreeable) as fake, Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://{fake.address}"}}) as gateway:
        expect_failure_modes(gateway, "127.0.1.2")
        gateway.wait_log("an answer that Redis does not give")
        gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        assert gateway.metric("gatehouse_ratelimit_store_requests_total", result="ok") == 0


# --- Redis answers, but serves no call

def unable_to_save(store):
    """Its folder is gone, so that it cannot write its snapshot."""
    store.command("CONFIG", "SET", "save", "3600 1")
    store.remove_folder()
    store.command("BGSAVE")
    poll(lambda: b"rdb_last_bgsave_status:err" in store.command("INFO", "persistence"), "a failed snapshot")


REFUSALS = {
    "OOM": (lambda store: store.command("CONFIG", "SET", "maxmemory", "1"), lambda store: store.command("CONFIG", "SET", "maxmemory", "0"), "volatile-ttl"),
    "READONLY": (lambda store: store.command("REPLICAOF", "127.0.0.1", "1"), lambda store: store.command("REPLICAOF", "NO", "ONE"), "the primary"),
    "MASTERDOWN": (lambda store: (store.command("CONFIG", "SET", "replica-serve-stale-data", "no"), store.command("REPLICAOF", "127.0.0.1", "1")),
                   lambda store: store.command("REPLICAOF", "NO", "ONE"), "the primary"),
    "NOREPLICAS": (lambda store: store.command("CONFIG", "SET", "min-replicas-to-write", "1"),
                   lambda store: store.command("CONFIG", "SET", "min-replicas-to-write", "0"), "min-replicas-to-write"),
    "MISCONF": (unable_to_save, lambda store: store.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "no"), "disk"),
    **{f"NOPERM {right}": (lambda store, right=right: store.command("ACL", "SETUSER", "default", f"-{right}"),
                           lambda store, right=right: store.command("ACL", "SETUSER", "default", f"+{right}"), "gatehouse:*")
       for right in ("evalsha", "set")},
}


def told(gateway):
    return [line for line in gateway.log.splitlines() if "edis" in line]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_store_that_answers_but_refuses(store, upstream, refusal):
    """PING is answered, calls are not: down until a call is decided, told once, and no request waits for it."""
    refuse, mend, advice = REFUSALS[refusal]
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}, "workers": 2}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(gateway, 1, "/closed") == [200]
        refuse(store)
        poll(lambda: gateway.request("/closed", source="127.0.1.8").status == 503, "a refusal to show")
        gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        expect_failure_modes(gateway, "127.0.1.2")
        end = time.monotonic() + 3  # longer than the longest pause: several attempts
        ups, answers = set(), []
        while time.monotonic() < end:
            answers += statuses(gateway, 5, "/open", "127.0.1.3")
            ups.add(gateway.metric("gatehouse_ratelimit_store_up"))
        assert ups == {0}, "it is down all the time"
        assert set(answers) == {200}
        asked = sum(gateway.metric("gatehouse_ratelimit_store_requests_total", result=result) for result in ("error", "lost", "timeout"))
        assert asked <= 8, "only what was under way when it began has waited"
        lines = told(gateway)
        assert len(lines) == 1, lines
        assert f"refused: {refusal.split()[0]}" in lines[0] and advice in lines[0] and "on_store_failure" in lines[0]
        assert "@user_script" not in gateway.log and "permissions" not in gateway.log, "nothing of the server's own words"
        begin = time.monotonic()
        mend(store)
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert time.monotonic() - begin < 2
        assert statuses(gateway, 4, "/closed", "127.0.1.4") == [200] * 3 + [429]
        gateway.wait_log("Redis serves the rate limits again")
        assert len(told(gateway)) == 2


def test_a_store_that_refuses_is_noticed_without_a_request(store, upstream):
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        store.command("CONFIG", "SET", "maxmemory", "1")
        gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        gateway.wait_log("refused: OOM")


@pytest.mark.parametrize("code, command", [("OOM", ("CONFIG", "SET", "maxmemory", "1")), ("NOPERM", ("ACL", "SETUSER", "default", "-eval"))])
def test_a_store_that_refuses_from_the_start(store, upstream, code, command):
    store.command(*command)
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
        expect_failure_modes(gateway, "127.0.1.2")
        gateway.wait_log(f"refused: {code}")
        assert gateway.metric("gatehouse_ratelimit_store_up") == 0


# --- what two gateways admit together while Redis comes and goes

RATE, BURST = 40, 40


class Saturating(threading.Thread):
    """One client that asks as soon as it is answered, at most 100 times a second; `admitted` of its requests."""

    def __init__(self, gateway):
        super().__init__()
        self.gateway, self.admitted, self.stop = gateway, 0, threading.Event()

    def run(self):
        with self.gateway.connect() as connection:
            while not self.stop.wait(0.01):
                self.admitted += connection.exchange(request_bytes(target="/local")).status == 200


def admitted_while(gateways, faults):
    """`faults` happen while both gateways are saturated; what was admitted of what the limit allows in that time."""
    clients = [Saturating(gateway) for gateway in gateways]
    begin = time.monotonic()
    for client in clients:
        client.start()
    try:
        for seconds, fault in faults:
            time.sleep(seconds)  # how long what holds before is to last: the limit's own unit
            fault()
    finally:
        for client in clients:
            client.stop.set()
        for client in clients:
            client.join()
    return sum(client.admitted for client in clients) / (BURST + RATE * (time.monotonic() - begin))


@pytest.mark.parametrize("fault", ["killed", "flapping", "restarted empty", "restarted at once", "cut off"])
def test_two_gateways_stay_within_a_limit(store, upstream, fault):
    from harness.distance import Distance
    shop = limited(upstream, rate=f"{RATE}/s", burst=BURST)
    with Distance(store.port, 0) as link:
        config = {"redis": {"url": f"redis://127.0.0.1:{link.port if fault == 'cut off' else store.port}"}}
        with Gateway({"shop": shop}, config) as one, Gateway({"shop": shop}, config) as two:
            for gateway in (one, two):
                gateway.wait_metric(2, "gatehouse_ratelimit_gateways")
                gateway.wait_metric(1, "gatehouse_ratelimit_store_up")

            def distance(seconds):
                return lambda: setattr(link, "seconds", seconds)
            faults = {
                "killed": [(1.5, store.kill), (2.5, bool)],
                "flapping": [(0.7, store.pause), (0.7, store.resume)] * 3 + [(0.5, bool)],
                "restarted empty": [(1.5, store.kill), (1, store.start), (2.5, bool)],
                "restarted at once": [(1.5, lambda: (store.kill(), store.start())), (1.5, bool)] * 2,
                "cut off": [(0.7, distance(0.3)), (0.7, distance(0))] * 3 + [(0.5, bool)],
            }[fault]
            ratio = admitted_while((one, two), faults)
            print(f"{fault}: {ratio:.2f} of the limit")
            assert ratio <= 1.1
            assert ratio >= (0.85 if fault == "killed" else 0.6)


def test_a_flushed_store_has_full_buckets(store, upstream):
    """Who empties Redis while it works gives all clients their burst anew, also after it had been lost once."""
    with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{store.port}"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(gateway, 4, "/local") == [200] * 3 + [429]
        store.command("FLUSHALL")
        assert statuses(gateway, 4, "/local") == [200] * 3 + [429]
        store.kill()
        gateway.wait_metric(0, "gatehouse_ratelimit_store_up")
        store.start()
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(gateway, 1, "/local") == [429], "it goes on where it was"
        store.command("FLUSHALL")
        assert statuses(gateway, 4, "/local") == [200] * 3 + [429]


# --- far away

def test_a_store_that_is_far_away(store, upstream):
    """Thirty milliseconds: each decision is the store's, and one bucket for both gateways."""
    from harness.distance import Distance
    with Distance(store.port, 0.03) as link:
        config = {"redis": {"url": f"redis://127.0.0.1:{link.port}"}}
        with Gateway({"shop": limited(upstream, burst=20)}, config) as one, Gateway({"shop": limited(upstream, burst=20)}, config) as two:
            for gateway in (one, two):
                gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            decided = [gateway.metric("gatehouse_ratelimit_store_requests_total", result="ok") for gateway in (one, two)]
            answers = [answer for _ in range(15) for gateway in (one, two) for answer in statuses(gateway, 1, "/closed")]
            late = 30 - sum(int(gateway.metric("gatehouse_ratelimit_store_requests_total", result="ok") - before)
                            for gateway, before in zip((one, two), decided))
            assert late <= 2, "a busy machine may be late once"
            assert answers.count(503) == late
            assert answers.count(200) in range(20 - late, 21)


@pytest.mark.parametrize("milliseconds", [10, 20])
def test_a_distance_costs_closed_limits_nothing(store, upstream, milliseconds):
    from harness.distance import Distance
    with Distance(store.port, milliseconds / 1000) as link:
        with Gateway({"shop": limited(upstream, rate="1000/s", burst=1000)}, {"redis": {"url": f"redis://127.0.0.1:{link.port}"}}) as gateway:
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            answers = statuses(gateway, 50, "/closed")
            assert answers.count(200) >= 49, "a busy machine may be late once"


def test_a_store_that_is_too_far_away_counts_as_lost(store, upstream):
    from harness.distance import Distance
    with Distance(store.port, 0.06) as link:
        with Gateway({"shop": limited(upstream)}, {"redis": {"url": f"redis://127.0.0.1:{link.port}"}}) as gateway:
            gateway.wait_log("no answer in 43 ms")
            assert gateway.metric("gatehouse_ratelimit_store_up") == 0
            expect_failure_modes(gateway, "127.0.1.2")
            link.seconds = 0.02  # and is used again when it has come nearer
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            poll(lambda: gateway.request("/closed", source="127.0.1.3").status == 200, "limits in Redis")
