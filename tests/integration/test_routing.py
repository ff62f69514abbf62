"""Host and path to a route: which one wins, and what the upstream then sees as the path."""
import json

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.upstream import Upstream


ROUTES = [
    ("posts", {"path": "/method", "methods": ["POST"]}),
    ("gets", {"path": "/method", "methods": ["GET"]}),
    ("puts-only", {"path": "/only-put", "methods": ["PUT"]}),
    ("version-two", {"path": "/header", "headers": {"x-version": "2"}}),
    ("first", {"path": "/order"}),
    ("never", {"path_exact": "/order", "headers": {"x-never": "never"}}),
    ("by-host", {"path": "/host", "headers": {"Host": "shop.test"}}),
    ("api", {"path": "/api"}),
    ("slash", {"path": "/slash/"}),
    ("exact", {"path_exact": "/exact"}),
    ("expression", {"path_regex": "/user/[0-9]+"}),
    ("unnamed", {"path": "/unnamed"}),
    ("header-rest", {"path": "/header"}),
]


@pytest.fixture(scope="module")
def upstreams():
    """One for each route, with its name: an answer tells which route was taken."""
    servers = {name: Upstream(name=name) for name in [name for name, _ in ROUTES] + ["any", "other"]}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture(scope="module")
def gateway(upstreams):
    def service(name):
        return {"sites": [{"site": "here", "endpoints": [upstreams[name].address]}]}

    def single(tenant_name, host, route):
        return tenant(tenant_name, hosts=[{"name": host, **plain}], services={route: service(route)}, routes=[{"match": {"path": "/"}, "service": route}])

    plain = {"tls": "off"}
    shop = tenant("shop", hosts=[{"name": name, **plain} for name in ("shop.test", "*.wild.test", "exact.wild.test", "bücher.test")],
                  services={"web": None, **{name: service(name) for name, _ in ROUTES}},
                  routes=[{**({} if name == "unnamed" else {"name": name}), "match": match, "service": name} for name, match in ROUTES])
    with Gateway({"shop": shop, "anybody": single("anybody", "*", "any"), "other": single("other", "other.test", "other")}) as running:
        yield running


def route_of(gateway, target, **options):
    """(status, route)"""
    response = gateway.request(target, **options)
    return response.status, json.loads(response.body)["upstream"] if response.status == 200 else "-"


def requests_of(upstreams):
    return [request for server in upstreams.values() for request in server.requests]


@pytest.fixture(autouse=True)
def forget(upstreams):
    for server in upstreams.values():
        server.forget()


@pytest.mark.parametrize("target, route", [
    ("/api", "api"), ("/api/", "api"), ("/api/x", "api"), ("/api?x", "api"), ("/apix", None), ("/API", None), ("/", None),
    ("/slash", "slash"), ("/slash/", "slash"), ("/slash/x", "slash"), ("/slashx", None),
    ("/exact", "exact"), ("/exact?q=1", "exact"), ("/exact/", None), ("/exact/x", None),
    ("/user/42", "expression"), ("/user/42?x", "expression"), ("/user/", None), ("/user/42/x", None), ("/x/user/42", None),
    ("/order/exact", "first"), ("/unnamed/x", "unnamed"),
])
def test_path(gateway, target, route):
    assert route_of(gateway, target) == ((200, route) if route else (404, "-"))


@pytest.mark.parametrize("target, seen, route", [
    ("/x/../api/y", "/api/y", "api"), ("/api/./y", "/api/y", "api"), ("/api/x/..", "/api/", "api"), ("/%61pi", "/api", "api"),
    ("//api//y", "/api/y", "api"), ("/api/%2e%2e/exact", "/exact", "exact"), ("/api/%2E%2e/exact?q=..%2f", "/exact?q=..%2f", "exact"),
    ("/api/a%2fb", "/api/a%2Fb", "api"), ("/api/%7e", "/api/~", "api"), ("/api/;x=1", "/api/;x=1", "api"),
    ("/api?a=/../b//c", "/api?a=/../b//c", "api"), ("/api/%3fx", "/api/%3Fx", "api"), ("/api/?", "/api/?", "api"),
])
def test_path_is_normalised_before_routing_and_for_the_upstream(gateway, upstreams, target, seen, route):
    assert route_of(gateway, target) == (200, route)
    assert upstreams[route].requests[0].target == seen


@pytest.mark.parametrize("target", ["/..", "/../api", "/api/../../x", "/%2e%2e/x", "/api/..;/x", "/api/..;x=y/z", "/api/%2e.%3b/x", "/api/.;/x", "/api/%2e%2E/../x", "/api#x", "/#", "/api/%zz",
                                    "/api/%", "/api/%4", "/api/%00", "api", "//", "*"])
def test_bad_targets(gateway, upstreams, target):
    response = gateway.request(target)
    if target == "//":
        assert response.status == 404  # an empty segment alone is the root
    else:
        assert response.status == 400
    assert requests_of(upstreams) == []


@pytest.mark.parametrize("byte", sorted({*range(0x01, 0x20), 0x7f, 0x80, 0xc3, 0xff} - {0x0a, 0x0d}))
def test_bytes_outside_of_the_printable_range_are_refused(gateway, upstreams, byte):
    with gateway.connect() as connection:
        connection.send(b"GET /api/" + bytes([byte]) + b" HTTP/1.1\r\nHost: shop.test\r\n\r\n")
        assert connection.response().status == 400
        connection.expect_closed()
    assert requests_of(upstreams) == []


def test_odd_printable_bytes_pass(gateway, upstreams):
    odd = "".join(chr(byte) for byte in range(0x21, 0x7f) if chr(byte) not in "#%?/.")
    assert gateway.request(f"/api/{odd}?{odd}").status == 200
    assert requests_of(upstreams)[0].target.endswith("?" + odd)


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


def test_header_that_connection_names_is_absent(gateway):
    assert route_of(gateway, "/header", headers=[("Connection", "X-Version"), ("X-Version", "2")]) == (200, "header-rest")


@pytest.mark.parametrize("host, tenant_name", [
    ("shop.test", "shop"), ("SHOP.Test", "shop"), ("shop.test.", "shop"), ("shop.test:80", "shop"), ("shop.test.:8080", "shop"),
    ("a.wild.test", "shop"), ("A.WILD.TEST", "shop"), ("exact.wild.test", "shop"), ("other.test", "other"),
    ("xn--bcher-kva.test", "shop"), ("XN--BCHER-KVA.test", "shop"), ("a.b.wild.test", "anybody"), ("wild.test", "anybody"), (".wild.test", None),
    ("unknown.test", "anybody"), ("127.0.0.1", "anybody"), ("[::1]:8080", "anybody"), ("localhost", "anybody"),
])
def test_host(gateway, host, tenant_name):
    response = gateway.request("/api", host=host)
    if tenant_name is None:
        assert response.status in (400, 404)
        return
    assert response.status == 200
    answer = json.loads(response.body)
    assert dict(answer["headers"])["host"] == host, "the Host sent upstream is the client's"
    assert answer["upstream"] == {"shop": "api", "anybody": "any", "other": "other"}[tenant_name]


def test_record_names_the_route(gateway):
    for target, route in (("/api/recorded", "api"), ("/unnamed/recorded", "/unnamed")):
        gateway.request(target)
        record = gateway.access_record(url__path=target)
        assert (record["labels.tenant"], record["labels.route"]) == ("shop", route), "a route without a name is named after its path"


def test_absolute_form_is_reduced(gateway, upstreams):
    assert gateway.request("http://shop.test/api/x?y=1").status == 200
    assert gateway.request("HTTP://SHOP.TEST/api/x").status == 200
    assert [request.target for request in requests_of(upstreams)] == ["/api/x?y=1", "/api/x"]


@pytest.mark.parametrize("authority", ["shop.test", "shop.test:8080"])
def test_absolute_form_without_host(gateway, upstreams, authority):
    """HTTP/1.0: whoever looks at the field Host sees what the upstream gets."""
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes(target=f"http://{authority}/host", host=None, version="1.0")).status == 200
    request, = requests_of(upstreams)
    assert (request.header("host"), request.header("x-forwarded-host")) == (authority, authority)
    assert upstreams["by-host"].requests == [request]


@pytest.mark.parametrize("target, host", [("http://other.test/api", "shop.test"), ("http://shop.test:81/api", "shop.test"),
                                          ("ftp://shop.test/api", "shop.test"), ("http://user@shop.test/api", "shop.test"),
                                          ("http:///api", "shop.test"), ("shop.test:443", "shop.test")])
def test_absolute_form_that_disagrees(gateway, upstreams, target, host):
    assert gateway.request(target, host=host).status == 400
    assert requests_of(upstreams) == []


def test_https_is_not_for_a_connection_in_the_clear(gateway, upstreams, upstream):
    """RFC 9110 section 7.4: unless a trusted proxy has taken TLS off."""
    assert gateway.request("https://shop.test/api").status == 421
    assert requests_of(upstreams) == []
    with Gateway({"shop": tenant("shop", upstream)}, {"trusted_proxies": ["127.0.0.1"]}) as behind:
        assert behind.request("https://shop.test/api").status == 200


def test_connect_is_refused(gateway, upstreams):
    response = gateway.request("shop.test:443", method="CONNECT", host="shop.test:443")
    assert response.status in (400, 405, 501)
    assert requests_of(upstreams) == []


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


@pytest.mark.parametrize("target", ["*", "http://shop.test"])
def test_options_for_the_server_as_a_whole(upstream, target):
    """RFC 9112 section 3.2.4: it goes to whoever serves the root, as "*"."""
    upstream.forget()
    with Gateway({"shop": tenant("shop", upstream)}) as running:
        assert running.request(target, method="OPTIONS").status == 200
    assert [(request.method, request.target) for request in upstream.requests] == [("OPTIONS", "*")]


def test_options_for_a_server_whose_root_nobody_serves(upstream):
    routes = [{"match": {"path": "/api"}, "service": "web"}]
    with Gateway({"shop": tenant("shop", upstream, routes=routes)}) as running:
        assert running.request("*", method="OPTIONS").status == 404


@pytest.mark.parametrize("target, status", [
    ("/a%2fb", 400), ("/a%5Cb", 400), ("/a\\b", 400), ("/a/..%2fb", 400), ("/a/b?c=%2F\\", 200), ("/a%252Fb", 200), ("/a//b", 200),
])
def test_escaped_slashes_can_be_refused(upstream, target, status):
    upstream.forget()
    with Gateway({"shop": tenant("shop", upstream)}, {"limits": {"escaped_slashes": "refuse"}}) as running:
        assert running.request(target).status == status
    assert len(upstream.requests) == (status == 200)


@pytest.mark.parametrize("target, seen", [("/a%2fb", "/a%2Fb"), ("/a%5cb", "/a%5Cb"), ("/x/..%2fb", "/x/..%2Fb"), ("/a\\..\\b", "/a\\..\\b")])
def test_escaped_slashes_part_no_segments(upstream, target, seen):
    """By default they are kept, and mean nothing to routes."""
    upstream.forget()
    with Gateway({"shop": tenant("shop", upstream)}) as running:
        assert running.request(target).status == 200
    assert [request.target for request in upstream.requests] == [seen]


@pytest.mark.parametrize("target, status", [("/a;b=c/d", 400), ("/a%3Bb", 400), ("/a%3bb", 400), ("/;", 400), ("/a/b?c;d", 200), ("/a%253Bb", 200)])
def test_path_parameters_can_be_refused(upstream, target, status):
    upstream.forget()
    with Gateway({"shop": tenant("shop", upstream)}, {"limits": {"path_parameters": "refuse"}}) as running:
        assert running.request(target).status == status
    assert len(upstream.requests) == (status == 200)


def test_path_parameters_belong_to_their_segment(gateway):
    """By default they are kept; servers that cut them off see another path than routes do."""
    assert route_of(gateway, "/api/x;y/z") == (200, "api")
    assert route_of(gateway, "/api;y/z")[0] == 404


def test_services_of_two_routes(upstream):
    with Upstream(name="second") as second:
        services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}]},
                    "api": {"sites": [{"site": "here", "endpoints": [second.address]}]}}
        routes = [{"match": {"path": "/api"}, "service": "api"}, {"match": {"path": "/"}, "service": "web"}]
        with Gateway({"shop": tenant("shop", services=services, routes=routes)}) as gateway:
            assert json.loads(gateway.request("/api/x").body)["upstream"] == "second"
            assert json.loads(gateway.request("/apix").body)["upstream"] == "upstream"
