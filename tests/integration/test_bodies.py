"""Request and response bodies in every framing, both ways."""
import hashlib
import json
import os
import socket

import pytest

from harness.client import chunked, request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated, read_request_head
from harness.upstream import Upstream


@pytest.fixture(scope="module")
def gateway(upstream):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}) as running:
        yield running


def echo_of(response):
    assert response.status == 200, response
    return json.loads(response.body)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 16383, 16384, 65536, 1_000_000])
@pytest.mark.parametrize("tls", [None, True])
def test_content_length(gateway, size, tls):
    body = os.urandom(size)
    seen = echo_of(gateway.request(method="POST", host="secure.test" if tls else "shop.test", tls=tls, body=body))
    assert (seen["body_bytes"], seen["body_sha256"]) == (size, hashlib.sha256(body).hexdigest())


@pytest.mark.parametrize("sizes", [[], [1], [5, 1, 70000], [1] * 300, [16384] * 20])
def test_chunked(gateway, upstream, sizes):
    upstream.forget()
    parts = [os.urandom(size) for size in sizes]
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + chunked(*parts))
        seen = echo_of(connection.response())
        assert echo_of(connection.exchange(request_bytes()))["target"] == "/", "the end of the body was found"
    assert seen["body_sha256"] == hashlib.sha256(b"".join(parts)).hexdigest()
    assert upstream.requests[0].framing in ("chunked", "length")


def test_chunk_extensions_and_trailers_end_here(gateway, upstream):
    upstream.forget()
    body = b'3;name=value;q="a;b\\""\r\nabc\r\n2 ;x\r\nde\r\n0;last\r\nX-Sum: 1\r\nContent-Length: 5\r\nHost: evil.test\r\n\r\n'
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]) + body)
        response = connection.response()
        if response.status == 400:
            # a blank before the extension is what some readers take differently
            connection.expect_closed()
            body = body.replace(b"2 ;x", b"2;x")
            with gateway.connect() as again:
                response = again.exchange(request_bytes("POST", headers=[("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]) + body)
    echo_of(response)
    request = upstream.requests[0]
    assert request.body == b"abcde" and request.trailers == []
    raw = bytes(request.connection.received)
    assert b"name=value" not in raw and b"X-Sum" not in raw and b"evil" not in raw


def test_chunked_arrives_byte_by_byte(gateway):
    with gateway.connect() as connection:
        for byte in request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + chunked(b"hello", b"world"):
            connection.send(bytes([byte]))
        assert echo_of(connection.response())["body_bytes"] == 10


def test_coding_name_is_case_insensitive(gateway):
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "Chunked")]) + chunked(b"x"))
        assert echo_of(connection.response())["body_bytes"] == 1


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_any_method_may_have_a_body(gateway, method):
    seen = echo_of(gateway.request(method=method, body=b"abc"))
    assert (seen["method"], seen["body_bytes"]) == (method, 3)


def test_post_without_a_body_has_a_length_at_the_upstream(gateway, upstream):
    """RFC 9110 section 8.6: a method that anticipates content says Content-Length: 0; what the client said is kept."""
    upstream.forget()
    gateway.request(method="POST", body=b"")
    assert upstream.requests[0].header("content-length") == "0"


def test_a_body_streams_before_its_end_is_known():
    """The upstream sees the first chunk while the client holds the second one back."""
    def streaming(connection, request):
        parts = connection.upstream.parts = []
        connection.read_body(request, request.length, sink=lambda data: (parts.append(data), connection.upstream.released.set()))
        connection.respond(body="done")

    with Upstream(streaming, early=True) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        with gateway.connect() as connection:
            connection.send(request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nfirst\r\n")
            assert upstream.released.wait(10), "the first chunk did not arrive"
            connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
            assert connection.response().body == b"done"
        assert b"".join(upstream.parts) == b"firstsecond"


@pytest.mark.parametrize("sent", [
    request_bytes("POST", headers=[("Content-Length", "100")]) + b"only this",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\nxyz\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhelloo\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\nhello\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"-5\r\nhello\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"0x5\r\nhello\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5;" + b"x" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
    request_bytes("POST", headers=[("Transfer-Encoding", "chunked")]) + b"5\r\nhello\r\n0\r\nX: " + b"x" * 200000 + b"\r\n\r\n",
])
def test_a_body_that_breaks_off_is_never_whole_at_the_upstream(gateway, upstream, sent):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(sent)
        connection.finish_sending()
        outcome = connection.outcome()
        if not isinstance(outcome, (Closed, Truncated)):
            assert outcome.status in (400, 408)
        connection.expect_closed()
    assert gateway.request("/afterwards").status == 200
    assert [request.target for request in upstream.requests] == ["/afterwards"]


def test_continue_is_sent_once_and_only_when_it_was_asked_for(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Expect", "100-continue"), ("Content-Length", "5")]))
        connection.socket.settimeout(10)
        connection.buffer.fill()
        assert bytes(connection.buffer.data) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"hello")
        response = connection.response()
        assert echo_of(response)["body_bytes"] == 5 and len(response.interim) == 1
        assert connection.exchange(request_bytes("POST", body=b"x")).interim == []


@pytest.mark.parametrize("sent, status", [
    (request_bytes("POST", host="unknown.test", headers=[("Expect", "100-continue"), ("Content-Length", "5")]), 404),
    (request_bytes("POST", headers=[("Expect", "100-continue"), ("Content-Length", "99999999999")]), 413),
])
def test_no_continue_before_a_refusal(gateway, sent, status):
    with gateway.connect() as connection:
        response = connection.exchange(sent)
        assert response.status == status and response.interim == []


def test_body_sent_without_waiting_for_continue(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("POST", headers=[("Expect", "100-Continue")], body=b"hello"))
        assert echo_of(response)["body_bytes"] == 5
        assert echo_of(connection.exchange(request_bytes(target="/next")))["target"] == "/next"


def test_unknown_expectation(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes("POST", headers=[("Expect", "200-ok")], body=b"x")).status == 417
    assert upstream.requests == []


def test_expectation_of_http_1_0_is_ignored(gateway):
    """RFC 9110 section 10.1.1."""
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("POST", version="1.0", headers=[("Expect", "100-continue")], body=b"x"))
        assert response.interim == []


def test_an_upstream_that_answers_early_is_heard():
    """It refuses the body after the head and closes; the client gets that answer although it still sends."""
    def handler(connection, request):
        connection.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        connection.socket.shutdown(1)
        connection.wait_closed()

    with Upstream(handler, early=True) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=[("Content-Length", "1000000")]) + b"x" * 1000)
        response = connection.response()
        assert (response.status, response.body) == (403, b"no")
        if not response.closes:
            connection.send(b"x" * 999000)
            connection.send(request_bytes(target="/next"))
            assert connection.response().status == 403


def test_no_continue_inside_of_an_early_answer():
    """The upstream answers while it takes nothing, so what has come of the body waits. When it goes on, the answer has long
    begun, and 100 (Continue) would be a part of it."""
    def handler(connection):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        connection.upstream.released.wait(10)
        request, length = read_request_head(connection.buffer)
        connection.read_body(request, length)
        connection.send(b"world")

    # Small segments and a small window: the gateway's socket takes the head, which is larger than the first read, but not
    # what came of the body with it.
    narrow = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096), (socket.IPPROTO_TCP, socket.TCP_MAXSEG, 100)]
    with Upstream(on_connect=handler, socket_options=narrow) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway, \
            gateway.connect() as connection:
        head = request_bytes("POST", headers=[("X-Long", "a" * 16400), ("Expect", "100-continue"), ("Content-Length", "60000")])
        connection.send(head + b"x" * 40000)
        while b"hello" not in connection.buffer.data:
            assert connection.buffer.fill()
        # It may still have come before the answer, if the socket took all that there was of the body.
        assert connection.buffer.data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        upstream.released.set()
        connection.send(b"x" * 20000)
        assert connection.response().body == b"helloworld"


def test_the_rest_of_a_body_is_not_the_next_request():
    """After an early answer what follows is still body, or the connection ends."""
    def handler(connection, request):
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        connection.wait_closed()

    with Upstream(handler, early=True) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        hidden = request_bytes(target="/hidden")
        connection.send(request_bytes("POST", "/first", headers=[("Content-Length", str(len(hidden)))]))
        assert connection.response().status == 200
        connection.try_send(hidden)
        connection.finish_sending()
        connection.socket.settimeout(10)
        connection.expect_closed()
        assert [request.target for request in upstream.requests] == ["/first"]


@pytest.mark.parametrize("waf", ["off", "block"])
@pytest.mark.parametrize("behind", [300, 60_000])
def test_what_is_pipelined_behind_a_body_leaves_its_request_alone(upstream, waf, behind):
    """The head was read before; the body's end and the next request come in one piece."""
    upstream.forget()
    head = request_bytes("POST", "/first?q=" + "a" * 500, headers=[
        ("Transfer-Encoding", "chunked"), ("User-Agent", "first"), ("Accept", "*/*"), ("X-First", "b" * 500),
        ("Content-Type", "application/x-www-form-urlencoded")])
    second = request_bytes("GET", "/second", headers=[("User-Agent", "second"), ("Accept", "*/*"), ("X-Second", "c" * behind)])
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": waf})}, {"workers": 1, "limits": {"header_bytes": "128KiB"}}) as running, \
            running.connect() as connection:
        connection.send(head)
        running.wait_metric(1, "gatehouse_requests_in_flight", tenant="shop")
        connection.send(chunked(b"a=b") + second)
        assert [connection.response().status for _ in range(2)] == [200, 200]
        first_seen, second_seen = upstream.requests
        assert (first_seen.method, first_seen.target, first_seen.body) == ("POST", "/first?q=" + "a" * 500, b"a=b")
        assert first_seen.header("x-first") == "b" * 500 and first_seen.header("x-second") is None
        assert (second_seen.method, second_seen.target) == ("GET", "/second") and second_seen.header("x-second") == "c" * behind
        first_record = running.access_record(url__path="/first")
        assert (first_record["http.request.method"], first_record["user_agent.original"]) == ("POST", "first")
