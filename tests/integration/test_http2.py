"""HTTP/2 of clients that mean well: requests and answers, bodies and windows, what the upstream sees, the drain."""
import hashlib
import json
import os
import signal
import struct
import subprocess
import threading
import time

import h2.settings
import pytest

from harness.client import chunked, request_bytes, tls_context
from harness.gateway import Gateway, sanitizer, tenant
from harness.http2 import (ACK, CANCEL, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PING, WINDOW_UPDATE, Answer, Client, Frames,
                           frame)
from harness.polling import poll
from harness.transfer import BLOCK, sized_upstream, stalled
from harness.upstream import Upstream

SECURE = [{"name": "shop.test", "tls": {"self_signed": True}}]


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(hosts=SECURE, upstream=upstream), "waf": tenant("waf", upstream, waf={"mode": "block"}, hosts=[
            {"name": "waf.test", "tls": {"self_signed": True}}, {"name": "plain-waf.test", "tls": "off"}])}) as running:
        yield running


@pytest.fixture
def answering():
    """answering(handler, **changes) starts a gateway with one tenant before such an upstream."""
    open_ones = []

    def start(handler, early=False, config=None, **changes):
        upstream = handler if isinstance(handler, Upstream) else Upstream(handler, early=early)
        running = Gateway({"shop": tenant(hosts=SECURE, upstream=upstream, **changes)}, config)
        open_ones.append((running, upstream))
        return running, upstream
    yield start
    for running, upstream in open_ones:
        running.stop()
        upstream.close()


# Requests and answers

def test_get(gateway):
    with Client(gateway) as client:
        answer = client.exchange("/x?y=1", headers=[("user-agent", "test/1")])
        assert answer.status == 200 and answer.ended and answer.header("content-type") == "application/json"
        assert answer.header("content-length") == str(len(answer.body)) and answer.header("date")
        seen = json.loads(answer.body)
        assert (seen["method"], seen["target"]) == ("GET", "/x?y=1")
    record = gateway.access_record(**{"http__version": "2", "user_agent__original": "test/1"})
    assert record["http.response.status_code"] == 200 and record["url.path"] == "/x" and record["http.response.body.bytes"] == len(answer.body)


def test_head_has_no_body(gateway):
    with Client(gateway) as client:
        answer = client.exchange(method="HEAD")
        assert answer.status == 200 and int(answer.header("content-length")) > 0 and not answer.body


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(answering, status):
    running, _ = answering(lambda connection, request: connection.send(f"HTTP/1.1 {status} X\r\nETag: a\r\n\r\n"))
    with Client(running) as client:
        answer = client.exchange()
        assert answer.status == status and answer.ended and not answer.body and answer.header("etag") == "a"


def test_what_the_upstream_sees(gateway, upstream):
    upstream.forget()
    with Client(gateway) as client:
        client.exchange("/a//b/../c", headers=[("cookie", "a=1"), ("x-one", "1"), ("cookie", "b=2"), ("te", "trailers")])
    request = upstream.requests[-1]
    fields = {name.lower(): value for name, value in request.headers}
    assert request.target == "/a/c" and fields["host"] == "shop.test" and fields["cookie"] == "a=1; b=2" and fields["x-one"] == "1"
    assert fields["x-forwarded-proto"] == "https" and "te" not in fields and not any(name.startswith(":") for name in fields)
    assert [name.lower() for name, _ in request.headers].count("cookie") == 1
    assert "content-length" not in fields and "transfer-encoding" not in fields


def test_host_alone_and_host_with_authority(gateway, upstream):
    for head, host in (([(":method", "GET"), (":scheme", "https"), (":path", "/"), ("host", "shop.test")], "shop.test"),
                       ([(":method", "GET"), (":scheme", "https"), (":authority", "SHOP.test"), (":path", "/"), ("host", "shop.test")], "SHOP.test")):
        with Client(gateway) as client:
            number = client.h2.get_next_available_stream_id()
            client.h2.send_headers(number, head, end_stream=True)
            client.answers[number] = Answer()
            client.flush()
            assert client.answer(number).status == 200
        assert dict((name.lower(), value) for name, value in upstream.requests[-1].headers)["host"] == host


def test_many_streams_at_once(gateway):
    with Client(gateway) as client:
        for _ in range(3):
            numbers = [client.request(f"/{index}") for index in range(100)]
            for index, number in enumerate(numbers):
                answer = client.answer(number)
                assert answer.status == 200 and json.loads(answer.body)["target"] == f"/{index}"


def test_answers_overtake_each_other(answering):
    def handler(connection, request):
        if request.target == "/slow":
            connection.upstream.released.wait(10)
        connection.respond(body=request.target)
    running, upstream = answering(handler)
    with Client(running) as client:
        slow, fast = client.request("/slow"), client.request("/fast")
        assert client.answer(fast).body == b"/fast" and not client.answers[slow].done
        upstream.released.set()
        assert client.answer(slow).body == b"/slow"


def test_answers_of_the_gateways_own(gateway):
    with Client(gateway) as client:
        answer = client.exchange(headers=[("accept", "application/json")], host="nobody.test")
        assert answer.status == 421 and json.loads(answer.body)["status"] == 421 and answer.header("x-request-id")
        assert client.exchange().status == 200  # the connection goes on
        for fields in ([("x_a", "1")], [("x-much", "x" * 70000)]):  # refused with the head
            answer = client.exchange(headers=[("accept", "application/json"), *fields])
            assert answer.status in (400, 431) and json.loads(answer.body)["status"] == answer.status
        assert client.exchange("/../x").status == 400
        assert client.exchange("/a/..;x=y/b").status == 400
        assert client.exchange(method="CONNECTED", target="/").status == 200
        assert client.exchange().status == 200


def test_path_parameters_can_be_refused(answering):
    running, upstream = answering(lambda connection, request: connection.respond(200), config={"limits": {"path_parameters": "refuse"}})
    with Client(running) as client:
        assert [client.exchange(target).status for target in ("/a;b=c/d", "/a%3bb", "/a?b;c")] == [400, 400, 200]
    assert [request.target for request in upstream.requests] == ["/a?b;c"]


def test_interim_answers_pass(answering):
    def handler(connection, request):
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        connection.respond(body="x")
    running, _ = answering(handler)
    with Client(running) as client:
        answer = client.exchange()
        assert answer.status == 200 and [head[":status"] for head in answer.interim] == ["103"] and answer.interim[0]["link"] == "</a.css>"


def test_fields_of_the_connection_end_at_the_gateway(answering):
    running, _ = answering(lambda connection, request: connection.send(
        "HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-UPPER: Yes\r\nContent-Length: 0\r\n\r\n"))
    with Client(running) as client:
        answer = client.exchange()
        names = [name for name, _ in answer.headers]
        assert "x-upper" in names and not {"connection", "x-hop", "keep-alive", "transfer-encoding"} & set(names)


# Bodies

@pytest.mark.parametrize("size", [0, 1, 16384, 16385, 65535, 65536, 300_000])
@pytest.mark.parametrize("announced", [True, False])
def test_request_bodies(gateway, upstream, size, announced):
    body = os.urandom(size)
    upstream.forget()
    with Client(gateway) as client:
        answer = client.exchange("/in", method="POST", body=body, headers=[("content-length", str(size))] if announced else [])
        seen = json.loads(answer.body)
        assert answer.status == 200 and seen["body_bytes"] == size and seen["body_sha256"] == hashlib.sha256(body).hexdigest()
    fields = {name.lower(): value for name, value in upstream.requests[-1].headers}
    # One that says it is empty, and has not ended with its head, might still turn out to lie.
    by_length = announced and size > 0
    assert fields.get("content-length") == (str(size) if by_length else None)
    assert fields.get("transfer-encoding") == (None if by_length else "chunked")


@pytest.mark.parametrize("host", ["shop.test", "waf.test"])
def test_a_body_is_inspected_and_arrives(gateway, host):
    with Client(gateway, server_name=host) as client:
        answer = client.exchange("/in", method="POST", body=b"a=" + b"b" * 20_000, host=host, headers=[("content-type", "application/x-www-form-urlencoded")])
        assert answer.status == 200 and json.loads(answer.body)["body_bytes"] == 20_002


def test_the_waf_reads_the_same_request(gateway):
    """Injections are refused with either version, for the same reason and by the same rules."""
    attack = "/?id=1%27%20OR%20%271%27=%271"
    with Client(gateway, server_name="waf.test") as client:
        assert client.exchange(attack, host="waf.test", headers=[("accept", "*/*"), ("user-agent", "x/1")]).status == 403
        body = client.exchange("/", method="POST", host="waf.test", body=b"id=1' OR '1'='1", headers=[
            ("content-type", "application/x-www-form-urlencoded"), ("accept", "*/*"), ("user-agent", "x/1")])
        assert body.status == 403
    with gateway.connect(tls=tls_context(), server_name="waf.test") as connection:
        assert connection.exchange(request_bytes(target=attack, host="waf.test", headers=[("Accept", "*/*"), ("User-Agent", "x/1")])).status == 403
    events = poll(lambda: len(gateway.waf_events(tenant="waf")) >= 3 and gateway.waf_events(tenant="waf"), "events")
    rules = [[rule["id"] for rule in event["rules"]] for event in (events[0], events[-1])]
    assert rules[0] == rules[1] and 942100 in rules[0], rules


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
@pytest.mark.parametrize("announced", [False, True])
def test_the_waf_sees_a_body_that_no_field_announces(gateway, upstream, method, announced):
    upstream.forget()
    body = b"id=1' or '1'='1' -- &x=<script>alert(1)</script>"
    fields = [("user-agent", "x"), ("accept", "*/*"), *([("content-length", str(len(body)))] if announced else [])]
    with Client(gateway, server_name="waf.test") as client:
        assert client.exchange("/", method=method, host="waf.test", headers=fields, body=body).status == 403
        assert not upstream.requests
        # A stream that ends with an empty frame has no body.
        assert client.exchange("/", method=method, host="waf.test", headers=fields[:2], body=b"").status == 200


def test_expect_continue(gateway):
    with Client(gateway) as client:
        number = client.request("/", method="POST", headers=[("expect", "100-continue"), ("content-length", "5")], end=False)
        client.wait(lambda: client.answers[number].interim)
        assert client.answers[number].interim[0][":status"] == "100"
        client.send(number, b"hello", end=True)
        assert client.answer(number).status == 200


def test_large_transfers(answering):
    running, upstream = answering(sized_upstream(), config={"limits": {"body_bytes": "64MiB"}})
    with Client(running) as client:
        answer = client.exchange("/bytes/8388608", timeout=60)
        assert len(answer.body) == 8388608 and answer.body[:len(BLOCK)] == BLOCK
        answer = client.exchange("/upload", method="POST", body=BLOCK * 32, timeout=60)
        assert answer.status == 200 and int(answer.body) == len(BLOCK) * 32


def test_windows_may_be_opened_in_small_steps(answering):
    """As some clients do behind a buffered reader: both windows for each piece that they have read."""
    size, step = 16 << 20, 1024
    gateway, _ = answering(lambda connection, request: connection.respond(body=b"x" * size))
    with Frames(gateway, settings=[(4, 1 << 20)]) as frames:
        frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, frames.head("/")))
        got = credit = 0

        def take():
            nonlocal got, credit
            for kind, _, number, payload in frames.frames:
                if kind == DATA and number == 1:
                    got += len(payload)
                    credit += len(payload)
            frames.frames.clear()
            updates = b""
            while credit >= step:
                credit -= step
                updates += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", step)) + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", step))
            if updates:
                frames.send(updates)
            return got == size or frames.goaway_error() is not None
        frames.wait(take, 60)
        assert got == size and frames.goaway_error() is None


def test_interim_answers_wait_for_who_reads_nothing(answering):
    """They do not pile up: the upstream's are read as the client takes them."""
    sent = []

    def endless(connection, request):
        for _ in range(15):
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: " + os.urandom(28_000).hex().encode() + b"\r\n\r\n")
            sent.append(request.target)
        connection.respond(body="done")

    gateway, _ = answering(endless, config={"workers": 1})
    before = gateway.memory_bytes()
    with Frames(gateway, receive_buffer=4096) as frames:
        for index in range(50):
            frames.send(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * index, frames.head(f"/{index}")))
        poll(lambda: len(set(sent)) == 50, "all requests")
        time.sleep(1)  # what would come, comes
        grown = gateway.memory_bytes() - before
    assert sanitizer() is not None or grown < 24 << 20, grown


def test_response_trailers_pass(answering):
    running, _ = answering(lambda connection, request: connection.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello")[:-2] + b"X-Sum: 7\r\nGrpc-Status: 0\r\n\r\n"))
    with Client(running) as client:
        answer = client.exchange(headers=[("te", "trailers")])
        assert answer.body == b"hello" and answer.trailers == [("x-sum", "7"), ("grpc-status", "0")] and answer.ended


def test_request_trailers_are_checked_and_dropped(gateway, upstream):
    """What no rule has seen reaches no upstream."""
    upstream.forget()
    with Client(gateway) as client:
        number = client.request("/", method="POST", end=False)
        client.send(number, b"body")
        client.h2.send_headers(number, [("x-late", "1")], end_stream=True)
        client.flush()
        assert client.answer(number).status == 200
    assert "x-late" not in {name.lower() for name, _ in upstream.requests[-1].headers} and upstream.requests[-1].body == b"body"


# Windows and memory

def test_an_answer_waits_for_its_window(answering):
    """The upstream's answer is read only as the client's window permits: what is in flight does not grow with the answer."""
    upstream = sized_upstream()
    upstream.wanted = 64 << 20
    running, _ = answering(upstream)
    with Client(running, consume=False) as client:
        number = client.request(f"/bytes/{64 << 20}")
        client.wait(lambda: len(client.answers[number].body) >= 65535)
        stalled(lambda: upstream.sent)
        assert upstream.sent < 16 << 20  # what the kernel's buffers of a loopback connection take
        assert running.metric("gatehouse_relay_buffer_bytes") < 300_000
        client.consume = True
        client.h2.acknowledge_received_data(65535, number)
        client.flush()
        client.wait(lambda: len(client.answers[number].body) > 1 << 20, 30)


def test_an_upload_waits_for_the_upstream(answering):
    """The client's window is opened only as the upstream takes what was sent."""
    def handler(connection, request):
        connection.upstream.released.wait(20)
        connection.read_body(request, request.length)
        connection.respond(body=str(len(request.body)))
    running, upstream = answering(handler, early=True, config={"limits": {"body_bytes": "64MiB"}})
    with Client(running) as client:
        number = client.request("/", method="POST", end=False)
        sent = 0
        while True:  # until the window stays closed
            window = client.h2.local_flow_control_window(number)
            if window == 0:
                client.connection.socket.settimeout(1)
                try:
                    client.receive(1)
                    continue
                except TimeoutError:
                    break
            size = min(window, 16384)
            client.h2.send_data(number, b"x" * size)
            client.flush()
            sent += size
        assert sent < 16 << 20
        upstream.released.set()
        client.send(number, b"y", end=True)
        assert client.answer(number, 30).body == str(sent + 1).encode()


def test_early_answers_end_the_upload(answering):
    def handler(connection, request):
        connection.respond(413, body="no")
        connection.close()
    running, _ = answering(handler, early=True)
    with Client(running) as client:
        number = client.request("/", method="POST", end=False)
        client.send(number, b"x" * 1000)
        answer = client.answers[number]
        client.wait(lambda: answer.ended)
        assert answer.status == 413 and answer.body == b"no"
        client.wait(lambda: answer.reset is not None)
        assert answer.reset == NO_ERROR
        assert client.exchange().status == 413


def test_too_large_bodies(answering):
    running, _ = answering(lambda connection, request: connection.respond(body="?"), config={"limits": {"body_bytes": "1000B"}})
    with Client(running) as client:
        assert client.exchange(method="POST", body=b"", headers=[("content-length", "0")]).status == 200
        number = client.request("/", method="POST", headers=[("content-length", "2000")], end=False)
        client.wait(lambda: client.answers[number].ended)
        assert client.answers[number].status == 413
        number = client.request("/", method="POST", end=False)
        client.send(number, b"x" * 2000)
        client.wait(lambda: client.answers[number].ended)
        assert client.answers[number].status == 413


# Broken off

def test_a_cancelled_request_cancels_the_upstream(answering):
    def handler(connection, request):
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        connection.wait_closed()
        connection.upstream.released.set()
    running, upstream = answering(handler)
    with Client(running) as client:
        number = client.request("/")
        client.wait(lambda: client.answers[number].status == 200)
        client.h2.reset_stream(number, CANCEL)
        client.flush()
        assert upstream.released.wait(10)


def test_a_request_cancelled_before_its_answer(answering):
    def handler(connection, request):
        if request.target == "/":
            connection.wait_closed()
            connection.upstream.released.set()
        else:
            connection.respond(body="ok")
    running, upstream = answering(handler)
    with Client(running) as client:
        number = client.request("/")
        upstream.wait_requests(1)
        client.h2.reset_stream(number, CANCEL)
        client.flush()
        assert upstream.released.wait(10)
        assert client.exchange("/other").body == b"ok"
    assert running.access_record(url__path="/")["http.response.status_code"] == 499


def test_a_lost_connection_cancels_the_upstream(answering):
    def handler(connection, request):
        connection.wait_closed()
        connection.upstream.released.set()
    running, upstream = answering(handler)
    with Client(running) as client:
        client.request("/")
        upstream.wait_requests(1)
        client.connection.reset()
    assert upstream.released.wait(10)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_broken_answer_is_not_whole(answering, how):
    def handler(connection, request):
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        getattr(connection, how)()
    running, _ = answering(handler)
    with Client(running) as client:
        answer = client.exchange()
        assert answer.reset is not None and not answer.ended


def test_an_upstream_that_answers_nonsense(answering):
    running, _ = answering(lambda connection, request: connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"))
    with Client(running) as client:
        assert client.exchange().status == 502


# The end of a connection

def test_idle_connections_are_told_and_closed(answering):
    running, _ = answering(lambda connection, request: connection.respond(body="x"), config={"timeouts": {"idle": "300ms"}})
    with Client(running) as client:
        assert client.exchange().status == 200
        client.wait(lambda: client.goaway is not None, 5)
        assert client.goaway.error_code == NO_ERROR
        client.wait(lambda: client.closed, 5)


def test_drain(answering):
    """SIGTERM: GOAWAY with 2^31-1, then with the last stream; what is under way is finished, then the gateway ends."""
    def handler(connection, request):
        connection.upstream.released.wait(10)
        connection.respond(body=b"z" * 200_000)
    running, upstream = answering(handler)
    with Frames(running, settings=[(4, 1 << 20)]) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (1 << 20).to_bytes(4, "big")) + frame(HEADERS, END_HEADERS | END_STREAM, 1, client.head()))
        upstream.wait_requests(1)
        running.signal(signal.SIGTERM)
        first = client.wait_frame(GOAWAY)[3]
        assert (int.from_bytes(first[:4], "big"), first[4:8]) == (0x7FFFFFFF, bytes(4))
        # What was under way when the client learnt of it is served too.
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, client.head()))
        upstream.wait_requests(2)
        client.send(frame(PING, ACK, 0, client.wait_frame(PING, flags=0)[3]))
        client.wait(lambda: sum(kind == GOAWAY for kind, *_ in client.frames) == 2)
        last = client.frames[-1][3]
        assert (int.from_bytes(last[:4], "big"), last[4:8]) == (3, bytes(4))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, client.head()))  # too late
        upstream.released.set()
        client.wait_end(10)
        sizes = {number: sum(len(payload) for kind, _, stream, payload in client.frames if (kind, stream) == (DATA, number)) for number in (1, 3, 5)}
        assert sizes == {1: 200_000, 3: 200_000, 5: 0} and client.goaway_error() == NO_ERROR
    assert running.wait_exit() == 0


def test_downloads_survive_a_drain(answering):
    running, _ = answering(sized_upstream())
    with Frames(running, settings=[(4, 1 << 30)]) as client:
        client.send(frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")) + frame(HEADERS, END_HEADERS | END_STREAM, 1, client.head("/bytes/4000000")))
        client.wait_frame(DATA)
        running.signal(signal.SIGTERM)
        client.wait_frame(GOAWAY)
        client.wait_end(20)
        assert sum(len(payload) for kind, _, _, payload in client.frames if kind == DATA) == 4_000_000 and client.goaway_error() == NO_ERROR
    assert running.wait_exit() == 0


def test_a_reload_keeps_connections(gateway):
    with Client(gateway) as client:
        assert client.exchange().status == 200
        before = gateway.metric("gatehouse_config_reloads_total", result="success")
        gateway.signal(signal.SIGHUP)
        gateway.wait_metric(lambda count: count > before, "gatehouse_config_reloads_total", result="success")
        assert client.exchange().status == 200 and client.goaway is None


# Other clients

def test_curl(gateway):
    result = subprocess.run(["curl", "--silent", "--insecure", "--http2", "--resolve", f"shop.test:{gateway.https_port}:127.0.0.1", "--data-binary", "@-",
                             "--write-out", "\n%{http_version} %{http_code}", f"https://shop.test:{gateway.https_port}/c"], input=BLOCK * 4,
                            capture_output=True, timeout=60, check=True)
    body, figures = result.stdout.rsplit(b"\n", 1)
    assert figures == b"2 200" and json.loads(body)["body_bytes"] == len(BLOCK) * 4


def test_nghttp(gateway):
    result = subprocess.run(["nghttp", "--no-dep", "-v", "-H", ":authority: shop.test", f"https://127.0.0.1:{gateway.https_port}/n"], capture_output=True,
                            text=True, timeout=60, check=True)
    assert ":status: 200" in result.stdout, result.stdout


def test_h2load(gateway):
    """Under load no request fails."""
    result = subprocess.run(["h2load", "-n", "2000", "-c", "8", "-m", "20", "-H", ":authority: shop.test", "--connect-to", f"127.0.0.1:{gateway.https_port}",
                             f"https://shop.test:{gateway.https_port}/l"], capture_output=True, text=True, timeout=120, check=True)
    assert "2000 succeeded, 0 failed" in result.stdout and "2000 2xx" in result.stdout, result.stdout


def test_many_clients_at_once(gateway):
    failures = []

    def work(index):
        try:
            with Client(gateway) as client:
                for _ in range(5):
                    numbers = [client.request(f"/w{index}") for _ in range(10)]
                    assert all(client.answer(number).status == 200 for number in numbers)
        except BaseException as error:  # noqa: BLE001 — told below
            failures.append(error)
    threads = [threading.Thread(target=work, args=(index,)) for index in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures, failures


def test_settings_of_the_gateway(gateway):
    with Client(gateway) as client:
        client.exchange()
        codes = h2.settings.SettingCodes
        remote = client.h2.remote_settings
        assert remote[codes.MAX_CONCURRENT_STREAMS] == 100 and remote[codes.ENABLE_CONNECT_PROTOCOL] == 1
        assert remote[codes.MAX_HEADER_LIST_SIZE] == 60 * 1024 and remote[codes.INITIAL_WINDOW_SIZE] == 64 * 1024


def test_a_waiting_client_costs_nothing(gateway):
    with Client(gateway) as client:
        client.exchange()
        before = gateway.cpu_seconds()
        time.sleep(1)
        assert gateway.cpu_seconds() - before < 0.1
