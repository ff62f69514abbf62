"""An upstream that records the exact bytes it gets and answers as a test tells it. One thread a connection."""
import contextlib
import hashlib
import json
import socket
import ssl
import struct
import threading

from .http1 import Buffer, Closed, Truncated, Violation, read_request_body, read_request_head
from .polling import poll


class UpstreamConnection:
    """One connection from the gateway, as a handler sees it."""

    def __init__(self, upstream, sock, number):
        self.upstream, self.socket, self.number = upstream, sock, number
        self.received = bytearray()   # every byte, in order
        self.open = True
        self.buffer = Buffer(self._receive)

    def _receive(self):
        try:
            data = self.socket.recv(262144)
        except OSError:
            return b""
        if self.upstream.record:
            self.received += data
        return data

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def respond(self, status=200, headers=(), body=b"", reason="OK"):
        body = body.encode() if isinstance(body, str) else body
        head = [f"HTTP/1.1 {status} {reason}"] + [f"{name}: {value}" for name, value in headers]
        if status not in (204, 304):
            head.append(f"Content-Length: {len(body)}")
        self.send(("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body)

    def read_body(self, request, length, sink=None):
        read_request_body(self.buffer, request, length, sink)

    def wait_closed(self):
        """Reads until the gateway ends the connection."""
        while self.buffer.fill():
            self.buffer.data.clear()

    def reset(self):
        """RST without FIN before it; for the thread that reads, as close() would have to wake it by a FIN."""
        self.open = False
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()

    def close(self):
        self.open = False
        # The descriptor belongs to the wrapping object alone; shutdown wakes a reader in another thread.
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.socket.close()


def echo(connection, request):
    """Answers with what it has got, as JSON."""
    body = json.dumps({
        "upstream": connection.upstream.name, "connection": connection.number, "method": request.method, "target": request.target,
        "headers": request.headers, "body_bytes": len(request.body), "body_sha256": hashlib.sha256(request.body).hexdigest(),
    }).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.send(head if request.method == "HEAD" else head + body)


class Upstream:
    """handler(connection, request) is called for each whole request; it sends what it likes and may close.

    early=True: it is called after the head, with request.length, and reads the body itself by connection.read_body.
    on_connect(connection) replaces all of this: raw sockets.
    health: the path that is answered 200 without being recorded; None: no such path.
    """

    def __init__(self, handler=echo, *, name="upstream", early=False, on_connect=None, record=True, tls=None, host="127.0.0.1",
                 port=0, health=None, backlog=512, socket_options=()):
        self.handler, self.name, self.early, self.on_connect, self.record = handler, name, early, on_connect, record
        self.tls, self.health = tls, health
        self.healthy = True
        self.requests, self.connections, self.violations = [], [], []
        self.released = threading.Event()   # handlers that hang wait for this
        self.lock = threading.Lock()
        self.listener = None
        self.host, self.port, self.backlog, self.socket_options = host, port, backlog, socket_options
        self.open()

    def open(self):
        """Begins to listen; again, at the same port, after stop_listening()."""
        listener = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for option in self.socket_options:
            listener.setsockopt(*option)
        listener.bind((self.host, self.port))
        listener.listen(self.backlog)
        self.port = listener.getsockname()[1]
        self.listener = listener
        self.accepting = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self.accepting.start()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = UpstreamConnection(self, sock, len(self.connections))
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.tls:
                connection.socket = self.tls.wrap_socket(connection.socket, server_side=True)
            if self.on_connect:
                self.on_connect(connection)
                return
            while connection.open:
                request, length = read_request_head(connection.buffer)
                request.length = length
                if self.health and request.target == self.health:
                    connection.respond(200 if self.healthy else 503)
                    continue
                if not self.early:
                    connection.read_body(request, length)
                with self.lock:
                    self.requests.append(request)
                request.connection = connection
                self.handler(connection, request)
        except Violation as violation:
            self.violations.append((violation, bytes(connection.received)))
        except (Closed, Truncated, OSError, ssl.SSLError):
            pass
        finally:
            connection.close()

    def wait_requests(self, count):
        poll(lambda: len(self.requests) >= count, f"{count} requests at {self.name}")
        return list(self.requests)

    def forget(self):
        with self.lock:
            self.requests.clear()

    def stop_listening(self):
        """Refuses new connections from here on and closes those that are open."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.accepting.join(5)
        for connection in list(self.connections):
            connection.close()

    def close(self):
        self.released.set()
        self.stop_listening()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Unreachable:
    """An address that answers no SYN: a listener whose queue is full. Connecting to it hangs."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(self.listener.getsockname())
            self.fillers.append(filler)

    def close(self):
        for filler in self.fillers:
            filler.close()
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def refused_address():
    """An address that nobody listens at for as long as the returned socket lives."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, "127.0.0.1:%d" % holder.getsockname()[1]
