"""Large bodies without large memory: an upstream that swallows and produces, and clients that do the same."""
import time

from .client import request_bytes
from .http1 import Truncated
from .upstream import Upstream

BLOCK = bytes(range(256)) * 1024  # 256 KiB


def sized_upstream(**options):
    """GET /bytes/N answers with N bytes; anything else is read to its end and answered with its size. `pause` of the upstream, if set,
    is called for each piece of a body that it has read (a slow reader)."""
    def handler(connection, request):
        if request.target.startswith("/bytes/"):
            left = int(request.target.split("/")[2])
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {left}\r\n\r\n")
            while left:
                connection.send(BLOCK[:left])
                left -= min(left, len(BLOCK))
                connection.upstream.sent = connection.upstream.wanted - left if connection.upstream.wanted else 0
            return
        total = 0

        def count(data):
            nonlocal total
            total += len(data)
            connection.upstream.received = total
            if connection.upstream.pause:
                connection.upstream.pause()
        connection.read_body(request, request.length, sink=count)
        connection.respond(body=str(total))

    upstream = Upstream(handler, early=True, record=False, **options)
    upstream.received = upstream.sent = upstream.wanted = 0
    upstream.pause = None
    return upstream


def upload(connection, size, *, chunks=False, host="shop.test", pause=None, after_block=None):
    """Sends `size` bytes; returns the answer. pause: called before each block (a slow writer)."""
    headers = [("Content-Type", "application/json")]
    headers.append(("Transfer-Encoding", "chunked") if chunks else ("Content-Length", str(size)))
    connection.send(request_bytes("POST", "/upload", host, headers))
    left = size
    while left:
        if pause:
            pause()
        block = BLOCK[:left]
        connection.send(b"%x\r\n%s\r\n" % (len(block), block) if chunks else block)
        left -= len(block)
        if after_block:
            after_block(size - left)
    if chunks:
        connection.send(b"0\r\n\r\n")
    return connection.response()


def download(connection, size, *, host="shop.test", pause=None):
    """Asks for `size` bytes and counts them, checking each; returns the number. pause: called before each read (a slow reader)."""
    connection.send(request_bytes(target=f"/bytes/{size}", host=host))
    head = connection.buffer.take_until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert f"content-length: {size}\r\n" in head.decode("latin-1").lower()
    received = len(connection.buffer.data)
    assert bytes(connection.buffer.data) == (BLOCK + BLOCK)[:received]
    connection.buffer.data.clear()
    view = memoryview(bytearray(len(BLOCK)))
    doubled = memoryview(BLOCK + BLOCK)
    while received < size:
        if pause:
            pause()
        count = connection.socket.recv_into(view)
        if not count:
            raise Truncated(f"{received} of {size} bytes")
        at = received % len(BLOCK)
        assert view[:count] == doubled[at:at + count], f"wrong bytes after {received}"
        received += count
    return received


def stalled(value, quiet=0.4, deadline=20):
    """Waits until the number that `value` returns no longer grows; returns it."""
    last, since, end = value(), time.monotonic(), time.monotonic() + deadline
    while time.monotonic() < end:
        time.sleep(0.02)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since > quiet:
            return last
    raise AssertionError(f"still growing: {last}")
