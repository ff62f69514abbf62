"""The access log: one JSON line for each request, in ECS names, whatever became of it."""
import datetime
import json
import re

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.upstream import Upstream

NAMES = {"@timestamp", "http.request.id", "http.request.method", "http.version", "client.ip", "url.domain", "url.path", "http.response.status_code",
         "http.request.body.bytes", "http.response.body.bytes", "event.duration", "user_agent.original", "labels.tenant", "labels.route", "labels.service",
         "labels.site", "destination.address", "gatehouse.upstream_ns", "gatehouse.waf.verdict", "gatehouse.reason", "trace.id"}


@pytest.fixture(scope="module")
def gateway(upstream):
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}]
    shop = tenant(upstream=upstream, hosts=hosts, waf={"mode": "block"}, routes=[{"name": "main", "match": {"path": "/"}, "service": "web"}])
    with Gateway({"shop": shop, "narrow": tenant("narrow", upstream, routes=[{"match": {"path": "/only"}, "service": "web"}])}) as running:
        yield running


def test_every_field(gateway, upstream):
    upstream.forget()
    gateway.request("/every?secret=1", method="POST", headers=[("User-Agent", "test \"agent\" \\ é/1"), ("Content-Type", "application/x-www-form-urlencoded")], body="hello")
    record = gateway.access_record(url__path="/every")
    assert set(record) <= NAMES
    moment = datetime.datetime.fromisoformat(record["@timestamp"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()) < 60
    request = upstream.requests[0]
    assert record["http.request.id"] == request.header("x-request-id")
    assert record["trace.id"] == request.header("traceparent").split("-")[1]
    assert (record["http.request.method"], record["http.version"], record["http.response.status_code"]) == ("POST", "1.1", 200)
    assert (record["client.ip"], record["url.domain"], record["url.path"]) == ("127.0.0.1", "shop.test", "/every")
    assert record["http.request.body.bytes"] == 5 and record["http.response.body.bytes"] > 100
    assert record["user_agent.original"].startswith('test "agent" \\ ')
    assert [record["labels." + name] for name in ("tenant", "route", "service", "site")] == ["shop", "main", "web", "here"]
    assert record["destination.address"] == upstream.address
    assert 0 < record["gatehouse.upstream_ns"] <= record["event.duration"] < 60_000_000_000
    assert record["gatehouse.waf.verdict"] == "clean" or record["gatehouse.waf.verdict"] == "flagged"
    assert "secret" not in json.dumps(record), "queries are not logged"


def test_once_for_each_request_on_one_connection(gateway):
    with gateway.connect() as connection:
        connection.send(b"".join(request_bytes(target=f"/pipelined/{number}") for number in range(30)))
        for _ in range(30):
            connection.response()
    poll(lambda: len([record for record in gateway.access_records() if record["url.path"].startswith("/pipelined/")]) >= 30, "30 records")
    paths = [record["url.path"] for record in gateway.access_records() if record["url.path"].startswith("/pipelined/")]
    assert paths == [f"/pipelined/{number}" for number in range(30)]


@pytest.mark.parametrize("host, target, status, reason", [
    ("shop.test", "/own?id=1%27%20OR%20%271%27=%271", 403, "waf"), ("narrow.test", "/own", 404, "no_route"), ("unknown.test", "/own", 404, "no_route"),
    ("secure.test", "/own", 308, "redirect"),
])
def test_own_answers(gateway, host, target, status, reason):
    response = gateway.request(target, host=host)
    record = gateway.access_record(http__request__id=response.header("x-request-id"))
    assert record["http.response.status_code"] == status == response.status
    assert record["gatehouse.reason"] == reason
    assert record["url.path"] == "/own"
    assert record["http.response.body.bytes"] == len(response.body)


def test_malformed_request_has_a_record(gateway):
    before = len(gateway.access_records(gatehouse__reason="malformed"))
    with gateway.connect() as connection:
        response = connection.exchange(b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert response.status == 400
    poll(lambda: len(gateway.access_records(gatehouse__reason="malformed")) == before + 1, "a record of it")
    assert gateway.access_record(http__request__id=response.header("x-request-id"))["http.response.status_code"] == 400


def test_what_a_client_says_cannot_break_a_line(gateway):
    odd = [("User-Agent", "a\tb\"},{\"x\":\"\xff\xfe\xc3\x28<script>\\u0000")]
    gateway.request("/odd%22%0a%5c%00x"[:9] + "%22%0a%5c", headers=odd)
    gateway.request('/odd"\\{}', headers=odd)
    poll(lambda: [record for record in gateway.access_records() if record["url.path"].startswith("/odd")], "a record of it")
    with open(gateway.access_log, encoding="utf-8") as file:
        for line in file.read().splitlines():
            json.loads(line)
            assert not re.search(r"[\x00-\x1f\x7f]", line)


def test_client_that_leaves_is_499():
    def hold(connection, request):
        connection.upstream.released.wait(20)

    with Upstream(hold) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        for number, leave in enumerate(("reset", "close")):
            with gateway.connect() as connection:
                connection.send(request_bytes(target=f"/left/{number}"))
                upstream.wait_requests(number + 1)
                getattr(connection, leave)()
            record = gateway.access_record(url__path=f"/left/{number}")
            assert record["http.response.status_code"] == 499
        gateway.wait_metric(2, "gatehouse_requests_total", tenant="shop", code="499")
        upstream.released.set()
    assert upstream.violations == []


def test_client_that_leaves_in_the_middle_of_the_answer_has_one_record():
    payload = b"x" * (32 << 20)
    with Upstream(lambda connection, request: connection.respond(body=payload), record=False) as upstream, \
            Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        with gateway.connect(receive_buffer=8192) as connection:
            connection.send(request_bytes(target="/large"))
            connection.buffer.take(10_000)
            connection.reset()
        record = gateway.access_record(url__path="/large")
        assert record["http.response.status_code"] == 200 and record["http.response.body.bytes"] < len(payload)


def test_standard_output(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"access_log": {"path": "-"}}) as gateway:
        gateway.request("/to-stdout")
        lines = poll(lambda: [line for line in gateway.output.decode().splitlines() if "/to-stdout" in line], "a line on standard output")
        assert json.loads(lines[0])["url.path"] == "/to-stdout"


@pytest.mark.parametrize("off", ["off", False])
def test_off(upstream, off):
    with Gateway({"shop": tenant(upstream=upstream)}, {"access_log": {"path": off}}) as gateway:
        gateway.request("/not-logged")
        gateway.wait_metric(1, "gatehouse_requests_total", tenant="shop")
    assert b"/not-logged" not in gateway.output + gateway.errors


def test_everything_is_written_before_the_end(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, folder=None) as gateway:
        for number in range(50):
            gateway.request(f"/{number}")
        gateway.signal(15)
        assert gateway.wait_exit() == 0
        assert len(gateway.access_records()) == 50
