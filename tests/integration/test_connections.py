"""Client connections: keep-alive, pipelining, HTTP/1.0, closing; and the pooled ones to the upstream."""
import contextlib
import json
import socket
import threading

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.polling import poll
from harness.upstream import Upstream, echo


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as running:
        yield running


def test_many_requests_on_one_connection(gateway):
    with gateway.connect() as connection:
        for number in range(100):
            response = connection.exchange(request_bytes(target=f"/{number}"))
            assert response.status == 200 and not response.closes
            assert json.loads(response.body)["target"] == f"/{number}"


def test_pipelined_requests_are_answered_in_order(gateway):
    with gateway.connect() as connection:
        sent = b"".join(request_bytes("POST" if number % 3 == 0 else "GET", f"/{number}", body=b"x" * number if number % 3 == 0 else None)
                        for number in range(40))
        connection.send(sent)
        answers = [json.loads(connection.response().body) for _ in range(40)]
    assert [answer["target"] for answer in answers] == [f"/{number}" for number in range(40)]
    assert [answer["body_bytes"] for answer in answers] == [number if number % 3 == 0 else 0 for number in range(40)]


def test_pipelined_byte_by_byte(gateway):
    with gateway.connect() as connection:
        for byte in request_bytes(target="/1") + request_bytes("POST", "/2", body=b"ab") + request_bytes(target="/3"):
            connection.send(bytes([byte]))
        assert [json.loads(connection.response().body)["target"] for _ in range(3)] == ["/1", "/2", "/3"]


def test_requests_behind_one_that_closes_are_not_served(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes(target="/last", close=True) + request_bytes(target="/behind"))
        response = connection.response()
        assert response.status == 200 and response.closes
        connection.expect_closed()
    assert [request.target for request in upstream.requests] == ["/last"]


def test_requests_behind_a_malformed_one_are_not_served(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes(target="/fine") + b"nonsense\r\n\r\n" + request_bytes(target="/behind"))
        assert connection.response().status == 200
        response = connection.response()
        assert response.status == 400 and response.closes
        connection.expect_closed()
    assert [request.target for request in upstream.requests] == ["/fine"]


def test_an_empty_line_before_the_request_line_is_skipped(gateway):
    """RFC 9112 section 2.2."""
    with gateway.connect() as connection:
        assert connection.exchange(b"\r\n" + request_bytes()).status == 200
        assert connection.exchange(b"\r\n" + request_bytes()).status == 200


@pytest.mark.parametrize("value, closes", [("close", True), ("Close", True), ("keep-alive", False), ("keep-alive, close", True), ("x, CLOSE", True)])
def test_connection_field(gateway, value, closes):
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=[("Connection", value)])).closes == closes
        if closes:
            connection.expect_closed()


def test_http_1_0_closes(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(version="1.0"))
        assert response.status == 200 and response.closes
        connection.expect_closed()
    assert upstream.requests[0].version == 1, "the version is per hop (RFC 9110 section 2.5)"


def test_http_1_0_with_keep_alive(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(version="1.0", headers=[("Connection", "keep-alive")]))
        assert response.status == 200
        if not response.closes or "keep-alive" in response.tokens("connection"):
            assert connection.exchange(request_bytes(version="1.0")).status == 200
        connection.expect_closed()


def test_http_1_0_without_host(gateway, upstream):
    """Nobody claims it, so there is no route; it must not reach the only tenant."""
    upstream.forget()
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes(version="1.0", host=None)).status in (400, 404)
    assert upstream.requests == []


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/1.2", b"GET / HTTP/3", b"GET / http/1.1", b"GET / HTTP/1.10", b"GET /", b"GET / HTTP/0.9",
                                  b"PRI * HTTP/2.0"])
def test_other_versions(gateway, upstream, line):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(line + b"\r\nHost: shop.test\r\n\r\n")
        assert connection.response().status in (400, 505)
        connection.expect_closed()
    assert upstream.requests == []


def test_half_closed_client_is_answered_or_let_go(gateway):
    """Either is sound, to wait for nothing is not."""
    with gateway.connect() as connection:
        connection.send(request_bytes())
        connection.finish_sending()
        outcome = connection.outcome()
        assert isinstance(outcome, (Closed, Truncated)) or outcome.status == 200
        connection.expect_closed()


def test_silent_close_between_requests(gateway):
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes()).status == 200
        connection.finish_sending()
        connection.expect_closed()


def test_upstream_connections_are_reused(gateway, upstream):
    before = len(upstream.connections)
    for _ in range(20):
        assert gateway.request().status == 200
    assert len(upstream.connections) - before <= 1
    assert gateway.metric("gatehouse_upstream_connections", state="idle") >= 1
    assert gateway.metric("gatehouse_upstream_connections", state="active") == 0


def test_idle_upstream_connections_make_room():
    """A process that may have few connections keeps few: what was idle for the longest is closed first."""
    with contextlib.ExitStack() as stack:
        upstreams = [stack.enter_context(Upstream(record=False)) for _ in range(8)]
        tenants = {f"t{i}": tenant(f"t{i}", each) for i, each in enumerate(upstreams)}
        gateway = stack.enter_context(Gateway(tenants, {"workers": 1, "limits": {"connections": 4}}))
        for i in range(8):
            assert gateway.request(host=f"t{i}.test").status == 200
        gateway.wait_metric(4, "gatehouse_upstream_connections", state="idle")  # the last one a moment after its answer
        for i in (4, 5, 6, 7):
            assert gateway.request(host=f"t{i}.test").status == 200
        assert [len(each.connections) for each in upstreams] == [1] * 8


def test_head_to_tail_requests_do_not_mix_answers():
    """Concurrent clients of one worker each get their own answer."""
    with Upstream() as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway:
        connections = [gateway.connect() for _ in range(30)]
        for turn in range(5):
            for number, connection in enumerate(connections):
                connection.send(request_bytes(target=f"/{number}/{turn}"))
            for number, connection in enumerate(connections):
                assert json.loads(connection.response().body)["target"] == f"/{number}/{turn}"
        for connection in connections:
            connection.close()


def test_an_upstream_connection_that_died_idle_is_replaced():
    """The upstream closes after each answer without saying so; no client may notice."""
    def handler(connection, request):
        echo(connection, request)
        connection.close()

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway:
        for _ in range(30):
            assert gateway.request().status == 200


def test_bytes_after_an_answer_spoil_the_upstream_connection():
    """What an upstream sends unasked must never be the answer to the next request."""
    def handler(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway:
        for _ in range(5):
            assert gateway.request().body == b"ok"
        assert len(upstream.connections) == 5


def test_a_client_that_leaves_takes_its_upstream_connection_along():
    with Upstream(lambda connection, request: connection.wait_closed()) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        with gateway.connect() as connection:
            connection.send(request_bytes(target="/gone"))
            upstream.wait_requests(1)
            connection.reset()
        poll(lambda: not upstream.connections[0].open, "the upstream connection to be closed")
        assert gateway.access_record(url__path="/gone")["http.response.status_code"] == 499


def test_who_pipelines_without_end_has_turns_as_others_have(upstream):
    """Answers of the gateway's own, which it need not wait for."""
    request = request_bytes(host="nobody.test")
    with Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1, "access_log": {"path": "off"}}) as gateway, \
            gateway.connect() as greedy, gateway.connect() as other:
        stop, answers = threading.Event(), [0]

        def send():
            with contextlib.suppress(OSError):
                while not stop.is_set():
                    greedy.socket.sendall(request * 500)

        def read():
            with contextlib.suppress(OSError):
                while data := greedy.socket.recv(1 << 20):
                    answers[0] += data.count(b"HTTP/1.1 404")
        threads = [threading.Thread(target=work) for work in (send, read)]
        for thread in threads:
            thread.start()
        poll(lambda: answers[0], "an answer")
        before, exchanges = answers[0], 50
        for _ in range(exchanges):
            assert other.exchange(request_bytes()).status == 200
        meanwhile = answers[0] - before
        stop.set()
        greedy.raw.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(20)
        assert meanwhile < 1500 * exchanges, "thousands in each turn are all that one connection has to say"
