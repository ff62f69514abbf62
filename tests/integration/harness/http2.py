"""HTTP/2 towards the gateway, in two manners: Client, which speaks well by python3-h2, and Frames, which says whatever it is told."""
import contextlib
import select
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.settings
from hpack import Encoder

from .client import tls_context

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
NO_ERROR, PROTOCOL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 5, 7, 8, 11


def connect(gateway, **options):
    """A TLS connection that has agreed on HTTP/2."""
    options.setdefault("server_name", "shop.test")
    tls = options.pop("tls", None) or tls_context(alpn=["h2", "http/1.1"])
    connection = gateway.connect(tls=tls, **options)
    assert connection.socket.selected_alpn_protocol() == "h2"
    return connection


class Answer:
    def __init__(self):
        self.status, self.headers, self.interim, self.trailers = None, [], [], None
        self.body, self.ended, self.reset, self.events = bytearray(), False, None, []

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def done(self):
        return self.ended or self.reset is not None


class Client:
    """Speaks as the protocol wants it; windows are opened as bodies are read unless `consume` is false."""

    def __init__(self, gateway, *, settings=None, consume=True, **options):
        self.connection = connect(gateway, **options)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8",
                                                                       validate_outbound_headers=False, normalize_outbound_headers=False))
        if settings:
            self.h2.local_settings = h2.settings.Settings(client=True, initial_values={**dict(self.h2.local_settings), **settings})
        self.h2.initiate_connection()
        self.answers, self.goaway, self.consume, self.pings, self.closed = {}, None, consume, [], False
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            self.connection.send(data)

    def request(self, target="/", *, method="GET", host="shop.test", headers=(), end=True, pseudo=()):
        """Begins a request; returns its stream's number."""
        number = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", host), (":path", target), *pseudo, *headers]
        self.h2.send_headers(number, head, end_stream=end)
        self.answers[number] = Answer()
        self.flush()
        return number

    def send(self, number, data, end=False):
        """Sends all of it, as the windows permit."""
        view = memoryview(data)
        while view:
            size = min(len(view), self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if size == 0:
                self.receive()
                continue
            self.h2.send_data(number, bytes(view[:size]))
            view = view[size:]
            self.flush()
        if end:
            self.h2.end_stream(number)
            self.flush()

    def receive(self, timeout=20):
        """One read. False: the connection has ended."""
        self.connection.socket.settimeout(timeout)
        try:
            data = self.connection.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(data):
            self._take(event)
        with contextlib.suppress(OSError):
            self.flush()
        return True

    def _take(self, event):
        if isinstance(event, h2.events.ConnectionTerminated):
            self.goaway = event
        if isinstance(event, h2.events.PingAckReceived):
            self.pings.append(event.ping_data)
        answer = self.answers.get(getattr(event, "stream_id", None))
        if answer is None:
            return
        answer.events.append(event)
        if isinstance(event, h2.events.ResponseReceived):
            answer.headers = [(str(name), str(value)) for name, value in event.headers]
            answer.status = int(answer.header(":status"))
        elif isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(dict(event.headers))
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if self.consume and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)

    def answer(self, number, timeout=20):
        """The whole answer to a request."""
        answer, end = self.answers[number], time.monotonic() + timeout
        while not answer.done:
            left = end - time.monotonic()
            assert left > 0, f"no end of the answer after {timeout} s: {answer.__dict__}"
            if not self.receive(left):
                assert answer.done, f"the connection ended before the answer: {self.goaway}"
        return answer

    def exchange(self, target="/", *, body=None, timeout=20, **options):
        number = self.request(target, end=body is None, **options)
        if body is not None:
            self.send(number, body, end=True)
        return self.answer(number, timeout)

    def wait(self, condition, timeout=20):
        end = time.monotonic() + timeout
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"nothing of the kind within {timeout} s"
            if not self.receive(left):
                break
        assert condition(), f"the connection ended: {self.goaway}"

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings_frame(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


class Frames:
    """A client that sends any frames and reads what comes back, not minding what it means."""

    def __init__(self, gateway, *, settings=(), preface=True, **options):
        self.connection = connect(gateway, **options)
        self.encoder, self.received, self.ended = Encoder(), bytearray(), False
        self.frames = []
        if preface:
            self.send(PREFACE + settings_frame(*settings))

    def head(self, target="/", method="GET", host="shop.test", extra=()):
        return self.encoder.encode([(":method", method), (":scheme", "https"), (":authority", host), (":path", target), *extra])

    def send(self, data):
        self.connection.socket.settimeout(20)
        self.connection.send(data)

    def try_send(self, data):
        """False: the gateway has gone."""
        try:
            self.send(data)
            return True
        except OSError:
            return False

    def poll(self, timeout=0.0):
        """Takes what is there; true while the gateway has not closed."""
        raw = self.connection.socket
        end = time.monotonic() + timeout
        while not self.ended:
            left = max(0.0, end - time.monotonic())
            if not raw.pending() and not select.select([raw], [], [], left)[0]:
                break
            raw.settimeout(20)
            try:
                data = raw.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.ended = True
            self.received += data
            self._parse()
        return not self.ended

    def _parse(self):
        while len(self.received) >= 9:
            size = int.from_bytes(self.received[:3], "big")
            if len(self.received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
            self.frames.append((kind, flags, stream & 0x7FFFFFFF, bytes(self.received[9:9 + size])))
            del self.received[:9 + size]

    def wait_end(self, timeout):
        """Seconds until the gateway ends the connection; an AssertionError when it does not."""
        began = time.monotonic()
        while self.poll(0.05):
            assert time.monotonic() - began < timeout, f"still open after {timeout} s; frames: {self.frames[-5:]}"
        return time.monotonic() - began

    def wait(self, condition, timeout=10):
        end = time.monotonic() + timeout
        while not condition():
            assert not self.ended and time.monotonic() < end, f"not so; frames: {self.frames[-5:]}, ended: {self.ended}"
            self.poll(0.05)

    def wait_frame(self, kind, timeout=10, **wanted):
        """The first frame of a kind that comes."""
        end = time.monotonic() + timeout
        while True:
            for found in self.frames:
                if found[0] == kind and all(found[{"flags": 1, "stream": 2}[name]] == value for name, value in wanted.items()):
                    return found
            assert not self.ended and time.monotonic() < end, f"no frame of kind {kind}; frames: {self.frames[-5:]}, ended: {self.ended}"
            self.poll(0.05)

    def goaway_error(self):
        """The error code of the last GOAWAY; None: none came."""
        codes = [struct.unpack(">I", payload[4:8])[0] for kind, _, _, payload in self.frames if kind == GOAWAY]
        return codes[-1] if codes else None

    def resets(self):
        return {stream: struct.unpack(">I", payload)[0] for kind, _, stream, payload in self.frames if kind == RST_STREAM}

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
