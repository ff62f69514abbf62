"""Sends a case through a proxy and tells what became of it, from the bytes on both sides alone. Used by run.py and the tests.

One case at a time: what the upstream has got since its beginning belongs to it. A request of our own behind each case proves
that all of it has arrived, and that no connection to the upstream was poisoned.
"""
import fcntl
import json
import os
import re
import sys
import termios
import threading
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, "..", "integration"), os.path.join(HERE, "..", "crs")]
sys.dont_write_bytecode = True

from harness.client import Connection, request_bytes  # noqa: E402
from harness.http1 import Buffer, Closed, Truncated, Violation, read_request_body, read_request_head  # noqa: E402
from harness.upstream import Upstream  # noqa: E402
from violations import is_host  # noqa: E402

REFUSED, FORWARDED, WRONG = "refused", "forwarded", "wrong"
PATIENCE = 0.4      # a proxy that has not said a word by then waits for more
GRACE = 0.03        # what was smuggled is answered by then
CLOSING = 3.0       # to close after the client has
FRAMING = ("content-length", "transfer-encoding", "host")


@dataclass
class Verdict:
    kind: str             # REFUSED, FORWARDED, WRONG
    note: str
    statuses: tuple = ()  # of the answers that the client got
    closed: bool = True   # the proxy closed without being told to
    silent: bool = False  # it waited for more


def answer(connection, request):
    """Tells the target, so that a client knows whose answer it has. What hangs behind it would be another's."""
    body = json.dumps({"method": request.method, "target": request.target}).encode()
    length = b"" if request.method == "HEAD" else body
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), length))


class Recorder:
    """The upstream, by the bytes that it got."""

    def __init__(self, handler=answer):
        self.upstream = Upstream(handler)
        self.upstream.late = threading.Event()
        self.handler = handler
        self.marks = {}
        self.number = 0

    def mark(self):
        self.settle()
        self.marks = {connection.number: len(connection.received) for connection in list(self.upstream.connections)}
        self.number += 1
        self.tokens = ((b"/case", b"/c%03d" % (self.number % 1000)), (b"/smuggled", b"/s%07d" % self.number))

    def personal(self, data):
        """The same with targets of this case's own, as long as before: what another one left behind is told from it."""
        for common, own in self.tokens:
            data = data.replace(common, own)
        return data

    def settle(self):
        """Waits until the threads of the upstream have read what has arrived."""
        left = bytearray(4)
        for connection in list(self.upstream.connections):
            for _ in range(200):
                try:
                    fcntl.ioctl(connection.socket, termios.FIONREAD, left)
                except (OSError, ValueError):
                    break
                if not any(left):
                    break
                time.sleep(0.001)
        time.sleep(0.001)

    def since(self):
        """(requests, complaints) of all connections since the mark: each a complete request, or what is wrong."""
        self.settle()
        requests, complaints = [], []
        for connection in list(self.upstream.connections):
            data = bytes(connection.received[self.marks.get(connection.number, 0):])
            for common, own in self.tokens:
                data = data.replace(own, common)
            found, complaint = read_all(data)
            for request in found:  # where a token of the body was parted by chunks
                for common, own in self.tokens:
                    request.body = request.body.replace(own, common)
            requests += [request for request in found if not re.search(r"/c\d{3}\b|/s\d{7}\b|^/end/", request.target)]
            if complaint:
                complaints.append(complaint)
        return requests, complaints

    def wait_late(self, case):
        """Until what comes late has come, and the proxy had time to notice."""
        if case.end == "late" and self.upstream.late.wait(2):
            self.upstream.late.clear()
            time.sleep(LATE)

    def drop(self):
        """Closes all connections: the next case begins without the last one's."""
        for connection in list(self.upstream.connections):
            connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.upstream.close()


def read_all(data):
    """All requests in these bytes, as a strict reader finds them, and what stopped it: None, "incomplete" or a Violation."""
    pieces = iter([data])
    buffer = Buffer(lambda: next(pieces, b""))
    requests = []
    while True:
        try:
            request, length = read_request_head(buffer)
            read_request_body(buffer, request, length)
            check_fields(request)
            requests.append(request)
        except Closed:
            return requests, None
        except Truncated:
            return requests, "incomplete"
        except Violation as violation:
            return requests, f"unreadable: {violation}"


def check_fields(request):
    """What each reader takes as the same, but a lax one builds on."""
    host = request.header("host")
    if host and not is_host(re.sub(r"%[0-9A-Fa-f]{2}", "a", host).encode("latin-1")) and not WIDE_HOST.fullmatch(host):
        raise Violation(f"Host: {host!r}")
    if not re.fullmatch(r"\*|(?:[Hh][Tt][Tt][Pp]s?://[^/?#]+)?[/?][^#]*|[Hh][Tt][Tt][Pp]s?://[^/?#]+", request.target):
        raise Violation(f"target: {request.target!r}")
    for option in request.tokens("connection"):
        if option in FRAMING:
            raise Violation(f"Connection names {option}")


# reg-name of RFC 3986 section 3.2.2 with a port that is digits
WIDE_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*(?::[0-9]*)?|\[[0-9A-Za-z.:%~\-]+\](?::[0-9]*)?")


def fits(requests, reading, whole):
    """True if these are the requests of this reading, in any order of arrival: connections are parallel. Unless `whole`, the
    last ones may be missing: a client that has ended its side may be taken for gone."""
    reading = reading if whole else reading[:len(requests)]
    left = list(requests)
    for method, targets, body in reading:
        targets = (targets,) if isinstance(targets, str) else targets
        found = next((request for request in left if request.method == method and request.target in targets and request.body == body), None)
        if found is None:
            return False
        left.remove(found)
    return not left


class Answers:
    """What the client got on one connection."""

    def __init__(self):
        self.responses = []
        self.end = "open"      # closed, cut, upgraded, open, or "unreadable: ..."
        self.silent = False    # no answer before the client had ended its side
        self.closed = False    # by the proxy, which had not been told to


def converse(address, data, method="GET", pieces=None, count=1, patience=PATIENCE):
    """Sends, reads the first answers while the client could still say more, then ends its side and reads to the end."""
    answers = Answers()
    with Connection(address, timeout=patience) as connection:
        for at in range(0, len(data), pieces or max(1, len(data))):
            connection.try_send(data[at:at + (pieces or len(data))])
        finished = False
        while True:
            try:
                answers.responses.append(connection.response(method))
            except TimeoutError:
                if finished:
                    return answers
                answers.silent = not answers.responses
            except (Closed, Truncated, ConnectionError) as error:
                answers.end = "cut" if isinstance(error, Truncated) else "closed"
                answers.closed = not finished
                return answers
            except Violation as violation:
                answers.end = f"unreadable: {violation}"
                return answers
            else:
                last = answers.responses[-1]
                if last.status == 101:
                    answers.end = "upgraded"
                    return answers
                if not finished and (last.closes or last.status >= 400 or len(answers.responses) < count):
                    connection.raw.settimeout(patience if len(answers.responses) < count else PATIENCE)
                    continue   # another answer, or the end, should follow by itself
                if not finished:
                    connection.raw.settimeout(GRACE)
                    continue   # nothing should
            if not finished:
                finished = True
                connection.finish_sending()
                connection.raw.settimeout(CLOSING)


def follow_up(address, name):
    """A request of our own; None if its answer is its own, else what was wrong. A proxy may rest an upstream that failed."""
    for attempt in range(4):
        time.sleep(0.4 * attempt)
        try:
            with Connection(address, timeout=5) as connection:
                connection.send(request_bytes(target="/end/" + name, close=True))
                response = connection.response()
                if response.status == 200 and json.loads(response.body)["target"] == "/end/" + name:
                    return None
                complaint = f"the next client got {response.status} {response.body[:80]!r}"
                if response.status < 500:
                    return complaint
        except (Closed, Truncated, Violation, OSError, ValueError) as error:
            return f"the next client got {type(error).__name__}: {error}"
    return complaint


def try_request(address, recorder, case, pieces=None, patience=PATIENCE):
    """The verdict on one request case."""
    recorder.mark()
    count = max((len(reading) for reading in case.readings), default=1) if case.legal else 1
    answers = converse(address, recorder.personal(case.data), case.method, pieces, count, patience)
    poisoned = follow_up(address, case.name)
    requests, complaints = recorder.since()
    statuses = tuple(response.status for response in answers.responses)
    verdict = judge_request(case, answers, requests, complaints, poisoned, statuses)
    verdict.statuses, verdict.closed, verdict.silent = statuses, answers.closed, answers.silent
    if complaints or poisoned or verdict.kind == WRONG or "websocket" in case.name or 101 in statuses:
        recorder.drop()
        time.sleep(0.01)   # a proxy learns of it before it takes one of them for the next case
    return verdict


def judge_request(case, answers, requests, complaints, poisoned, statuses):
    unreadable = [complaint for complaint in complaints if complaint != "incomplete"]
    if unreadable:
        return Verdict(WRONG, "upstream: " + unreadable[0][:160])
    if poisoned:
        return Verdict(WRONG, poisoned)
    if answers.end and answers.end.startswith("unreadable"):
        return Verdict(WRONG, "client: " + answers.end[:160])
    passed = [status for status in statuses if 200 <= status < 300 or status == 101]
    relayed = [response for response in answers.responses if response.status == 200 and response.body.startswith(b'{"method"')]
    if requests:
        if not any(fits(requests, reading, case.legal) for reading in case.readings):
            return Verdict(WRONG, "forwarded as " + ", ".join(f"{request.method} {request.target[:40]} {bytes(request.body[:40])!r}" for request in requests))
        for request in requests:
            there = [name for name in case.absent if request.has(name)]
            if there:
                return Verdict(WRONG, f"forwarded with {there[0]}: {request.all(there[0])[0]}")
        if case.legal and any(not requests[0].has(name) for name in case.present):
            return Verdict(WRONG, f"forwarded without one of {', '.join(case.present)}")
        if case.hosts and any(request.header("host").lower() not in case.hosts for request in requests):
            return Verdict(WRONG, f"forwarded with Host: {requests[0].header('host')}")
        if len(relayed) > len(requests):
            return Verdict(WRONG, f"{len(relayed)} answers to {len(requests)} requests")
        return Verdict(FORWARDED, "")
    if answers.silent:
        return Verdict(REFUSED, "")   # it waited for more, and none came
    if passed and not set(passed) <= set(case.statuses):
        return Verdict(WRONG, f"answered {passed[0]} by itself")
    if 400 in statuses and not answers.closed:
        return Verdict(WRONG, "refused, but the connection stays open")
    return Verdict(REFUSED, "")


def try_answer(address, recorder, case, secure=None):
    """The verdict on one answer: on what the client got, and on whoever comes next. secure: the address to ask over TLS."""
    host = "secure.test" if secure else "shop.test"
    waited = False
    with Connection(secure or address, tls=bool(secure), server_name=host, timeout=CLOSING) as connection:
        connection.send(request_bytes(case.method, "/answer/" + case.name, host, version=case.version))
        try:
            response = connection.response(case.method)
            verdict = judge_answer(case, response)
            if not response.closes and verdict.kind != WRONG:
                recorder.wait_late(case)
                waited = True
                connection.send(request_bytes(target="/next/" + case.name, host=host))
                found = connection.outcome()
                if not isinstance(found, (Closed, Truncated)) and found.status < 500 and b'"/next/' + case.name.encode() not in found.body:
                    verdict = Verdict(WRONG, f"the next request got {found.status} {found.body[:60]!r}")
        except (Closed, Truncated, ConnectionError):
            verdict = Verdict(REFUSED, "cut")
        except TimeoutError:
            verdict = Verdict(REFUSED, "no end")
        except Violation as violation:
            verdict = Verdict(WRONG, f"unreadable: {str(violation)[:160]}")
    if not waited:
        recorder.wait_late(case)
    poisoned = follow_up(address, case.name) or follow_up(address, case.name)
    return Verdict(WRONG, poisoned) if poisoned else verdict


def judge_answer(case, response):
    if response.status == 101:
        return Verdict(WRONG, "switched protocols")
    if len(response.interim) > 100:
        return Verdict(WRONG, f"{len(response.interim)} interim responses")
    if case.version == "1.0" and (response.interim or response.framing == "chunked"):
        return Verdict(WRONG, "to HTTP/1.0: " + ("an interim response" if response.interim else "chunks"))
    if 500 <= response.status < 600 and not re.search(rb"hello|stolen|raw", response.body):
        return Verdict(REFUSED, "", (response.status,))
    if (response.status, response.body) not in case.readings:
        return Verdict(WRONG, f"a well-formed {response.status} {response.body[:60]!r}")
    there = [name for name in case.absent if response.has(name)]
    if there:
        return Verdict(WRONG, f"with {there[0]}: {response.all(there[0])[0]}")
    return Verdict(FORWARDED, "")


LATE = 0.03


def answering(cases):
    """A handler that gives the answer that the target names."""
    by_name = {case.name: case for case in cases}

    def handler(connection, request):
        case = by_name.get(request.target.removeprefix("/answer/"))
        if case is None:
            answer(connection, request)
            return
        connection.send(case.data)
        if case.end == "close":
            connection.close()
        elif case.end == "reset":
            time.sleep(LATE)   # after what was sent has been read
            connection.reset()
        elif case.end == "late":
            time.sleep(LATE)   # the connection is idle by then
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
            connection.upstream.late.set()
    return handler
