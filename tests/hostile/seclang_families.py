"""Families that write SecLang of a tenant's own, or try to get text into the engine's by other settings.

Each takes (rng, case), changes case.document and returns the intent.
"""
from document import ANY, HARMLESS, REFUSE, Raw

DIRECTIVES = [
    "SecRuleEngine Off", "SecRuleEngine DetectionOnly", "SecAuditEngine Off", "SecAuditLog /tmp/x", "SecAuditLog2 /tmp/x", "SecAuditLogStorageDir /tmp", "SecAuditLogType Https", "SecAuditLogParts ABC",
    "Include /etc/passwd", "Include *.conf", "SecRemoteRules key https://127.0.0.1/x", "SecRemoteRulesFailAction Warn", "SecDebugLog /tmp/x", "SecDebugLogLevel 9",
    'SecDefaultAction "phase:2,pass,nolog"', 'SecRuleScript /tmp/x.lua "id:10009,deny"', "SecDataDir /tmp", "SecTmpDir /", "SecUploadDir /", "SecUploadKeepFiles On", "SecUploadFileLimit 1",
    "SecGeoLookupDb /x", "SecGsbLookupDb /x", "SecHttpBlKey whdkfieyhtnf", "SecUnicodeMapFile /x 20127", "SecPcreMatchLimit 1", "SecPcreMatchLimitRecursion 1", "SecRequestBodyLimit 1", "SecRequestBodyAccess Off",
    "SecRequestBodyNoFilesLimit 1", "SecRequestBodyLimitAction ProcessPartial", "SecRequestBodyJsonDepthLimit 99999", "SecRequestBodyInMemoryLimit 1", "SecResponseBodyAccess On", "SecResponseBodyLimit 1",
    "SecResponseBodyMimeType text/plain", "SecRuleRemoveByMsg x", "SecRuleRemoveByTag .*", 'SecRuleUpdateActionById 949110 "pass"', 'SecRuleUpdateTargetByTag x "!ARGS"', 'SecRuleUpdateTargetByMsg x "!ARGS"',
    "SecComponentSignature x", "SecWebAppId honest-a", "SecStatusEngine On", "SecArgumentsLimit 1", "SecArgumentSeparator ;", "SecCollectionTimeout 1", "SecConnEngine Off", "SecCookieFormat 1", "SecCookieV0Separator ;",
    "SecServerSignature x", "SecSensorId x", "SecXmlExternalEntity On", "SecHashEngine On", "SecHashKey x", "SecContentInjection On", "SecStreamInBodyInspection On", "SecDisableBackendCompression On", "SecInterceptOnError On",
    "SecReadStateLimit 1", "SecWriteStateLimit 1", "SecChrootDir /", "SecGuardianLog |/bin/sh", "SecRulePerfTime 1", "SecRuleInheritance Off", "SecCacheTransformations On", "SecTmpSaveUploadedFiles On", "SecUploadFileMode 0777",
    "SecConnReadStateLimit 1", "SecHttpBlKey x", "Foo", "LoadModule x", "<IfModule x>", "</IfModule>", "SecRules", "ecRule ARGS x", "{}", "SecRuleEngine",
]
ACTIONS = [
    "exec:/bin/sh", "exec:'/bin/sh -c id'", "proxy:http://169.254.169.254/", "redirect:http://x/", "drop", "allow", "allow:phase", "allow:request", "ctl:ruleEngine=Off", "ctl:ruleEngine=DetectionOnly",
    "ctl:ruleRemoveById=1-999999", "ctl:ruleRemoveTargetById=942100;ARGS", "ctl:ruleRemoveByTag=.*", "ctl:ruleRemoveTargetByTag=x;ARGS", "ctl:auditEngine=Off", "ctl:requestBodyAccess=Off", "ctl:requestBodyProcessor=XML",
    "ctl:forceRequestBodyVariable=On", "ctl:auditLogParts=+E", "ctl:debugLogLevel=9", "setenv:PATH=/tmp", "initcol:ip=%{REMOTE_ADDR}", "initcol:global=global", "setuid:x", "setsid:x", "setrsc:x", "deprecatevar:tx.x=1/1",
    "expirevar:tx.x=1", "append:x", "prepend:x", "sanitiseArg:x", "sanitiseMatched", "sanitiseRequestHeader:x", "auditlog", "noauditlog", "ver:1", "rev:1", "maturity:1", "accuracy:1", "skip:1",
    "skipAfter:END-REQUEST-949-BLOCKING-EVALUATION", "skipAfter:nowhere", "skipAfter:'a b'", "xmlns:a=b", "pause:1000", "phase:0", "phase:6", "phase:x", "status:200", "status:302", "status:999", "status:x", "severity:9",
    "setvar:ip.x=1", "setvar:global.x=+1", "setvar:session.x=1", "setvar:env.x=1", "setvar:user.x=1", "setvar:tx.x=%{ENV.PATH}", "setvar:tx.%{ARGS.a}=1", "setvar:tx.=1", "setvar:x=1", "setvar:'tx.a=1',exec:/x",
    "msg:'%{ENV.PATH}'", "msg:'%{env.PATH}'", "logdata:'%{ENV.x}'", "logdata:'%{GLOBAL.x}'", "logdata:'%{IP.x}'", "logdata:'%{FILES_TMPNAMES.x}'", "msg:'%{'", "tag:'%{TX.a}'", "msg:''", "msg:'a\\',exec:/x,msg:\\'b'",
    "msg:'a\"b'", "msg:'\\\\'", "msg:%{MATCHED_VAR", "t:exec", "t:nonsense", "t:", "t:sqlDecode", "t:normaliseNothing", "deny:1", "pass:x", "chain:x", "nolog:1", "id:10002", "phase:3,phase:4", "log,nolog", "deny,pass", "block,deny",
    "multiMatch:1", "capture:1", "=", ":", "''", "'a'", "\"", "exec", "e\\xec:/x", "ex\u0435c:/x", "exec :/x", " exec:/x", "EXEC:/x", "eXeC:/x", "exec\t:/x", "t:none exec:/x", "deny status:403", "inspectFile:/x", "lua:x",
]
IDS = ["0", "1", "-1", "+10001", "9999", "100000", "200004", "900000", "942100", "949110", "99999999999", "4294977297", "18446744073709561617", "10001.5", "1e4", "0x2711", "x", "", "10001 10002", "'10001", "10001-10002"]
OPERATORS = [
    "@inspectFile /bin/sh", "@rbl zen.example.org", "@pmFromFile /etc/passwd", "@pmf /etc/passwd", "@ipMatchFromFile /etc/passwd", "@ipMatchF /etc/passwd", "@ipMatchFromFile https://127.0.0.1/x", "@geoLookup", "@gsbLookup x",
    "@fuzzyHash /x 1", "@validateSchema /etc/passwd", "@validateDTD /etc/passwd", "@validateHash x", "@rxGlobal a", "@verifyCC \\d", "@verifySSN x", "@verifyCPF x", "@verifySVNR x", "@containsWord a", "@strmatch a", "@noMatch",
    "@unconditionalMatch", "@rsub s/a/b/", "!@inspectFile /bin/sh", "@INSPECTFILE /bin/sh", "@iNsPeCtFiLe /x", "@ pmFromFile x", "@pm\u0046romFile x", "@@rx a", "@", "!", "@lua /x", "@exec /x", "@nothing",
    "@rx (", "@rx [", "@rx *a", "@rx (?<n", "@rx a{99999}", "@rx (?C1)a", "@rx (*NO_JIT)a", "@rx (*LIMIT_MATCH=999999999)a", "@rx \\Qa", "@rx %{ENV.PATH}", "@rx \\c\\", "@rx (?1)(", "@rx a(?#",
    "@streq %{ENV.PATH}", "@streq %{GLOBAL.x}", "@streq %{", "@contains a|b;%{IP.x}", "@within %{SESSION.x}", "@pm ", "@pm a|b", "@ipMatch x", "@ipMatch 1.2.3.4/99", "@ipMatch @/etc/passwd", "@eq x", "@gt %{ENV.a}", "@eq 1e9",
    "@validateByteRange 0-999", "@validateByteRange x", "@detectSQLi x y", "@ge 99999999999999999999", "@rx " + "a" * 4097,
]
VARIABLES = [
    "ENV", "ENV:PATH", "env:path", "GEO", "GEO:COUNTRY_CODE", "FILES_TMPNAMES", "FILES_TMP_CONTENT", "IP", "IP:x", "GLOBAL:x", "SESSION:x", "USER:x", "RESOURCE:x", "RULE:id", "MODSEC_BUILD", "WEBAPPID", "SESSIONID", "USERID",
    "REMOTE_USER", "STREAM_INPUT_BODY", "XML:/a", "XML://x/text()", "XML:document('/etc/passwd')", "ARGS|ENV:PATH", "&ENV", "!ENV", "!ARGS", "ARGS:/(/", "ARGS:/(?C1)/", "ARGS:'/a|b", "ARGS:", "ARGS:%{ENV.x}", "ARGS;ENV", "ARGS,ENV:x",
    "TX", "&TX", "NOTHING", "ARGS:a\"b", "REQUEST_URI:x", "&REQUEST_URI", "ARGS||ENV", "|", "", "PERF_ALL", "SCRIPT_FILENAME", "HTTP_Authorization", "REQUEST_HEADERS:/^(?{system('id')})/", "\u0410RGS",
]
SLOW = ["(a+)+$", "(a|a)*b", "(.*)*x", "^(\\w+\\s?)*$", "([a-zA-Z]+)*1", "(?:a{0,99}){0,90}b", "(a?){30}a{30}", "(x+x+)+y", "(?:.*,){11}P", "(?i)(?:(?:a|b)+c?)+d"]


def recased(rng, text):
    return rng.choice([text, text.lower(), text.upper(), "".join(rng.choice([c.lower(), c.upper()]) if ord(c) < 128 else c for c in text)])


def rule(variables="ARGS:x", operator="@streq y", actions="", identity="10001"):
    return f'SecRule {variables} "{operator}" "id:{identity},phase:2,deny,status:403{"," if actions else ""}{actions}"'


def disguised(rng, line):
    """The same directive as libmodsecurity might still read it."""
    word, _, rest = line.partition(" ")
    return rng.choice([
        line, "  " + line, "\t" + line, rule() + "\n" + line, line + "\n" + rule(), f"{word} \\\n {rest}", f"{word[:3]}\\\n{word[3:]} {rest}", f"{word}\t{rest}", "\ufeff" + line, "\u00a0" + line,
        "# a comment\n" + line, "#\n\n" + line, "\n" * 50 + line, "SecMarker m\n" + line, line + " # x", f"'{word}' {rest}", f'"{word}" {rest}', f"{word}\u00a0{rest}", line + "\\",
        rule(actions="chain") + "\n" + line, f"SecMarker {line}", f"SecMarker 'a\n{line}'", f"SecRuleRemoveById 942100 \\\n{line}", line.replace(" ", "  "),
    ])


def seclang_directives(rng, case):
    if rng.random() < 0.1:
        text, intent = rng.choice([f"# {rng.choice(DIRECTIVES)}\n" + rule(), rule(), "SecRuleRemoveById 942100 941100-941199", "SecMarker mine\n" + rule(), 'SecRuleUpdateTargetById 942100 "!ARGS:comment"', "\n\n" + rule()]), HARMLESS
    elif rng.random() < 0.1:
        text, intent = rng.choice([f"# a comment that goes on \\\n{rng.choice(DIRECTIVES)}", "SecRuleRemoveById 1-99999999", "SecRuleRemoveById 949110", "SecRuleRemoveById 200000-200007", "SecRuleRemoveById 10001\n" + rule(),
                                   'SecRuleUpdateTargetById 942100 "ENV:PATH"', 'SecRuleUpdateTargetById 942100 "!ARGS"', 'SecRuleUpdateTargetById 1-999999 "!ARGS"', "SecMarker END-REQUEST-949-BLOCKING-EVALUATION",
                                   "SecMarker a b", "SecMarker a;b", "SecRuleRemoveById x", "SecRuleRemoveById -1", "SecRuleRemoveById 1-", "SecRuleRemoveById 99999999999", "SecRuleRemoveById"]), ANY
    else:
        text, intent = disguised(rng, recased(rng, rng.choice(DIRECTIVES))), REFUSE
        if text.lstrip().lower().startswith(("secmarker ", "secruleremovebyid")):
            intent = ANY  # what is left of the directive may be words of another
    case.rules(rng, text + "\n")
    case.note = repr(text)[:90]
    return intent


def seclang_actions(rng, case):
    kind = rng.random()
    if kind < 0.7:
        action = rng.choice(ACTIONS)
        recase = action if any(c in action for c in "\\%'\"") else recased(rng, action)
        text, intent = rule(actions=rng.choice(["", "t:none,", "msg:'x',"]) + recase + rng.choice(["", ",tag:'x'"])), REFUSE
        if case.world.tenant_rules == "trusted" and action.startswith(("ctl:ruleEngine=D", "ctl:ruleRemoveById", "ctl:ruleRemoveTargetById")):
            intent = ANY
        if rng.random() < 0.2:
            text = text.replace(",phase:2", ",\\\n  phase:2")
    elif kind < 0.85:
        text, intent = rule(identity=rng.choice(IDS)), REFUSE
    elif kind < 0.92:
        text, intent = rng.choice([rule() + "\n" + rule(), 'SecRule ARGS "@rx a"', 'SecRule ARGS "@rx a" "phase:2,deny"', 'SecAction "phase:1"', "SecAction", "SecRule", "SecRule ARGS", rule(actions="chain"),
                                   rule(actions="chain") + '\nSecRule ARGS "@rx a" "deny"', 'SecAction "id:10001,chain"\n' + rule(identity="10002"), 'SecRule ARGS "@rx a" "id:10001', 'SecRule "ARGS "@rx a" "id:10001"',
                                   'SecRule ARGS "@rx a" "id:10001" "exec:/x"', 'SecRule ARGS @rx a id:10001,deny', "SecRule ARGS \"@rx a\" 'id:10001,exec:/x'", rule() + "exec:/x", rule().replace(",", " , exec:/x , ", 1)]), REFUSE
    else:
        text, intent = rng.choice([rule(actions="t:lowercase,msg:'fine',tag:'a/b',severity:CRITICAL"), 'SecAction "id:10001,phase:1,pass,nolog,setvar:tx.mine=1"', rule(actions="skipAfter:end").replace("deny,status:403", "pass") + "\nSecMarker end",
                                   rule(actions="chain") + '\nSecRule ARGS:z "@streq w"', rule(actions="logdata:'%{MATCHED_VAR}'"), rule(actions="capture,multiMatch")]), HARMLESS
    case.rules(rng, text + "\n")
    case.note = repr(text)[:90]
    return intent


def seclang_operators(rng, case):
    kind = rng.random()
    if kind < 0.45:
        text, intent = rule(operator=rng.choice(OPERATORS)), REFUSE
    elif kind < 0.85:
        text, intent = rule(variables=rng.choice(VARIABLES)), REFUSE
    else:
        text, intent = rule(operator="@rx " + rng.choice(SLOW)), HARMLESS
    case.rules(rng, text + "\n")
    case.note = repr(text)[:90]
    return intent


def seclang_size(rng, case):
    def rules(count, operator="@streq y", actions=""):
        return "\n".join(rule(operator=operator, actions=actions, identity=str(10001 + i)) for i in range(count))
    where = rng.randrange(14)
    case.alone = True
    text, intent = {
        0: lambda: (rules(500), HARMLESS),
        1: lambda: (rules(501), REFUSE),
        2: lambda: ("SecRuleRemoveById " + "7 " * rng.choice([150, 5000, 40000]), REFUSE),
        3: lambda: ("X\n" * rng.choice([500, 40000]), REFUSE),
        4: lambda: ("# " + "x" * (256 * 1024), REFUSE),
        5: lambda: (rule(actions="t:lowercase," * 3000 + "t:none"), REFUSE),
        6: lambda: (rule(variables="|".join(f"ARGS:a{i}" for i in range(5000))), REFUSE),
        7: lambda: ('SecRuleUpdateTargetById 942100 "' + ",".join(f"!ARGS:a{i}" for i in range(2000)) + '"', REFUSE),
        8: lambda: ('SecRuleUpdateTargetById 942100 "' + ",".join(f"ARGS:a{i}" for i in range(5000)) + '"', REFUSE),
        9: lambda: (rule(actions="chain") + "\n" + 'SecRule ARGS:x "@rx a" "chain"\n' * 400 + 'SecRule ARGS:x "@rx a" "t:none"', ANY),
        10: lambda: (rules(500, "@rx (?:a{0,99}){0,90}"), ANY),
        11: lambda: (rules(60, "@rx " + "(?:a|b)?" * 500), ANY),
        12: lambda: (rule(actions=",".join(f"tag:'t{i}'" for i in range(3000))), ANY),
        13: lambda: ("SecRule ARGS \"" + "\\\"" * 50000 + "\" \"id:10001,deny\"\n" + "'" * 1000 + "\"" * 999, REFUSE),
    }[where]()
    case.rules(rng, text + "\n")
    case.note = f"size {where}: {text[:40]!r}"
    return intent


def waf_strings(rng, case):
    waf = case.document["waf"]
    waf["mode"] = "block"
    targets = ['ARGS:a"', "ARGS:x\nSecRuleEngine Off", "ARGS|ENV", "args:x", "ARGS:/^a/", "ARGS:", "ARGS:a,phase:1", "ARGS:%{ENV.x}", "ARGS:a b", "!ARGS:x", "&ARGS", "ARGS:a\\", "ARGS:a'", "ARGS:a;b", "ARGS:a|b",
               "ARGS:\u00e9", "", "ARGS:" + "a" * 200, "ARGS:{a}", "ARGS:#", ":x", "ARGS x", "ARGS:a\0", "ENV:PATH", "GEO", "NOTHING:x", "IP:x"]
    ids = ["0", "-1", '"942100"', "942100.0", "99999999999", "1-99", "123456", "[942100]", "~", "x", "0xE6004", "942100,1"]
    paths = ["foo", "/a b", '/"', "/../", "/a\n", "/%00", "/%zz", "//", "/%{ENV.x}", "/a?b", "/\\", "/a\" \"id:1,pass\"", "", "/{a}"]
    values = {"mode": ["Off", "OFF", "none", "DetectionOnly", "block\n", "", "on", "Block", Raw("true"), Raw("[block]"), Raw("~"), "detect,SecRuleEngine Off"], "paranoia": [0, 5, -1, "1", 1.5, "1,setvar:tx.x=1"],
              "anomaly_threshold": [{"inbound": 0}, {"inbound": "5,setvar:tx.x=1"}, {"inbound": 100001}, {"outbound": -4}, 5, [], {"both": 1}, {"inbound": 5, "INBOUND": 1}],
              "body": [{"limit": "1"}, {"limit": "2GiB"}, {"over_limit": "pass"}, {"over_limit": "allow\n"}, {"response": "On"}, {"limit": "100MiB "}, {"mime": "text/html"}, "off", {"limit": "1023B"}, {"processor": "XML"}],
              "rules_before": [{"a": "b"}, ["SecRule"], "SecRule\0", "\x1b", "SecRuleEngine Off\r\n", {"file": "/etc/passwd"}, "\x0cSecRuleEngine Off"], "rules_after": ["SecRuleEngine\x0bOff", ["a"], "SecRule ARGS \x7f"],
              "exclusions": [{}, "942100", [942100], [[]], [{}], [{"rule": 942100, "tag": "x"}], [{"target": "ARGS:x"}], [{"rule": 942100, "target": ["ARGS:x"]}], [{"id": 942100}]]}
    where = rng.randrange(5)
    if where == 0:
        what = rng.choice(targets)
        waf["exclusions"] = [{"rule": 942100, "target": what}]
    elif where == 1:
        what = rng.choice(ids)
        waf["exclusions"] = [{"rule": Raw(what), "target": "ARGS:x"}]
    elif where == 2:
        what = rng.choice(paths)
        waf["exclusions"] = [{"rule": 942100, "target": "ARGS:x", "path": what}]
    elif where == 3:
        key = rng.choice(list(values))
        what = (key, rng.choice(values[key]))
        waf[key] = what[1]
    else:
        what = "fine"
        waf.update(paranoia=rng.randrange(1, 5), anomaly_threshold={"inbound": 100000}, body={"limit": "64KiB"},
                   exclusions=[{"rule": 942100, "target": "ARGS:comment", "path": "/blog/"}, {"rule": 941100}])
    case.note = f"{str(what)[:70]!r} at {where}"
    return HARMLESS if where == 4 else REFUSE


SECLANG = {family.__name__: family for family in (seclang_directives, seclang_actions, seclang_operators, seclang_size, waf_strings)}
