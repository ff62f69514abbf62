"""A tenant's file on its way to being hostile: a document of dictionaries, written as YAML in one of several styles."""
import json
import os

REFUSE, HARMLESS, ANY = "refuse", "harmless", "any"


class Raw(str):
    """YAML that is written as it stands."""


class Case:
    """One hostile file. `intent`: REFUSE, HARMLESS (must be accepted) or ANY (whatever the oracle proves harmless)."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.stem = f"h{number:06d}"       # after the honest ones: the first by file name keeps a host
        self.file_name = (self.stem + ".yaml").encode()
        self.family, self.note = "", ""
        self.intent = ANY
        self.text = b""
        self.things = []                   # what else is put into STEM.d: (kind, name, argument)
        self.kind = "file"                 # what the tenant's file itself is
        self.is_wrong_by_hosts_alone = False   # what is to be refused is a claim to hosts, and nothing else
        self.alone = False                 # so large that it is timed alone
        self.document = {
            "tenant": f"t-{number}",
            "hosts": [{"name": f"t{number}.hostile.test", "tls": Raw("off")}],
            "services": {"web": {"sites": [{"site": "here", "endpoints": [world.upstream]}]}},
            "routes": [{"match": {"path": "/"}, "service": "web"}],
            "waf": {"mode": Raw("off")},
        }

    def host(self, rng, name, **more):
        self.document["hosts"].insert(rng.randrange(2), {"name": name, "tls": Raw("off"), **more})

    def service(self, **settings):
        """A second service, and a route to it."""
        name = f"more{len(self.document['services'])}"
        self.document["services"][name] = {"sites": [{"site": "here", "endpoints": [self.world.upstream]}], **settings}
        self.route({"path": f"/{name}"}, service=name)

    def route(self, match, **settings):
        self.document["routes"].insert(0, {"match": match, "service": "web", **settings})

    def rules(self, rng, text):
        waf = self.document["waf"]
        waf["mode"] = "block"
        free = [key for key in ("rules_before", "rules_after") if key not in waf] or ["rules_before"]
        key = rng.choice(free)
        waf[key] = waf.get(key, "") + text

    def folder(self):
        return os.path.join(self.world.tenants, self.stem + ".d")


def scalar(rng, value):
    """A string in one of YAML's styles that give the same text back."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str) and value and "'" not in value and value.isprintable() and rng.random() < 0.3:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=rng.random() < 0.3 and all(ord(c) < 0x10000 for c in value)) \
        if isinstance(value, str) else json.dumps(value)


def flow(rng, value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key if isinstance(key, Raw) else json.dumps(key, ensure_ascii=False)}: {flow(rng, item)}"
                               for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(rng, item) for item in value) + "]"
    return scalar(rng, value)


def block(rng, value, indent=0):
    lines = []
    for key, item in value.items():
        name = key if key.replace("_", "").isalnum() and key.isascii() and not isinstance(key, Raw) else \
            key if isinstance(key, Raw) else json.dumps(key, ensure_ascii=False)
        start = " " * indent + f"{name}:"
        if isinstance(item, dict) and item and rng.random() < 0.8:
            lines.append(start + "\n" + block(rng, item, indent + 2))
        elif isinstance(item, list) and item and rng.random() < 0.3:
            lines.append(start + "\n" + "".join(" " * (indent + 2) + "- " + flow(rng, each) + "\n" for each in item))
        elif key in ("rules_before", "rules_after") and literal_fits(item) and rng.random() < 0.7:
            text = item if item.endswith("\n") else item + "\n"
            lines.append(start + " |\n" + "".join((" " * (indent + 2) + line if line else "") + "\n" for line in text[:-1].split("\n")))
        else:
            lines.append(start + " " + flow(rng, item) + "\n")
    return "".join(lines)


def literal_fits(text):
    """A block scalar can hold it: no controls, no leading blank, something in its first line."""
    return isinstance(text, str) and text[:1].strip() != "" and all(c == "\n" or c.isprintable() for c in text)
