"""The least of an HTTP/2 client that can send what a proper one would not: frames by hand, header blocks as literals."""
import ssl
import struct

import judge
from harness.client import Connection, tls_context
from harness.http1 import Closed, Truncated
from hpack import Decoder

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def number(value, prefix):
    """An integer of HPACK (RFC 7541 section 5.1), the bits above the prefix zero."""
    most = (1 << prefix) - 1
    if value < most:
        return bytes([value])
    out, value = bytearray([most]), value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + bytes([value]))


def block(fields):
    """Literals without indexing and without Huffman code (RFC 7541 section 6.2.2): each byte as it is."""
    return b"".join(b"\0" + number(len(name), 7) + name + number(len(value), 7) + value for name, value in fields)


def request_frames(case, stream=1):
    out = frame(HEADERS, END_HEADERS | (0 if case.body or case.trailers is not None else END_STREAM), stream, block(case.fields))
    for index, data in enumerate(case.body):
        last = index == len(case.body) - 1 and case.trailers is None
        out += frame(DATA, END_STREAM if last else 0, stream, data)
    if case.trailers is not None:
        out += frame(HEADERS, END_HEADERS | END_STREAM, stream, block(case.trailers))
    return out


class Session:
    """One connection whose ALPN yielded h2."""

    def __init__(self, address, server_name="secure.test"):
        self.connection = Connection(address, tls=tls_context(alpn=["h2"]), server_name=server_name, timeout=judge.CLOSING)
        self.decoder = Decoder()

    def speaks_h2(self):
        return self.connection.socket.selected_alpn_protocol() == "h2"

    def begin(self):
        self.connection.send(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, struct.pack("!I", 1 << 20)))

    def next_frame(self):
        head = self.connection.buffer.take(9)
        payload = self.connection.buffer.take(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload

    def outcome(self, stream=1):
        """(status or None, body, how it ended): end, reset, goaway, closed, silent."""
        status, body = None, b""
        while True:
            try:
                kind, flags, number_, payload = self.next_frame()
            except (Closed, Truncated, ConnectionError, ssl.SSLError):
                return status, body, "closed"
            except TimeoutError:
                return status, body, "silent"
            if kind == SETTINGS and not flags & ACK:
                self.connection.try_send(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.connection.try_send(frame(PING, ACK, 0, payload))
            elif kind == GOAWAY and int.from_bytes(payload[4:8], "big") != 0:
                return status, body, "goaway"
            elif number_ == stream and kind == RST_STREAM:
                return status, body, "reset"
            elif number_ == stream and kind in (HEADERS, DATA):
                if kind == HEADERS:
                    fields = dict(self.decoder.decode(self._unpadded(flags, payload), raw=True))
                    status = int(fields.get(b":status", status or 0))
                else:
                    body += payload
                if flags & END_STREAM:
                    return status, body, "end"

    @staticmethod
    def _unpadded(flags, payload):
        if flags & 8:
            payload = payload[1:len(payload) - payload[0]]
        return payload[5:] if flags & 0x20 else payload

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.connection.close()


def spoken(address):
    try:
        with Session(address) as session:
            return session.speaks_h2()
    except (ssl.SSLError, ConnectionError):
        return False


def try_downgrade(https, recorder, case, http):
    """The verdict on one request of HTTP/2; the request of our own behind it is one of HTTP/1.1 in the clear."""
    recorder.mark()
    with Session(https) as session:
        session.begin()
        session.connection.try_send(recorder.personal(request_frames(case)))
        status, body, end = session.outcome()
    poisoned = judge.follow_up(http, case.name)
    requests, complaints = recorder.since()
    unreadable = [complaint for complaint in complaints if complaint != "incomplete"]
    verdict = judge_downgrade(case, status, end, requests, unreadable, poisoned)
    if complaints or poisoned or verdict.kind == judge.WRONG:
        recorder.drop()
    return verdict


def judge_downgrade(case, status, end, requests, unreadable, poisoned):
    wrong = judge.WRONG
    if unreadable:
        return judge.Verdict(wrong, "upstream: " + unreadable[0][:160])
    if poisoned:
        return judge.Verdict(wrong, poisoned)
    if requests:
        if not any(judge.fits(requests, reading, True) for reading in case.readings):
            return judge.Verdict(wrong, "forwarded as " + ", ".join(f"{request.method} {request.target[:40]} {bytes(request.body[:40])!r}" for request in requests))
        there = [name for name in case.absent if requests[0].has(name)]
        if there:
            return judge.Verdict(wrong, f"forwarded with {there[0]}")
        if case.hosts and requests[0].header("host") not in case.hosts:
            return judge.Verdict(wrong, f"forwarded with Host: {requests[0].header('host')}")
        return judge.Verdict(judge.FORWARDED, "")
    if status is not None and status < 300:
        return judge.Verdict(wrong, f"answered {status} by itself")
    if end == "silent":
        return judge.Verdict(wrong, "neither refused nor forwarded")
    return judge.Verdict(judge.REFUSED, "")
