"""The runner of CRS's regression tests: its parts, and a whole run over our own cases.

With the peer where it is installed (nginx-light, libnginx-mod-http-modsecurity), else the gateway alone.
"""
import glob
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import run  # noqa: E402
import suite  # noqa: E402
import targets  # noqa: E402
from backend import content_type, reflected  # noqa: E402
from suite import Expectation, Stage, request_bytes  # noqa: E402
from violations import violations  # noqa: E402

SETUP, RULES = "/etc/modsecurity/crs/crs-setup.conf", "/usr/share/modsecurity-crs/rules/*.conf"


@pytest.mark.skipif(not glob.glob(RULES), reason="modsecurity-crs is not installed")
def test_our_own_cases(capfd):
    peer = ["--without-peer"] if targets.missing_for_peer() else []
    result = run.main(["--tests", os.path.join(HERE, "cases"), "--setup", SETUP, "--rules", RULES, *peer])
    assert result == 0, capfd.readouterr().out


# What is sent

def test_headers_are_sorted_and_completed():
    assert request_bytes({"headers": {"Host": "a", "Accept": "*/*"}, "uri": "/x"}) == \
        b"GET /x HTTP/1.1\r\nAccept: */*\r\nHost: a\r\nConnection: close\r\n\r\n"
    assert request_bytes({"method": "POST"}) == b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert request_bytes({"method": "POST"}, old=True) == b"POST / HTTP/1.1\r\nConnection: close\r\n\r\n"


def test_nothing_is_completed_if_the_test_says_so():
    for word in ({"autocomplete_headers": False}, {"stop_magic": True}):
        assert request_bytes({"method": "POST", "data": "a=ü b", **word}) == "POST / HTTP/1.1\r\n\r\na=ü b".encode()


@pytest.mark.parametrize("data, sent", [
    ("a=1;2&b", b"a=1%3B2&b"),
    ("a=b c", b"a=b+c"),
    ("a=%41;", b"a=%41;"),          # encoded already
    ("a+b", b"a+b"),
    ("a=100%", b"a=100%"),          # cannot be decoded: sent as it is
])
def test_forms_are_encoded_once(data, sent):
    assert request_bytes({"method": "POST", "data": data}).split(b"\r\n\r\n", 1)[1] == sent


def test_multipart_bodies_have_crlf():
    given = {"method": "POST", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}
    for data in ("--b\n\nx\n--b--\n", ["--b", "", "x", "--b--", ""]):
        assert request_bytes({**given, "data": data}).endswith(b"\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")


def test_raw_requests_and_templates():
    assert request_bytes({"encoded_request": "R0VU"}) == b"GET"
    assert request_bytes({"method": "POST", "data": '{{ "ab" | repeat 3 }}', "stop_magic": True}).endswith(b"\r\n\r\nababab")


# What is expected

def answer(status, backend=True):
    return targets.Answer(status=status, from_backend=backend)


@pytest.mark.parametrize("output, met, unmet", [
    ({"log_contains": 'id "942100"'}, {942100}, set()),
    ({"log_contains": "id:942100"}, {942100}, {941100}),
    ({"no_log_contains": 'id "942100"'}, set(), {942100}),
    ({"log": {"expect_ids": [942100], "no_expect_ids": [941100]}}, {942100}, {942100, 941100}),
    ({"status": [403, 200]}, set(), None),
    ({"status": 200, "log_contains": 'id "942100"'}, {942100}, set()),
    ({"log": {"match_regex": r"\[id \"9421\d+\"\]"}}, {942100}, set()),
    ({"log": {"no_match_regex": r"\[id \"\d+\"\]"}}, set(), {942100}),
])
def test_expectations(output, met, unmet):
    expected = suite.expectation(output)
    log = lambda rules: "".join(f'[id "{rule}"]' for rule in rules)
    assert expected.met_by(answer(200), met, log(met))
    if unmet is None:
        assert not expected.met_by(answer(404), met, log(met))
    else:
        assert not expected.met_by(answer(200), unmet, log(unmet))


def test_an_expected_error_is_an_answer_that_does_not_come():
    expected = suite.expectation({"expect_error": True})
    assert expected.met_by(answer(None), set(), "") and not expected.met_by(answer(400), set(), "")


# What comes of it

GOOD = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BAD = b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"


def classified(peer, subject, data=GOOD, expected=None, original=None):
    """Pairs of (answer, rules)."""
    expected = expected or Expectation(ids=[1])
    stage = Stage("1-1", data, "GET", expected, original or expected)
    return run.classify(stage, peer and targets.Result(*peer), targets.Result(*subject))


def test_classes():
    hit, miss = (answer(200), {1}), (answer(200), set())
    refusal = (answer(400, backend=False), set())
    assert classified(hit, hit)[0] == run.BOTH
    assert classified(miss, hit)[0] == run.OUT_OF_SCOPE
    assert classified(hit, miss)[0] == run.FAILED
    assert classified(hit, refusal, BAD) == (run.REFUSED, "RFC 9112 section 3.2: a request target has no fragment (#)")
    assert classified(hit, refusal)[0] == run.FAILED, "nothing is wrong with the request"
    assert classified(None, hit)[0] == run.BOTH and classified(None, miss)[0] == run.FAILED


def test_a_refusal_is_not_a_pass_although_no_rule_matches():
    refusal = (answer(400, backend=False), set())
    assert classified((answer(200), set()), refusal, expected=Expectation(no_ids=[1]))[0] == run.FAILED
    assert classified((answer(200), set()), refusal, BAD, expected=Expectation(no_ids=[1]))[0] == run.REFUSED
    assert classified(refusal, refusal, expected=Expectation(statuses=[400]))[0] == run.BOTH


def test_what_the_suite_expects_counts_where_the_peers_platform_differs():
    peer, subject = (answer(400, backend=False), set()), (answer(200), {1})
    assert classified(peer, subject, expected=Expectation(statuses=[400]), original=Expectation(ids=[1]))[0] == run.BOTH


@pytest.mark.parametrize("peer, subject, entries, problems", [
    ({1}, {1}, [], 0),
    ({1, 2}, {1}, [], 1),
    ({1}, {1, 2}, [], 1),
    ({1}, {1, 2}, [{"tests": "1-[12]", "gateway_only": [2], "reason": "it is meant"}], 0),
    ({1, 2}, {1}, [{"tests": "1-1", "gateway_only": [2], "reason": "it is meant"}], 1),
    ({1}, {1, 2}, [{"tests": "1", "gateway_only": [2], "reason": "of another test"}], 1),
    ({1}, set(), [{"tests": "1-1", "failed": True, "peer_only": [1], "reason": "it is meant"}], 0),
    ({1}, set(), [], 2),
])
def test_rule_ids_have_to_be_equal(tmp_path, capsys, peer, subject, entries, problems):
    path = tmp_path / "known.yaml"
    path.write_text(run.yaml.safe_dump(entries))
    stage = Stage("1-1", GOOD, "GET", Expectation(ids=[1]), Expectation(ids=[1]))
    sides = [[targets.Result(answer(200), rules)] for rules in (peer, subject)]
    assert run.compare([stage], *sides, run.Known(path)) == problems, capsys.readouterr().out


def test_every_known_difference_has_a_reason():
    for entry in run.Known(os.path.join(HERE, "known_differences.yaml")).entries:
        assert entry["tests"] and len(entry["reason"]) > 40 and {"failed", "peer_only", "gateway_only"} & set(entry)


# What is wrong with a request

def request(line=b"GET / HTTP/1.1", *fields, body=b""):
    fields = fields or (b"Host: a",)
    return b"\r\n".join([line, *fields]) + b"\r\n\r\n" + body


@pytest.mark.parametrize("data", [
    request(), request(b"GET /a%2Fb?x=%zz HTTP/1.1", b"Host: a.example:8080"), request(b"OPTIONS * HTTP/1.1"), request(b"GET / HTTP/1.0", b"Accept: a"),
    request(b"GET http://a/x HTTP/1.1", b"Host: a:80"), request(b"GET /a/../b HTTP/1.1"), b"\r\n" + request(),
    request(b"POST / HTTP/1.1", b"Host: [::1]:80", b"Content-Length: 1", body=b"a"), request(b"GET / HTTP/1.1", b"Host: a", b"X: \xff\t;"),
    request(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", body=b"1\r\na\r\n0\r\n\r\n"), request(b"GET / HTTP/1.1", b"Host: a", b"Connection: close, x"),
], ids=repr)
def test_nothing_is_wrong(data):
    assert violations(data) == []


@pytest.mark.parametrize("data, section", [
    (request(b"GET  / HTTP/1.1"), "9112 section 3:"), (request(b"GET /"), "9112 section 3:"), (request(b"G@T / HTTP/1.1"), "9110 section 9.1"),
    (request(b"GET / HTTP/2.0"), "9110 section 2.5"), (request(b"GET /#a HTTP/1.1"), "9112 section 3.2: a request target has no fragment"),
    (request(b"GET /\xff HTTP/1.1"), "9112 section 3.2: a byte"), (request(b"GET a HTTP/1.1"), "9112 section 3.2: the target is in none"),
    (request(b"GET * HTTP/1.1"), "9112 section 3.2.4"), (request(b"CONNECT a:80 HTTP/1.1"), "9110 section 9.3.6"),
    (request(b"GET http://b/ HTTP/1.1"), "9112 section 3.2.2"), (request(b"GET /../a HTTP/1.1"), "3986 section 5.2.4"),
    (request(b"GET /%2e%2E/a HTTP/1.1"), "3986 section 5.2.4"), (request(b"GET /%zz HTTP/1.1"), "3986 section 2.1"), (request(b"GET /%00 HTTP/1.1"), "3986 section 7.3"),
    (request(b"GET / HTTP/1.1", b"Accept: a"), "9112 section 3.2: no Host"), (request(b"GET / HTTP/1.1", b"Host: a", b"Host: a"), "9112 section 3.2: more than one"),
    (request(b"GET / HTTP/1.1", b"Host: a b"), "9110 section 7.2"), (request(b"GET / HTTP/1.1", b"Host: a:x"), "9110 section 7.2"),
    (request(b"GET / HTTP/1.1", b"Host:"), "9110 section 4.2.1"), (request(b"GET / HTTP/1.1", b"Host: a%00"), "1123 section 2.1"),
    (request(b"GET / HTTP/1.1", b"Host : a"), "9112 section 5.1"), (request(b"GET / HTTP/1.1", b"Host: a", b" b"), "9112 section 5.2"),
    (request(b"GET / HTTP/1.1", b"Host: a", b"b"), "9112 section 5:"), (request(b"GET / HTTP/1.1", b"Host: a", b"(b): c"), "9110 section 5.1"),
    (request(b"GET / HTTP/1.1", b"Host: a", b"b: \0"), "9110 section 5.5"), (request(b"GET / HTTP/1.1", b"Host: a", b"b_c: d"), "underscores"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 1, 1"), "9110 section 8.6"), (request(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked"), "9112 section 6.1"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: gzip, chunked"), "9112 section 6.1"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 1"), "9112 section 6.3"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", body=b"x"), "9112 section 7.1"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Content-Type: a/b", b"content-type: a/b"), "9110 section 5.3"),
    (request(b"POST / HTTP/1.1", b"Host: a", b"Content-Encoding: gzip"), "9110 section 15.5.16"), (request(b"GET / HTTP/1.1", b"Host: a", b"Expect: 200"), "9110 section 10.1.1"),
    (request(b"GET / HTTP/1.1", b"Host: a", b"Connection: ()"), "9110 section 7.6.1"), (request(b"GET / HTTP/1.1", b"Host: a", b"Connection: cookie"), "9110 section 7.6.1"),
    (b"GET / HTTP/1.1\nHost: a\n\n", "9112 section 2.2"), (b"GET / HTTP/1.1\r\nHost: a\r\n", "9112 section 2.1"),
    (request(b"GET /" + b"a" * 16384 + b" HTTP/1.1"), "target_bytes"), (request(b"GET / HTTP/1.1", b"Host: a", *[b"x: y"] * 100), "header_count"),
    (request(b"GET / HTTP/1.1", b"Host: a", b"x: " + b"y" * 61440), "header_bytes"),
], ids=lambda value: repr(value)[:60])
def test_what_is_wrong(data, section):
    assert any(section in found for found in violations(data)), violations(data)


# The backend

def test_responses_that_requests_describe():
    assert reflected(b'{"status": 500, "headers": {"a": "b"}, "body": "c"}') == (500, {"a": "b"}, b"c")
    assert reflected(b'{"encodedBody": "YQ=="}') == (200, {}, b"a")
    assert reflected(b"[")[0] == reflected(b"[]")[0] == reflected(b'{"status": 99}')[0] == 400


@pytest.mark.parametrize("content, kind", [(b"<title>a", "text/html"), (b" <?xml", "text/xml"), (b"a", "text/plain"), (b"\0", "application/octet-stream")])
def test_types_of_responses_without_one(content, kind):
    assert content_type(content).startswith(kind)
