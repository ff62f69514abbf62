"""Limits of size and number: what is over one gets its answer and goes no further."""
import contextlib
import json
import signal

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, run_command, tenant
from harness.http1 import Closed, Truncated
from harness.polling import poll
from harness.upstream import Upstream

LIMITS = {"target_bytes": "1KiB", "header_bytes": "8KiB", "header_count": 20, "body_bytes": "64KiB", "connections_per_client": 8}


@pytest.fixture(scope="module")
def gateway(upstream):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    config = {"limits": LIMITS, "trusted_proxies": ["127.0.0.200/32"]}
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, config) as running:
        yield running


@pytest.mark.parametrize("length, status", [(1024, 200), (1025, 414), (5000, 414), (100_000, 414)])
def test_target(gateway, upstream, length, status):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes(target="/" + "a" * (length - 1)))
        response = connection.response()
        assert response.status == status
        if status != 200:
            assert response.closes
            connection.expect_closed()
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("head, status", [(request_bytes("HEAD", "/" + "a" * 2000), 414), (b"HEAD / HTTP/1.1\r\nHost: shop.test\r\nX Y: 1\r\n\r\n", 400)])
def test_a_refused_head_request_has_no_content(gateway, head, status):
    """RFC 9110 section 9.3.2"""
    with gateway.connect() as connection:
        connection.send(head)
        response = connection.response("HEAD")
        assert response.status == status and response.closes
        connection.expect_closed()


@pytest.mark.parametrize("size, status", [(7000, 200), (8200, 431), (200_000, 431)])
def test_header_bytes(gateway, upstream, size, status):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes(headers=[("X-Large", "a" * size)]))
        response = connection.response()
        assert response.status == status
        if status != 200:
            connection.expect_closed()
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("count, status", [(19, 200), (20, 431), (500, 431)])
def test_header_count(gateway, upstream, count, status):
    """Host is one of them."""
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes(headers=[(f"X-{number}", "a") for number in range(count)]))
        assert connection.response().status == status
    assert len(upstream.requests) == (status == 200)


def test_endless_head_is_not_collected(gateway):
    with gateway.connect() as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(b"GET / HTTP/1.1\r\nHost: shop.test\r\n")
            for _ in range(2000):
                connection.send(b"X: " + b"a" * 1000)
        outcome = connection.outcome()
        assert isinstance(outcome, (Closed, Truncated)) or outcome.status == 431


@pytest.mark.parametrize("size, status", [(65536, 200), (65537, 413), (10_000_000, 413)])
def test_body_by_its_length(gateway, upstream, size, status):
    """Refused at once, before a byte of it was sent."""
    upstream.forget()
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Content-Length", str(size))]))
        if status == 200:
            connection.send(b"x" * size)
        response = connection.response()
        assert response.status == status
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("total, status", [(65536, 200), (65537, 413), (1_000_000, 413)])
@pytest.mark.parametrize("piece", [1024, 50_000])
def test_body_by_its_growth(gateway, upstream, total, status, piece):
    upstream.forget()
    with gateway.connect() as connection:
        sizes = [piece] * (total // piece) + ([total % piece] if total % piece else [])
        connection.try_send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked")])
                            + b"".join(b"%x\r\n%s\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n")
        outcome = connection.outcome()
        assert not isinstance(outcome, (Closed, Truncated)), "a client that waits for its answer gets one"
        assert outcome.status == status
        if status != 200:
            connection.expect_closed()
    assert gateway.request("/afterwards").status == 200
    assert len([request for request in upstream.requests if request.target == "/"]) == (status == 200)


def test_too_large_is_counted(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="too_large")
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes("POST", headers=[("Content-Length", "999999")])).status == 413
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="shop", reason="too_large")


def served(gateway, **options):
    """A kept connection that has had an answer, or None for one that was refused."""
    connection = None
    try:
        connection = gateway.connect(**options)
        connection.send(request_bytes(host="shop.test"))
        if connection.response().status == 200:
            return connection
    except (Closed, Truncated, ConnectionError):
        pass
    if connection:
        connection.close()
    return None


def test_connections_per_client(gateway):
    source = "127.0.0.77"
    held = [served(gateway, source=source) for _ in range(8)]
    try:
        assert all(held)
        assert served(gateway, source=source) is None
        other = served(gateway, source="127.0.0.78")
        assert other, "another client is not concerned"
        other.close()
        held.pop().close()
        held.append(poll(lambda: served(gateway, source=source), "room for one more"))
    finally:
        for connection in held:
            if connection:
                connection.close()


def test_a_trusted_proxy_without_room_is_told_of(upstream):
    """It has many clients' connections, and answers its own clients with errors of which nothing here would tell."""
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections_per_client": 3}, "trusted_proxies": ["127.0.0.9"]}) as gateway:
        held = [served(gateway, source="127.0.0.8") for _ in range(4)]
        assert [connection is not None for connection in held] == [True, True, True, False]
        held += [served(gateway, source="127.0.0.9") for _ in range(5)]
        assert [connection is not None for connection in held[4:]] == [True, True, True, False, False]
        gateway.wait_log("connections_per_client")
        assert gateway.log.count("connections_per_client") == 1, "once a minute, and of no other client"
        assert "127.0.0.9" in gateway.log and "127.0.0.8" not in gateway.log
        for connection in held:
            if connection:
                connection.close()


def test_connections_per_client_zero_is_none(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections_per_client": 0}}) as gateway:
        held = [served(gateway) for _ in range(300)]
        assert all(held)
        for connection in held:
            connection.close()


def test_connections_in_all(upstream):
    """Those over the limit wait or are closed; none is served, and one that leaves makes room."""
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections": 10}, "workers": 1}) as gateway:
        held = [served(gateway) for _ in range(10)]
        assert all(held)
        with contextlib.suppress(Closed, Truncated, ConnectionError, TimeoutError):
            with gateway.connect(timeout=0.3) as one_more:
                one_more.send(request_bytes())
                assert one_more.response().status == 503
        held.pop().close()
        poll(lambda: served(gateway, timeout=1), "room for one more")
        for connection in held:
            connection.close()


def test_the_bound_on_connections_follows_the_configuration(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections": 1}}) as gateway, gateway.connect() as first:
        assert first.exchange(request_bytes()).status == 200
        with gateway.connect() as second:
            second.expect_closed()
        gateway.write_config(limits={"connections": 3})
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric(1, "gatehouse_config_reloads_total", result="success")
        with gateway.connect() as second:
            assert second.exchange(request_bytes()).status == 200
        assert json.loads(gateway.admin("/status").body)["max_connections"] == 3


def test_more_connections_than_files_is_an_error(upstream):
    gateway = Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections": 5_000_000}}, start=False)
    result = run_command("check", "--config", gateway.configuration)
    assert result.returncode == 1 and "connections" in result.stdout
    gateway.discard()


def test_requests_of_a_tenant_in_flight():
    def hold(connection, request):
        connection.upstream.released.wait(20)
        connection.respond(body="done")

    with Upstream(hold) as upstream, Gateway({"shop": tenant(upstream=upstream, limits={"requests_in_flight": 2}), "other": tenant("other", upstream)}) as gateway:
        waiting = [gateway.connect() for _ in range(2)]
        for connection in waiting:
            connection.send(request_bytes())
        upstream.wait_requests(2)
        response = gateway.request()
        assert response.status == 503 and response.header("retry-after")
        gateway.wait_metric(1, "gatehouse_local_replies_total", tenant="shop", reason="overload")
        assert gateway.metric("gatehouse_requests_in_flight", tenant="shop") == 2
        upstream.released.set()
        for connection in waiting:
            assert connection.response().body == b"done"
            connection.close()
        assert gateway.request().status == 200
