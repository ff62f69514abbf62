"""Names what is wrong with a request that the gateway refuses before the WAF sees it, from the raw bytes alone.

Independent of the gateway's own parser on purpose: a refusal for which nothing is found here is a failure of the gateway.
Used by run.py.
"""
import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NAMES_IN_HOST = re.compile(rb"(?=.{0,253}\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::([0-9]*))?")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# Fields that are meant for all recipients, so that Connection cannot name them.
END_TO_END = re.compile(rb"(?i)host|cookie|authorization|user-agent|accept(-.+)?|content-.+|transfer-encoding|cache-control|date|origin|"
                        rb"referer|expect|max-forwards|forwarded|x-forwarded-.+|x-real-ip|x-request-id|traceparent|tracestate|via|"
                        rb"cdn-loop|sec-websocket-(key|version)")
MANY = 100           # limits.header_count
LONG_TARGET = 16384  # limits.target_bytes
LONG_HEAD = 61440    # limits.header_bytes


def start_line(line, found):
    """(method, target, version), as far as they can be told."""
    if not re.fullmatch(rb"[^ ]+ [^ ]+ HTTP/[0-9]\.[0-9]", line):
        found.append("RFC 9112 section 3: the request line is not method SP target SP version")
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if not TOKEN.fullmatch(method):
        found.append("RFC 9110 section 9.1: the method is not a token")
    if re.fullmatch(rb"HTTP/[0-9]\.[0-9]", version) and version not in (b"HTTP/1.0", b"HTTP/1.1"):
        found.append("RFC 9110 section 2.5: another major or a later minor version than HTTP/1.0 and HTTP/1.1 of RFC 9112")
    if b"#" in target:
        found.append("RFC 9112 section 3.2: a request target has no fragment (#)")
    if re.search(rb"[^\x21-\x7e]", target):
        found.append("RFC 9112 section 3.2: a byte that no request target can have")
    if len(target) > LONG_TARGET:
        found.append("limits.target_bytes (RFC 9110 section 15.5.15)")
    return method, target, version


def fields_of(lines, found):
    fields = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            found.append("RFC 9112 section 5.2: a folded field line")
            continue
        name, colon, value = line.partition(b":")
        if not colon:
            found.append("RFC 9112 section 5: a field line without a colon")
        elif name != name.rstrip(b" \t"):
            found.append("RFC 9112 section 5.1: whitespace before the colon")
        elif not TOKEN.fullmatch(name):
            found.append("RFC 9110 section 5.1: the field name is not a token")
        elif b"_" in name:
            found.append("limits.underscores: a field name that upstreams could take for another (RFC 3875 section 4.1.18)")
        if not FIELD_VALUE.fullmatch(value):
            found.append("RFC 9110 section 5.5: a control character in a field value")
        fields.append((name.strip().lower(), value.strip(b" \t")))
    if len(fields) > MANY:
        found.append("limits.header_count (RFC 6585 section 5)")
    return fields


def is_host(text):
    match = HOST.fullmatch(text)
    if not match or (match[2] and int(match[2]) > 65535):
        return False
    return text.startswith(b"[") or NAMES_IN_HOST.fullmatch(match[1]) is not None


def host(fields, target, version, found):
    hosts = [value for name, value in fields if name == b"host"]
    if version == b"HTTP/1.1" and not hosts:
        found.append("RFC 9112 section 3.2: no Host")
    if len(hosts) > 1:
        found.append("RFC 9112 section 3.2: more than one Host")
    if b"" in hosts and version == b"HTTP/1.1":
        found.append("RFC 9110 section 4.2.1: an http URI with an empty host, which a recipient has to refuse")
    elif any(b"%" in value and is_host(re.sub(rb"%[0-9A-Fa-f]{2}", b"a", value)) for value in hosts):
        found.append("RFC 1123 section 2.1 (RFC 3986 section 3.2.2): Host is no host name: it has a percent-encoded byte")
    elif any(not is_host(value) for value in hosts):
        found.append("RFC 9110 section 7.2: Host is not uri-host [:port]")
    absolute = re.match(rb"(?i)(https?)://([^/?#]*)", target)
    if absolute and hosts:
        port = {b"http": b":80", b"https": b":443"}[absolute[1].lower()]
        plain = [re.sub(re.escape(port) + rb"\Z", b"", text.lower()) for text in (absolute[2], hosts[0])]
        if plain[0] != plain[1]:
            found.append("RFC 9112 section 3.2.2: the target names another host than Host")


def target_form(method, target, found):
    if method == b"CONNECT":
        found.append("RFC 9110 section 9.3.6: CONNECT is for proxies that its recipient has chosen to be")
    elif target == b"*":
        if method != b"OPTIONS":
            found.append("RFC 9112 section 3.2.4: the asterisk is for OPTIONS")
    elif not target.startswith(b"/") and not re.match(rb"(?i)https?://[^/?#]", target):
        found.append("RFC 9112 section 3.2: the target is in none of its four forms")
    path = re.sub(rb"(?i)\Ahttps?://[^/?#]*", b"", target).partition(b"?")[0]
    if re.search(rb"%(?![0-9A-Fa-f]{2})", path):
        found.append("RFC 3986 section 2.1: % without two hex digits in the path")
    if b"%00" in path:
        found.append("RFC 3986 section 7.3: %00 in the path")
    depth = 0
    for segment in re.sub(rb"/+", b"/", re.sub(rb"(?i)%2e", b".", path)).split(b"/")[1:]:
        depth += {b"..": -1, b".": 0}.get(segment, 1)
        if depth < 0:
            found.append("RFC 3986 section 5.2.4: the path leads above the root")
            break


def framing(fields, version, body, found):
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if lengths and codings:
        found.append("RFC 9112 section 6.3: Transfer-Encoding with Content-Length")
    if codings and version == b"HTTP/1.0":
        found.append("RFC 9112 section 6.1: Transfer-Encoding in HTTP/1.0")
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        found.append("RFC 9112 section 6.1: a transfer coding that is not one chunked")
    if len(lengths) > 1 or any(not re.fullmatch(rb"[0-9]{1,19}", value) for value in lengths):
        found.append("RFC 9110 section 8.6: Content-Length is not one number")
    elif codings and not re.match(rb"(?:[0-9A-Fa-f]+[ \t]*(?:;[^\r\n]*)?\r\n|\Z)", body):
        found.append("RFC 9112 section 7.1: the body is not chunked as it says")


def other_fields(fields, found):
    for name in (b"content-type", b"content-encoding"):
        if sum(key == name for key, _ in fields) > 1:
            found.append("RFC 9110 section 5.3: a field twice that is not a list")
    if any(name == b"content-encoding" and value.lower() not in (b"", b"identity") for name, value in fields):
        found.append("RFC 9110 section 15.5.16: a content coding that the WAF cannot read (415)")
    if any(name == b"expect" and value.lower() != b"100-continue" for name, value in fields):
        found.append("RFC 9110 section 10.1.1: an expectation that is unknown (417)")
    options = [option.strip() for name, value in fields if name == b"connection" for option in value.split(b",") if option.strip()]
    if any(not TOKEN.fullmatch(option) for option in options):
        found.append("RFC 9110 section 7.6.1: Connection is not a list of tokens")
    if any(END_TO_END.fullmatch(option) for option in options):
        found.append("RFC 9110 section 7.6.1: Connection names a field that is meant for all recipients")


def violations(data):
    """All that is wrong with these bytes, in the order of the message; empty if nothing is."""
    found = []
    data = data[2:] if data.startswith(b"\r\n") else data  # RFC 9112 section 2.2 has one empty line skipped
    head, end, body = data.partition(b"\r\n\r\n")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", head):
        found.append("RFC 9112 section 2.2: CR or LF alone")
    if not end:
        found.append("RFC 9112 section 2.1: the head does not end")
    if len(head) > LONG_HEAD:
        found.append("limits.header_bytes (RFC 6585 section 5)")
    lines = head.split(b"\r\n")
    method, target, version = start_line(lines[0], found)
    fields = fields_of(lines[1:], found)
    host(fields, target, version, found)
    target_form(method, target, found)
    framing(fields, version, body, found)
    other_fields(fields, found)
    return found
