"""WebSocket and its upgrade: a tunnel after 101 and not before."""
import asyncio
import contextlib
import os
import socket
import ssl
import threading

import pytest
import websockets

from harness.client import request_bytes, tls_context
from harness.gateway import Gateway, tenant
from harness.http1 import read_request_head
from harness.polling import poll
from harness.upstream import Upstream

KEY = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"


class WebSocketServer:
    """websockets' own server in a thread: echoes; "close NNNN" closes with that code."""

    def __init__(self):
        self.closed = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.started = threading.Event()
        self.thread.start()
        self.started.wait(10)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._main())

    async def _main(self):
        self.stopped = asyncio.Event()
        async with websockets.serve(self._serve, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
            self.address = "127.0.0.1:%d" % server.sockets[0].getsockname()[1]
            self.started.set()
            await self.stopped.wait()

    async def _serve(self, socket):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in socket:
                if isinstance(message, str) and message.startswith("close "):
                    await socket.close(int(message[6:]), "as asked")
                    break
                await socket.send(message)
        self.closed.append(socket.close_code)

    def close(self):
        self.loop.call_soon_threadsafe(self.stopped.set)
        self.thread.join(10)


@pytest.fixture(scope="module")
def server():
    running = WebSocketServer()
    yield running
    running.close()


@pytest.fixture(scope="module")
def gateway(server):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    tenants = {"shop": tenant(hosts=hosts, upstream=server.address), "waf": tenant("waf", server.address, waf={"mode": "block"})}
    with Gateway(tenants) as running:
        yield running


def run(gateway, story, host="secure.test", path="/socket?x=1", **options):
    """Runs the coroutine function `story` with a connected client."""
    async def client():
        secure = host == "secure.test"
        port = gateway.https_port if secure else gateway.http_port
        if secure:
            options.update(ssl=tls_context(), server_hostname=host)
        async with websockets.connect(f"{'wss' if secure else 'ws'}://{host}{path}", host="127.0.0.1", port=port, max_size=None, open_timeout=20,
                                      ping_interval=None, **options) as socket:
            return await asyncio.wait_for(story(socket), 30)
    return asyncio.run(client())


@pytest.mark.parametrize("host", ["secure.test", "shop.test", "waf.test"])
def test_text_and_binary(gateway, host):
    async def story(socket):
        for message in ("hello", "ä€", "", b"\x00\xff" * 100, b""):
            await socket.send(message)
            assert await socket.recv() == message
    run(gateway, story, host)


@pytest.mark.parametrize("host", ["secure.test", "shop.test"])
def test_large_messages(gateway, host):
    async def story(socket):
        for size in (1 << 20, 125, 126, 65535, 65536, 3 << 20):
            message = os.urandom(size)
            await socket.send(message)
            assert await socket.recv() == message
    run(gateway, story, host, compression=None)


def test_many_messages_in_flight(gateway):
    async def story(socket):
        for number in range(500):
            await socket.send(str(number))
        for number in range(500):
            assert await socket.recv() == str(number)
    run(gateway, story)


def test_ping(gateway):
    async def story(socket):
        await asyncio.wait_for(await socket.ping(), 10)
    run(gateway, story)


def test_client_closes(gateway, server):
    async def story(socket):
        await socket.close(4001, "mine")
    run(gateway, story)
    poll(lambda: 4001 in server.closed, "the server to see the code")


def test_server_closes(gateway):
    async def story(socket):
        await socket.send("close 4002")
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert (socket.close_code, socket.close_reason) == (4002, "as asked")
    run(gateway, story)


def test_subprotocol(gateway):
    async def story(socket):
        assert socket.subprotocol == "chat"
    run(gateway, story, subprotocols=["other", "chat"])


def test_one_record_with_its_traffic(gateway):
    async def story(socket):
        await socket.send("x" * 1000)
        await socket.recv()
    run(gateway, story, "shop.test", "/socket/recorded", compression=None)
    record = gateway.access_record(url__path="/socket/recorded")
    assert record["http.response.status_code"] == 101
    assert record["http.request.body.bytes"] >= 1000 and record["http.response.body.bytes"] >= 1000


def test_tunnel_survives_a_reload(gateway):
    import signal

    async def story(socket):
        await socket.send("before")
        assert await socket.recv() == "before"
        before = gateway.metric("gatehouse_config_reloads_total")
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric(lambda value: value > before, "gatehouse_config_reloads_total")
        await socket.send("after")
        assert await socket.recv() == "after"
    run(gateway, story)


def scripted(answer, **options):
    def handler(connection, request):
        connection.send(answer)
        connection.after = connection.buffer
    return Upstream(handler, **options)


def test_exact_bytes_of_the_upgrade():
    with scripted(SWITCHED) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        response = connection.exchange(request_bytes(headers=KEY + [("Sec-WebSocket-Protocol", "chat"), ("Origin", "http://shop.test")]))
        assert response.status == 101
        assert response.header("upgrade").lower() == "websocket" and "upgrade" in response.tokens("connection")
        assert response.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        request = upstream.requests[0]
        assert request.header("upgrade") == "websocket" and request.tokens("connection") == ["upgrade"]
        assert request.header("sec-websocket-key") == KEY[2][1] and request.header("sec-websocket-version") == "13"
        assert request.header("sec-websocket-protocol") == "chat" and request.header("origin") == "http://shop.test"


@pytest.mark.parametrize("upgrade, connection_field", [("WebSocket", "keep-alive, Upgrade"), ("websocket", "upgrade")])
def test_names_are_case_insensitive(upgrade, connection_field):
    with scripted(SWITCHED) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        headers = [("Upgrade", upgrade), ("Connection", connection_field)] + KEY[2:]
        assert connection.exchange(request_bytes(headers=headers)).status == 101


@pytest.mark.parametrize("start, fields", [
    (b"HTTP/1.1 101 Switching Protocols\r\n", fields) for fields in (
        b"", b"Upgrade: websocket\r\n", b"Connection: upgrade\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        b"Connection: a b\r\nUpgrade: websocket\r\n")
] + [(b"HTTP/1.0 101 Switching Protocols\r\n", b"Connection: upgrade\r\nUpgrade: websocket\r\n")])
def test_a_switch_to_something_else_is_refused(start, fields):
    """RFC 9110 section 7.8: the upstream may switch to what it was asked for, and must say so."""
    with scripted(start + fields + b"\r\nhello") as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        response = connection.exchange(request_bytes(headers=KEY))
        assert response.status == 502 and b"hello" not in response.body


def tunnel(connection):
    """An upstream that is raw: it switches, then sends back what it gets, and ends when the other side does."""
    read_request_head(connection.buffer)
    connection.send(SWITCHED)
    while connection.buffer.data or connection.buffer.fill():
        data = bytes(connection.buffer.data)
        connection.buffer.data.clear()
        connection.send(data)


def test_raw_bytes_both_ways_and_end():
    with Upstream(on_connect=tunnel) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        payload = bytes(range(256)) * 2000
        connection.send(payload)
        assert connection.buffer.take(len(payload)) == payload
        connection.finish_sending()
        connection.expect_closed()
        poll(lambda: not upstream.connections[0].open, "the upstream's end")


def test_who_has_sent_all_still_gets_all():
    """The client ends its sending side; the upstream, which has been told, goes on with more than buffers hold."""
    size = 20_000_000

    def late_reply(connection):
        read_request_head(connection.buffer)
        connection.send(SWITCHED)
        while connection.buffer.fill():
            pass
        connection.send(b"x" * size)

    with Upstream(on_connect=late_reply) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, \
            gateway.connect(receive_buffer=32768) as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        connection.send(b"last")
        connection.finish_sending()
        got = 0
        while data := connection.socket.recv(65536):
            got += len(data)
        assert got == size
        assert "gatehouse.aborted" not in gateway.access_record(url__path="/")


def test_who_reads_slowly_gets_all_of_a_client_that_has_left():
    """The client's last bytes and its end come while the upstream takes nothing."""
    def late_reader(connection):
        read_request_head(connection.buffer)
        connection.send(SWITCHED)
        connection.upstream.released.wait(20)
        while connection.buffer.fill():
            pass
        taken.append(len(connection.buffer.data))

    taken, sent = [], 0
    with Upstream(on_connect=late_reader, socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)]) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway, gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        connection.socket.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:
                sent += connection.socket.send(b"y" * 32768)
        connection.finish_sending()
        upstream.released.set()
        poll(lambda: taken, "the upstream's end")
        assert taken == [sent]


def test_frames_sent_before_the_switch_arrive_after_it():
    with Upstream(on_connect=tunnel) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes(headers=KEY) + b"early frames")
        assert connection.response().status == 101
        assert connection.buffer.take(12) == b"early frames"


def test_upstream_that_speaks_at_once_after_the_switch():
    with scripted(SWITCHED + b"hello") as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        assert connection.buffer.take(5) == b"hello"


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_refused_upgrade_is_an_ordinary_answer(status):
    def handler(connection, request):
        connection.respond(status, body=request.target)

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream, access={"deny": []})}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes(target="/1", headers=KEY) + request_bytes(target="/2"))
        response = connection.response()
        assert (response.status, response.body) == (status, b"/1")
        if response.closes:
            connection.expect_closed()
            assert [request.target for request in upstream.requests] == ["/1"]
        else:
            assert connection.response().body == b"/2"
            assert upstream.requests[1].header("x-request-id") != upstream.requests[0].header("x-request-id"), "it went the whole way"


@pytest.mark.parametrize("versions", [["8"], ["99"], [], ["13", "8"], ["13", "13"], ["13, 8"]])
def test_another_version_is_refused_and_told(versions):
    """RFC 6455 section 4.4; the connection goes on."""
    with Upstream(on_connect=tunnel) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        response = connection.exchange(request_bytes(headers=KEY[:3] + [("Sec-WebSocket-Version", version) for version in versions]))
        assert response.status == 426 and response.header("sec-websocket-version") == "13"
        assert response.header("upgrade") == "websocket" and response.header("connection") == "upgrade"
        assert not upstream.requests
        assert connection.exchange(request_bytes(headers=KEY)).status == 101


@pytest.mark.parametrize("headers", [
    [("Upgrade", "websocket")] + KEY[2:],                                        # Connection does not name it
    [("Upgrade", "h2c"), ("Connection", "Upgrade")],
    [("Upgrade", "h2c, websocket"), ("Connection", "Upgrade")] + KEY[2:],
    [("Upgrade", "foo/2"), ("Connection", "Upgrade")],
])
def test_other_upgrades_are_not_passed_on(headers):
    """And so a 101 to such a request is an error of the upstream's: it opens no tunnel."""
    with scripted(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nraw") as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        response = connection.exchange(request_bytes(headers=headers))
        assert response.status in (400, 426, 502)
        if upstream.requests:
            assert not upstream.requests[0].has("upgrade") and "upgrade" not in upstream.requests[0].tokens("connection")


@pytest.mark.parametrize("sent", [
    request_bytes(headers=KEY, version="1.0"),
    request_bytes("POST", headers=KEY, body=b"body"),
    request_bytes("POST", headers=KEY + [("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
])
def test_no_tunnel_for(sent):
    with scripted(SWITCHED + b"raw") as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        response = connection.exchange(sent)
        assert response.status in (400, 502)
        assert b"raw" not in bytes(response.body)


def test_idle_tunnel_ends():
    with Upstream(on_connect=tunnel) as upstream, Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"tunnel_idle": "300ms"}}) as gateway, \
            gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        connection.send(b"x")
        assert connection.buffer.take(1) == b"x"
        connection.expect_closed()
        poll(lambda: not upstream.connections[0].open, "the upstream's end")


def test_a_busy_tunnel_is_no_idle_connection():
    """timeouts.idle and response are for requests; a tunnel has its own."""
    with Upstream(on_connect=tunnel) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"idle": "200ms", "response": "200ms", "request_header": "200ms", "request_body_idle": "200ms"}}) as gateway, \
            gateway.connect() as connection:
        assert connection.exchange(request_bytes(headers=KEY)).status == 101
        connection.socket.settimeout(0.8)
        with pytest.raises((TimeoutError, ssl.SSLError)):
            connection.buffer.fill()
        connection.socket.settimeout(10)
        connection.send(b"x")
        assert connection.buffer.take(1) == b"x"


def test_a_client_that_vanishes_ends_the_tunnel():
    with Upstream(on_connect=tunnel) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        with gateway.connect() as connection:
            assert connection.exchange(request_bytes(headers=KEY)).status == 101
            connection.reset()
        poll(lambda: not upstream.connections[0].open, "the upstream's end")


def test_waf_looks_at_the_upgrade(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target="/socket?id=1%27%20OR%20%271%27=%271", host="waf.test", headers=KEY))
        assert response.status == 403
