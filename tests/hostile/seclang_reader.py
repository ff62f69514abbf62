"""A second reading of a tenant's SecLang, written from the contract alone: what it does not find allowed, it names."""
import re

DIRECTIVES = {"secrule", "secaction", "secmarker", "secruleremovebyid", "secruleupdatetargetbyid"}
OPERATORS = {"rx", "pm", "streq", "contains", "beginswith", "endswith", "within", "eq", "ge", "gt", "le", "lt", "ipmatch", "detectsqli", "detectxss", "validatebyterange",
             "validateurlencoding", "validateutf8encoding"}
ACTIONS = {"id", "phase", "deny", "pass", "block", "status", "msg", "tag", "severity", "log", "nolog", "logdata", "chain", "capture", "multimatch", "t", "setvar", "skipafter"}
FORBIDDEN = re.compile(r"(ENV|GEO|FILES_TMP\w*|IP|GLOBAL|SESSION|USER|RESOURCE|RULE|WEBAPPID|USERID|SESSIONID|MODSEC_BUILD|STREAM_\w+|PERF_\w+|REMOTE_USER)", re.I)
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)', re.S)


def directives(text):
    """(name, words) for each; a line that ends in a backslash goes on in the next."""
    joined = re.sub(r"\\\n", " ", text)
    for line in joined.split("\n"):
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            continue
        words = [quoted if quoted or plain is None or plain == "" else plain for quoted, plain in WORD.findall(line)]
        yield words[0], words[1:], line


def split_actions(text):
    parts, part, quoted, escaped = [], "", False, False
    for c in text:
        if escaped:
            part, escaped = part + c, False
        elif c == "\\":
            part, escaped = part + c, True
        elif c == "'":
            quoted, part = not quoted, part + c
        elif c == "," and not quoted:
            parts.append(part)
            part = ""
        else:
            part += c
    return parts + [part], quoted


def variables(text):
    out, part, pattern = [], "", False
    for c in text:
        if c == "/" and (part.endswith(":") or part.endswith(":'") or pattern):
            pattern = not pattern
        if c == "|" and not pattern:
            out.append(part)
            part = ""
        else:
            part += c
    return out + [part]


def complaints(text, used=None, trusted=False):
    """What of an accepted text is not allowed by the contract."""
    used = set() if used is None else used
    found, chained = [], False
    for name, words, line in directives(text):
        lower = name.lower()
        if lower not in DIRECTIVES:
            found.append(f"directive {name!r} in {line[:80]!r}")
            continue
        macros = re.findall(r"%\{([^}]*)\}?", line)
        found += [f"macro {macro!r}" for macro in macros if FORBIDDEN.fullmatch(re.split(r"[.:]", macro)[0])]
        if lower == "secrule":
            if len(words) not in (2, 3):
                found.append(f"{len(words)} words in {line[:80]!r}")
                continue
            for variable in variables(words[0].strip("'")):
                base = variable.lstrip("!&").split(":")[0]
                if FORBIDDEN.fullmatch(base) or not re.fullmatch(r"[A-Za-z_0-9]+", base):
                    found.append(f"variable {variable!r}")
            operator = words[1].strip().lstrip("!")
            if operator.startswith("@") and re.match(r"[A-Za-z0-9]*", operator[1:])[0].lower() not in OPERATORS:
                found.append(f"operator {operator[:40]!r}")
        actions = words[-1] if (lower == "secrule" and len(words) == 3) or (lower == "secaction" and words) else ""
        if lower in ("secrule", "secaction"):
            parts, unclosed = split_actions(actions)
            if unclosed:
                found.append(f"an open quote in {actions[:60]!r}")
            ids, chains = [], False
            for part in parts if actions else []:
                key, colon, value = part.strip(" \t").partition(":")
                key = key.strip(" \t").lower()
                value = value.strip("'")
                if key == "ctl" and trusted and re.match(r"(ruleEngine=DetectionOnly$|ruleRemoveById=|ruleRemoveTargetById=)", value, re.I):
                    continue
                if key not in ACTIONS:
                    found.append(f"action {key!r}")
                if key == "id":
                    ids.append(value)
                if key == "setvar" and not re.match(r"!?tx[.:]", value, re.I):
                    found.append(f"setvar of {value!r}")
                if key == "status" and not 400 <= int(value) <= 599:
                    found.append(f"status {value}")
                chains = chains or key == "chain"
            if not chained:
                if len(ids) != 1 or not re.fullmatch(r"[0-9]+", ids[0]) or not 10000 <= int(ids[0]) <= 99999 or ids[0] in used:
                    found.append(f"ids {ids}")
                used.update(ids)
            elif ids:
                found.append("an id within a chain")
            chained = chains
        if lower == "secruleupdatetargetbyid" and len(words) == 2:
            found += [f"target {variable!r}" for variable in re.split(r"[|,]", words[1]) if FORBIDDEN.fullmatch(variable.lstrip("!&").split(":")[0])]
    return found
