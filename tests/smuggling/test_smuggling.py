"""The tables against the gateway: requests, legal ones, answers, and requests of HTTP/2 where it speaks that. The peers are
run.py's business."""
import dataclasses
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import answers  # noqa: E402
import downgrades  # noqa: E402
import http2  # noqa: E402
import judge  # noqa: E402
import legal  # noqa: E402
import proxies  # noqa: E402
import run  # noqa: E402
from case import BARE, HIDDEN, ONE, case, get, head, post, read  # noqa: E402
from harness.client import request_bytes  # noqa: E402

judge.GRACE = 0.01   # the gateway is next door


@pytest.fixture(scope="module")
def recorder():
    with judge.Recorder(judge.answering(answers.CASES)) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(recorder):
    with proxies.Subject(recorder.upstream, timeouts={"response": "2s"}) as running:
        yield running


def failures(cases, judged):
    found = []
    for message in cases:
        note = judged(message)
        if note:
            found.append(f"{message.name} ({message.section}): {note}")
    return "\n".join(found)


def test_ambiguous_requests_are_refused_or_settled(proxy, recorder):
    def judged(message):
        verdict = judge.try_request(proxy.http, recorder, message, patience=0.1 if message.endless else 10)
        if verdict.kind == judge.REFUSED and not message.endless:
            if len(verdict.statuses) != 1 or verdict.statuses[0] not in message.statuses:
                return f"refused with {verdict.statuses}, not one of {sorted(message.statuses)}"
            if verdict.statuses[0] == 400 and not verdict.closed:
                return "refused, but the connection stays open"
        return verdict.kind == judge.WRONG and verdict.note
    assert failures(run.REQUESTS, judged) == ""


def test_legal_requests_pass(proxy, recorder):
    def judged(message):
        verdict = judge.try_request(proxy.http, recorder, message, patience=10)
        return verdict.kind != judge.FORWARDED and (verdict.note or verdict.statuses)
    assert failures(legal.CASES, judged) == ""


def test_requests_in_pieces(proxy, recorder):
    """However the bytes arrive: the verdict is the same. Each ninth; what needs many segments is slow."""
    def judged(message):
        verdict = judge.try_request(proxy.http, recorder, message, pieces=5, patience=0.1 if message.endless else 10)
        return verdict.kind == judge.WRONG and verdict.note
    assert failures([message for message in run.REQUESTS + legal.CASES if len(message.data) < 400][::9], judged) == ""


@pytest.fixture(scope="module")
def judged_answer(proxy, recorder):
    def judged(message, secure=None):
        verdict = judge.try_answer(proxy.http, recorder, message, secure)
        return verdict.kind == judge.WRONG and verdict.note
    return judged


def test_bad_answers_never_look_whole(judged_answer):
    assert failures(answers.CASES, judged_answer) == ""


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_cut_answers_over_tls(proxy, judged_answer, version):
    """Without close_notify where the end of the connection would be the end of the body."""
    cases = [dataclasses.replace(message, version=version) for message in answers.TRUNCATED]
    assert failures(cases, lambda message: judged_answer(message, proxy.https)) == ""


def test_cut_answers_to_http_1_0(judged_answer):
    assert failures([dataclasses.replace(message, version="1.0") for message in answers.TRUNCATED], judged_answer) == ""


def test_downgrades(proxy, recorder):
    if not http2.spoken(proxy.https):
        pytest.skip("ALPN does not yield h2: there is nothing to downgrade")

    def judged(message):
        verdict = http2.try_downgrade(proxy.https, recorder, message, proxy.http)
        return verdict.kind != judge.FORWARDED if message.legal else verdict.kind == judge.WRONG and verdict.note
    assert failures(downgrades.CASES + downgrades.LEGAL, judged) == ""


def test_refusals_are_counted(proxy, recorder):
    before = proxy.gateway.metric("gatehouse_local_replies_total", reason="malformed")
    judge.try_request(proxy.http, recorder, next(message for message in run.REQUESTS if message.name == "cl-te"))
    proxy.gateway.wait_metric(before + 1, "gatehouse_local_replies_total", reason="malformed")


def test_the_tables_are_as_large_as_they_should_be():
    assert len(run.REQUESTS) >= 400 and len(legal.CASES) >= 60 and len(answers.CASES) >= 80 and len(downgrades.CASES) >= 80
    for cases in (run.REQUESTS, legal.CASES, answers.CASES, downgrades.CASES + downgrades.LEGAL):
        assert len({message.name for message in cases}) == len(cases), "names are unique"


# The judge itself: it must find what it is there for.

def verdict(requests, *, readings=(), statuses=(), closed=True, legal_=False, absent=(), poisoned=None, complaints=()):
    answers_ = judge.Answers()
    answers_.end, answers_.closed = "closed", closed
    found, complaint = judge.read_all(requests)
    message = case("x", "", b"", *readings, absent=absent, legal=legal_)
    return judge.judge_request(message, answers_, found, [complaint] if complaint else list(complaints), poisoned, statuses).kind


@pytest.mark.parametrize("requests, readings", [
    (get(), [[read(target="/other")]]), (get() + get(), [BARE]), (post(b"Content-Length: 5", body=b"hello"), [[read("POST", body=b"hell")]]),
    (post(b"Content-Length: 48", b"Transfer-Encoding: chunked", body=HIDDEN), [ONE]), (get(b"X: a\0"), [BARE]), (get(b"X: a\r\n b"), [BARE]), (get(b"X : a"), [BARE]),
    (get(end=b"\n") + b"\r\n\r\n", [BARE]), (get(host=b"Host: a b"), [BARE]), (get(b"Host: shop.test"), [BARE]), (get(host=None), [BARE]), (get(b"Connection: Content-Length"), [BARE]),
    (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), [[read("POST")]]), (post(b"Content-Length: 5, 5", body=b"hello"), [ONE]), (get(target=b"/case\xff"), [BARE]),
    (head(b"GET", b"case"), [[read(target="case")]]), (post(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n0\r\n\r\n"), [ONE]),
])
def test_the_judge_finds(requests, readings):
    assert verdict(requests, readings=readings) == judge.WRONG


def test_the_judge_lets_pass():
    assert verdict(get(), readings=[BARE]) == judge.FORWARDED
    assert verdict(get(b"X-Secret: 1"), readings=[BARE], absent=("x-secret",)) == judge.WRONG
    assert verdict(b"", statuses=(400,)) == judge.REFUSED
    assert verdict(b"", statuses=(400,), closed=False) == judge.WRONG
    assert verdict(b"", statuses=(200,)) == judge.WRONG
    assert verdict(b"", statuses=(400,), poisoned="the next client got 502") == judge.WRONG
    assert verdict(request_bytes()[:-2], statuses=(400,)) == judge.REFUSED
