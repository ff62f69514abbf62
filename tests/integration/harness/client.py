"""A client that sends the bytes it is told and reads answers strictly. Over TCP and TLS."""
import contextlib
import socket
import ssl
import struct

from .http1 import Buffer, Closed, Truncated, read_response

TIMEOUT = 20.0


def tls_context(ca=None, certificate=None, key=None, minimum=None, maximum=None, alpn=None, ciphers=None):
    """A context that verifies against `ca`, or not at all without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        context.load_verify_locations(ca)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    if ciphers:
        context.set_ciphers(ciphers)
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class Connection:
    """One connection to the gateway.

    tls: None (plain), True (no verification) or an SSLContext; server_name: SNI; prefix: bytes before the TLS handshake;
    source: the local address, one of 127.0.0.0/8, which is how several clients live on one machine.
    """

    def __init__(self, address, *, tls=None, server_name=None, prefix=b"", source=None, timeout=TIMEOUT, receive_buffer=None,
                 session=None):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            self.raw.settimeout(timeout)
            if receive_buffer:
                self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if source:
                self.raw.bind((source, 0))
            self.raw.connect(address)
            self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if prefix:
                self.raw.sendall(prefix)
            self.socket = self.raw
            if tls is not None and tls is not False:
                context = tls_context() if tls is True else tls
                self.socket = context.wrap_socket(self.raw, server_hostname=server_name, suppress_ragged_eofs=False,
                                                  session=session)
        except BaseException:
            self.raw.close()
            raise
        self.buffer = Buffer(self._receive)

    def _receive(self):
        try:
            return self.socket.recv(262144)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            if isinstance(error, ssl.SSLZeroReturnError):
                return b""
            raise Truncated(f"{type(error).__name__}: {error}") from error

    def send(self, data):
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def try_send(self, data):
        """Sends what a peer may refuse to take: it has answered and closed."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLError):
            self.send(data)

    def response(self, method="GET"):
        return read_response(self.buffer, method)

    def exchange(self, data, method="GET"):
        self.send(data)
        return self.response(method)

    def expect_closed(self, deadline=TIMEOUT):
        """Nothing more comes, and the peer ends the connection (FIN, close_notify or reset)."""
        self.socket.settimeout(deadline)
        try:
            rest = self.buffer.take_all()
        except (Truncated, ConnectionError):
            rest = bytes(self.buffer.data)
        except (TimeoutError, socket.timeout):
            raise AssertionError(f"still open after {deadline} s") from None
        assert rest == b"", f"bytes after the end: {rest[:300]!r}"

    def outcome(self, method="GET"):
        """Response, or the exception that says how the connection ended."""
        try:
            return self.response(method)
        except (Closed, Truncated) as error:
            return error

    def finish_sending(self):
        with contextlib.suppress(OSError):  # the peer may have closed already
            self.raw.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.close()
        with contextlib.suppress(OSError):
            self.raw.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def request_bytes(method="GET", target="/", host="shop.test", headers=(), body=None, version="1.1", close=False):
    """A request as a careful client writes it."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines += [f"{name}: {value}" for name, value in pairs]
    if body is not None:
        body = body.encode() if isinstance(body, str) else body
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def chunked(*parts):
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
