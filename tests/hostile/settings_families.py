"""Families that aim at single settings: paths, numbers, headers, hosts, names, endpoints, limits, routes, labels.

Each takes (rng, case), changes case.document and returns the intent.
"""
import os
import unicodedata

from document import ANY, HARMLESS, REFUSE, Raw

CONTROLS = ["\r\n", "\n", "\r", "\0", "\t", "\x1b[31m", "\x7f", "\x08", "\x0c"]


def file_paths(rng, case):
    world, own = case.world, case.folder()
    good = world.certificate + world.key
    refused = [
        "../a-honest.d/honest.pem", world.honest_key, "/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/fd/0",
        "/proc/self/root" + world.honest_key, "/dev/zero", "/dev/stdin", "/dev/full", "/dev/tty", "/dev/urandom", "/", ".", "..", "./", "",
        "~/.ssh/id_rsa", "file:///etc/passwd", "x\0.pem", "good.pem\0", "a" * 5000, "/" + "../" * 200 + "etc/passwd", "%2e%2e/a-honest.d/honest.pem",
        "..\\a-honest.d\\honest.pem", world.shared, world.shared + "/", world.shared + "/../secret.pem", world.shared + "//..//secret.pem",
        world.shared + "/./../shared/../secret.txt", world.shared + ".pem", world.gateway.configuration, "../../gateway.yaml", "../a-honest.yaml",
        "${HOME}/x.pem", "$(id).pem", "`id`", "|id", "x.pem;id", "missing.pem", "sub/../../a-honest.d/honest.pem", "\n", "x\ny.pem", "x\x1b[2J.pem",
        "\u202e mep.x", own + "/good.pem", os.path.join(world.tenants, "b-honest.yaml"), "good.pem/", "good.pem/.", "good.pem/x",
    ]
    things = {
        "link.pem": ("symlink", world.honest_key), "link2.pem": ("symlink", "../a-honest.d/honest.pem"), "secret.pem": ("symlink", "../../secret.pem"),
        "folder/honest.pem": ("linked folder", "../a-honest.d"), "loop.pem": ("symlink", "loop.pem"), "environ.pem": ("symlink", "/proc/self/environ"),
        "zero.pem": ("symlink", "/dev/zero"), "stdin.pem": ("symlink", "/dev/stdin"), "pipe.pem": ("fifo", None), "folder.pem": ("folder", None),
        "huge.pem": ("sparse", 1 << 40), "big.pem": ("sparse", 5 << 20), "garbage.pem": ("bytes", b"\x00\xff" * 2000), "empty.pem": ("bytes", b""),
        "text.pem": ("bytes", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "encrypted.pem": ("bytes", world.certificate + b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"),
    }
    fine = ["good.pem", "./good.pem", "sub/../good.pem", "inner.pem", world.shared + "/good.pem", world.shared + "/./good.pem"]
    case.things += [("bytes", "good.pem", good), ("symlink", "inner.pem", "good.pem"), ("bytes", "swapped.pem", world.other_key)]
    kind = rng.random()
    if kind < 0.5:
        path, intent = rng.choice(refused), REFUSE
    elif kind < 0.8:
        path, intent = rng.choice(list(things)), REFUSE
        case.things.append((things[path][0], path.split("/")[0], things[path][1]))
    elif kind < 0.85:
        path, intent = "swapped.pem", REFUSE   # a key of another certificate
    else:
        path, intent = rng.choice(fine), HARMLESS
    where = rng.randrange(5)
    number = case.number
    if path in ("swapped.pem", "encrypted.pem") and where not in (1, 4):   # they matter as keys alone
        where = 1
    if where == 0:
        tls = {"certificate_file": path, "key_file": "good.pem"}
    elif where == 1:
        tls = {"certificate_file": "good.pem", "key_file": path}
    elif where == 2:
        tls = {"self_signed": True, "client_ca_file": path}
    if where < 3:
        case.host(rng, f"p{number}.hostile.test", tls=tls)
    else:
        tls = {"ca_file": path} if where == 3 else {"certificate_file": "good.pem", "key_file": path}
        case.service(protocol="https", tls=tls)
    case.note = f"{path!r} at {where}"
    return intent


INTEGERS = ["0x10", "010", "0o10", "1_000", "1e3", "1.0", ".inf", "-.inf", ".nan", "NaN", "Infinity", "+1", "-1", '"1"', "'1'", "yes", "no", "on", "True",
            "~", "null", '""', "[]", "{}", "[1]", "{a: 1}", "99999999999999999999", "18446744073709551616", "9223372036854775808", "1:30", "2001-01-01",
            "\u0661\u0662", "\uff11", "0b1", "1,000", "1 000", "1.", ".1", "--1", "!!int 1", "!!float 1", "&x 1", "*x", "1x", "2e-1"]
DURATIONS = ["10", "10S", "1d", "1.5s", "-1s", "+1s", "10 s", "1h30m", "9999999999999h", "99999999999999999999s", "0x10s", "1e3s", "inf", ".inf", "s", "0s",
             "010s", "1_0s", "~", "[1s]", "\uff11s", "1\u00b5s", "1s\u200b", '"1s\\n"', '"1s\\0"', "18446744073709552s"]
SIZES = ["10", "1kb", "1K", "1MB", "-1MiB", "1.5MiB", "1 MiB", "0B", "1B", "2GiB", "9999999999TiB", "18446744073709551616B", "0x10KiB", "1e3KiB", "inf", "~"]
BOOLEANS = ["yes", "no", "on", "y", "n", "True", "TRUE", "False", "1", "0", '"true"', "'false'", "~", "[]", "truee", "!!bool true", "tru\u0435"]


def scalar_tricks(rng, case):
    """Numbers, words and units that YAML readers understand differently."""
    document, where = case.document, rng.randrange(9)
    if where < 5:
        value = Raw(rng.choice(INTEGERS))
        if where == 0:
            document["waf"]["paranoia"] = value
        elif where == 1:
            document["limits"] = {rng.choice(["connections", "requests_in_flight"]): value}
        elif where == 2:
            document.setdefault("rate_limits", {})["tricky"] = {"rate": "1/s", "burst": value}
        elif where == 3:
            case.service(retry={"attempts": value})
        else:
            document["waf"]["anomaly_threshold"] = {rng.choice(["inbound", "outbound"]): value}
    elif where == 5:
        value = Raw(rng.choice(DURATIONS))
        case.route({"path": "/slow"}, timeout=value)
    elif where == 6:
        value = Raw(rng.choice(DURATIONS))
        case.service(health={"path": "/", rng.choice(["interval", "timeout"]): value})
    elif where == 7:
        value = Raw(rng.choice(SIZES))
        document["waf"]["body"] = {"limit": value}
    else:
        value = Raw(rng.choice(BOOLEANS))
        document["waf"]["body"] = {"response": value}
    case.note = f"{value} at {where}"
    return REFUSE


def header_injection(rng, case):
    names = ["X\r\nY", "X: a", "X Y", "", "X:", "X\0", " x", "x ", "x\t", "\u00dcn\u00ef", "x" * 101, "(x)", "x\x7f", "x\n y", "x/y", "x,y", "\"x\"", "x=y", "\u212aey",
             "Content-Length\r\nTransfer-Encoding: chunked\r\nX"]
    values = ["a\r\nb: c", "a\nb", "a\rb", "\0", " a", "a ", "\u00e9", "\u2028", "x" * 1001, "\x7f", "a\tb", "a\r\n b", "\x1b]0;x\x07"]
    harmless = ["host", "connection", "transfer-encoding", "x-request-id", "x-forwarded-for", "X-Forwarded-Proto", "te", "upgrade", "x-client-cert", "cookie", "Authorization"]
    paths = ["/ HTTP/1.1\r\nx: y", "/a b", "x", "/#", "/\u00e9", "", "/a\nb", "/\0", "/\t", "http://a/", "*", "/\x7f", "/ HTTP/1.0\n\n", "/" + "a" * 3000]
    server_names = ["a\r\nb", "a:1", "a/b", "*", "[::1", "a b", "", "a\0b", "*.a.test", "a" * 2000, "a_b", "-a", "http://a"]
    features = [{"headers": {"set": {"x-request-id": "1"}}}, {"request_headers": {"set": {"host": "alpha.honest.test"}}}, {"response_headers": {"remove": ["x"]}},
                {"add_headers": [{"name": "x", "value": "a\r\nb"}]}, {"set_header": "Host: x"}, {"rewrite": "/x"}, {"redirect": "http://x/"}, {"cors": {}}, {"auth": {}},
                {"host": "alpha.honest.test"}, {"upstream_host": "x"}, {"mirror": "web"}]
    where = rng.randrange(8)
    intent = REFUSE
    if where == 0:
        what = rng.choice(names)
        case.route({"path": "/h", "headers": {what: "a"}})
    elif where == 1:
        what = rng.choice(values)
        case.route({"path": "/h", "headers": {"x-a": what}})
    elif where == 2:
        what = rng.choice(harmless)
        case.route({"path": "/h", "headers": {what: rng.choice(["a", "chunked", "127.0.0.1", Raw("")])}})
        intent = HARMLESS
    elif where == 3:
        what = rng.choice(names)
        case.document.setdefault("rate_limits", {})["by-header"] = {"key": rng.choice([f"header:{what}", ["client_ip", f"header:{what}"]]), "rate": "1/s"}
    elif where == 4:
        what = rng.choice(paths)
        case.service(health={"path": what})
    elif where == 5:
        what = rng.choice(server_names)
        case.service(protocol="https", tls={"server_name": what})
    elif where == 6:
        what = rng.choice(features)
        case.document["routes"][0].update(what)
    else:
        what = rng.choice(["X-A", "x-a"])
        case.route({"path": "/h", "headers": {what: "a", what.swapcase(): "b"}})
    case.note = f"{what!r} at {where}"
    return intent


def host_capture(rng, case):
    honest = [name for names in case.world.hosts.values() for name in names if not name.startswith("*")]
    name = rng.choice(honest)
    number = case.number

    def fullwidth(text):
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and c != "." and rng.random() < 0.5 else c for c in text)
    label, rest = name.split(".", 1)
    capture = [
        name, name.upper(), name.title(), name.swapcase(), name + ".", name.upper() + ".", "*." + rest, "*." + rest.upper() + ".", "x.wild.honest.test",
        f"h{number}.WILD.honest.test", "*.wild.honest.test.", "*.Wild.Honest.Test", fullwidth(name), name.replace(".", "\u3002"), name.replace(".", "\uff0e"),
        unicodedata.normalize("NFD", "b\u00fccher.honest.test"), "B\u00dcCHER.honest.test", "xn--bcher-kva.honest.test", "XN--BCHER-KVA.HONEST.TEST", "xn--bcher-KVA.honest.test.",
        "al\u00adpha.honest.test", "al\u200bpha.honest.test", "al\u200dpha.honest.test", "\u2060alpha.honest.test", "alpha\u180b.honest.test", "*.honest.test",
    ]
    broken = [
        name + ":443", name + ":80", "http://" + name, "//" + name, name + "/", "user@" + name, name + "..", "." + name, "", ".", "..", "a..b", "-a.b.test", "a-.b.test",
        "a" * 64 + ".test", "a." * 130 + "test", "a" * 999, "a_b.test", "1.2.3", "0x7f.1", "127.1", "2130706433", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "*.*.test", "*.com", "a.*.test",
        "x*.hostile.test", "**", "*.", "*..test", "[::1", "fe80::1", "[fe80::1%25eth0]", "[::1]:80", "[127.0.0.1]", "a b.test", "a\n.test", "a%00.test", "a\0.test", "a?b", "a#b", "a,b.test",
        "{a}.test", "$host", "~^.*$", "a\\.test", "a\r\nHost: b", "\u202etset.a", "xn--.test", "xn--a-.test", "xn--\u00fc.test", "\u00fc" * 300, "\x1b[0m.test", "a.test\u0000", "'", "\"", "*.1.2.3.4",
        "xn--" + "9" * 60 + ".test", "_acme.test", "a\ufffd.test", "\ud7ff.test",
    ]
    kind = rng.random()
    if kind < 0.45:
        what, intent = rng.choice(capture), REFUSE
    elif kind < 0.8:
        what, intent = rng.choice(broken), REFUSE
    elif kind < 0.87:
        what, intent = f"Twice{number}.hostile.test", REFUSE
        case.host(rng, rng.choice([what.upper(), what + ".", what.lower()]))
    elif kind < 0.93:
        what, intent = rng.choice(["*", "127.0.0.1", "localhost", "[::1]", "honest.test", "test", "*.test", "alpha-honest.test", "alpha.honest.test.hostile.test"]), ANY
    else:
        what, intent = f"\u00f1{number}.hostile.test", HARMLESS
    case.host(rng, what)
    case.note = repr(what)
    return intent


def tenant_names(rng, case):
    refused = ["honest-a", "honest-b", "HONEST-A", "Honest-b", "honest-a ", " honest-a", "honest-a.", "a/b", "../honest-a", "..", "{}", "{honest-a}", "a\nb", "a\"b", "a'b", "*", "?", "a" * 64,
               "", "-", "-a", "a-", "\u00e4", "a.b", "a_b", "\u202ea", "\x1b[31m", "a\",code=\"2xx", "a} 1\nfake_metric{x=\"", "a:b", "a b", "a\\", "honest\u2010a", "h\u043enest-a",
               "honest-a\0", "\ufeffhonest-a", "$TENANT", "%n", "a" * 100000, Raw("null"), Raw("[]"), Raw("{a: b}"), Raw("~"), Raw("- a"), Raw("1.5"), Raw("0x1F"), Raw("")]
    if rng.random() < 0.9:
        what, intent = rng.choice(refused), REFUSE
    else:
        what, intent = rng.choice([f"0{case.number}", "a" * 50 + str(case.number), f"honest-a-{case.number}", f"xn--{case.number}"]), HARMLESS
    case.document["tenant"] = what
    case.note = repr(what)[:60]
    return intent


def endpoints(rng, case):
    world = case.world
    address, port = rng.choice(world.own)
    every = address == "0.0.0.0"
    loopback = ["127.0.0.1", "127.1.2.3", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[0000::0001]", "localhost", "LOCALHOST.", "127.1",
                "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "017700000001", "127.0.0.01", "0.0.0.0", "0", "[::]", "[::ffff:0.0.0.0]", "localhost.localdomain", "ip6-localhost", "lvh.me",
                "127.0.0.1.", "127.0.0.1%lo", "[::1%lo]", "\uff11\uff12\uff17.0.0.1", "[::127.0.0.1]", "[::ffff:127.1]", "[::ffff:0x7f.0.0.1]"]
    if every and world.own_address:
        loopback += [world.own_address, f"[::ffff:{world.own_address}]"]
    neighbours = ["169.254.169.254:80", "169.254.0.1:1", "[fe80::1]:80", "[FE80::A9FE:A9FE]:80", "[febf::1]:80", "[fe80::1%lo]:80", "[::ffff:169.254.169.254]:80", "[::ffff:a9fe:a9fe]:80",
                  "[64:ff9b::169.254.169.254]:80", "[fd00:ec2::254]:80", "100.100.100.200:80", "[2002:a9fe:a9fe::]:80", "[64:ff9b::a9fe:a9fe]:80", "[::169.254.169.254]:80", "0.0.0.0:80", "0.1.2.3:80", "[::]:80", "224.0.0.1:80", "239.255.255.250:1900", "[ff02::1]:80",
                  "255.255.255.255:80", "2852039166:80", "0xa9fea9fe:80", "metadata.google.internal:80", "169.254.169.254.:80", "169.254.43518:80"]
    broken = ["127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "127.0.0.1:09", "127.0.0.1:+9", "127.0.0.1:9 ", " 127.0.0.1:9", "127.0.0.1:9\r\n",
              "127.0.0.1:0x50", "127.0.0.1:9\0", "user@127.0.0.1:9", "user:pw@127.0.0.1:9", "unix:/run/docker.sock", "unix:@abstract", "/run/docker.sock", "http://127.0.0.1:9", "127.0.0.1:9/x",
              "127.0.0.1:9?x", "127.0.0.1:9#x", "1.2.3.4.5:9", "[1.2.3.4]:9", "[::1]9", "::1:9", "[::1", "[]:9", "1.2.3:9", "256.1.1.1:9", "1.2.3.4:9:9", "[::g]:9", "[1::2::3]:9", "\u0661.2.3.4:9",
              "1.2.3.4:\u0669", "1.2.3.4,5.6.7.8:9", "10.0.0.0/8:9", "*:9", "$host:9", "fd:3", "file:///etc/passwd", Raw("127.0.0.1:9: x"), Raw("[]"), Raw("9"), Raw("null"), Raw("9001:9002"), ""]
    kind = rng.random()
    if kind < 0.5:
        what, intent = f"{rng.choice(loopback)}:{port}", REFUSE
        if not every and what.startswith("[::ffff:0.0.0.0]"):
            intent = REFUSE
    elif kind < 0.7:
        what, intent = rng.choice(neighbours), REFUSE
    elif kind < 0.9:
        what, intent = rng.choice(broken), REFUSE
    elif kind < 0.95:
        what, intent = world.upstream, REFUSE
        case.service(sites=[{"site": "a", "endpoints": [what, rng.choice([what, "[::ffff:127.0.0.1]:" + what.rpartition(":")[2]])]}])
    else:
        what, intent = rng.choice(["10.1.2.3:80", "[2001:db8::1]:443", "127.0.0.1:9", "100.64.0.1:8080"]), HARMLESS
    case.service(sites=[{"site": rng.choice(["here", "there"]), "endpoints": [what]}])
    case.note = repr(what)
    return intent


def rate_limits(rng, case):
    limits = case.document.setdefault("rate_limits", {})
    names = ["a:b", "a{b}", "{honest-a}", "a b", "a\nb", "*", "a\"b", "", "x" * 64, ".a", "-a", "\u00e9", "a/b", "a\0", "honest-a:honest-limit:1", "a;q=1", "a\r\nDEL x", "a,b", "a\\", "$a", "..", "\x1b[m"]
    rates = ["0/s", "-1/s", "1.5/s", "1/d", "1/ms", "1", "1/", "/s", "1/S", "1e9/s", "99999999999999999999/s", "1000000001/s", "inf/s", "nan/s", "1 / s", "1 /s", "0x1/s", "01/s", "+1/s", "1/s/s", "1/0s",
             "1/10s", "\u0661/s", "1_000/s", "1/s\n", "1/s\0", Raw("1"), Raw("[]"), Raw("~"), "18446744073709551617/s", "9223372036854775807/h"]
    bursts = ["0", "-1", "1.5", "1e3", "1000000001", "9223372036854775807", "9223372036854775808", "18446744073709551616", "99999999999999999999999", ".inf", '"5"', "~", "0x7fffffff"]
    keys = ["cookie:x", "jwt:sub", "header:", "header:a b", "header:a\r\nb", "header:" + "x" * 101, "ip", "CLIENT_IP", "header:\u00e9", "header", "tenant:honest-a", "*", "", [], ["client_ip"] * 2,
            ["client_ip", "tenant", "host"] + [f"header:x{i}" for i in range(6)], [[]], {"a": "b"}, Raw("~"), "host:alpha.honest.test", "header:x:y z"]
    where = rng.randrange(8)
    intent = REFUSE
    if where == 0:
        what = rng.choice(names)
        limits[what] = {"rate": "1/s"}
    elif where == 1:
        what = rng.choice(rates)
        limits["odd"] = {"rate": what}
    elif where == 2:
        what = rng.choice(bursts)
        limits["odd"] = {"rate": "1/s", "burst": Raw(what)}
    elif where == 3:
        what = rng.choice(keys)
        limits["odd"] = {"rate": "1/s", "key": what}
    elif where == 4:
        what = rng.choice([{"mode": "leased"}, {"mode": "EXACT"}, {"on_store_failure": "pass"}, {"shadow": "yes"}, {"headers": "never"}, {"lua": "return 1"}, {"store": "redis://x"}, {"prefix": "honest-a"}, {"cost": -1}])
        limits["odd"] = {"rate": "1/s", **what}
    elif where == 5:
        what = rng.choice(["honest-limit", "honest-a/honest-limit", "nothing", "*"])
        case.route({"path": "/limited"}, rate_limits=[what])
    elif where == 6:
        what = "17 limits"
        limits.update({f"l{i}": {"rate": "1/s"} for i in range(17)})
        case.route({"path": "/limited"}, rate_limits=[f"l{i}" for i in range(17)])
    else:
        what, intent = "the largest", HARMLESS
        limits["most"] = {"rate": f"1000000000/{rng.choice('smh')}", "burst": 1000000000, "key": ["header:x", "client_ip", "tenant", "host"]}
        case.route({"path": "/limited"}, rate_limits=["most"])
    case.note = f"{what!r} at {where}"
    return intent


def routes(rng, case):
    paths = ["foo", "", "//", "/a//b", "/../a", "/a/..", "/./", "/%2e%2e/", "/a/%2E", "/%00", "/%", "/%z", "/%zz", "/%2", "/a b", "/a?b", "/a#b", "/\r\n", "/\n", "/\u00e9", "/" + "a" * 2048, "/{a}", "/a\\b",
             "/a\"b", "/<", "/^", "/|", "/`", "*", "/\0", "/\x7f", "/\x1b[m", "http://alpha.honest.test/", "/a\tb", Raw("~"), Raw("[]"), "/%c0%af/%", "/a;b c"]
    expressions = ["(", "[", "(?=a)", "(?<=a)", "(?!a)", "\\1", "(a)\\1", "a{1001}", "a{2,1}", "*", "a**b(", "x" * 501, "((a{100}){100}){100}", "((((a{9}){9}){9}){9}){9}", "(?P<n", "[[:foo:]]", "\\p{Nonsense}", "(?C1)", "(*UCP)a",
                   "a\n", "\0", "[b-a]", "(?i", "\\", "(" * 400, "(?:" * 160 + "a" + ")" * 160 + "(", "x{0,1000}{0,1000}", "\\K(", "(?>a)", "a++", "\\pX", ""]
    slow = ["(a+)+$", "(a|aa)+$", "/(.*)*x", "(.*){5}x", "(a?){50}a{50}", "/(x+x+)+y", "([a-z]+)*\\d", "(?i)/\\pL+", "/[^/]{0,400}z"]
    methods = ["get", "Get", "G ET", "GET\r\n", "", "G\0", "G:", "\u0413ET", "G/", "x" * 41, "GET ", "{GET}"]
    where = rng.randrange(9)
    intent = REFUSE
    if where == 0:
        what = rng.choice(paths)
        case.route({rng.choice(["path", "path_exact"]): what})
    elif where in (1, 2):
        what = rng.choice(expressions)
        case.route({"path_regex": what})
    elif where == 3:
        what, intent = rng.choice(slow), HARMLESS
        case.route({"path_regex": what}, name="slow")
    elif where == 4:
        what = rng.choice(methods)
        case.route({"path": "/m", "methods": ["GET", what] if rng.random() < 0.5 else [what]})
    elif where == 5:
        what = rng.choice(["other", "__proto__", "honest-a/web", "../web", "", "web ", "WEB", Raw("~"), Raw("[web]"), "0"])
        case.route({"path": "/s"}, service=what)
    elif where == 6:
        what = rng.choice([{"methods": []}, {"methods": [f"M{i}" for i in range(33)]}, {"methods": ["GET", "GET"]}, {"path": "/a", "path_exact": "/a"}, {"path": "/a", "path_regex": "/a"}, {"host": "alpha.honest.test"},
                           {"hosts": ["*"]}, {"query": {}}, {"headers": {f"x-{i}": "a" for i in range(17)}}, {"headers": []}, {"source": "0.0.0.0/0"}, {"path": ["/a"]}])
        case.route({"path": "/x", **what} if "path" not in what else what)
    elif where == 7:
        what = "the expressions of all routes"
        for i in range(120):
            case.route({"path_regex": f"/{i}" + rng.choice("ab.") * 400}, name=f"r{i}")
    else:
        what = "a name twice"
        case.route({"path": "/one"}, name="same")
        case.route({"path": "/two"}, name="same")
    case.note = f"{str(what)[:60]!r} at {where}"
    return intent


def labels(rng, case):
    """What becomes a label, a field of the access log or a line of the journal."""
    quoted = ['a"b', "a\\b", '{x="y"}', 'x",code="2xx', '"}1', "\\n", "\\", "<script>alert(1)</script>", "';DROP", "%s%n", "${jndi:ldap://x}", "#HELP", "a,b=c", "\\u0000", '\\"', "=cmd|x", "a" * 200]
    refused = ["a\nb", "a\r\nb 1", "\x1b[31mred", "a b", "\u202eevil", "\u2028", "\u0085", "\u009b31m", "\0", "\t", "\x7f", "\u00e9", "a" * 201, "", "\ufeff", "a\n# TYPE x counter\nx 1"]
    names = ["a\"b", "a\nb", "{}", "a=b", "a,b", "\x1b[m", "\u202e", "a b", "", "a\\", "x" * 64, "a/b", "\u2028", ".a", "-"]
    hidden = ["/\u009b31m", "/\u2028x", "/\u202ex", "/\u0085", "/\ufeffx", "/a\u200bb", "/\U000e0041", "/\u00ad", "/\"}", "/\\\\\"", "/[\u00e9]"]
    where = rng.randrange(6)
    intent = REFUSE
    if where == 0:
        what, intent = rng.choice(quoted), HARMLESS
        case.document["routes"][-1]["name"] = what
    elif where == 1:
        what = rng.choice(refused)
        case.document["routes"][-1]["name"] = what
    elif where == 2:
        what = rng.choice(names)
        case.document["services"][what] = {"sites": [{"site": "here", "endpoints": [case.world.upstream]}]}
    elif where == 3:
        what = rng.choice(names)
        case.service(sites=[{"site": what, "endpoints": [case.world.upstream]}])
    elif where == 4:
        what, intent = rng.choice(hidden), ANY   # the default name of the route
        case.route({"path_regex": what})
    else:
        what = rng.choice(CONTROLS + ["\u202e", "\u2028", "\u009b"])
        case.document[f"key{what}x"] = "y"
    case.note = f"{what!r} at {where}"[:80]
    return intent


def unknown_keys(rng, case):
    """The platform's keys, other gateways' keys and features that are not there."""
    document = case.document
    top = ["policy", "trusted_proxies", "admin", "include", "extends", "redis", "storage", "listeners", "workers", "auth", "cors", "headers", "plugins", "snippet", "configuration-snippet",
           "nginx.ingress.kubernetes.io/server-snippet", "site", "tenants", "audit_log", "access_log", "metrics", "timeouts", "acme", "apiVersion", "kind", "metadata", "spec", "<<", "__proto__", "constructor",
           "Tenant", "TENANT", "tenant ", " tenant", "t\u0435nant", "tenant\u200b", "hosts\u00a0", "host", "routes.0", "waf.mode", "", "x" * 5000, "policy\n", "access_by_lua", "lua", "env", "exec"]
    inner = {"hosts": ["acme", "default", "aliases", "redirect"], "routes": ["plugins", "lua", "rewrite", "proxy_pass", "priority", "weight"],
             "waf": ["rules", "engine", "on_error", "time_budget", "verify_sample", "audit_log", "rules_file", "include", "mask", "SecRuleEngine"]}
    where = rng.randrange(6)
    if where < 2:
        what = rng.choice(top)
        document[what] = rng.choice([{"tenant_rules": "trusted", "files": ["/"]}, "x", ["0.0.0.0/0"], {"path": "/etc/x"}])
    elif where == 2:
        what = rng.choice(inner["hosts"])
        document["hosts"][0][what] = "x"
    elif where == 3:
        what = rng.choice(inner["routes"])
        document["routes"][0][what] = "x"
    elif where == 4:
        what = rng.choice(inner["waf"])
        document["waf"][what] = "x"
    else:
        what = rng.choice([{"outlier": {}}, {"failback": {}}, {"circuit_breaker": {}}, {"protocol": "h2c"}, {"protocol": "h2"}, {"protocol": "fastcgi"}, {"balance": "consistent_hash"}, {"tls": {}},
                           {"protocol": "https", "tls": {"verify": False}}, {"protocol": "https", "tls": {"insecure_skip_verify": True}}, {"proxy": "http://x"}, {"resolver": "8.8.8.8"},
                           {"sites": [{"site": "a", "dns": "localhost:9901"}]}, {"sites": [{"site": "a", "kubernetes": {"namespace": "kube-system", "service": "x"}}]}, {"sites": [{"site": "a", "file": "/x"}]},
                           {"health": {"path": "/", "method": "POST"}}, {"health": {"path": "/", "exec": "id"}}, {"health": {"path": "/", "port": 9901}}, {"retry": {"attempts": 11}}, {"retry": {"retry_on": ["500"]}}])
        case.service(**what)
    case.note = f"{str(what)[:60]!r} at {where}"
    return REFUSE


def large_files(rng, case):
    """Up to the documented limits, and one beyond."""
    document, beyond = case.document, rng.random() < 0.5
    more = 1 if beyond else 0
    number = case.number
    where = rng.randrange(11)
    case.alone = True
    if where == 0:
        document["hosts"] = [{"name": f"h{i}.t{number}.hostile.test", "tls": Raw("off")} for i in range(1000 + more)]
    elif where == 1:
        document["routes"] = [{"match": {"path": f"/{i}", "headers": {f"x-{k}": str(i) for k in range(rng.choice([1, 16]))}}, "service": "web", "name": f"r{i}"} for i in range(1000 + more)]
    elif where == 2:
        document["services"].update({f"s{i}": {"sites": [{"site": "here", "endpoints": ["127.0.0.1:9"]}]} for i in range(499 + more)})
        case.route({"path": "/s"}, service="s1")
    elif where == 3:
        document["rate_limits"] = {f"l{i}": {"rate": "1/s"} for i in range(500 + more)}
    elif where == 4:
        document["access"] = {"deny": [f"10.{i // 250}.{i % 250}.0/24" for i in range(10000 + more)]}
    elif where == 5:
        case.service(sites=[{"site": "a", "endpoints": [f"10.0.{i // 250}.{i % 250}:80" for i in range(1000 + more)]}])
    elif where == 6:
        document["waf"].update(mode="block", exclusions=[{"rule": 942100, "target": f"ARGS:a{i}"} for i in range(200 + more)])
    elif where == 10:
        if rng.random() < 0.5:
            for i in range(100 + more):
                case.route({"path_regex": f"/{i}/(.*)*x"}, name=f"r{i}")
        else:   # a single one, or two, of which each takes steps by the thousand
            for i in range(1 + more):
                case.route({"path_regex": f"/(?:(?:.*a.{{40}}b|.*b.{{40}}a).{{30}}){{4}}{i}"}, name=f"r{i}")
    elif where == 8:
        count, interval = rng.choice([(5, "10ms"), (500, "1s"), (1000, "2s"), (1000, "1h")])
        case.service(sites=[{"site": "a", "endpoints": [f"127.9.{i // 250}.{i % 250 + 1}:9" for i in range(count)]}], health={"path": "/", "interval": interval})
        if beyond:
            case.service(sites=[{"site": "a", "endpoints": ["127.9.9.9:9"]}], health={"path": "/", "interval": interval})
    elif where == 7:
        case.route({"path": "/h", "headers": {f"x-{i}": "a" for i in range(16 + more)}})
        case.alone = False
    else:
        # The same port as a listener on all addresses: each is compared with the addresses of the machine.
        lines = "\n".join(f"      - {10 + i % 7}.{i // 65536}.{i // 256 % 256}.{i % 256}:{case.world.any_port}" for i in range(900))
        document["services"].update({f"e{k}": Raw(f"\n    sites:\n    - site: a\n      endpoints:\n{lines}") for k in range(90)})
        case.route({"path": "/s"}, service="e0")
        case.note = "endpoints at a listener's port"
        return REFUSE
    case.note = f"{'beyond' if beyond else 'at'} limit {where}"
    return REFUSE if beyond else HARMLESS


SETTINGS = {family.__name__: family for family in (file_paths, scalar_tricks, header_injection, host_capture, tenant_names, endpoints, rate_limits, routes, labels, unknown_keys, large_files)}
