"""Bodies and the WAF: what is over its limit, what it cannot read, what must stream past it, and responses."""
import json
import threading

import pytest

from harness.client import chunked, request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.upstream import Upstream

JSON = [("Content-Type", "application/json")]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]


@pytest.fixture(scope="module")
def gateway(upstream):
    def waf(name, **values):
        return tenant(name, upstream, waf={"mode": "block", **values})
    tenants = {
        "shop": waf("shop"),
        "small": waf("small", body={"limit": "4KiB", "over_limit": "block"}),
        "pass": waf("pass", body={"limit": "4KiB", "over_limit": "pass_uninspected"}),
        "detect": waf("detect", mode="detect"),
        "off": waf("off", mode="off"),
    }
    with Gateway(tenants, {"waf": {"time_budget": "10s"}}) as running:  # a sanitizer makes it slow; what it costs is another test's
        yield running


def verdict_total(gateway, name, verdict):
    return gateway.metric("gatehouse_waf_requests_total", tenant=name, verdict=verdict)


def assert_passed_and_counted_bypassed(gateway, upstream, headers, body):
    """By the tenant of which nothing is refused."""
    upstream.forget()
    before = verdict_total(gateway, "detect", "bypassed")
    assert gateway.request(method="POST", host="detect.test", headers=headers, body=body).status == 200
    assert upstream.requests[0].body == body.encode()
    try:
        gateway.wait_metric(before + 1, "gatehouse_waf_requests_total", tenant="detect", verdict="bypassed")
    except AssertionError as failure:
        counted = [line for line in gateway.admin("/metrics").text.splitlines() if line.startswith("gatehouse_waf") and '"detect"' in line]
        raise AssertionError("\n".join([str(failure), *counted])) from None  # what it counted as


@pytest.mark.parametrize("size, status", [(4096, 200), (4097, 413), (1_000_000, 413)])
def test_over_limit_block_by_length_at_once(gateway, upstream, size, status):
    upstream.forget()
    before = gateway.metric("gatehouse_waf_requests_total", tenant="small")
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", host="small.test", headers=FORM + [("Content-Length", str(size))]))
        if status == 200:
            connection.send(b"a" * size)
        assert connection.response().status == status
    assert len(upstream.requests) == (status == 200)
    gateway.wait_metric(before + 1, "gatehouse_waf_requests_total", tenant="small")


@pytest.mark.parametrize("size, status", [(4096, 200), (4097, 413), (1_000_000, 413)])
def test_over_limit_block_by_growth(gateway, upstream, size, status):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes("POST", host="small.test", headers=FORM + [("Transfer-Encoding", "chunked")]) + chunked(b"a" * size))
        outcome = connection.outcome()
        assert not isinstance(outcome, (Closed, Truncated)) and outcome.status == status
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("by_length", [True, False])
def test_pass_uninspected_streams_and_counts_bypassed(gateway, upstream, by_length):
    upstream.forget()
    before = verdict_total(gateway, "pass", "bypassed")
    body = b"x=" + b"y" * 200_000
    with gateway.connect() as connection:
        if by_length:
            connection.send(request_bytes("POST", host="pass.test", headers=FORM, body=body))
        else:
            connection.send(request_bytes("POST", host="pass.test", headers=FORM + [("Transfer-Encoding", "chunked")]) + chunked(body))
        assert connection.response().status == 200
    assert upstream.requests[0].body == body
    gateway.wait_metric(before + 1, "gatehouse_waf_requests_total", tenant="pass", verdict="bypassed")


def test_pass_uninspected_inspects_the_headers(gateway, upstream):
    upstream.forget()
    with gateway.connect() as connection:
        connection.try_send(request_bytes("POST", "/x?id=1%27%20OR%20%271%27=%271", "pass.test", FORM + [("Content-Length", "200000")]) + b"x" * 1000)
        assert connection.response().status == 403
    assert upstream.requests == []


def test_pass_uninspected_inspects_what_is_within_the_limit(gateway, upstream):
    upstream.forget()
    assert gateway.request("/", method="POST", host="pass.test", headers=FORM, body="id=1%27+OR+%271%27%3D%271").status == 403
    assert upstream.requests == []


def test_pass_uninspected_streams_without_waiting_for_the_end():
    """The upstream has the beginning while the client still sends."""
    def handler(connection, request):
        connection.read_body(request, request.length, sink=lambda data: connection.upstream.released.set())
        connection.respond(body="done")

    with Upstream(handler, early=True) as upstream, \
            Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block", "body": {"limit": "4KiB", "over_limit": "pass_uninspected"}})}) as gateway, \
            gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=FORM + [("Content-Length", "200000")]) + b"x" * 100_000)
        assert upstream.released.wait(10)
        connection.send(b"x" * 100_000)
        assert connection.response().body == b"done"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "x-gzip", "gzip, identity", "compress", "zstd", "GZIP"])
def test_encoded_bodies_are_415(gateway, upstream, coding):
    upstream.forget()
    response = gateway.request(method="POST", headers=JSON + [("Content-Encoding", coding)], body=b"\x1f\x8b\x08\x00")
    assert response.status == 415
    assert upstream.requests == []


def test_encoded_bodies_pass_uninspected_where_nothing_is_refused(gateway, upstream):
    upstream.forget()
    before = verdict_total(gateway, "detect", "bypassed")
    assert gateway.request(method="POST", host="detect.test", headers=JSON + [("Content-Encoding", "gzip")], body=b"\x1f\x8b").status == 200
    assert upstream.requests[0].body == b"\x1f\x8b"
    gateway.wait_metric(before + 1, "gatehouse_waf_requests_total", tenant="detect", verdict="bypassed")
    assert gateway.request(method="POST", host="off.test", headers=JSON + [("Content-Encoding", "gzip")], body=b"\x1f\x8b").status == 200


def test_identity_is_no_encoding(gateway):
    """Rule 920450 of the set dislikes the field itself; nothing else may."""
    assert gateway.request(method="POST", host="detect.test", headers=JSON + [("Content-Encoding", "identity")], body=b"{}").status == 200
    assert gateway.request(method="POST", headers=JSON + [("Content-Encoding", "identity")], body=b"{}").status in (200, 403)


@pytest.mark.parametrize("headers, body", [
    (JSON, b'{"a": '),
    (JSON, b'{"a": "b"'),
    (JSON, b"[" * 100 + b"]" * 100),
    (JSON, b"not json"),
    ([("Content-Type", "multipart/form-data; boundary=limit")], b"--other\r\n\r\nx\r\n"),
    ([("Content-Type", "multipart/form-data")], b"--limit\r\n\r\nx\r\n--limit--\r\n"),
    ([("Content-Type", "multipart/form-data; boundary=limit")], b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nx'),
    ([("Content-Type", "text/xml")], b"<a><b></a>"),
], ids=["json-cut", "json-open", "json-deep", "json-text", "multipart-other-boundary", "multipart-no-boundary", "multipart-cut", "xml"])
def test_bodies_that_cannot_be_parsed_are_refused(gateway, upstream, headers, body):
    """The upstream's parser may be more lenient: what the WAF cannot read must not get there."""
    upstream.forget()
    assert gateway.request(method="POST", headers=headers, body=body).status in (400, 403, 413)
    assert upstream.requests == []


def test_more_arguments_than_are_inspected_are_refused(gateway, upstream):
    upstream.forget()
    body = "&".join(f"a{number}=1" for number in range(1100))
    assert gateway.request(method="POST", headers=FORM, body=body).status in (400, 403, 413)
    assert upstream.requests == []
    assert gateway.request(method="POST", headers=FORM, body="&".join(f"a{number}=1" for number in range(200))).status == 200


def test_attack_behind_a_large_harmless_part(gateway, upstream):
    upstream.forget()
    body = json.dumps({"text": "lorem ipsum " * 20_000, "id": "1' UNION SELECT username, password FROM users -- "})
    assert gateway.request(method="POST", headers=JSON, body=body).status == 403
    assert upstream.requests == []


def test_a_body_is_inspected_before_any_of_it_goes_on():
    seen = threading.Event()

    def handler(connection, request):
        seen.set()
        connection.read_body(request, request.length)
        connection.respond()

    with Upstream(handler, early=True) as upstream, Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}) as gateway, gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=FORM + [("Content-Length", "1000")]) + b"a=" + b"x" * 500)
        connection.send(b"x" * 400)
        connection.send(b"&id=1%27%20OR%20%271%27%3D%271%27%20--%20".ljust(98, b"y"))
        assert connection.response().status == 403
        assert not seen.is_set() and not upstream.requests


def test_continue_with_an_inspected_body(gateway):
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", headers=FORM + [("Expect", "100-continue"), ("Content-Length", "3")]))
        connection.buffer.fill()
        assert bytes(connection.buffer.data) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"a=b")
        assert connection.response().status == 200


def test_response_headers_are_inspected():
    """Phase 3: a rule on what the upstream answers replaces the answer."""
    def handler(connection, request):
        connection.respond(headers=[("X-Leak", "secret" if request.target == "/leak" else "fine")], body="internal text")

    rules = 'SecRule RESPONSE_HEADERS:X-Leak "@streq secret" "id:10001,phase:3,deny,status:403,log,msg:\'leak\'"'
    with Upstream(handler) as upstream:
        tenants = {name: tenant(name, upstream, waf={"mode": mode, "rules_before": rules}) for name, mode in (("shop", "block"), ("watch", "detect"))}
        with Gateway(tenants) as gateway:
            response = gateway.request("/leak")
            assert response.status == 403 and b"internal" not in response.body and not response.has("x-leak")
            assert gateway.waf_event(request_id=response.header("x-request-id"))["verdict"] == "blocked"
            assert gateway.request("/fine").body == b"internal text"
            assert gateway.request("/leak", host="watch.test").body == b"internal text"
            gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="watch", verdict="flagged")
            gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="blocked")


def test_platform_body_limit_counts_too(upstream):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block", "body": {"limit": "4KiB", "over_limit": "pass_uninspected"}})},
                 {"limits": {"body_bytes": "64KiB"}}) as gateway, gateway.connect() as connection:
        assert connection.exchange(request_bytes("POST", headers=FORM + [("Content-Length", "100000")])).status == 413


LEAK = b"You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version"


@pytest.mark.parametrize("fields, status, verdict", [
    ([("Content-Type", "text/html")], 403, "blocked"), ([("Content-Type", "text/html; charset=utf-8")], 403, "blocked"),
    ([("Content-Type", "application/json")], 403, "blocked"), ([("Content-Type", "text/plain"), ("Content-Encoding", "identity")], 403, "blocked"),
    ([("Content-Type", "text/html"), ("Content-Encoding", "br")], 200, "bypassed"), ([], 200, "bypassed"),
    ([("Content-Type", "")], 200, "bypassed"), ([("Content-Type", "; charset=utf-8")], 200, "bypassed"), ([("Content-Type", "html")], 200, "bypassed"),
    ([("Content-Type", "text/")], 200, "bypassed"), ([("Content-Type", "*/*")], 200, "bypassed"), ([("Content-Type", "text/*")], 200, "bypassed"),
    ([("Content-Type", "unknown/unknown")], 200, "bypassed"), ([("Content-Type", "Application/Unknown; a=b")], 200, "bypassed"),
    ([("Content-Type", '"text/html"')], 200, "bypassed"), ([("Content-Type", "text/html/x")], 200, "bypassed"),
    ([("Content-Type", "text/html"), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], 200, "bypassed"),
    ([("Content-Type", "image/png"), ("Content-Type", "text/html")], 200, "bypassed"), ([("Content-Type", "text/html,x")], 403, "blocked"),
    ([("Content-Type", "text/html; charset=utf-16")], 200, "bypassed"), ([("Content-Type", "application/json; charset=IBM037")], 200, "bypassed"),
    ([("Content-Type", "text/html; charset=ISO-8859-1")], 403, "blocked"), ([("Content-Type", "image/png; charset=utf-16")], 200, "clean"),
    ([("Content-Type", "image/png")], 200, "clean")])
def test_answers_are_inspected_or_said_not_to_be(fields, status, verdict):
    """Upstreams are asked not to compress, whatever the client takes."""
    with Upstream(lambda connection, request: connection.respond(200, fields, LEAK)) as pages, \
            Gateway({"shop": tenant(upstream=pages, waf={"mode": "block", "body": {"response": True}})}) as gateway:
        assert gateway.request(headers=[("Accept-Encoding", "gzip, br")]).status == status
        assert pages.requests[0].all("accept-encoding") == ["identity"]
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict=verdict)
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop") == 1


def test_clients_get_compressed_answers_where_nothing_is_inspected(gateway, upstream):
    upstream.forget()
    gateway.request(headers=[("Accept-Encoding", "gzip, br")])
    assert upstream.requests[0].all("accept-encoding") == ["gzip, br"]


@pytest.mark.parametrize("target", ["/", "/?id=1%27%20OR%20%271%27=%271"])
def test_what_was_not_inspected_to_its_end_is_not_clean(gateway, target):
    """The tenant's limit, the platform's, a client that is too slow or leaves."""
    def counts():
        return {name: {verdict: verdict_total(gateway, name, verdict) for verdict in ("clean", "screened", "blocked", "flagged", "bypassed", "error")}
                for name in ("small", "shop")}

    before = counts()
    bad = target != "/"
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", target, "small.test", FORM + [("Content-Length", "5000")]))
        assert connection.response().status == 413
    gateway.wait_metric(before["small"]["blocked"] + 1, "gatehouse_waf_requests_total", tenant="small", verdict="blocked")
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", target, "shop.test", FORM + [("Content-Length", "5000")]) + b"a=1")
    # The query is judged with the body, in phase 2; it did not come to that.
    gateway.wait_metric(before["shop"]["screened"] + 1, "gatehouse_waf_requests_total", tenant="shop", verdict="screened")
    with gateway.connect() as connection:
        connection.send(request_bytes("POST", target, "shop.test", FORM + [("Content-Length", str(11 << 20))]))
        assert connection.response().status == 413
    gateway.wait_metric(before["shop"]["screened"] + 2, "gatehouse_waf_requests_total", tenant="shop", verdict="screened")
    assert all(after["clean"] == before[name]["clean"] for name, after in counts().items()), bad


@pytest.mark.parametrize("headers, body", [
    ([("Content-Type", "text/xml")], "<a" + "".join(f" a{number}=''" for number in range(1000)) + ">1' UNION SELECT 1 -- </a>"),
    ([("Content-Type", "multipart/form-data; boundary=b")], '--b\r\nContent-Disposition: form-data; name="a"\r\n' + " x\r\n" * 100 + "\r\nx\r\n--b--\r\n"),
    # A file to libmodsecurity, an argument to Django.
    ([("Content-Type", "multipart/form-data; boundary=b")], '--b\r\nContent-Disposition: form-data; name="a"; filename="a.txt"\r\n'
     'Content-Disposition: form-data; name="comment"\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n'),
    # Upstreams that load it read the entity's text.
    ([("Content-Type", "text/xml")], '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a>&x;</a>'),
], ids=["xml", "multipart", "a part that is two", "document type elsewhere"])
def test_what_parsers_are_not_given_counts_bypassed_where_nothing_is_refused(gateway, upstream, headers, body):
    assert_passed_and_counted_bypassed(gateway, upstream, headers, body)
    assert gateway.request(method="POST", headers=headers, body=body).status == 400


READ_IN_PART = pytest.mark.parametrize("headers, body", [
    (FORM, "&".join(f"a{number}=1" for number in range(1100)) + "&id=1'%20OR%20'1'='1"),
    (JSON, 'x{"id":"1\' OR \'1\'=\'1"}'),
    (JSON, '{"a":' + "[" * 80 + '"<script>alert(1)</script>"' + "]" * 80 + "}"),
    ([("Content-Type", "multipart/form-data; boundary=b")], '--c\r\nContent-Disposition: form-data; name="a"\r\n\r\n<script>alert(1)</script>\r\n--c--\r\n'),
], ids=["arguments", "broken JSON", "deep JSON", "another boundary"])


@READ_IN_PART
def test_bodies_read_in_part_count_bypassed_where_nothing_is_refused(gateway, upstream, headers, body):
    """Although the rule that would have refused it has matched."""
    assert_passed_and_counted_bypassed(gateway, upstream, headers, body)


@READ_IN_PART
def test_bodies_whose_refusal_is_excluded_count_bypassed(upstream, headers, body):
    exclusions = [{"rule": rule} for rule in (200002, 200003, 200004, 200007)]
    headers = headers + [("User-Agent", "x"), ("Accept", "*/*")]
    with Gateway({"shop": tenant("shop", upstream, waf={"mode": "block", "exclusions": exclusions}),
                  "strict": tenant("strict", upstream, waf={"mode": "block"})}, {"waf": {"time_budget": "10s"}}) as gateway:
        assert gateway.request(method="POST", headers=headers, body=body).status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="bypassed")
        assert gateway.request(method="POST", headers=headers, body="a=1" if headers[0] == FORM[0] else '{"a": 1}' if headers[0] == JSON[0] else
                               '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n').status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="clean")
        assert gateway.request(method="POST", host="strict.test", headers=headers, body=body).status == 400
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="bypassed") == 1


SCRIPT_PART = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n<script>alert(1)</script>\r\n--b--\r\n'
INJECTED = json.dumps({"a": "1' OR '1'='1' -- "})


@pytest.mark.parametrize("waf, headers, body", [
    ({"exclusions": [{"rule": 200001, "path": "/"}]}, JSON, INJECTED),
    ({"exclusions": [{"rule": 200001, "path": "/x"}]}, JSON, INJECTED),
    ({"exclusions": [{"rule": 200001, "path": "/"}]}, JSON, '{"a": '),
    ({"rules_before": "SecRuleRemoveById 200000 200001"}, JSON, INJECTED),
    ({"rules_before": "SecRuleRemoveById 200000 200001"}, [("Content-Type", "text/xml")], "<a>1' OR '1'='1' -- </a>"),
    ({"exclusions": [{"rule": 200010}]}, [("Content-Type", "multipart/related; boundary=b")], SCRIPT_PART),
    ({"exclusions": [{"rule": 200011}]}, [], "a=1'%20OR%20'1'='1"),
    ({"exclusions": [{"rule": 920420}]}, [("Content-Type", "text/plain")], INJECTED),
], ids=["JSON", "JSON below a path", "broken JSON", "JSON by SecLang", "XML by SecLang", "multipart/related", "no type", "text"])
def test_bodies_without_a_parser_count_bypassed(upstream, waf, headers, body):
    headers = headers + [("User-Agent", "x"), ("Accept", "*/*")]
    with Gateway({"shop": tenant("shop", upstream, waf={"mode": "block", **waf}),
                  "strict": tenant("strict", upstream, waf={"mode": "block"})}) as gateway:
        assert gateway.request("/x", method="POST", headers=headers, body=body).status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="bypassed")
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop") == 1
        upstream.forget()
        assert gateway.request("/x", method="POST", host="strict.test", headers=headers, body=body).status in (400, 403, 415)
        assert not upstream.requests


@pytest.mark.parametrize("subtype", ["related", "mixed", "alternative", "x-mixed-replace", "Related"])
def test_multipart_other_than_forms_is_refused(gateway, upstream, subtype):
    upstream.forget()
    response = gateway.request(method="POST", headers=[("Content-Type", f"multipart/{subtype}; boundary=b")], body=SCRIPT_PART)
    assert response.status == 415 and not upstream.requests
    assert [rule["id"] for rule in gateway.waf_event(request_id=response.header("x-request-id"))["rules"] if rule["id"] < 900000] == [200010]


@pytest.mark.parametrize("by_length", [True, False])
def test_posted_bodies_without_a_type_are_read_as_forms(upstream, by_length):
    """As Rack and CGI libraries read them; CRS's 920340 alone does not refuse them."""
    def send(gateway, body):
        with gateway.connect() as connection:
            agent = [("User-Agent", "x"), ("Accept", "*/*")]
            if by_length:
                connection.send(request_bytes("POST", headers=agent, body=body))
            else:
                connection.send(request_bytes("POST", headers=agent + [("Transfer-Encoding", "chunked")]) + chunked(body))
            return connection.response().status

    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}) as gateway:
        upstream.forget()
        assert send(gateway, b"a=1%27%20OR%20%271%27%3D%271") == 403 and not upstream.requests
        assert any(rule["target"] == "ARGS:a" for rule in gateway.waf_event()["rules"])
        assert send(gateway, b"a=1") == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="flagged" if by_length else "clean")
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="bypassed") == 0


def test_detect_refuses_nothing(upstream):
    with Gateway({"shop": tenant("shop", upstream, waf={"mode": "detect", "body": {"limit": "64KiB", "over_limit": "block"}}),
                  "strict": tenant("strict", upstream, waf={"mode": "block"})}, {"waf": {"time_budget": "20ms", "on_error": "block"}}) as gateway:
        upstream.forget()
        assert gateway.request(method="POST", headers=FORM, body="a=" + "b" * 65536).status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="bypassed")
        costly = "a=" + "'+" * 20_000
        assert gateway.request(method="POST", headers=FORM, body=costly).status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="error")
        assert [len(request.body) for request in upstream.requests] == [65538, len(costly)]
        assert gateway.request(method="POST", host="strict.test", headers=FORM, body=costly).status == 503


def test_the_score_is_the_requests_alone():
    """Rules of CRS 3 that look at answers add to the request's sum."""
    def leaking(connection, _):
        connection.respond(200, [("Content-Type", "text/html")], LEAK)

    with Upstream(leaking) as upstream, \
            Gateway({"shop": tenant("shop", upstream, waf={"mode": "block", "body": {"response": True}})}) as gateway:
        headers = [("User-Agent", "x"), ("Accept", "*/*")]
        assert gateway.request("/", headers=headers).status == 403
        event = gateway.waf_event()
        assert event["score"] == 0 and 951230 in [rule["id"] for rule in event["rules"]]
