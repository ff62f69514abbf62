"""Reads CRS regression tests, in the format of 3.3 and of 4.x, into the bytes to send and what is expected of them.

The bytes are those that go-ftw would send: header names sorted, Connection, Content-Length and Content-Type completed,
form bodies percent-encoded, multipart bodies with CRLF. Used by run.py.
"""
import base64
import os
import re
import urllib.parse
from dataclasses import dataclass, field

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
TEMPLATE = re.compile(r'\{\{\s*"([^"]*)"\s*\|\s*repeat\s+(\d+)\s*\}\}')  # the one of go-ftw's templates that CRS uses


@dataclass
class Expectation:
    """What one request must lead to. Patterns are searched in the log's lines of that request."""
    statuses: list = field(default_factory=list)
    ids: list = field(default_factory=list)
    no_ids: list = field(default_factory=list)
    match: str = ""
    no_match: str = ""
    error: bool = False                # the connection ends without an answer
    response: str = ""                 # a pattern of the answer

    def met_by(self, answer, rules, lines):
        """`answer`: targets.Answer; `rules`: ids that matched; `lines`: text to search patterns in."""
        if self.error:
            return answer.status is None
        return (answer.status is not None
                and (not self.statuses or answer.status in self.statuses)
                and (not self.response or re.search(self.response, answer.text) is not None)
                and set(self.ids) <= rules and not set(self.no_ids) & rules
                and (not self.match or re.search(self.match, lines) is not None)
                and not (self.no_match and re.search(self.no_match, lines)))


@dataclass
class Stage:
    name: str                          # 942100-3, or 942100-3.2 where a test has several stages
    data: bytes
    method: str
    expected: Expectation              # of the peer
    original: Expectation              # the suite's own, where a platform's override has replaced it for the peer


def texts(value):
    return [value] if isinstance(value, (int, str)) else list(value or [])


def body_of(given, headers):
    """The body before it is completed; None where go-ftw's template would fail and nothing is sent."""
    if isinstance(given.get("data"), list):  # 3.3 alone
        multipart = "multipart/form-data" in (value_of(headers, "content-type") or "").lower()
        return ("\n" if multipart else "\r\n").join(str(line) for line in given["data"]).encode()
    if given.get("data") is not None:
        text = TEMPLATE.sub(lambda found: found[1] * int(found[2]), str(given["data"]))
        return b"" if "{{" in text else text.encode()
    return base64.b64decode(given.get("encoded_data") or "")


def or_default(value, default):
    return default if value is None else str(value)


def method_of(given):
    return or_default(given.get("method"), "GET")


def value_of(headers, name):
    return next((value for key, value in headers if key.lower() == name), None)


def form_encoded(data):
    """Pairs percent-encoded, unless the text looks as if somebody had done that already."""
    text = data.decode("utf-8", "surrogateescape")
    if re.search(r"%(?![0-9A-Fa-f]{2})", text) or urllib.parse.unquote_plus(text) != text:
        return data
    escape = urllib.parse.quote_plus
    pairs = [token.partition("=") for token in text.split("&")]
    return "&".join(escape(key, errors="surrogateescape") + sign + escape(value, errors="surrogateescape")
                    for key, sign, value in pairs).encode()


def request_bytes(given, old=False):
    """`old`: as the tools of CRS 3's time did it, without a Content-Length where there is no body."""
    for raw in ("encoded_request", "raw_request"):
        if given.get(raw):
            data = given[raw]
            return base64.b64decode(data) if raw == "encoded_request" else data.encode()
    method, target, version = method_of(given), or_default(given.get("uri"), "/"), or_default(given.get("version"), "HTTP/1.1")
    if isinstance(given.get("headers"), dict):
        headers = sorted((str(name), "" if value is None else str(value)) for name, value in given["headers"].items())
    else:
        headers = [(item["name"], str(item["value"])) for item in given.get("headers") or given.get("ordered_headers") or []]
    complete = given.get("autocomplete_headers")
    if complete is None:
        complete = not given.get("stop_magic", False)
    body = body_of(given, headers)
    if body and complete:
        if value_of(headers, "content-type") is None:
            headers.append(("Content-Type", "application/x-www-form-urlencoded"))
        if value_of(headers, "content-type").lower() == "application/x-www-form-urlencoded":
            body = form_encoded(body)
    if "multipart/form-data;" in (value_of(headers, "content-type") or "").lower():
        body = body.replace(b"\n", b"\r\n")
    if complete:
        if value_of(headers, "connection") is None:
            headers.append(("Connection", "close"))
        if value_of(headers, "content-length") is None and (body or not old and re.search("^POST|PUT|PATCH|DELETE$", method)):
            headers.append(("Content-Length", str(len(body))))
    head = f"{method} {target} {version}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    return head.encode("utf-8", "surrogateescape") + body


def expectation(given):
    log = given.get("log") or {}
    expected = Expectation(statuses=[int(status) for status in texts(given.get("status"))], error=bool(given.get("expect_error")),
                           response=given.get("response_contains") or "")
    expected.ids = [int(item) for item in texts(log.get("expect_ids")) + texts(log.get("expect_id"))]
    expected.no_ids = [int(item) for item in texts(log.get("no_expect_ids"))]
    expected.match, expected.no_match = log.get("match_regex") or "", log.get("no_match_regex") or ""
    for key, ids, pattern in (("log_contains", expected.ids, "match"), ("no_log_contains", expected.no_ids, "no_match")):
        text = str(given.get(key) or "")
        found = re.fullmatch(r'(?:id[ :]?)?\s*"?(\d{6})"?', text)
        if found:
            ids.append(int(found[1]))
        elif text:
            setattr(expected, pattern, text)
    return expected


def read_overrides(path):
    """{(rule, test): output} of a platform's list of what it answers differently, as CRS 4 brings it."""
    if not path:
        return {}
    with open(path, encoding="utf-8") as file:
        entries = yaml.load(file, LOADER)["test_overrides"]
    return {(entry["rule_id"], test): entry.get("output") or {} for entry in entries for test in entry["test_ids"]}


def read_suite(folder, overrides=None):
    """All stages below `folder`, in the order of file names."""
    stages = []
    for path in sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names):
        if not path.endswith((".yaml", ".yml")):
            continue
        with open(path, encoding="utf-8") as file:
            document = yaml.load(file, LOADER)
        if not document:  # a file that says that there are no tests
            continue
        rule = document.get("rule_id") or int((re.findall(r"\d+", os.path.basename(path)) or ["0"])[0])
        for number, test in enumerate(document["tests"], 1):
            name = str(test.get("test_title") or f"{rule}-{test.get('test_id', number)}")
            parts = [part.get("stage", part) for part in test["stages"]]
            for index, part in enumerate(parts):
                original = expectation(part["output"])
                override = (overrides or {}).get((rule, test.get("test_id", number)))
                expected = original if override is None else expectation(override)
                stage = f"{name}.{index + 1}" if len(parts) > 1 else name
                stages.append(Stage(stage, request_bytes(part["input"], "test_title" in test), method_of(part["input"]), expected, original))
    return stages
