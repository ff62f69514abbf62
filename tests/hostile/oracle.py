"""Says of an accepted file, without looking at what the generator meant, why it is not harmless; and of a refusal, what it lacks.

Reads YAML by another library (python3-yaml, its base loader: everything is text) and goes by the contract alone.
"""
import ipaddress
import json
import os
import re
import stat
import unicodedata

import yaml

import seclang_reader
from world import SECRET

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
TENANT = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYS = {
    "": {"tenant", "hosts", "services", "routes", "rate_limits", "waf", "access", "limits"},
    "host": {"name", "tls"},
    "host.tls": {"self_signed", "certificate_file", "key_file", "min_version", "client_ca_file", "client_crl_file", "client_auth", "hsts"},
    "service": {"protocol", "tls", "balance", "sites", "health", "retry"},
    "service.tls": {"ca_file", "server_name", "certificate_file", "key_file"},
    "site": {"site", "endpoints"},
    "health": {"path", "interval", "timeout", "unhealthy_after", "healthy_after"},
    "retry": {"attempts", "retry_on"},
    "route": {"name", "match", "service", "rate_limits", "timeout"},
    "match": {"path", "path_exact", "path_regex", "methods", "headers"},
    "rate_limit": {"key", "rate", "burst", "mode", "on_store_failure", "shadow", "headers"},
    "waf": {"mode", "paranoia", "anomaly_threshold", "body", "exclusions", "rules_before", "rules_after"},
    "waf.anomaly_threshold": {"inbound", "outbound"},
    "waf.body": {"limit", "over_limit", "response"},
    "exclusion": {"rule", "target", "path"},
    "access": {"allow", "deny"},
    "limits": {"requests_in_flight", "connections"},
}
MOST_FILE_BYTES = 4 << 20
# Refusals of a whole file, which have no line.
WHOLE = ("cannot read", "not a regular file", "is a directory", "is larger than", "characters of punctuation", "the file is empty", "the name of a tenant's file", "does not end in .yaml",
         "more errors, which are not shown")


def is_harmful_character(c):
    return c != "\n" and (unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs"))


def shown_badly(text):
    """The first character that moves a cursor, ends a line or hides, or None."""
    return next((f"U+{ord(c):04X}" for c in text if c == "\n" or is_harmful_character(c)), None)


class Strict(yaml.loader.BaseLoader):
    """No anchors, no tags, no key twice."""

    def compose_node(self, parent, index):
        event = self.peek_event()
        if isinstance(event, yaml.events.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("an anchor or an alias")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"a tag {event.tag}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value.__hash__ is None or not isinstance(key, yaml.ScalarNode) or key.value in seen:
                raise ValueError(f"the key {key.value!r} twice, or not a word")
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)


def read(data):
    text = data.decode("utf-8-sig")
    while True:
        try:
            documents = list(yaml.load_all(text, Loader=Strict))
            break
        except yaml.parser.ParserError as error:
            # YAML 1.2 section 7.3.3: a plain scalar may begin with a colon that no blank follows, in flow collections too,
            # which this library, of YAML 1.1, does not know. What begins with another character is as harmless or not.
            at = error.problem_mark.index
            if not re.match(r":[^\s,\[\]{}]", text[at:at + 2]):
                raise
            text = text[:at] + "." + text[at + 1:]
    if len(documents) != 1:
        raise ValueError(f"{len(documents)} documents")
    return documents[0]


def canonical(name):
    """A host as clients would look it up."""
    name = unicodedata.normalize("NFKC", name).strip().lower().rstrip(".")
    labels = []
    for label in re.split("[.\u3002\uff0e\uff61]", name):
        if label.startswith("xn--"):
            try:
                label = unicodedata.normalize("NFKC", label[4:].encode("ascii").decode("punycode")).lower()
            except (UnicodeError, ValueError):
                pass
        labels.append("".join(c for c in label if unicodedata.category(c) != "Cf"))
    return ".".join(labels)


def covers(wildcard, name):
    return wildcard.startswith("*.") and not name.startswith("*") and "." in name and name.split(".", 1)[1] == wildcard[2:]


class Accepted:
    """The accepted tenants of one batch, for what concerns several."""

    def __init__(self, world):
        self.world = world
        self.hosts = {canonical(host): owner for owner, hosts in world.hosts.items() for host in hosts}
        self.names = set(world.names)

    def add(self, data, file_name, stem):
        """Why this accepted file is not harmless."""
        self.found, self.stem = [], stem
        try:
            try:
                document = read(data)
            except yaml.scanner.ScannerError:   # this library takes no tab before a token, which YAML allows
                document = read(data.replace(b"\t", b" "))
        except (ValueError, yaml.YAMLError, RecursionError) as error:
            return [f"accepted, but another reader refuses it: {str(error)[:300]}"]
        try:
            self._document(document)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            self.found.append(f"accepted, but of another shape: {error!r}")
        return self.found

    def _keys(self, mapping, kind):
        for key in mapping.keys() - KEYS[kind]:
            self.found.append(f"the unknown key {key!r} in {kind or 'the tenant'}")

    def _check(self, good, what):
        if not good:
            self.found.append(what)

    def _document(self, document):
        self._keys(document, "")
        name = document["tenant"]
        self._check(TENANT.fullmatch(name), f"tenant {name!r}")
        self._check(name not in self.names, f"the name {name!r} is another's")
        self.names.add(name)
        for host in document["hosts"]:
            self._host(host, name)
        for service, settings in document["services"].items():
            self._check(NAME.fullmatch(service), f"service {service!r}")
            self._service(settings)
        limits = document.get("rate_limits") or {}
        for limit, settings in limits.items():
            self._check(NAME.fullmatch(limit), f"rate limit {limit!r}")
            self._rate_limit(settings)
        for route in document["routes"]:
            self._route(route, document["services"], limits)
        self._waf(document.get("waf") or {})
        access = document.get("access") or {}
        self._keys(access, "access")
        for network in [*access.get("allow", []), *access.get("deny", [])]:
            ipaddress.ip_network(network)
        share = document.get("limits") or {}
        self._keys(share, "limits")
        for value in share.values():
            self._integer(value, 0, 10_000_000)

    def _integer(self, text, least, most):
        self._check(re.fullmatch(r"0|[1-9][0-9]*", text) and least <= int(text) <= most, f"the number {text!r}")

    def _duration(self, text):
        self._check(re.fullmatch(r"(0|[1-9][0-9]{0,11})(ms|s|m|h)", text), f"the duration {text!r}")

    def _host(self, host, owner):
        self._keys(host, "host")
        name = canonical(host["name"])
        self._check(name == "*" or re.fullmatch(r"(\*\.)?[^\s/:@*?#%,{}\\\"'|`$~_\x00-\x1f\x7f]+|\[[0-9a-f:.]+\]", name), f"host {host['name']!r}")
        self._check(name not in self.hosts, f"the host {name!r} belongs to {self.hosts.get(name)}")
        for other, holder in self.hosts.items():
            self._check(holder == owner or not (covers(name, other) or covers(other, name)), f"the host {name!r} meets {other!r} of {holder}")
        self.hosts[name] = owner
        tls = host.get("tls", {})
        if isinstance(tls, str):
            self._check(tls in ("off", "false"), f"tls {tls!r}")
            return
        self._keys(tls, "host.tls")
        self._files(tls, "certificate_file", "key_file", "client_ca_file", "client_crl_file")

    def _files(self, mapping, *keys):
        for key in keys:
            if key in mapping:
                self._file(mapping[key])

    def _file(self, path):
        own = os.path.join(self.world.tenants, self.stem + ".d")
        allowed = [os.path.realpath(self.world.shared)]
        if os.path.realpath(own).startswith(os.path.realpath(self.world.tenants) + "/"):
            allowed.append(os.path.realpath(own))
        real = os.path.realpath(os.path.join(own, path))
        self._check(any(real.startswith(folder + "/") for folder in allowed), f"the file {path!r}, which is {real!r}")
        status = os.stat(real)
        self._check(stat.S_ISREG(status.st_mode) and status.st_size <= MOST_FILE_BYTES, f"the file {path!r} is none or too large")

    def _endpoint(self, text):
        match = re.fullmatch(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]):([1-9][0-9]{0,4})", text)
        if not match or int(match[3]) > 65535:
            self.found.append(f"the endpoint {text!r}")
            return
        address, port = ipaddress.ip_address(match[1] or match[2]), int(match[3])
        if address.version == 6:
            if address.ipv4_mapped:
                address = address.ipv4_mapped
            elif address in ipaddress.ip_network("64:ff9b::/96") or (int(address) >> 32 == 0 and int(address) > 1):
                address = ipaddress.ip_address(int(address) & 0xFFFFFFFF)
        self._check(not (address.is_link_local or address.is_multicast or address.is_unspecified), f"the endpoint {text!r}, {address}")
        self._check(address.version == 6 or address not in ipaddress.ip_network("0.0.0.0/8"), f"the endpoint {text!r}, {address}")
        for own, own_port in self.world.own:
            here = address.is_loopback or str(address) == own or (own == "0.0.0.0" and str(address) == self.world.own_address)
            self._check(not (here and port == own_port), f"the endpoint {text!r} is our own {own}:{own_port}")

    def _service(self, service):
        self._keys(service, "service")
        self._keys(service.get("tls", {}), "service.tls")
        self._files(service.get("tls", {}), "ca_file", "certificate_file", "key_file")
        for site in service["sites"]:
            self._keys(site, "site")
            self._check(NAME.fullmatch(site["site"]), f"site {site['site']!r}")
            for endpoint in site["endpoints"]:
                self._endpoint(endpoint)
        health = service.get("health") or {}
        self._keys(health, "health")
        self._check(re.fullmatch(r"/[\x21-\x7e]*", health.get("path", "/")), f"health path {health.get('path')!r}")
        for key in ("interval", "timeout"):
            if key in health:
                self._duration(health[key])
        retry = service.get("retry") or {}
        self._keys(retry, "retry")
        self._integer(retry.get("attempts", "1"), 1, 10)
        name = service.get("tls", {}).get("server_name")
        self._check(name is None or re.fullmatch(r"[^\s/@*?#%\"'\x00-\x1f\x7f]+", name), f"server_name {name!r}")

    def _rate_limit(self, limit):
        self._keys(limit, "rate_limit")
        match = re.fullmatch(r"([1-9][0-9]*)/[smh]", limit["rate"])
        self._check(match and int(match[1]) <= 1_000_000_000, f"rate {limit['rate']!r}")
        if "burst" in limit:
            self._integer(limit["burst"], 1, 1_000_000_000)
        keys = limit.get("key", "client_ip")
        for key in [keys] if isinstance(keys, str) else keys:
            self._check(key in ("client_ip", "tenant", "host") or (key.startswith("header:") and TOKEN.fullmatch(key[7:])), f"key {key!r}")

    def _route(self, route, services, limits):
        self._keys(route, "route")
        match = route["match"]
        self._keys(match, "match")
        self._check(route["service"] in services, f"service {route['service']!r}")
        for limit in route.get("rate_limits", []):
            self._check(limit in limits, f"rate limit {limit!r}")
        if "name" in route:
            self._check(re.fullmatch(r"[\x21-\x7e]{1,200}", route["name"]), f"route name {route['name']!r}")
        for key in ("path", "path_exact"):
            if key in match:
                self._path(match[key])
        if "path_regex" in match:
            self._check(len(match["path_regex"].encode()) <= 500 and "\n" not in match["path_regex"], "path_regex")
        for method in match.get("methods", []):
            self._check(TOKEN.fullmatch(method) and method == method.upper(), f"method {method!r}")
        for name, value in (match.get("headers") or {}).items():
            self._check(TOKEN.fullmatch(name), f"header {name!r}")
            self._check(re.fullmatch(r"([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?", value), f"header value {value!r}")
        if "timeout" in route:
            self._duration(route["timeout"])

    def _path(self, path):
        self._check(re.fullmatch(r"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", path) and "%00" not in path and "//" not in path, f"path {path!r}")
        self._check(not {".", ".."} & set(re.sub("%2e", ".", path, flags=re.I).split("/")), f"path {path!r}")

    def _waf(self, waf):
        self._keys(waf, "waf")
        self._keys(waf.get("anomaly_threshold") or {}, "waf.anomaly_threshold")
        self._keys(waf.get("body") or {}, "waf.body")
        self._check(waf.get("mode", "block") in ("block", "detect", "off", "false"), f"mode {waf.get('mode')!r}")
        for exclusion in waf.get("exclusions") or []:
            self._keys(exclusion, "exclusion")
            self._integer(exclusion["rule"], 1, 999_999_999)
            self._check(re.fullmatch(r"[A-Z0-9_]+(:[^\s\"'\\,|%{}!&#;/][^\s\"'\\,|%{}!&#;]*)?", exclusion.get("target", "ARGS")), f"target {exclusion.get('target')!r}")
            if "path" in exclusion:
                self._path(exclusion["path"])
        rules = self.world.tenant_rules
        self._check(rules != "false" or not any((waf.get(key) or "").strip() for key in ("rules_before", "rules_after")), "rules, which the platform does not allow")
        if waf.get("mode", "block") not in ("off", "false"):
            used = set()
            for key in ("rules_before", "rules_after"):
                text = waf.get(key) or ""
                self._check(len(text.encode()) <= 256 * 1024, f"{key} is too long")
                self.found += seclang_reader.complaints(text, used, rules == "trusted")


def refusal_lacks(problems, data, is_text):
    """What is wrong with how a file was refused: its position, its words."""
    found, lines = [], data.split(b"\n")
    errors = [problem for problem in problems if problem["severity"] == "error"]
    placed = [problem for problem in errors if problem["line"] >= 1]
    if is_text and errors and not placed and not any(any(words in problem["message"] for words in WHOLE) for problem in errors):
        found.append(f"refused without a line: {errors[0]['message'][:200]}")
    for problem in problems:
        character = shown_badly(problem["message"])
        if character:
            found.append(f"{character} in the message {problem['message'][:200]!r}")
        if SECRET in problem["message"]:
            found.append("the message shows a file's content")
        if len(problem["message"]) > 3000:
            found.append(f"a message of {len(problem['message'])} characters")
        if is_text and problem["line"] > len(lines) + 1:
            found.append(f"line {problem['line']} of {len(lines)}")
    if len(problems) > 1000:
        found.append(f"{len(problems)} problems")
    return found


LABEL = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(,|$)')
SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)")


def metrics_faults(text, is_known):
    """Lines that are no samples, labels that are not well-formed, tenants that nobody knows."""
    found, seen = [], set()
    for line in text.split("\n"):
        if not line or line.startswith("# "):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            found.append(f"not a sample: {line[:200]!r}")
            continue
        float(match[3])
        rest, labels = match[2] or "", {}
        while rest:
            label = LABEL.match(rest)
            if not label or label[1] in labels:
                found.append(f"labels of {line[:200]!r}")
                break
            labels[label[1]] = label[2]
            rest = rest[label.end():]
        if shown_badly(line):
            found.append(f"{shown_badly(line)} in {line[:200]!r}")
        if (match[1], match[2]) in seen:
            found.append(f"twice: {line[:200]!r}")
        seen.add((match[1], match[2]))
        if not is_known(labels.get("tenant", "-")):
            found.append(f"the tenant {labels['tenant']!r} in {line[:200]!r}")
    return found


def log_faults(data):
    """Lines that are not one JSON object in UTF-8 each, or that hold what moves a cursor."""
    found = []
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            text = line.decode()
            if not isinstance(json.loads(text), dict):
                found.append(f"no object: {text[:200]!r}")
            if shown_badly(text):
                found.append(f"{shown_badly(text)} in {text[:300]!r}")
        except ValueError as error:
            found.append(f"{error}: {line[:200]!r}")
    return found
