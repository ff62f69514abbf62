"""The gateway's own answers: HTML or JSON by Accept, a request id, and nothing of the inside."""
import json

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.upstream import Upstream, refused_address


@pytest.fixture(scope="module")
def gateway(upstream):
    holder, address = refused_address()
    services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}]}, "gone": {"sites": [{"site": "here", "endpoints": [address]}]}}
    routes = [{"match": {"path": "/gone"}, "service": "gone"}, {"match": {"path": "/limited"}, "service": "web", "rate_limits": ["per_client"]},
              {"match": {"path": "/served"}, "service": "web"}]
    shop = tenant(services=services, routes=routes, waf={"mode": "block"}, rate_limits={"per_client": {"key": "client_ip", "rate": "1/h", "burst": 1}},
                  access={"deny": ["127.0.0.66"]})
    with holder, Gateway({"shop": shop}, {"limits": {"body_bytes": "1KiB", "target_bytes": "1KiB", "header_bytes": "8KiB"}}) as running:
        running.request("/limited")
        yield running


ANSWERS = {
    400: dict(target="/a/../../b"), 403: dict(target="/served", source="127.0.0.66"), 404: dict(), 413: dict(target="/served", method="POST", body="x" * 2000),
    414: dict(target="/" + "a" * 2000), 431: dict(headers=[("X-Much", "x" * 9000)]), 429: dict(target="/limited"), 502: dict(target="/gone"), 421: dict(target="/served", tls=True),
    417: dict(target="/served", method="POST", body="x", headers=[("Expect", "nonsense")]),
}
ATTACK = dict(target="/served?id=1%27%20OR%20%271%27=%271")


def fetch(gateway, options, accept=None):
    options = dict(options)
    headers = list(options.pop("headers", []))
    if accept is not None:
        headers.append(("Accept", accept))
    return gateway.request(options.pop("target", "/"), headers=headers, **options)


@pytest.mark.parametrize("status", ANSWERS)
@pytest.mark.parametrize("accept, kind", [("application/json", "json"), ("text/html,application/xhtml+xml;q=0.9", "html")])
def test_form(gateway, status, accept, kind):
    response = fetch(gateway, ANSWERS[status], accept)
    assert response.status == status or (status == 502 and response.status == 503)
    identifier = response.header("x-request-id")
    assert identifier
    content_type = response.header("content-type")
    assert kind in content_type, content_type
    if kind == "json":
        assert json.loads(response.body)
    else:
        assert response.text.lstrip().lower().startswith("<!doctype html")
    assert len(response.body) < 4096
    assert response.header("content-length") == str(len(response.body))
    assert response.has("date")


@pytest.mark.parametrize("accept, kind", [(None, None), ("*/*", None), ("application/json;q=0.1, text/html;q=0.9", "html"),
                                          ("text/html;q=0.1, application/json", "json"), ("image/png", None), ("", None), (";;;,,=", None), ("text/*", "html"),
                                          ("application/json;q=0", "html"), ("application/json;q=0.000, image/png", "html"),
                                          ("application/json;Q=0.1, text/html;q=0.9", "html"), ("application/json ; q=0.9, text/html\t;\tQ=0.1", "json"),
                                          ("application/json;xq=0.1, text/html;q=0.9", "json"), ("application/json;xq=0.1;q=0.2, text/html;q=0.9", "html")])
def test_choice(gateway, accept, kind):
    response = fetch(gateway, {}, accept)
    assert response.status == 404
    assert (kind or "") in response.header("content-type")


@pytest.mark.parametrize("options", [*ANSWERS.values(), ATTACK])
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_nothing_of_the_inside(gateway, options, accept):
    response = fetch(gateway, options, accept)
    text = (response.head + response.body).decode("latin-1").lower()
    for word in ("modsecurity", "crs", "942100", "libinjection", "gatehouse/", "127.0.0.1", "upstream connect", "errno", "connection refused", "/work", "owasp", "sql"):
        assert word not in text, word


def test_nothing_of_the_request_is_reflected(gateway):
    response = fetch(gateway, {"target": "/<script>alert(1)</script>", "headers": [("User-Agent", "<b>me</b>")]}, "text/html")
    assert b"<script>" not in response.body and b"<b>" not in response.body


def test_head_has_the_length_and_no_body(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("HEAD", "/"), "HEAD")
        assert response.status == 404
        assert connection.exchange(request_bytes(target="/")).status == 404


@pytest.mark.parametrize("status", [404, 429])
def test_connection_goes_on_after_an_answer_without_fault(gateway, status):
    options = ANSWERS[status]
    with gateway.connect() as connection:
        for _ in range(3):
            response = connection.exchange(request_bytes(target=options.get("target", "/")))
            assert response.status == status and not response.closes


def test_malformed_closes(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes(target="/a/../../b"))
        assert response.status == 400 and response.closes
        connection.expect_closed()


def test_not_cached(gateway):
    """An answer of ours says nothing about the resource; 404 and 414 are cacheable by default (RFC 9110 section 15.1)."""
    for options in ({}, ANSWERS[414]):
        assert "no-store" in (fetch(gateway, options).header("cache-control") or "")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 502, 503])
def test_an_upstreams_own_answer_is_passed_through(status):
    def handler(connection, request):
        connection.respond(status, [("Content-Type", "text/plain"), ("X-Own", "1")], "the upstream's words", reason="Own Words")

    with Upstream(handler) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        response = gateway.request()
        assert (response.status, response.body, response.header("x-own")) == (status, b"the upstream's words", "1")
        assert gateway.metric("gatehouse_local_replies_total") == 0
