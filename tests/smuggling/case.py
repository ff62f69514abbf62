"""What a case of the tables is, and the few builders that keep them readable. Used by the tables of this folder.

A message is bytes for a connection of its own. Behind what is ambiguous lies SMUGGLED, so that a reader who finds the end
too early finds a second request there.
"""
from dataclasses import dataclass

HOST = b"shop.test"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"   # 43 bytes
HIDDEN = b"0\r\n\r\n" + SMUGGLED                                   # an empty chunked body, and the second request; 48 bytes
CHUNKED = b"Transfer-Encoding: chunked"
FIVE = b"5\r\nhello\r\n0\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """One request message.

    readings: what an upstream may get of it, each a list of (method, target or targets, body); none: it is to be refused.
    Refusing is always right unless `legal`. statuses: those of a refusal. absent: field names that must not go upstream,
    present: such as must; hosts: what Host may be there, if that is in question. method: whose answer is read (HEAD has no body).
    """
    name: str
    section: str
    data: bytes
    readings: tuple = ()
    statuses: frozenset = frozenset({400})
    absent: tuple = ()
    present: tuple = ()
    hosts: tuple = ()
    method: str = "GET"
    legal: bool = False
    endless: bool = False   # its head or body has no end that a strict reader finds: to wait for it, then to close, is right


def case(name, section, data, *readings, statuses=(400,), **more):
    return Case(name, section, data, tuple(readings), frozenset(statuses), **more)


def head(method, target, *lines, version=b"HTTP/1.1", host=b"Host: shop.test", end=b"\r\n"):
    """A head of these lines; host=None leaves Host out."""
    first = [b" ".join((method, target, version))] + ([host] if host is not None else [])
    return end.join([*first, *lines]) + end + end


def get(*lines, target=b"/case", body=b"", **more):
    return head(b"GET", target, *lines, **more) + body


def post(*lines, target=b"/case", body=b"", **more):
    return head(b"POST", target, *lines, **more) + body


def chunks(body, *lines, **more):
    """A POST whose chunked body is these bytes."""
    return post(CHUNKED, *lines, body=body, **more)


def read(method="GET", target="/case", body=b""):
    return (method, target, body)


BARE = [read()]
ONE = [read("POST", body=b"hello")]
EMPTY = [read("POST")]
TWO = [read("POST"), read("GET", "/smuggled")]
HELLO_GET = [read("GET", body=b"hello")]
