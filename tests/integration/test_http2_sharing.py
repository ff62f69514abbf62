"""What the streams of one HTTP/2 connection owe each other, and what a connection owes each of them: none takes the windows of
another, ends another, or is lost when it ends early."""
import base64
import hashlib
import signal
import struct
import time

import pytest

from harness.gateway import Gateway, tenant
from harness.http2 import (ACK, CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, RST_STREAM, SETTINGS, WINDOW_UPDATE,
                           Client, Frames, frame)
from harness.upstream import Upstream

SECURE = [{"name": "shop.test", "tls": {"self_signed": True}}]
PRIORITY_UPDATE = 0x10
INITIAL_WINDOW_SIZE = 4
WINDOW = 65535


@pytest.fixture
def served():
    """served(handler, config, **changes) starts a gateway with one tenant before such an upstream."""
    open_ones = []

    def start(handler, config=None, early=False, **changes):
        upstream = Upstream(handler, early=early)
        running = Gateway({"shop": tenant(hosts=SECURE, upstream=upstream, **changes)}, config)
        open_ones.append((running, upstream))
        return running
    yield start
    for running, upstream in open_ones:
        running.stop()
        upstream.close()


def speaking(gateway, settings=()):
    """A connection whose settings both sides know."""
    client = Frames(gateway, settings=list(settings))
    client.wait_frame(SETTINGS)
    client.send(frame(SETTINGS, ACK))
    return client


def get(client, stream, path, method="GET", end=END_STREAM):
    return frame(HEADERS, END_HEADERS | end, stream, client.head(path, method=method))


def opened(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def body_of(client, stream):
    return sum(len(payload) for kind, _, number, payload in client.frames if kind == DATA and number == stream)


def poll_until(client, condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition() and not client.ended and time.monotonic() < end:
        client.poll(0.1)
    return condition()


def sized(connection, request):
    """/name/SIZE is answered with so many bytes."""
    connection.respond(body=b"b" * int(request.target.rsplit("/", 1)[1]))


def test_paused_streams_leave_the_window_to_others(served):
    gateway = served(sized)
    client = speaking(gateway, [(INITIAL_WINDOW_SIZE, 0)])
    for index in range(8):
        client.send(get(client, 2 * index + 1, "/small/12000"))
    client.poll(0.5)
    client.send(get(client, 17, "/big/60000") + opened(17, 60000))
    assert poll_until(client, lambda: body_of(client, 17) == 60000), body_of(client, 17)
    client.close()


def test_what_is_cancelled_gives_its_share_of_the_window_back(served):
    """Two answers that the connection's window has no room for, the first is cancelled, then a little room is made."""
    gateway = served(sized)
    client = speaking(gateway)
    client.send(get(client, 1, "/a/65535"))
    assert poll_until(client, lambda: body_of(client, 1) == WINDOW)
    client.send(get(client, 3, "/b/30000"))
    client.poll(0.3)
    client.send(get(client, 5, "/c/20000"))
    client.poll(0.3)
    client.send(frame(RST_STREAM, 0, 3, struct.pack(">I", CANCEL)) + opened(0, 20000))
    assert poll_until(client, lambda: body_of(client, 5) == 20000), body_of(client, 5)
    client.close()


def test_a_paused_answer_that_was_inspected_leaves_the_window_to_others(served):
    def handler(connection, request):
        if request.target == "/text":
            connection.respond(headers=[("Content-Type", "text/plain")], body=b"hello world " * 12000)
        else:
            connection.respond(headers=[("Content-Type", "image/png")], body=b"z" * 40000)
    gateway = served(handler, waf={"mode": "block", "body": {"response": True}})
    client = speaking(gateway)
    client.send(get(client, 1, "/text"))
    assert poll_until(client, lambda: body_of(client, 1) == WINDOW, 20)
    client.send(opened(0, WINDOW) + get(client, 3, "/image"))
    assert poll_until(client, lambda: body_of(client, 3) == 40000), body_of(client, 3)
    client.close()


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_an_answer_without_body_comes_before_the_request_has_ended(served, method):
    gateway = served(lambda connection, request: connection.respond(204), early=True)
    client = speaking(gateway)
    client.send(get(client, 1, "/", method, end=0))
    assert poll_until(client, lambda: client.resets())
    kinds = [(kind, flags & END_STREAM) for kind, flags, number, _ in client.frames if number == 1]
    assert kinds == [(HEADERS, END_STREAM), (RST_STREAM, 0)]
    assert client.resets() == {1: NO_ERROR}
    client.close()


def websocket(client, path, *more):
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "shop.test"), (":path", path),
              ("sec-websocket-version", "13"), *more]
    return frame(HEADERS, END_HEADERS, 1, client.encoder.encode(fields))


@pytest.mark.parametrize("status", [200, 204])
def test_an_upstream_that_does_not_switch_opens_no_websocket(served, status):
    """RFC 8441 section 5: a 2xx would say that the tunnel is open."""
    gateway = served(lambda connection, request: connection.respond(status, body=b"" if status == 204 else b"<html>"))
    with Client(gateway) as client:
        number = client.request("/", method="CONNECT", pseudo=[(":protocol", "websocket")], headers=[("sec-websocket-version", "13")],
                                end=False)
        assert client.answer(number).status == 502


def test_a_websocket_with_content_length_is_malformed(served):
    gateway = served(lambda connection, request: connection.respond())
    client = speaking(gateway)
    client.send(websocket(client, "/", ("content-length", "0")))
    assert poll_until(client, lambda: client.resets())
    assert client.resets() == {1: 1}
    client.close()


def test_a_quiet_websocket_outlives_a_paused_download_beside_it(served):
    def handler(connection, request):
        if request.target != "/ws":
            connection.respond(body=b"b" * 200_000)
            return
        key = request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        connection.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        connection.socket.recv(1)
    gateway = served(handler, {"timeouts": {"request_body_idle": "1s"}})
    client = speaking(gateway)
    client.send(websocket(client, "/ws"))
    assert poll_until(client, lambda: client.frames and any(kind == HEADERS for kind, *_ in client.frames))
    client.send(opened(0, 1_000_000) + get(client, 3, "/big"))
    assert poll_until(client, lambda: 3 in client.resets())  # the late one alone
    client.poll(1.0)
    assert not client.ended and client.resets() == {3: CANCEL}
    client.close()


def test_an_upload_outlives_a_paused_download_beside_it(served):
    gateway = served(lambda connection, request: connection.respond(body=b"b" * (200_000 if request.method == "GET" else 2)),
                     {"timeouts": {"request_body_idle": "1s"}})
    client = speaking(gateway)
    client.send(opened(0, 1_000_000) + get(client, 1, "/big") + get(client, 3, "/up", "POST", end=0))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        client.send(frame(DATA, 0, 3, b"x" * 1000))
        client.poll(0.1)
    client.send(frame(DATA, END_STREAM, 3, b"x"))
    assert poll_until(client, lambda: body_of(client, 3) == 2)
    assert client.resets() == {1: CANCEL}
    client.close()


def test_bodies_under_way_to_a_hundred_early_answers_are_ignored(served):
    gateway = served(lambda connection, request: connection.respond(), routes=[{"match": {"path": "/api"}, "service": "web"}])
    client = speaking(gateway)
    for index in range(100):
        client.send(get(client, 2 * index + 1, "/none", "POST", end=0))
    assert poll_until(client, lambda: len(client.resets()) == 100)
    for index in range(100):
        client.send(frame(DATA, END_STREAM, 2 * index + 1, b"x" * 10))
    client.send(get(client, 201, "/api"))
    assert poll_until(client, lambda: any(kind == HEADERS and number == 201 for kind, _, number, _ in client.frames))
    assert not client.ended
    client.close()


def test_a_request_behind_the_last_goaway_ends_nothing(served):
    """RFC 9113 section 6.8: its frames are ignored."""
    def handler(connection, request):
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            time.sleep(0.04)
            connection.send("z")
    gateway = served(handler, {"timeouts": {"shutdown_delay": "10ms", "shutdown": "20s"}})
    client = speaking(gateway)
    client.send(get(client, 1, "/long"))
    assert poll_until(client, lambda: body_of(client, 1) > 0)
    gateway.signal(signal.SIGTERM)
    assert poll_until(client, lambda: sum(kind == GOAWAY for kind, *_ in client.frames) == 2)
    client.send(get(client, 3, "/late", "POST", end=0) + frame(DATA, END_STREAM, 3, b"x"))
    assert poll_until(client, lambda: body_of(client, 1) == 100)
    assert client.goaway_error() == NO_ERROR
    client.close()
    assert gateway.wait_exit() == 0


def test_priority_updates_are_no_abuse(served):
    """RFC 9218: some for each request, as browsers send them while a page comes into view."""
    gateway = served(lambda connection, request: connection.respond())
    client = speaking(gateway)
    for index in range(100):
        stream = 2 * index + 1
        client.send(get(client, stream, "/") + frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + b"u=1") * 2)
        assert poll_until(client, lambda number=stream: any(kind == HEADERS and each == number for kind, _, each, _ in client.frames))
    assert not client.ended
    client.close()


def test_more_streams_than_the_settings_allow_before_they_are_known(served):
    """Those beyond are refused; the others are answered."""
    gateway = served(lambda connection, request: connection.respond())
    client = Frames(gateway)
    client.send(b"".join(get(client, 2 * index + 1, "/") for index in range(250)))
    answered = lambda: {number for kind, _, number, _ in client.frames if kind == HEADERS}  # noqa: E731
    assert poll_until(client, lambda: len(answered()) + len(client.resets()) == 250)
    assert len(answered()) >= 100 and not client.ended
    client.close()


def test_a_large_head_of_an_answer_is_passed_on(served):
    gateway = served(lambda connection, request: connection.respond(headers=[(f"X-Large-{index}", "v" * 8000) for index in range(15)], body="hi"),
                     {"limits": {"header_bytes": "256KiB"}})
    client = speaking(gateway)
    client.send(get(client, 1, "/"))
    assert poll_until(client, lambda: body_of(client, 1) == 2)
    client.close()


def test_the_parts_of_a_cookie_count_as_one_field(served):
    gateway = served(lambda connection, request: connection.respond(body=request.header("cookie") or ""))
    with Client(gateway) as client:
        answer = client.exchange("/", headers=[("cookie", f"c{index}=1") for index in range(150)])
        assert answer.status == 200
        assert bytes(answer.body).decode() == "; ".join(f"c{index}=1" for index in range(150))


def test_a_refused_connection_of_a_tenant_stays_refused(served):
    gateway = served(lambda connection, request: connection.respond(), limits={"connections": 1})
    with Client(gateway) as first, Client(gateway) as second:
        assert first.exchange("/").status == 200
        assert [second.exchange("/").status for _ in range(3)] == [503] * 3
        assert first.exchange("/").status == 200
    with Client(gateway) as third:
        assert third.exchange("/").status == 200
