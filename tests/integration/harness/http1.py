"""A strict reader of HTTP/1.1 messages, for both ends of the gateway (RFC 9112).

Laxity here would hide exactly what the tests look for: a message that another reader could understand differently
is a Violation, one whose end never came is Truncated.
"""
import re
from dataclasses import dataclass, field

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?)?)[ \t]*")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\x20-\x7e\x80-\xff\t]*)")
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})")


class Violation(AssertionError):
    """The peer sent what RFC 9112 does not allow, or what two readers could understand differently."""


class Truncated(Exception):
    """The connection ended inside of a message."""


class Closed(Exception):
    """The connection ended where a message could have begun."""


@dataclass
class Message:
    """A request or a response as it was on the wire."""
    head: bytes = b""                              # with its empty line
    headers: list = field(default_factory=list)    # (lower-case name, value), in order
    names: list = field(default_factory=list)      # names as they were written
    body: bytes = b""
    framing: str = "none"                          # none, length, chunked, close
    chunks: list = field(default_factory=list)     # sizes
    trailers: list = field(default_factory=list)
    version: int = 1                               # HTTP/1.x

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name, default=None):
        """The value of a field that must not occur twice."""
        values = self.all(name)
        if len(values) > 1:
            raise Violation(f"{name} occurs {len(values)} times: {values}")
        return values[0] if values else default

    def has(self, name):
        return bool(self.all(name))

    def tokens(self, name):
        """A comma-separated list field, in lower case."""
        return [token.strip().lower() for value in self.all(name) for token in value.split(",") if token.strip()]

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


@dataclass
class Response(Message):
    status: int = 0
    reason: str = ""
    interim: list = field(default_factory=list)    # 1xx responses that came before

    @property
    def closes(self):
        return "close" in self.tokens("connection") or (self.version == 0 and "keep-alive" not in self.tokens("connection"))

    def __repr__(self):
        return f"<Response {self.status} {self.headers} {self.framing} {self.body[:200]!r}>"


@dataclass
class Request(Message):
    method: str = ""
    target: str = ""

    def __repr__(self):
        return f"<Request {self.method} {self.target} {self.headers} {self.framing} {len(self.body)} bytes>"


class Buffer:
    """Bytes from a source that are consumed by what a reader recognises in them."""

    def __init__(self, receive):
        self._receive = receive   # () -> bytes, b"" at the end
        self.data = bytearray()
        self.ended = False

    def fill(self):
        if self.ended:
            return False
        data = self._receive()
        if not data:
            self.ended = True
            return False
        self.data += data
        return True

    def take(self, size):
        while len(self.data) < size:
            if not self.fill():
                raise Truncated(f"{len(self.data)} of {size} bytes")
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def take_until(self, mark, limit=1 << 20):
        """Everything up to and with `mark`."""
        start = 0
        while True:
            at = self.data.find(mark, start)
            if at >= 0:
                return self.take(at + len(mark))
            if len(self.data) > limit:
                raise Violation(f"no {mark!r} in {len(self.data)} bytes")
            start = max(0, len(self.data) - len(mark) + 1)
            if not self.fill():
                raise Truncated(f"ended in {bytes(self.data[:200])!r}")

    def take_all(self):
        while self.fill():
            pass
        taken = bytes(self.data)
        self.data.clear()
        return taken


def parse_fields(lines, message, where):
    names, headers = [], []
    for line in lines:
        match = FIELD.fullmatch(line)
        if not match:
            raise Violation(f"field line in {where}: {line!r}")
        names.append(match[1].decode())
        headers.append((match[1].decode().lower(), match[2].decode("latin-1")))
    if where == "head":
        message.names, message.headers = names, headers
    else:
        message.trailers = headers


def read_head(buffer, message, start_line):
    try:
        message.head = buffer.take_until(b"\r\n\r\n")
    except Truncated:
        if not buffer.data:
            raise Closed("no message") from None
        raise
    lines = message.head[:-4].split(b"\r\n")
    if any(b"\n" in line or b"\r" in line for line in lines):
        raise Violation(f"bare CR or LF: {message.head!r}")
    match = start_line.fullmatch(lines[0])
    if not match:
        raise Violation(f"start line: {lines[0]!r}")
    parse_fields(lines[1:], message, "head")
    return match


def declared_framing(message):
    """length and chunked as the fields say; what is ambiguous is a Violation."""
    lengths, codings = message.all("content-length"), message.all("transfer-encoding")
    if lengths and codings:
        raise Violation(f"Content-Length {lengths} with Transfer-Encoding {codings}")
    if codings:
        if [coding.lower() for coding in codings] != ["chunked"]:
            raise Violation(f"Transfer-Encoding: {codings}")
        if message.version == 0:
            raise Violation("Transfer-Encoding in HTTP/1.0")
        return "chunked", 0
    if lengths:
        if len(lengths) > 1 or not re.fullmatch(r"[0-9]+", lengths[0]) or int(lengths[0]) >= 1 << 64:
            raise Violation(f"Content-Length: {lengths}")
        return "length", int(lengths[0])
    return None, 0


def read_chunked(buffer, message, sink=None):
    parts = []
    while True:
        line = buffer.take_until(b"\r\n", 4096)[:-2]
        match = CHUNK_LINE.fullmatch(line.split(b";")[0].rstrip(b" \t"))
        if not match or b"\n" in line:
            raise Violation(f"chunk line: {line!r}")
        size = int(match[1], 16)
        if size == 0:
            break
        message.chunks.append(size)
        data = buffer.take(size)
        if sink:
            sink(data)
        else:
            parts.append(data)
        if buffer.take(2) != b"\r\n":
            raise Violation("chunk data is not followed by CRLF")
    lines = []
    while (line := buffer.take_until(b"\r\n", 65536)[:-2]):
        lines.append(line)
    parse_fields(lines, message, "trailers")
    message.body = b"".join(parts)


def read_response(buffer, method="GET"):
    """One final response, with the interim ones before it."""
    interim = []
    while True:
        response = Response()
        match = read_head(buffer, response, STATUS_LINE)
        response.version, response.status, response.reason = int(match[1]), int(match[2]), match[3].decode("latin-1")
        if not 100 <= response.status < 200 or response.status == 101:
            break
        if response.has("content-length") or response.has("transfer-encoding"):
            raise Violation(f"framing fields in {response.status}")
        interim.append(response)
    response.interim = interim
    framing, length = declared_framing(response)
    if response.status in (101, 204) and framing:
        raise Violation(f"{framing} framing in {response.status}")
    if method == "HEAD" or response.status in (101, 204, 304):
        return response
    response.framing = framing or "close"
    if framing == "chunked":
        read_chunked(buffer, response)
    elif framing == "length":
        response.body = buffer.take(length)
    else:
        if not response.closes:
            raise Violation("a body until the end of the connection, without Connection: close")
        response.body = buffer.take_all()
    return response


def read_request_head(buffer):
    request = Request()
    match = read_head(buffer, request, REQUEST_LINE)
    request.method, request.target, request.version = match[1].decode(), match[2].decode(), int(match[3])
    if len(request.all("host")) != 1:
        raise Violation(f"Host: {request.all('host')}")
    framing, length = declared_framing(request)
    request.framing = framing or "none"
    return request, length


def read_request_body(buffer, request, length, sink=None):
    if request.framing == "chunked":
        read_chunked(buffer, request, sink)
    elif request.framing == "length":
        if sink is None:
            request.body = buffer.take(length)
        else:
            while length:
                if not buffer.data and not buffer.fill():
                    raise Truncated(f"{length} bytes missing")
                data = bytes(buffer.data[:length])
                del buffer.data[:len(data)]
                length -= len(data)
                sink(data)
