"""Hostile tenant files, the same ones for the same seed. `generate(world, seed, count)` yields cases, each a file with an intent.

A family is a function that makes one thing hostile in an otherwise valid file. Some work on the document before it is written,
others on the text; `combinations` takes several of them at once.
"""
import random

from document import ANY, HARMLESS, REFUSE, Case, Raw, block
from seclang_families import SECLANG
from settings_families import SETTINGS
from yaml_families import TEXTS

DOCUMENTS = {**SETTINGS, **SECLANG}

# How often each family comes, and what is slow on purpose comes less.
WEIGHTS = {
    "file_paths": 10, "scalar_tricks": 7, "header_injection": 7, "host_capture": 9, "tenant_names": 4, "endpoints": 10, "rate_limits": 6, "routes": 7, "labels": 5, "unknown_keys": 5, "large_files": 0.4,
    "seclang_directives": 9, "seclang_actions": 9, "seclang_operators": 7, "seclang_size": 0.6, "waf_strings": 6, "yaml_tricks": 8, "yaml_bytes": 5, "mutations": 12, "file_kinds": 3, "combinations": 14,
}


def enriched(rng, case):
    """More of what a valid file may have, so that mutations have something to break."""
    number, document = case.number, case.document
    document["hosts"].append({"name": f"*.w{number}.hostile.test", "tls": {"self_signed": True}})
    document["rate_limits"] = {"per_client": {"key": "client_ip", "rate": "10/s", "burst": 20}, "per_key": {"key": ["header:X-Api-Key", "tenant"], "rate": "60/m"}}
    case.service(balance="least_request", health={"path": "/healthz", "interval": "2s", "timeout": "1s"}, retry={"attempts": 2, "retry_on": ["connect", "502"]})
    case.route({"path_regex": "/v[0-9]+/.*", "methods": ["GET", "POST"], "headers": {"x-a": "b"}}, name="versions", rate_limits=["per_client"], timeout="15s")
    document["access"] = {"allow": [], "deny": ["198.51.100.0/24"]}
    document["limits"] = {"connections": 1000, "requests_in_flight": 100}
    if rng.random() < 0.4 and case.world.tenant_rules != "false":
        document["waf"] = {"mode": "block", "paranoia": 1, "anomaly_threshold": {"inbound": 5, "outbound": 4}, "body": {"limit": "1MiB", "over_limit": "block", "response": False},
                           "exclusions": [{"rule": 942100, "target": "ARGS:comment", "path": "/blog/"}], "rules_before": 'SecRule ARGS:x "@streq y" "id:10001,phase:2,deny,status:403"\nSecMarker end\n', "rules_after": ""}


def file_kinds(rng, case):
    """The tenant's file itself is not what it should be, or is called badly."""
    world = case.world
    kinds = {
        "fifo": (None, REFUSE), "folder": (None, REFUSE), "socket": (None, REFUSE), "symlink /dev/zero": ("/dev/zero", REFUSE), "symlink /dev/stdin": ("/dev/stdin", ANY), "symlink /dev/urandom": ("/dev/urandom", REFUSE),
        "symlink to itself": (case.file_name.decode(), REFUSE), "symlink to nothing": ("nothing.yaml", REFUSE), "symlink to a tenant": ("a-honest.yaml", REFUSE), "symlink to the gateway's": ("../gateway.yaml", REFUSE),
        "symlink to a secret": (world.folder + "/secret.txt", REFUSE), "symlink /proc/self/environ": ("/proc/self/environ", REFUSE), "symlink /proc/kmsg": ("/proc/kmsg", REFUSE), "sparse": (1 << 40, REFUSE), "yml": (None, REFUSE),
        "name": (None, REFUSE),
    }
    kind = rng.choice(list(kinds) + ["name"] * 6)
    case.kind, case.argument = kind.split(" ")[0], kinds[kind][0]
    if case.kind == "yml":
        case.file_name = (case.stem + ".yml").encode()
    if case.kind == "name":
        names = [b"%s x.yaml", b"%s\"b.yaml", b"%s\nx.yaml", b"%s\x1b[31m.yaml", b"%s\xff\xfe.yaml", b"%s{x=\"y\"}.yaml", b"%s" + b"a" * 150 + b".yaml", b"%s\xe2\x80\xae.yaml", b"%s\\.yaml", b"%s'.yaml", b"%s$(id).yaml", b"%s;id.yaml",
                 b"%s\r\nx: y.yaml", b"%s*.yaml", b"%s\xc2\x9b1m.yaml", b"%s\xe2\x80\xa8.yaml", b"%s%%n.yaml", b"%s\xc3\xbc.yaml", b"%s<b>.yaml"]
        case.file_name = rng.choice(names) % case.stem.encode()
    case.note = f"{kind} {case.file_name!r}"
    return kinds[kind][1]


def finish(rng, case, family):
    """Makes `case` a file of that family."""
    case.family = family
    if family in DOCUMENTS:
        case.intent = DOCUMENTS[family](rng, case)
        case.is_wrong_by_hosts_alone = family == "host_capture"
    elif family == "file_kinds":
        case.intent = file_kinds(rng, case)
    elif family == "combinations":
        chosen = rng.sample([name for name in DOCUMENTS if name not in ("large_files", "seclang_size")], rng.randrange(2, 5))
        shared = [name for name in chosen if name in SECLANG or name == "scalar_tricks"]
        for name in shared[1:]:   # these write over each other's settings
            chosen.remove(name)
        intents, notes = [], []
        for name in chosen:
            intents.append(DOCUMENTS[name](rng, case))
            notes.append(f"{name} {case.note}")
        case.intent = REFUSE if REFUSE in intents else ANY if ANY in intents else HARMLESS
        case.is_wrong_by_hosts_alone = all(name == "host_capture" for name, intent in zip(chosen, intents) if intent == REFUSE)
        case.note = "; ".join(notes)
    else:
        enriched(rng, case)
    waf = case.document["waf"]
    if case.world.tenant_rules == "false" and any(isinstance(waf.get(key), str) and waf[key].strip() for key in ("rules_before", "rules_after")):
        case.intent, case.is_wrong_by_hosts_alone = REFUSE, False
    text = block(rng, case.document)
    if family in TEXTS:
        case.text, case.intent = TEXTS[family](rng, case, text)
        case.text = bytes(case.text)
    else:
        case.text = text.encode("utf-8", "surrogatepass")
        if family == "combinations" and rng.random() < 0.3:
            note = case.note
            name = rng.choice(["yaml_tricks", "yaml_bytes"])
            case.text, intent = TEXTS[name](rng, case, text)
            case.note = f"{note}; {name} {case.note}"
            # A text that is read otherwise may no longer hold what was to be refused.
            case.intent = REFUSE if intent == REFUSE else ANY
            case.is_wrong_by_hosts_alone = case.is_wrong_by_hosts_alone and intent != REFUSE
    return case


def generate(world, seed, count, families=None, first=1):
    names = [name for name in WEIGHTS if families is None or name in families]
    weights = [WEIGHTS[name] for name in names]
    for number in range(first, first + count):
        rng = random.Random(f"{seed}:{number}")
        yield finish(rng, Case(world, number), rng.choices(names, weights)[0])


__all__ = ["ANY", "HARMLESS", "REFUSE", "Raw", "WEIGHTS", "generate"]
