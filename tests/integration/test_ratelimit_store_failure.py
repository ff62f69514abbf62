"""Redis is lost: killed, frozen or never there. Each limit does what it was told for that case, and requests go on."""
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
