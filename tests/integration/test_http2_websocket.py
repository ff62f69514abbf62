"""WebSockets over HTTP/2: extended CONNECT (RFC 8441) towards clients, the upgrade of HTTP/1.1 towards upstreams."""
import base64
import hashlib
import os
import signal

import pytest

from harness.gateway import Gateway, tenant
from harness.http2 import CANCEL, Answer, Client
from harness.polling import poll
from harness.upstream import Upstream

SECURE = [{"name": "shop.test", "tls": {"self_signed": True}}]
SOCKET = [("sec-websocket-version", "13")]


def accept_of(request):
    return base64.b64encode(hashlib.sha1((request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def switch(connection, accept, extra=""):
    connection.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extra}\r\n")


def echo_bytes(connection, request):
    """The tunnel gives back what it is given; nothing here depends on what is in it."""
    if request.target == "/refused":
        connection.respond(403, body="no socket")
        return
    switch(connection, "wrong" if request.target == "/wrong" else accept_of(request), "Sec-WebSocket-Protocol: chat\r\n")
    while True:
        if not connection.buffer.data and not connection.buffer.fill():
            break
        data = bytes(connection.buffer.data)
        connection.buffer.data.clear()
        connection.send(data)
        if data.endswith(b"close"):
            break
    connection.close()
    connection.upstream.ended += 1


@pytest.fixture(scope="module")
def upstream():
    with Upstream(echo_bytes) as server:
        server.ended = 0
        yield server


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(hosts=SECURE, upstream=upstream), "waf": tenant("waf", upstream, waf={"mode": "block"}, hosts=[
            {"name": "waf.test", "tls": {"self_signed": True}}])}, {"timeouts": {"tunnel_idle": "2s"}}) as running:
        yield running


def open_socket(client, target="/socket", host="shop.test", protocol="websocket", headers=SOCKET):
    number = client.request(target, method="CONNECT", host=host, pseudo=[(":protocol", protocol)], headers=headers, end=False)
    client.wait(lambda: client.answers[number].status is not None or client.answers[number].done)
    return number


def echoed(client, number, data):
    answer = client.answers[number]
    before = len(answer.body)
    client.send(number, data)
    client.wait(lambda: len(answer.body) >= before + len(data), 30)
    return bytes(answer.body[before:]) == data


def test_what_the_upstream_sees(gateway, upstream):
    upstream.forget()
    with Client(gateway) as client:
        number = open_socket(client, headers=[*SOCKET, ("origin", "https://shop.test"), ("sec-websocket-protocol", "chat"), ("sec-websocket-key", "invented")])
        answer = client.answers[number]
        assert answer.status == 200 and answer.header("sec-websocket-protocol") == "chat"
        assert not {"upgrade", "connection", "sec-websocket-accept"} & {name for name, _ in answer.headers}
    request = upstream.requests[-1]
    assert request.method == "GET" and request.target == "/socket" and request.header("upgrade") == "websocket"
    assert len(base64.b64decode(request.header("sec-websocket-key"))) == 16
    assert [name.lower() for name, _ in request.headers].count("sec-websocket-key") == 1 and request.header("host") == "shop.test"
    assert request.header("content-length") is None and request.header("transfer-encoding") is None


@pytest.mark.parametrize("host", ["shop.test", "waf.test"])
def test_bytes_both_ways(gateway, host):
    with Client(gateway, server_name=host) as client:
        number = open_socket(client, host=host)
        for size in (1, 125, 16384, 65536, 500_000):
            assert echoed(client, number, os.urandom(size))


def test_sockets_and_requests_share_a_connection(gateway):
    with Client(gateway) as client:
        sockets = [open_socket(client) for _ in range(5)]
        for round_ in range(3):
            for number in sockets:
                assert echoed(client, number, b"%d %d" % (number, round_))
            assert client.exchange("/refused").status == 403


def test_refused_by_the_upstream(gateway):
    with Client(gateway) as client:
        number = open_socket(client, "/refused")
        answer = client.answer(number)
        assert answer.status == 403 and answer.body == b"no socket"


def test_an_upstream_whose_handshake_is_wrong(gateway):
    with Client(gateway) as client:
        number = open_socket(client, "/wrong")
        assert client.answers[number].status is None and client.answers[number].reset is not None
    assert gateway.access_record(url__path="/wrong")["http.response.status_code"] == 502


def test_the_upstream_closes(gateway):
    with Client(gateway) as client:
        number = open_socket(client)
        client.send(number, b"please close")
        client.wait(lambda: client.answers[number].done)
        assert client.answers[number].body == b"please close" and client.answers[number].ended


@pytest.mark.parametrize("how", ["end", "reset", "connection"])
def test_the_client_closes(gateway, upstream, how):
    before = upstream.ended
    with Client(gateway) as client:
        number = open_socket(client)
        assert echoed(client, number, b"hello")
        if how == "end":
            client.h2.end_stream(number)
        elif how == "reset":
            client.h2.reset_stream(number, CANCEL)
        else:
            client.connection.reset()
        if how != "connection":
            client.flush()
        poll(lambda: upstream.ended > before, "the upstream to learn of it")


def test_idle_sockets_end(gateway, upstream):
    before = upstream.ended
    with Client(gateway) as client:
        number = open_socket(client)
        client.wait(lambda: client.answers[number].done, 10)
    poll(lambda: upstream.ended > before, "the upstream to learn of it")


@pytest.mark.parametrize("protocol, status", [("connect-udp", 501), ("websocket2", 501), ("WebSocket", 200)])
def test_other_protocols(gateway, protocol, status):
    with Client(gateway) as client:
        assert client.answers[open_socket(client, protocol=protocol)].status == status


def test_plain_connect_is_refused(gateway, upstream):
    upstream.forget()
    with Client(gateway) as client:
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, [(":method", "CONNECT"), (":authority", "shop.test:443")], end_stream=False)
        client.answers[number] = answer = Answer()
        client.flush()
        client.wait(lambda: answer.done)
        assert answer.status == 400
    assert not upstream.requests


def test_the_waf_judges_the_handshake(gateway):
    with Client(gateway, server_name="waf.test") as client:
        number = open_socket(client, "/?id=1%27%20OR%20%271%27=%271", host="waf.test", headers=[*SOCKET, ("accept", "*/*"), ("user-agent", "x/1")])
        assert client.answers[number].status == 403


def test_access_record(gateway):
    with Client(gateway) as client:
        number = open_socket(client, "/recorded")
        assert echoed(client, number, b"12345")
        client.h2.end_stream(number)
        client.flush()
        client.wait(lambda: client.answers[number].done)
    record = gateway.access_record(url__path="/recorded")
    assert record["http.request.method"] == "GET" and record["http.version"] == "2" and record["http.response.status_code"] == 200
    assert record["http.request.body.bytes"] == record["http.response.body.bytes"] == 5


def test_sockets_live_on_through_a_reload(gateway):
    with Client(gateway) as client:
        number = open_socket(client)
        before = gateway.metric("gatehouse_config_reloads_total", result="success")
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric(lambda count: count > before, "gatehouse_config_reloads_total", result="success")
        assert echoed(client, number, b"still here")


@pytest.mark.parametrize("headers", [[("sec-websocket-version", "8")], []])
def test_another_version_is_refused_and_told(gateway, headers):
    with Client(gateway) as client:
        answer = client.answers[open_socket(client, headers=headers)]
        client.wait(lambda: answer.done)
        assert answer.status == 426 and answer.header("sec-websocket-version") == "13"
        assert answer.header("upgrade") is None and answer.header("connection") is None
