"""The command line: what it prints and how it ends."""
import json
import os
import re

import pytest

from harness.certificates import openssl
from harness.gateway import Gateway, run_command, tenant
from harness.ports import free_port

PROBLEM = re.compile(r"^(?P<file>/[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<severity>error|warning): .+")


@pytest.fixture
def prepared():
    gateways = []

    def make(tenants=None, config=None):
        gateway = Gateway({"shop": tenant()} if tenants is None else tenants, config, start=False)
        gateways.append(gateway)
        return gateway
    yield make
    for gateway in gateways:
        gateway.discard()


def check(gateway, *more):
    return run_command("check", "--config", gateway.configuration, *more)


def test_version():
    result = run_command("--version")
    assert result.returncode == 0 and re.search(r"\d+\.\d+\.\d+", result.stdout) and result.stderr == ""


@pytest.mark.parametrize("arguments", [("--help",), ("check", "--help"), ("run", "--help"), ("-h",)])
def test_help(arguments):
    result = run_command(*arguments)
    assert result.returncode == 0 and result.stdout


def test_help_names_every_command():
    text = run_command("--help").stdout
    for command in ("run", "check", "schema", "health"):
        assert command in text


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("run",), ("check",), ("run", "--nonsense"), ("schema",), ("schema", "nonsense"), ("check", "--config"),
                                       ("check", "--config", "x", "--output", "nonsense"), ("health", "--admin", "nonsense"), ("run", "--config", "x", "more")])
def test_wrong_usage_is_2(arguments):
    result = run_command(*arguments)
    assert result.returncode == 2, (result.stdout, result.stderr)
    assert result.stderr or result.stdout


def test_an_unknown_command_is_named():
    assert "'nonsense'" in run_command("nonsense").stderr
    assert "superseded" in run_command("certs", "revoke", "a.test", "--reason", "x y").stderr
    assert "host name" in run_command("certs", "renew", "a b").stderr


def test_the_admin_address_is_taken_behind_a_command_too():
    result = run_command("certs", "list", "--admin", "127.0.0.1:9")
    assert result.returncode == 1 and "127.0.0.1:9" in result.stderr


def test_check_fine(prepared):
    result = check(prepared())
    assert (result.returncode, result.stderr) == (0, "")
    result = check(prepared(), "-v")
    assert result.returncode == 0 and "shop" in result.stdout


def test_check_tells_every_problem_at_once(prepared):
    shop = """\
tenant: shop
hosts:
  - name: shop.test
    tls: off
services:
  web:
    sites:
      - {site: here, endpoints: ["127.0.0.1:9001", "nonsense"]}
    balanse: round_robin
routes:
  - {match: {path: /a}, service: wen}
  - {match: {path: /}, service: web, timeout: 5}
  - {match: {path: /never}, service: web}
waf: {mode: blok}
"""
    gateway = prepared({"shop": shop, "other": "tenant: other\nhosts: [{name: shop.test, tls: off}]\nservices: {}\nroutes: []\n"}, {"workerz": 2})
    result = check(gateway)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    found = [(os.path.basename(match["file"]), int(match["line"]), match["severity"], line) for line in lines if (match := PROBLEM.match(line))]
    places = {(file, line) for file, line, severity, _ in found if severity == "error"}
    for wanted in (("shop.yaml", 8), ("shop.yaml", 9), ("shop.yaml", 11), ("shop.yaml", 12), ("shop.yaml", 14)):
        assert wanted in places, (wanted, result.stdout)
    text = result.stdout
    assert "balance" in text, "the nearest known key"
    assert "nonsense" in text and "wen" in text and "blok" in text
    assert any(file == "gateway.yaml" and "workerz" in line and "workers" in line for file, _, _, line in found), text


def test_check_shows_the_line_with_a_caret(prepared):
    gateway = prepared({"shop": "tenant: shop\nhosts: [{name: shop.test, tls: off}]\nnonsense: true\n"})
    lines = check(gateway).stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if PROBLEM.match(line) and ":3:1:" in line)
    assert "nonsense: true" in lines[at + 1]
    assert lines[at + 2].strip().startswith("^")
    assert lines[at + 2].index("^") == lines[at + 1].index("nonsense")


def under(lines, place):
    """The problem at `place` in `lines`: its message, the text of its line from the caret on."""
    at = next(number for number, line in enumerate(lines) if PROBLEM.match(line) and f"{place}: " in line)
    return lines[at].split(": ", 1)[1], lines[at + 1][lines[at + 2].index("^"):]


@pytest.mark.parametrize("rules,words", [("/nonexistent/*.conf", "cannot be read"), ("/etc/*.nothing", "no file matches"), ("/etc/nothing.conf", "no file matches"), ("/etc", "Is a directory")])
def test_check_shows_where_missing_rule_files_are_named(prepared, rules, words):
    gateway = prepared()
    with open(gateway.configuration, "a", encoding="utf-8") as file:
        file.write(f'waf:\n  rules:\n    - "{rules}"\n')
    with open(gateway.configuration, encoding="utf-8") as file:
        line = len(file.readlines())
    result = check(gateway)
    assert result.returncode == 1
    message, text = under(result.stdout.splitlines(), f"{gateway.configuration}:{line}:7")
    assert words in message and rules in message, message
    assert text == f'"{rules}"'


def test_check_shows_the_line_of_a_rule_file(prepared):
    gateway = prepared()
    path = os.path.join(gateway.folder, "bad.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write('SecRule ARGS "@rx (" "id:1,phase:1,deny"\n')
    with open(gateway.configuration, "a", encoding="utf-8") as file:
        file.write(f'waf: {{rules: ["{path}"]}}\n')
    result = check(gateway)
    assert result.returncode == 1
    message, text = under(result.stdout.splitlines(), f"{path}:1:19")
    assert "does not compile" in message and text.startswith('(" "id:1')


def test_check_tells_tenants_problems_when_the_rules_cannot_be_loaded(prepared):
    gateway = prepared({"shop": "tenant: shop\nhosts: [{name: shop.test, tls: off}]\nwaf: {paranoia: 9}\n"}, {"waf": {"rules": ["/etc/nothing.conf"]}})
    result = check(gateway)
    assert result.returncode == 1
    assert "no file matches" in result.stdout and "shop.yaml:3:17: error" in result.stdout, result.stdout


def test_check_tells_of_rules_and_certificates_beside_the_readers_errors(prepared, authority):
    """In a tenant's file, in gateway.yaml, or in both; what is told once is not told again."""
    broken = tenant(hosts=[{"name": "shop.test", "tls": {"certificate_file": authority.issue("shop.test")[0], "key_file": authority.issue("other.test")[1]}},
                           {"name": "half.test", "tls": {"certificate_file": authority.issue("half.test")[0]}}],
                    waf={"mode": "block", "rules_after": 'SecRule ARGS "@rx (" "id:10001,phase:1,deny"\n'})
    for nonsense, config in (({"nonsense": 1}, {}), ({}, {"workerz": 2}), ({"nonsense": 1}, {"workerz": 2})):
        gateway = prepared({"shop": {**broken, **nonsense}}, {"policy": {"files": [authority.folder]}, **config})
        result = check(gateway)
        assert result.returncode == 1
        for words in ["does not compile", "the host's TLS cannot be set up", "'key_file' is missing",
                      *(f"'{key}' is not a key" for key in (*nonsense, *config))]:
            assert result.stdout.count(words) == 1, (words, result.stdout)
        assert "cannot be read" not in result.stdout and all(PROBLEM.match(line) for line in result.stdout.splitlines() if line.startswith("/")), result.stdout
        gateway.write_config(waf={"rulez": []})
        assert "does not compile" not in check(gateway).stdout, "nobody knows by which rules"


def test_check_tells_the_problems_before_a_second_document(prepared):
    gateway = prepared({"shop": "tenant: shop\nhosts: [{name: shop.test, tls: off}]\nwaf: {paranoia: 9}\n---\nfoo: 1\n"}, {"workerz": 2})
    with open(gateway.configuration, "a", encoding="utf-8") as file:
        file.write("---\nfoo: 1\n")
    result = check(gateway)
    assert result.returncode == 1
    assert result.stdout.count("a second document begins here") == 2, result.stdout
    assert "workerz" in result.stdout and "shop.yaml:3:17: error" in result.stdout, result.stdout
    assert "foo" not in result.stdout, result.stdout


@pytest.mark.parametrize("redis", ['redis: {url: "http://h"}', 'redis: {url: "redis://:secret@h"}', 'redis: {url: "redis://h"}\n---\na: 1', "redis: ["])
def test_check_does_not_miss_redis_that_is_wrong(prepared, redis):
    gateway = prepared({"shop": tenant(rate_limits={"per_client": {"key": "client_ip", "rate": "10/s"}},
                                       routes=[{"match": {"path": "/"}, "service": "web", "rate_limits": ["per_client"]}])})
    with open(gateway.configuration, "a", encoding="utf-8") as file:
        file.write(redis + "\n")
    result = check(gateway)
    assert result.returncode == 1
    assert "without 'redis'" not in result.stdout, result.stdout


@pytest.mark.parametrize("key", ["access_log", "audit_log"])
@pytest.mark.parametrize("path, words", [("none/of/it.log", "there is no folder"), ("folder", "is a folder"), ("link", "is a link"),
                                         ("file/a.log", "there is no folder")])
def test_check_tells_of_logs_that_cannot_be_opened(prepared, tmp_path, key, path, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    gateway = prepared(config={key: {"path": str(tmp_path / path)}})
    result = check(gateway)
    assert result.returncode == 1
    message, source = under(result.stdout.splitlines(), "10:9" if key == "access_log" else "13:9")
    assert words in message and f"{key}.path" in message and path in source
    with pytest.raises(AssertionError, match=words):
        gateway.start()


@pytest.mark.parametrize("content, config, words", [
    ("no base64url!", {"acme": {"default": {"directory": "https://ca.test/dir", "eab": {"key_id": "k", "mac_key_file": "FILE"}}}}, "holds no base64url"),
    ("no base64!", {"acme": {"default": {"directory": "https://ca.test/dir", "dns": {
        "server": "192.0.2.1:53", "zone": "a.test", "key_name": "k", "secret_file": "FILE"}}}}, "holds no base64"),
    ("", {"acme": {"default": {"directory": "https://ca.test/dir", "dns": {"webhook": {
        "url": "https://hook.test", "user": "u", "password_file": "FILE"}}}}}, "empty line"),
    ("c2hvcnQ=", {"redis": {"url": "redis://127.0.0.1:6379/0"}, "storage": {"file": None, "redis": {"encryption_key_file": "FILE"}}}, "32"),
])
def test_check_reads_keys(prepared, tmp_path, content, config, words):
    file = tmp_path / "secret"
    file.write_text(content + "\n")
    result = check(prepared(config=json.loads(json.dumps(config).replace("FILE", str(file)))))
    assert result.returncode != 0 and str(file) in result.stdout and words in result.stdout, result.stdout
    assert re.search(r"gateway\.yaml:\d+:\d+: error: ", result.stdout), result.stdout
    assert not content or content not in result.stdout


@pytest.mark.parametrize("path", ["there.log", "made/new.log"])
def test_check_makes_no_log(prepared, tmp_path, path):
    gateway = prepared(config={"access_log": {"path": str(tmp_path / path)}})
    assert check(gateway).returncode == 0 and not list(tmp_path.iterdir())


def test_check_warnings_alone_are_0(prepared):
    """A limit that is meant to be exact without Redis counts on this node alone."""
    gateway = prepared({"shop": tenant(rate_limits={"per_client": {"key": "client_ip", "rate": "10/s", "mode": "exact"}},
                                       routes=[{"match": {"path": "/"}, "service": "web", "rate_limits": ["per_client"]}])})
    result = check(gateway)
    assert result.returncode == 0
    assert any((match := PROBLEM.match(line)) and match["severity"] == "warning" for line in result.stdout.splitlines()), result.stdout


def test_check_tells_of_certificates_that_clients_will_refuse(prepared, authority, tmp_path):
    fine, other = authority.issue("shop.test"), authority.issue("other.test")
    expired, key = str(tmp_path / "expired.pem"), str(tmp_path / "key.pem")
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:*.old.test",
            "-keyout", key, "-out", str(tmp_path / "new.pem"))
    openssl("x509", "-in", str(tmp_path / "new.pem"), "-signkey", key, "-days", "-1", "-out", expired)
    hosts = [{"name": name, "tls": {"certificate_file": files[0], "key_file": files[1]}}
             for name, files in (("shop.test", fine), ("wrong.test", other), ("*.old.test", (expired, key)))]
    result = check(prepared({"shop": tenant(hosts=hosts)}, {"policy": {"files": [authority.folder, str(tmp_path)]}}))
    assert result.returncode == 0
    assert result.stdout.count("is not for wrong.test: clients will refuse it") == 1 and result.stdout.count("is not for") == 1, result.stdout
    assert result.stdout.count("has expired on") == 1, result.stdout


def test_check_as_json(prepared):
    gateway = prepared({"shop": "tenant: shop\nhosts: [{name: shop.test, tls: off}]\nnonsense: true\n"})
    result = check(gateway, "--output", "json")
    assert result.returncode == 1
    text = result.stdout.strip()
    value = json.loads(text)
    assert "nonsense" in json.dumps(value) and "shop.yaml" in json.dumps(value)
    assert json.loads(check(prepared(), "--output", "json").stdout) is not None


@pytest.mark.parametrize("path", ["/nonexistent/gateway.yaml", "/", "/dev/null/x"])
def test_configuration_that_cannot_be_read(path):
    for command in ("check", "run"):
        result = run_command(command, "--config", path, timeout=30)
        assert result.returncode == 1 and path in result.stdout + result.stderr


@pytest.mark.parametrize("config, word", [
    ({"storage": {"file": None, "kubernetes": {"namespace": "x"}}}, "kubernetes"),
    ({"redis": {"url": "redis://127.0.0.1:1", "sentinel": {}}}, "sentinel"),
])
def test_features_of_other_versions_are_refused_with_these_words(prepared, config, word):
    result = check(prepared(config=config))
    assert result.returncode == 1 and word in result.stdout and "this version" in result.stdout


@pytest.mark.parametrize("changes, word", [
    ({"services": {"web": {"sites": [{"site": "here", "endpoints": ["127.0.0.1:9"]}], "outlier": {"consecutive_errors": 5}}}}, "outlier"),
    ({"services": {"web": {"sites": [{"site": "here", "endpoints": ["127.0.0.1:9"]}], "protocol": "h2c"}}}, "h2c"),
    ({"services": {"web": {"sites": [{"site": "here", "endpoints": ["127.0.0.1:9"]}], "balance": "consistent_hash"}}}, "consistent_hash"),
    ({"auth": {"basic": {"users_file": "x"}}}, "auth"),
    ({"rate_limits": {"x": {"key": "jwt:sub", "rate": "1/s"}}}, "jwt"),
    ({"rate_limits": {"x": {"key": "client_ip", "rate": "1/s", "mode": "leased"}}}, "leased"),
])
def test_tenant_features_of_other_versions(prepared, changes, word):
    result = check(prepared({"shop": tenant(**changes)}))
    assert result.returncode == 1 and word in result.stdout and "this version" in result.stdout


def test_files_of_a_tenant_stay_in_its_folders(prepared, authority):
    certificate, key = authority.issue("shop.test")
    for files in ({"certificate_file": "/etc/ssl/private/x.pem", "key_file": "/etc/ssl/private/x.key"}, {"certificate_file": certificate, "key_file": key},
                  {"certificate_file": "../gateway.yaml", "key_file": "../gateway.yaml"}):
        result = check(prepared({"shop": tenant(hosts=[{"name": "shop.test", "tls": files}])}))
        assert result.returncode == 1, result.stdout


def test_files_below_the_tenants_folder(prepared, authority):
    import shutil
    certificate, key = authority.issue("shop.test")
    gateway = prepared({"shop": tenant(hosts=[{"name": "shop.test", "tls": {"certificate_file": "cert.pem", "key_file": "key.pem"}}])})
    folder = os.path.join(gateway.tenants_folder, "shop.d")
    os.mkdir(folder)
    shutil.copy(certificate, os.path.join(folder, "cert.pem"))
    shutil.copy(key, os.path.join(folder, "key.pem"))
    result = check(gateway)
    assert result.returncode == 0, result.stdout
    os.unlink(os.path.join(folder, "key.pem"))
    os.symlink(key, os.path.join(folder, "key.pem"))
    assert check(gateway).returncode == 1, "a symbolic link out of it does not help"


def test_certificate_and_key_must_fit(prepared, authority):
    gateway = prepared({"shop": tenant(hosts=[{"name": "shop.test", "tls": {"certificate_file": authority.issue("shop.test")[0],
                                                                           "key_file": authority.issue("other.test")[1]}}])},
                       {"policy": {"files": [authority.folder]}})
    result = check(gateway)
    assert result.returncode == 1 and "shop.yaml:" in result.stdout


@pytest.mark.parametrize("endpoint", ["169.254.169.254:80", "[fe80::1]:80", None])
def test_endpoints_that_are_never_allowed(prepared, endpoint):
    gateway = prepared()
    gateway.write_tenant("shop", tenant(upstream=endpoint or f"127.0.0.1:{gateway.http_port}"))
    result = check(gateway)
    assert result.returncode == 1 and "shop.yaml:" in result.stdout


@pytest.mark.parametrize("kind", ["gateway", "tenant"])
def test_schema(kind):
    result = run_command("schema", kind)
    assert result.returncode == 0
    schema = json.loads(result.stdout)
    assert schema["type"] == "object" and "$schema" in schema
    for key in ("listeners", "timeouts") if kind == "gateway" else ("hosts", "routes", "waf"):
        assert key in schema["properties"]
    assert schema["additionalProperties"] is False


def test_health(prepared):
    port = free_port()
    alone = run_command("health", "--admin", f"127.0.0.1:{port}")
    assert alone.returncode == 1 and f"127.0.0.1:{port}" in alone.stderr
    with Gateway({"shop": tenant()}) as gateway:
        assert run_command("health", "--admin", f"127.0.0.1:{gateway.admin_port}").returncode == 0
        assert run_command("health", "--admin", f"127.0.0.1:{gateway.http_port}").returncode == 1


def test_run_with_an_invalid_configuration_ends_with_1(prepared):
    gateway = prepared(config={"workers": -1})
    result = run_command("run", "--config", gateway.configuration, timeout=30)
    assert result.returncode == 1 and "workers" in result.stdout + result.stderr


def test_empty_gateway_file_is_valid(tmp_path):
    path = tmp_path / "gateway.yaml"
    path.write_text("")
    (tmp_path / "tenants").mkdir()
    result = run_command("check", "--config", str(path))
    assert result.returncode == 0, result.stdout
