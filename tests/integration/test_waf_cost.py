"""What one request can cost the engine: made to take minutes of pattern matching, it ends with waf.time_budget."""
import itertools
from urllib.parse import quote

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, sanitizer, tenant
from harness.polling import poll
from harness.upstream import Upstream

# A signal ends a match that takes too long.
pytestmark = pytest.mark.skipif(sanitizer() == "thread", reason="ThreadSanitizer keeps signals back while foreign code runs")

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
# The budget is 250 ms of processor time; what one call of a library may take beyond it, and the rest of the request, come on top.
BOUND = 1.0


@pytest.fixture(scope="module")
def gateway(upstream):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"}), "other": tenant("other", upstream)}, {"workers": 1}) as running:
        yield running


@pytest.mark.parametrize("piece", ["'+", "' ", '"a', "|", "\n", "@@", "'a'='a' ", "--", "0x", "char(", "((", "/*", "<!--", "<", "a'b\"", "x=", "%", "\\", "=", "a.b,"])
def test_a_repeated_piece(gateway, piece):
    """And whoever else is served by the worker waits no longer than that."""
    body = "a=" + quote(piece) * (60_000 // len(piece))
    gateway.request(host="other.test")
    before = gateway.cpu_seconds()
    with gateway.connect() as attacker, gateway.connect() as other:
        attacker.send(request_bytes("POST", "/", "shop.test", FORM, body))
        assert other.exchange(request_bytes(host="other.test")).status == 200
        assert attacker.response().status in (200, 403, 503)
    assert gateway.cpu_seconds() - before < BOUND


@pytest.mark.parametrize("arguments, size", [(900, 60), (900, 600), (100, 5000), (1, 500_000)])
def test_many_and_long_arguments(gateway, arguments, size):
    """Ordinary text in bulk is neither refused nor dear."""
    text = quote("The quick brown fox jumps over the lazy dog, and so on. ") * (size // 56 + 1)
    body = "&".join(f"a{number}={text[:size]}" for number in range(arguments))
    before = gateway.cpu_seconds()
    assert gateway.request(method="POST", headers=FORM, body=body).status in (200, 403, 503)
    assert gateway.cpu_seconds() - before < BOUND


def test_many_cookies(gateway):
    """The head and what is judged of it in phase 2 have one budget."""
    before = gateway.cpu_seconds()
    assert gateway.request(headers=[("Cookie", "a=1;" * 14_500)]).status in (200, 403, 503)
    assert gateway.cpu_seconds() - before < BOUND / 2


@pytest.mark.parametrize("kind", ["form", "json", "multipart"])
def test_names_that_are_one_to_the_engines_hash(gateway, is_sanitized, kind):
    """It is the sum of a name's bytes: such names have to be compared with each other."""
    tails = itertools.islice(itertools.permutations("bcdefghi"), 990)
    names = ["a" * 900 + "".join(tail) for tail in tails]
    headers, body = {
        "form": (FORM, "&".join(f"{name}=1" for name in names)),
        "json": ([("Content-Type", "application/json")], "{" + ",".join(f'"{name}":1' for name in names) + "}"),
        "multipart": (MULTIPART, "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n1\r\n' for name in names) + "--b--\r\n"),
    }[kind]
    before = gateway.cpu_seconds()
    assert gateway.request(method="POST", headers=headers, body=body).status == 503
    assert gateway.cpu_seconds() - before < BOUND
    # The same one is no such name; of so many a sanitized engine has inspected too few when its time is over.
    body = "&".join(["items%5B%5D=1"] * (50 if is_sanitized else 990))
    assert gateway.request(method="POST", headers=FORM, body=body).status == 200


MULTIPART = [("Content-Type", "multipart/form-data; boundary=b")]
DISPOSITION = 'Content-Disposition: form-data; name="a"\r\n'


@pytest.mark.parametrize("headers, body, rule", [
    ([("Content-Type", "text/xml")], "<a " + " ".join(f"a{number:x}=''" for number in range(100_000)) + "/>", 200008),
    ([("Content-Type", "application/soap+xml")], "<a>" + "<b/>" * 200_000 + "</a>", 200008),
    (MULTIPART, "--b\r\n" + "".join(f"X{number}: y\r\n" for number in range(80_000)) + DISPOSITION + "\r\nx\r\n--b--\r\n", 200009),
    (MULTIPART, "--b\r\n" + DISPOSITION + " x\r\n" * 200_000 + "\r\nx\r\n--b--\r\n", 200009),
], ids=["xml-attributes", "xml-elements", "multipart-headers", "multipart-folded"])
def test_what_parsers_would_take_long_for(gateway, upstream, headers, body, rule):
    """They are not interrupted: what would take them seconds never gets to them."""
    upstream.forget()
    before = gateway.cpu_seconds()
    response = gateway.request(method="POST", headers=headers, body=body)
    assert response.status == 400
    assert [match["id"] for match in gateway.waf_event(request_id=response.header("x-request-id"))["rules"]] == [rule]
    assert gateway.cpu_seconds() - before < BOUND / 2
    assert upstream.requests == []


@pytest.mark.skipif(sanitizer() is not None, reason="a sanitizer keeps what is freed")
def test_no_tree_waits_for_the_answer():
    """What the parser makes of an XML body takes up to fifty times its size, and endpoints may be slow."""
    body = "<a>" + "<b c='1'/>" * 24_000 + "</a>"
    count = 30

    def handler(connection, request):
        connection.upstream.released.wait(60)
        connection.respond()

    with Upstream(handler, record=False) as slow, \
            Gateway({"shop": tenant(upstream=slow, waf={"mode": "block"})}, {"workers": 1, "waf": {"time_budget": "10s"}}) as gateway:
        assert gateway.request(method="POST", headers=[("Content-Type", "text/xml")], body="<a>1' or '1'='1' -- </a>").status == 403
        before = gateway.memory_bytes()
        clients = [gateway.connect() for _ in range(count)]
        for client in clients:
            client.send(request_bytes("POST", "/", "shop.test", [("Content-Type", "text/xml")], body))
        poll(lambda: len(slow.requests) == count, "all to be at the upstream", 60)
        assert 3 * count * len(body) <= gateway.metric("gatehouse_buffered_bytes") < 4 * count * len(body)
        # Two or three trees that are being looked at, and the bodies: it was 40 times their size.
        assert gateway.memory_bytes() - before < 10 * count * len(body)
        slow.released.set()
        for client in clients:
            assert client.response().status == 200
            client.close()
