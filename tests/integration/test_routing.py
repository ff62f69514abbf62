"""Host and path to a route: which one wins, and what the upstream then sees as the path."""
import json

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.upstream import Upstream


@pytest.fixture(scope="module")
def gateway(upstream):
    def named(name, **match):
        return {"name": name, "match": match, "service": "web"}

    plain = {"tls": "off"}
    shop = tenant("shop", upstream, hosts=[{"name": "shop.test", **plain}, {"name": "*.wild.test", **plain},
                                           {"name": "exact.wild.test", **plain}, {"name": "bücher.test", **plain}],
                  routes=[
        named("posts", path="/method", methods=["POST"]),
        named("gets", path="/method", methods=["GET"]),
        named("puts-only", path="/only-put", methods=["PUT"]),
        named("version-two", path="/header", headers={"x-version": "2"}),
        named("first", path="/order"),
        named("never", path_exact="/order/exact"),
        named("api", path="/api"),
        named("slash", path="/slash/"),
        named("exact", path_exact="/exact"),
        named("expression", path_regex="/user/[0-9]+"),
        {"match": {"path": "/unnamed"}, "service": "web"},
        named("header-rest", path="/header"),
    ])
    anybody = tenant("anybody", upstream, hosts=[{"name": "*", **plain}], routes=[named("any", path="/")])
    other = tenant("other", upstream, hosts=[{"name": "other.test", **plain}], routes=[named("other", path="/")])
    with Gateway({"shop": shop, "anybody": anybody, "other": other}) as running:
        yield running


def route_of(gateway, target, **options):
    """(status, route) as the access log tells it."""
    response = gateway.request(target, **options)
    identifier = response.header("x-request-id")
    if identifier is None:
        identifier = dict(json.loads(response.body)["headers"])["x-request-id"]
    record = gateway.access_record(http__request__id=identifier)
    return response.status, record.get("labels.route", "-")


@pytest.mark.parametrize("target, route", [
    ("/api", "api"), ("/api/", "api"), ("/api/x", "api"), ("/api?x", "api"), ("/apix", None), ("/API", None), ("/", None),
    ("/slash", "slash"), ("/slash/", "slash"), ("/slash/x", "slash"), ("/slashx", None),
    ("/exact", "exact"), ("/exact?q=1", "exact"), ("/exact/", None), ("/exact/x", None),
    ("/user/42", "expression"), ("/user/42?x", "expression"), ("/user/", None), ("/user/42/x", None), ("/x/user/42", None),
    ("/order/exact", "first"), ("/unnamed/x", "/unnamed"),
])
def test_path(gateway, target, route):
    assert route_of(gateway, target) == ((200, route) if route else (404, "-"))


@pytest.mark.parametrize("target, seen, route", [
    ("/x/../api/y", "/api/y", "api"), ("/api/./y", "/api/y", "api"), ("/api/x/..", "/api/", "api"), ("/%61pi", "/api", "api"),
    ("//api//y", "/api/y", "api"), ("/api/%2e%2e/exact", "/exact", "exact"), ("/api/%2E%2e/exact?q=..%2f", "/exact?q=..%2f", "exact"),
    ("/api/a%2fb", "/api/a%2Fb", "api"), ("/api/%7e", "/api/~", "api"), ("/api/;x=1", "/api/;x=1", "api"),
    ("/api?a=/../b//c", "/api?a=/../b//c", "api"), ("/api/%3fx", "/api/%3Fx", "api"), ("/api/?", "/api/?", "api"),
])
def test_path_is_normalised_before_routing_and_for_the_upstream(gateway, upstream, target, seen, route):
    upstream.forget()
    assert route_of(gateway, target) == (200, route)
    assert upstream.requests[0].target == seen


@pytest.mark.parametrize("target", ["/..", "/../api", "/api/../../x", "/%2e%2e/x", "/api/%2e%2E/../x", "/api#x", "/#", "/api/%zz",
                                    "/api/%", "/api/%4", "/api/%00", "api", "//", "*"])
def test_bad_targets(gateway, upstream, target):
    upstream.forget()
    response = gateway.request(target)
    if target == "//":
        assert response.status == 404  # an empty segment alone is the root
    else:
        assert response.status == 400
    assert upstream.requests == []


@pytest.mark.parametrize("byte", [*range(0x01, 0x21), 0x7f, 0x80, 0xc3, 0xff])
def test_bytes_outside_of_the_printable_range_are_refused(gateway, upstream, byte):
    if byte in (0x0a, 0x0d, 0x20):
        pytest.skip("ends the line or the target")
    upstream.forget()
    with gateway.connect() as connection:
        connection.send(b"GET /api/" + bytes([byte]) + b" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert connection.response().status == 400
        connection.expect_closed()
    assert upstream.requests == []


def test_odd_printable_bytes_pass(gateway, upstream):
    odd = "".join(chr(byte) for byte in range(0x21, 0x7f) if chr(byte) not in "#%?/.")
    upstream.forget()
    assert gateway.request(f"/api/{odd}?{odd}").status == 200
    assert upstream.requests[0].target.endswith("?" + odd)


@pytest.mark.parametrize("method, target, expected", [
    ("GET", "/method", (200, "gets")), ("POST", "/method", (200, "posts")), ("DELETE", "/method", (404, "-")),
    ("PUT", "/only-put", (200, "puts-only")), ("GET", "/only-put", (404, "-")), ("get", "/method", (404, "-")),
])
def test_method(gateway, method, target, expected):
    assert route_of(gateway, target, method=method) == expected


@pytest.mark.parametrize("headers, route", [
    ([("X-Version", "2")], "version-two"), ([("x-version", "2")], "version-two"), ([("X-Version", "3")], "header-rest"), ([], "header-rest"),
])
def test_header(gateway, headers, route):
    assert route_of(gateway, "/header", headers=headers) == (200, route)


@pytest.mark.parametrize("host, tenant_name", [
    ("shop.test", "shop"), ("SHOP.Test", "shop"), ("shop.test.", "shop"), ("shop.test:80", "shop"), ("shop.test.:8080", "shop"),
    ("a.wild.test", "shop"), ("A.WILD.TEST", "shop"), ("exact.wild.test", "shop"), ("other.test", "other"),
    ("xn--bcher-kva.test", "shop"), ("a.b.wild.test", "anybody"), ("wild.test", "anybody"), (".wild.test", None),
    ("unknown.test", "anybody"), ("127.0.0.1", "anybody"), ("[::1]:8080", "anybody"), ("localhost", "anybody"),
])
def test_host(gateway, host, tenant_name):
    response = gateway.request("/api", host=host)
    if tenant_name is None:
        assert response.status in (400, 404)
        return
    assert response.status == 200
    seen = dict(json.loads(response.body)["headers"])
    assert seen["host"] == host, "the Host sent upstream is the client's"
    assert gateway.access_record(http__request__id=seen["x-request-id"])["labels.tenant"] == tenant_name


def test_absolute_form_is_reduced(gateway, upstream):
    upstream.forget()
    assert gateway.request("http://shop.test/api/x?y=1").status == 200
    assert gateway.request("HTTP://SHOP.TEST/api/x").status == 200
    assert [request.target for request in upstream.requests] == ["/api/x?y=1", "/api/x"]


@pytest.mark.parametrize("target, host", [("http://other.test/api", "shop.test"), ("http://shop.test:81/api", "shop.test"),
                                          ("ftp://shop.test/api", "shop.test"), ("http://user@shop.test/api", "shop.test"),
                                          ("http:///api", "shop.test"), ("shop.test:443", "shop.test")])
def test_absolute_form_that_disagrees(gateway, upstream, target, host):
    upstream.forget()
    assert gateway.request(target, host=host).status == 400
    assert upstream.requests == []


def test_connect_is_refused(gateway, upstream):
    upstream.forget()
    response = gateway.request("shop.test:443", method="CONNECT", host="shop.test:443")
    assert response.status in (400, 405, 501)
    assert upstream.requests == []


def test_first_route_of_the_right_host_only(gateway):
    assert route_of(gateway, "/anything", host="other.test") == (200, "other")
    assert route_of(gateway, "/anything", host="shop.test") == (404, "-")


def test_no_route_is_counted_and_has_no_upstream(gateway):
    before = gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="no_route")
    assert gateway.request("/nowhere").status == 404
    gateway.wait_metric(before + 1, "gatehouse_local_replies_total", tenant="shop", reason="no_route")


def test_unknown_host_without_a_tenant_for_all(upstream):
    with Gateway({"shop": tenant("shop", upstream)}) as gateway:
        assert gateway.request(host="unknown.test").status == 404
        gateway.wait_metric(1, "gatehouse_local_replies_total", tenant="-", reason="no_route")


def test_options_for_the_server_as_a_whole(gateway):
    with gateway.connect() as connection:
        response = connection.exchange(request_bytes("OPTIONS", "*"))
        assert response.status in (200, 204, 400, 404, 405)


def test_services_of_two_routes(upstream):
    with Upstream(name="second") as second:
        services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}]},
                    "api": {"sites": [{"site": "here", "endpoints": [second.address]}]}}
        routes = [{"match": {"path": "/api"}, "service": "api"}, {"match": {"path": "/"}, "service": "web"}]
        with Gateway({"shop": tenant("shop", services=services, routes=routes)}) as gateway:
            assert json.loads(gateway.request("/api/x").body)["upstream"] == "second"
            assert json.loads(gateway.request("/apix").body)["upstream"] == "upstream"
