"""Bodies of any size in bounded memory; a fast side waits for a slow one. bench/big_transfer.py does it with 2 GiB."""
import contextlib
import threading

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.transfer import BLOCK, download, sized_upstream, stalled, upload
from harness.upstream import Upstream

SIZE = 256 << 20
GROWTH = 32 << 20
# What the kernel may hold in the buffers of the two connections, and the gateway in its own: far below SIZE.
BUFFERED = 64 << 20


@pytest.fixture(scope="module")
def server():
    with sized_upstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(server):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    tenants = {"shop": tenant(upstream=server, hosts=hosts),
               "pass": tenant("pass", server, waf={"mode": "block", "body": {"limit": "64KiB", "over_limit": "pass_uninspected"}})}
    with Gateway(tenants, {"limits": {"body_bytes": "4GiB"}}) as running:
        yield running


@pytest.fixture
def bounded(gateway, is_sanitized):
    """The process must not have grown by more than GROWTH at any moment of the test."""
    for name in ("shop", "pass"):
        gateway.request("/bytes/1", host=f"{name}.test")
    gateway.reset_peak_memory()
    before = gateway.memory_bytes()
    yield
    if not is_sanitized:
        assert gateway.peak_memory_bytes() - before < GROWTH


WAYS = pytest.mark.parametrize("host", ["shop.test", "secure.test", "pass.test"])


def connect(gateway, host, **options):
    secure = host == "secure.test"
    return gateway.connect(tls=True if secure else None, server_name=host if secure else None, **options)


@WAYS
def test_upload(gateway, bounded, host):
    with connect(gateway, host) as connection:
        assert upload(connection, SIZE, host=host).body == str(SIZE).encode()


@WAYS
def test_download(gateway, bounded, host):
    with connect(gateway, host) as connection:
        assert download(connection, SIZE, host=host) == SIZE


@pytest.mark.parametrize("host", ["shop.test", "pass.test"])
def test_chunked_upload(gateway, bounded, host):
    with connect(gateway, host) as connection:
        assert upload(connection, SIZE // 4, chunks=True, host=host).body == str(SIZE // 4).encode()


@WAYS
def test_upstream_waits_for_a_slow_reader(gateway, server, bounded, host):
    server.wanted, server.sent = SIZE, 0
    with connect(gateway, host, receive_buffer=65536) as connection:
        connection.send(request_bytes(target=f"/bytes/{SIZE}", host=host))
        assert stalled(lambda: server.sent) < BUFFERED, "the upstream was read although the client reads nothing"
        head = connection.buffer.take_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert connection.buffer.take(2 * len(BLOCK)) == BLOCK * 2, "and it goes on where it stood"
        assert stalled(lambda: server.sent) < BUFFERED
    server.wanted = 0


@WAYS
def test_client_waits_for_a_slow_upstream(gateway, bounded, host):
    """The upstream does not read until it is told: the client's bytes stay with the client."""
    def handler(connection, request):
        connection.upstream.released.wait(60)
        total = 0

        def count(data):
            nonlocal total
            total += len(data)
        connection.read_body(request, request.length, sink=count)
        connection.respond(body=str(total))

    with Upstream(handler, early=True, record=False) as slow:
        gateway.write_tenant("slow", tenant("slow", slow, hosts=[{"name": "slow.test", "tls": {"self_signed": True}}, {"name": "slower.test", "tls": "off"}],
                                            waf={"mode": "block", "body": {"limit": "64KiB", "over_limit": "pass_uninspected"}} if host == "pass.test" else {"mode": "off"}))
        name = "slow.test" if host == "secure.test" else "slower.test"
        before = gateway.metric("gatehouse_config_reloads_total")
        gateway.signal(1)
        gateway.wait_metric(lambda value: value > before, "gatehouse_config_reloads_total")
        progress, answer = [0], []
        with gateway.connect(tls=True if host == "secure.test" else None, server_name=name if host == "secure.test" else None, timeout=60) as connection:
            def send():
                answer.append(upload(connection, SIZE, host=name, after_block=lambda sent: progress.__setitem__(0, sent)))
            thread = threading.Thread(target=send)
            thread.start()
            assert stalled(lambda: progress[0]) < BUFFERED, "the client was read although the upstream reads nothing"
            slow.released.set()
            thread.join(60)
            assert answer and answer[0].body == str(SIZE).encode()
    gateway.remove_tenant("slow")


def test_many_slow_readers_do_not_add_up(gateway, server, bounded):
    """A hundred downloads that nobody reads: the gateway holds a bounded piece of each."""
    connections = [gateway.connect(receive_buffer=4096) for _ in range(100)]
    before = len(server.requests)
    for connection in connections:
        connection.send(request_bytes(target=f"/bytes/{SIZE}"))
    server.wait_requests(before + 100)
    stalled(lambda: gateway.memory_bytes() >> 20, deadline=30)
    for connection in connections:
        assert connection.buffer.fill()
        connection.reset()


@pytest.mark.parametrize("secure", [False, True])
def test_silent_peers_hold_no_buffer(gateway, secure):
    """Clients of an event stream, and uploads that pause: nothing is kept for what may come."""
    events = [b"data: first\n\n" + b":" + b"x" * 20_000 + b"\n\n", b"data: second\n\n"]

    def handler(connection, request):
        if request.method == "POST":
            connection.read_body(request, request.length)
            connection.respond(body=str(request.length))
            return
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in events:
            connection.send(b"%x\r\n%s\r\n" % (len(event), event))
            connection.upstream.released.wait(60)
        connection.send(b"0\r\n\r\n")

    with Upstream(handler, early=True, record=False) as slow:
        hosts = [{"name": "events.test", "tls": {"self_signed": True} if secure else "off"}]
        gateway.write_tenant("events", tenant("events", slow, hosts=hosts))
        before = gateway.metric("gatehouse_config_reloads_total")
        gateway.signal(1)
        gateway.wait_metric(lambda value: value > before, "gatehouse_config_reloads_total")

        def connect_here():
            return gateway.connect(tls=True if secure else None, server_name="events.test" if secure else None)
        with contextlib.ExitStack() as stack:
            readers = [stack.enter_context(connect_here()) for _ in range(10)]
            writers = [stack.enter_context(connect_here()) for _ in range(10)]
            for reader in readers:
                reader.send(request_bytes(host="events.test"))
            for writer in writers:
                writer.send(request_bytes("POST", host="events.test", headers=[("Content-Length", "100000")]) + b"x" * 60_000)
            for reader in readers:
                assert reader.buffer.take_until(b"\n\n\r\n").count(b"x") >= 20_000
            gateway.wait_metric(0, "gatehouse_relay_buffer_bytes")
            assert gateway.metric("gatehouse_upstream_connections", state="active") == 20
            slow.released.set()
            for reader in readers:
                assert reader.buffer.take_until(b"0\r\n\r\n").endswith(b"data: second\n\n\r\n0\r\n\r\n")
            for writer in writers:
                writer.send(b"y" * 40_000)
                assert writer.response().body == b"100000"
        gateway.wait_metric(0, "gatehouse_upstream_connections", state="active")
    gateway.remove_tenant("events")


def test_large_buffers_are_not_for_everybody(server):
    """More downloads that nobody reads than there are large buffers: the rest gets small ones."""
    with Gateway({"shop": tenant(upstream=server)}, {"workers": 1, "limits": {"connections_per_client": 0, "connections": 2000}}) as gateway, \
            contextlib.ExitStack() as stack:
        before = len(server.requests)
        for begun in range(0, 1000, 50):  # no more at a time than the upstream's backlog takes
            for _ in range(50):
                stack.enter_context(gateway.connect(receive_buffer=4096)).send(request_bytes(target=f"/bytes/{SIZE}"))
            server.wait_requests(before + begun + 50)
        stalled(lambda: gateway.metric("gatehouse_relay_buffer_bytes"), deadline=30)
        assert 20 << 20 < gateway.metric("gatehouse_relay_buffer_bytes") < (32 << 20) + 500 * 18 * 1024
        assert gateway.request("/bytes/10").status == 200


def test_others_are_served_meanwhile(gateway):
    """A transfer at full speed on the same worker delays no small request for long."""
    stop = threading.Event()

    def load():
        while not stop.is_set():
            with gateway.connect() as connection:
                download(connection, SIZE // 4)
    thread = threading.Thread(target=load)
    thread.start()
    try:
        for _ in range(20):
            assert gateway.request("/bytes/10", timeout=5).status == 200
    finally:
        stop.set()
        thread.join()
