"""The WAF event: what it says, in what order, and what it must never say."""
import json
from urllib.parse import urlencode

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.upstream import Upstream

INJECTION = "1' OR '1'='1' -- "
SECRET = "tops3cretvalue"


@pytest.fixture(scope="module")
def gateway(upstream):
    # Rules of the tenant's own that log whatever they see: the worst case for secrets.
    nosy = "\n".join([
        'SecRule ARGS "@rx ." "id:10001,phase:2,pass,log,msg:\'an argument\',logdata:\'%{MATCHED_VAR_NAME}=%{MATCHED_VAR}\'"',
        'SecRule REQUEST_HEADERS "@rx ." "id:10002,phase:1,pass,log,msg:\'a header\',logdata:\'%{MATCHED_VAR}\'"',
        'SecRule REQUEST_COOKIES "@rx ." "id:10003,phase:1,pass,log,msg:\'a cookie\',logdata:\'%{MATCHED_VAR}\'"',
    ])
    # What rules have copied elsewhere, under a name that tells nothing.
    copies = "\n".join([
        'SecRule REQUEST_HEADERS:Authorization "@rx ^Bearer (.+)$" "id:10011,phase:1,pass,nolog,capture,setvar:\'tx.leak=%{TX.1}\'"',
        'SecRule ARGS:password "@rx ." "id:10012,phase:2,pass,nolog,setvar:\'tx.leak=x:%{MATCHED_VAR}:y\'"',
        'SecRule TX:leak "@rx ." "id:10013,phase:2,pass,log,msg:\'found %{TX.leak} in a token=%{MATCHED_VAR}, as written: 4111111111111111\'"',
        'SecRule TX:leak "@rx ." "id:10014,phase:5,pass,log,msg:\'still there\'"',
    ])
    tenants = {
        "shop": tenant("shop", upstream, waf={"mode": "block"}),
        "nosy": tenant("nosy", upstream, waf={"mode": "detect", "rules_before": nosy}),
        "copies": tenant("copies", upstream, waf={"mode": "detect", "rules_before": copies}),
    }
    with Gateway(tenants, {"trusted_proxies": ["127.0.0.5/32"], "access_log": {"client_ip": "truncated"}}) as running:
        yield running


def test_fields(gateway):
    response = gateway.request("/a/b?id=1%27%20OR%20%271%27=%271", headers=[("X-Forwarded-For", "203.0.113.77")], source="127.0.0.5")
    assert response.status == 403
    event = gateway.waf_event(request_id=response.header("x-request-id"))
    assert event["type"] == "waf" and event["tenant"] == "shop" and event["verdict"] == "blocked"
    assert (event["method"], event["host"], event["path"]) == ("GET", "shop.test", "/a/b")
    assert event["client_ip"] == "203.0.113.0", "as access_log.client_ip says"
    assert isinstance(event["score"], int) and event["score"] >= 5
    import datetime
    moment = datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - moment).total_seconds()) < 60
    injection = [rule for rule in event["rules"] if rule["id"] == 942100]
    assert len(injection) == 1
    assert injection[0]["target"] == "ARGS:id" and injection[0]["msg"] and injection[0]["severity"]
    assert len(injection[0]["match"].encode()) <= 100


def test_written_before_long_and_one_a_request(gateway):
    before = len(gateway.waf_events(tenant="shop"))
    identifiers = []
    with gateway.connect() as connection:
        for _ in range(5):
            response = connection.exchange(request_bytes(target="/x?id=1%27%20OR%20%271%27=%271"))
            identifiers.append(response.header("x-request-id"))
            if response.closes:
                break
    for identifier in identifiers:
        gateway.waf_event(request_id=identifier)
    events = gateway.waf_events(tenant="shop")[before:]
    assert [event["request_id"] for event in events] == identifiers, "in order"


def test_events_are_whole_lines_of_json(gateway):
    gateway.request("/x?id=%22%0d%0a%00%5c%27%20OR%20%271%27=%271&b=%ff%fe<script>alert(1)</script>")
    gateway.request("/x?id=" + "%27%20OR%20%271%27=%271" * 20)
    with open(gateway.audit_log, encoding="utf-8") as file:
        for line in file.read().splitlines():
            event = json.loads(line)
            for rule in event.get("rules", []):
                assert len(rule["match"].encode()) <= 100


SECRETS = [
    ("query", "/login?password={}&id=" + "1%27%20OR%20%271%27=%271", [], None),
    ("query-case", "/login?PassWord={}", [], None),
    ("form", "/login", [("Content-Type", "application/x-www-form-urlencoded")], "user=a&password={}&token={}"),
    ("json", "/login", [("Content-Type", "application/json")], json.dumps({"user": "a", "password": "{}", "deep": {"api_key": "{}"}})),
    ("authorization", "/", [("Authorization", "Bearer {}")], None),
    ("cookie", "/", [("Cookie", "session={}; other=1")], None),
    ("xml", "/", [("Content-Type", "text/xml")], "<l><password>{}</password></l>"),
    ("xml-prefix", "/", [("Content-Type", "application/soap+xml")], '<l xmlns:wsse="urn:x"><wsse:Password>{}</wsse:Password></l>'),
    ("xml-attribute", "/", [("Content-Type", "text/xml")], '<l token="{}"/>'),
    ("xml-cdata", "/", [("Content-Type", "text/xml")], "<l><password><![CDATA[{}]]></password></l>"),
    ("xml-elsewhere", "/", [("Content-Type", "text/plain")], "<l><x:password><![CDATA[{}]]></x:password></l>"),
    ("json-in-query", "/?data=%7B%22password%22:%22{}%22%7D&id=" + "1%27%20OR%20%271%27=%271", [], None),
    ("json-in-json", "/", [("Content-Type", "application/json")], json.dumps({"data": json.dumps({"password": "{}"})})),
    ("multipart", "/", [("Content-Type", "multipart/form-data; boundary=limit")], '--limit\r\nContent-Disposition: form-data; name="password"\r\n\r\n{}\r\n--limit--\r\n'),
]


@pytest.mark.parametrize("target, headers, body", [entry[1:] for entry in SECRETS], ids=[entry[0] for entry in SECRETS])
@pytest.mark.parametrize("host", ["nosy.test", "shop.test"])
@pytest.mark.parametrize("value", [SECRET, SECRET + "' OR '1'='1' -- "])
def test_secrets_are_never_written(gateway, upstream, host, target, headers, body, value):
    from urllib.parse import quote
    upstream.forget()
    target = target.replace("{}", quote(value))
    headers = [(name, text.replace("{}", quote(value) if name == "Cookie" else value)) for name, text in headers]
    if body:
        encode = quote if "urlencoded" in headers[0][1] else str
        body = body.replace("{}", encode(value))
    response = gateway.request(target, method="POST" if body else "GET", host=host, headers=headers, body=body)
    identifier = response.header("x-request-id") or upstream.requests[0].header("x-request-id")
    gateway.access_record(http__request__id=identifier)
    if host == "nosy.test":
        event = gateway.waf_event(request_id=identifier)
        assert {10001, 10002, 10003} & {rule["id"] for rule in event["rules"]}
    for path in (gateway.audit_log, gateway.access_log):
        with open(path, encoding="utf-8") as file:
            assert SECRET not in file.read(), path
    assert SECRET not in gateway.log


@pytest.mark.parametrize("value", [SECRET, SECRET + "' OR '1'='1' -- "])
@pytest.mark.parametrize("where", ["header", "query", "form"])
def test_copies_of_secrets_are_never_written(gateway, upstream, where, value):
    from urllib.parse import quote
    upstream.forget()
    query = "password=" + quote(value)
    if where == "header":
        gateway.request("/", host="copies.test", headers=[("Authorization", "Bearer " + value)])
    elif where == "query":
        gateway.request("/?" + query, host="copies.test")
    else:
        gateway.request("/", method="POST", host="copies.test", headers=[("Content-Type", "application/x-www-form-urlencoded")], body=query)
    event = gateway.waf_event(request_id=upstream.requests[0].header("x-request-id"))
    rules = {rule["id"]: rule for rule in event["rules"]}
    assert rules[10013]["match"] == rules[10014]["match"] == "***"
    assert rules[10013]["msg"] == "found *** in a token=***, as written: 4111111111111111"
    assert rules[10014]["msg"] == "still there"
    with open(gateway.audit_log, encoding="utf-8") as file:
        assert SECRET not in file.read()


def test_pieces_of_secrets_are_not_written(upstream):
    rules = "\n".join([
        'SecRule ARGS:password "@rx ^(.)(.)" "id:10001,phase:2,pass,nolog,t:lowercase,capture,setvar:\'tx.b=%{TX.1}%{TX.2}\'"',
        'SecRule TX:b "@rx ." "id:10002,phase:2,pass,log,msg:\'begins with %{tx.b}, so there\'"'])
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "detect", "rules_before": rules})}) as gateway:
        upstream.forget()
        assert gateway.request("/?password=Qz3cret").status == 200
        rule = next(rule for rule in gateway.waf_event()["rules"] if rule["id"] == 10002)
        assert (rule["msg"], rule["match"]) == ("begins with ***, so there", "***")


def test_secrets_of_answers_are_not_written():
    page = f'<html><form><a token="{SECRET}">x</a></form></html>'
    rules = 'SecRule RESPONSE_BODY "@rx token=.(\\w+)" "id:10001,phase:4,pass,log,capture,msg:\'found %{TX.1} there\'"'
    with Upstream(lambda connection, request: connection.respond(200, [("Content-Type", "text/html")], page)) as pages, \
            Gateway({"shop": tenant(upstream=pages, waf={"mode": "detect", "rules_before": rules, "body": {"response": True}})}) as gateway:
        assert SECRET in gateway.request("/").body.decode()
        rule = next(rule for rule in gateway.waf_event()["rules"] if rule["id"] == 10001)
        assert rule["msg"] == "found *** there"
        with open(gateway.audit_log, encoding="utf-8") as file:
            assert SECRET not in file.read()


def test_xml_without_secrets_is_shown(gateway):
    response = gateway.request("/", method="POST", headers=[("Content-Type", "text/xml")], body="<l><id>1' or '1'='1' -- </id></l>")
    assert response.status == 403
    event = gateway.waf_event(request_id=response.header("x-request-id"))
    assert "1' or '1'='1' -- " in [rule["match"] for rule in event["rules"] if rule["target"] == "XML:/*"]


def test_the_rules_own_words_are_never_masked(gateway):
    response = gateway.request("/big?n=2147483648")
    assert response.status == 403
    event = gateway.waf_event(request_id=response.header("x-request-id"))
    message = next(rule["msg"] for rule in event["rules"] if rule["id"] == 942220)
    assert message.startswith("Looking for integer overflow attacks") and "3.0.00738585072007e-308" in message and "***" not in message


def test_more_names_to_mask(upstream):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}, {"audit_log": {"mask": ["passport_number"]}}) as gateway:
        response = gateway.request("/x?passport_number=" + SECRET + "%27%20OR%20%271%27=%271&id=1%27%20OR%20%271%27=%271")
        assert response.status == 403
        gateway.waf_event(request_id=response.header("x-request-id"))
        gateway.access_record(http__request__id=response.header("x-request-id"))
        for path in (gateway.audit_log, gateway.access_log):
            with open(path, encoding="utf-8") as file:
                assert SECRET not in file.read(), path


def test_masked_headers_are_in_no_field_of_the_logs(upstream):
    """Those that the access log and events have a part of by another name."""
    sent = [("User-Agent", SECRET + "/1"), ("X-Forwarded-For", "203.0.113.77"), ("X-Request-Id", "id-" + SECRET),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    masked = ["user-agent", "host", "x-forwarded-for", "x-request-id", "traceparent"]

    def lines(mask):
        with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})},
                     {"audit_log": {"mask": mask}, "trusted_proxies": ["127.0.0.5/32"], "access_log": {"client_ip": "full"}}) as gateway:
            assert gateway.request("/x?id=1%27%20OR%20%271%27=%271", headers=sent, source="127.0.0.5").status == 403
            record, event = gateway.access_record(url__path="/x"), gateway.waf_event(path="/x")
            return record, event, json.dumps([record, event])
    record, event, _ = lines([])
    assert (record["user_agent.original"], record["client.ip"], event["client_ip"]) == (SECRET + "/1", "203.0.113.77", "203.0.113.77")
    record, event, text = lines(masked)
    assert record["user_agent.original"] == record["url.domain"] == record["http.request.id"] == record["trace.id"] == "***"
    assert event["host"] == event["request_id"] == "***" and "client.ip" not in record and "client_ip" not in event
    assert SECRET not in text and "203.0.113" not in text and "shop.test" not in text and "0af7651916cd" not in text


CLIENTS = {"203.0.113.177": "203.0.113.0", "2001:db8:1:2:3:4:5:6": "2001:db8:1::"}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("detail", ["full", "truncated", "none"])
def test_the_client_is_shown_in_no_more_detail_than_the_access_log_has(upstream, detail, client):
    shown = {"full": client, "truncated": CLIENTS[client], "none": "***"}[detail]
    rules = "\n".join([
        'SecRule REMOTE_ADDR "@rx ." "id:10001,phase:1,pass,log,msg:\'from %{REMOTE_ADDR} and %{REMOTE_ADDR}, so\'"',
        'SecRule ARGS "@rx (first|last)" "id:10002,phase:2,pass,log,capture,msg:\'x\'"',
        'SecRule ARGS_NAMES "@beginsWith of-" "id:10003,phase:2,pass,log,msg:\'x\'"'])
    settings = {"access_log": {"client_ip": detail}, "trusted_proxies": ["127.0.0.5/32"]}
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "detect", "rules_before": rules})}, settings) as gateway:
        def rules_of(path, body):
            gateway.request(path, method="POST", body=body, source="127.0.0.5",
                            headers=[("X-Forwarded-For", client), ("Content-Type", "application/x-www-form-urlencoded")])
            event = gateway.waf_event(path=path)
            assert event.get("client_ip") == (None if detail == "none" else shown)
            return {rule["id"]: (rule["msg"], rule["target"], rule["match"]) for rule in event["rules"]}
        short = rules_of("/short", f"of-{client}=first,{client},{client}")
        assert short[10001] == (f"from {shown} and {shown}, so", "REMOTE_ADDR", shown)
        assert short[10002] == ("x", "ARGS:of-" + shown, f"first,{shown},{shown}")
        assert short[10003] == ("x", "ARGS_NAMES:of-" + shown, "of-" + shown)
        many = f"{client}," * (60_000 // len(client))
        assert rules_of("/long", "a=first," + many)[10002][2] == ("first," + f"{shown}," * 50)[:100]
        assert rules_of("/last", "a=" + many + "last")[10002][2] == (f"{shown}," * 50)[-20:] + "last"
        with open(gateway.audit_log, encoding="utf-8") as file:
            assert detail == "full" or client not in file.read()


def test_values_full_of_the_clients_address_cost_no_more_than_others(upstream, is_sanitized):
    settings = {"trusted_proxies": ["127.0.0.5/32"], "access_log": {"client_ip": "truncated"}, "waf": {"time_budget": "30s"}}
    addresses = 10_000 if is_sanitized else 130_000
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "detect"})}, settings) as gateway:
        def cpu_seconds(client):
            before = gateway.cpu_seconds()
            gateway.request("/" + client, method="POST", body="x=%00" + "1.1.1.11" * addresses, source="127.0.0.5",
                            headers=[("X-Forwarded-For", client), ("Content-Type", "application/x-www-form-urlencoded")])
            gateway.waf_event(path="/" + client)
            return gateway.cpu_seconds() - before
        assert cpu_seconds("1.1.1.11") < 2 * cpu_seconds("1.1.1.12") + 0.3


def test_secrets_in_paths_are_in_no_log(gateway):
    response = gateway.request(f"/x;password={SECRET}/y?id=1%27%20OR%20%271%27=%271")
    assert gateway.waf_event(request_id=response.header("x-request-id"))["path"] == "/x;password=***/y"
    assert gateway.access_record(http__request__id=response.header("x-request-id"))["url.path"] == "/x;password=***/y"


def test_an_attack_in_a_cookie_is_told_by_the_cookies_name(gateway):
    response = gateway.request("/x", headers=[("Cookie", f"lang=de; basket={SECRET}' OR '1'='1' -- ")])
    assert response.status == 403
    event = gateway.waf_event(request_id=response.header("x-request-id"))
    assert ("REQUEST_COOKIES:basket", "***") in [(rule["target"], rule["match"]) for rule in event["rules"]]
    with open(gateway.audit_log, encoding="utf-8") as file:
        assert SECRET not in file.read()


def test_a_clean_request_writes_none(gateway, upstream):
    upstream.forget()
    assert gateway.request("/clean", headers=[("User-Agent", "x"), ("Accept", "*/*")]).status == 200
    identifier = upstream.requests[0].header("x-request-id")
    gateway.access_record(http__request__id=identifier)
    response = gateway.request("/x?id=1%27%20OR%20%271%27=%271")
    gateway.waf_event(request_id=response.header("x-request-id"))
    assert gateway.waf_events(request_id=identifier) == []


def test_form_that_is_blocked_leaves_no_trace_of_its_text(gateway):
    body = urlencode({"iban": "DE89370400440532013000", "comment": INJECTION})
    response = gateway.request("/pay", method="POST", headers=[("Content-Type", "application/x-www-form-urlencoded")], body=body)
    assert response.status == 403
    gateway.waf_event(request_id=response.header("x-request-id"))
    with open(gateway.audit_log, encoding="utf-8") as file:
        assert "DE89370400440532013000" not in file.read()
