"""TLS: versions, which certificate a name gets, requests for another host than the connection was made for."""
import signal
import socket
import ssl
import time

import pytest

from harness.certificates import Authority
from harness.client import Connection, request_bytes, tls_context
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.http2 import Client
from harness.polling import poll
from harness.upstream import Upstream


@pytest.fixture(scope="module")
def certificates(authority):
    return {name: authority.issue(name, names) for name, names in {
        "a.test": None, "b.test": None, "shared": ["one.shared.test", "two.shared.test"], "*.wild.test": None, "rsa.test": None,
        "clients.test": None, "maybe.test": None,
    }.items()} | {"rsa.test": authority.issue("rsa.test", rsa=True)}


@pytest.fixture(scope="module")
def gateway(authority, certificates, upstream):
    def files(name, **more):
        certificate, key = certificates[name]
        return {"certificate_file": certificate, "key_file": key, **more}

    hosts = [
        {"name": "a.test", "tls": files("a.test")},
        {"name": "b.test", "tls": files("b.test", min_version="1.3")},
        {"name": "one.shared.test", "tls": files("shared")},
        {"name": "two.shared.test", "tls": files("shared")},
        {"name": "*.wild.test", "tls": files("*.wild.test")},
        {"name": "rsa.test", "tls": files("rsa.test")},
        {"name": "self.test", "tls": {"self_signed": True}},
        {"name": "clients.test", "tls": files("clients.test", client_ca_file=authority.certificate, client_auth="required")},
        {"name": "maybe.test", "tls": files("maybe.test", client_ca_file=authority.certificate, client_auth="optional")},
        {"name": "plain.test", "tls": "off"},
    ]
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, files=[authority.folder]) as running:
        yield running


def certificate_of(gateway, server_name, **options):
    with gateway.connect(tls=tls_context(**options), server_name=server_name) as connection:
        return connection.socket.getpeercert(binary_form=True)


def der(path):
    with open(path, encoding="ascii") as file:
        return ssl.PEM_cert_to_DER_cert(file.read().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")


@pytest.mark.parametrize("version, name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_speaks(gateway, authority, version, name):
    context = tls_context(authority.certificate, minimum=version, maximum=version)
    with gateway.connect(tls=context, server_name="a.test") as connection:
        assert connection.socket.version() == name
        assert connection.exchange(request_bytes(host="a.test")).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("server_name", ["a.test", "unknown.test"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_refuses_old_versions(gateway, version, server_name):
    context = tls_context(minimum=version, maximum=version, ciphers="ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match="(?i)alert protocol version"):
        gateway.connect(tls=context, server_name=server_name)


def test_least_version_of_one_host(gateway):
    old = {"maximum": ssl.TLSVersion.TLSv1_2}
    with pytest.raises(ssl.SSLError):
        certificate_of(gateway, "b.test", **old)
    assert certificate_of(gateway, "b.test")
    assert certificate_of(gateway, "a.test", **old), "the least version of one host is not that of another"


@pytest.mark.parametrize("server_name, key", [
    ("a.test", "a.test"), ("A.TEST", "a.test"), ("b.test", "b.test"), ("one.shared.test", "shared"), ("x.wild.test", "*.wild.test"),
    ("rsa.test", "rsa.test"),
])
def test_name_picks_the_certificate(gateway, certificates, server_name, key):
    assert certificate_of(gateway, server_name) == der(certificates[key][0])


@pytest.mark.parametrize("server_name", ["a.test", "x.wild.test", "rsa.test", "two.shared.test"])
def test_certificate_verifies(gateway, authority, server_name):
    with gateway.connect(tls=tls_context(authority.certificate), server_name=server_name) as connection:
        assert connection.exchange(request_bytes(host=server_name)).status == 200


def test_self_signed_host_is_served(gateway):
    with gateway.connect(tls=True, server_name="self.test") as connection:
        assert connection.exchange(request_bytes(host="self.test")).status == 200


@pytest.mark.parametrize("server_name", ["unknown.test", "a.b.wild.test", "wild.test", "plain.test", None])
def test_unknown_name_gets_a_certificate_of_nobody_then_421(gateway, certificates, server_name):
    with gateway.connect(tls=True, server_name=server_name) as connection:
        assert connection.socket.getpeercert(binary_form=True) not in [der(pair[0]) for pair in certificates.values()]
        response = connection.exchange(request_bytes(host=server_name or "a.test"))
        assert response.status == 421
        assert response.has("x-request-id")


@pytest.mark.parametrize("server_name, host", [
    ("a.test", "b.test"), ("b.test", "a.test"), ("a.test", "self.test"), ("a.test", "clients.test"), ("maybe.test", "clients.test"),
    ("unknown.test", "a.test"), (None, "a.test"), ("clients.test", "a.test"),
])
def test_another_host_than_the_connection_was_made_for_is_421(gateway, upstream, authority, server_name, host):
    certificate, key = authority.issue("somebody", client=True)
    upstream.forget()
    with gateway.connect(tls=tls_context(certificate=certificate, key=key), server_name=server_name) as connection:
        assert connection.exchange(request_bytes(host=host)).status == 421
    assert upstream.requests == []
    gateway.wait_metric(lambda value: value >= 1, "gatehouse_local_replies_total", reason="misdirected")


@pytest.mark.parametrize("server_name, host", [
    ("one.shared.test", "two.shared.test"), ("x.wild.test", "y.wild.test"), ("a.test", "A.test"), ("a.test", "a.test:443"),
    ("a.test", "a.test."),
])
def test_another_host_with_the_same_settings_is_served(gateway, server_name, host):
    with gateway.connect(tls=True, server_name=server_name) as connection:
        assert connection.exchange(request_bytes(host=host)).status == 200


def test_a_connection_goes_on_after_421(gateway):
    with gateway.connect(tls=True, server_name="a.test") as connection:
        response = connection.exchange(request_bytes(host="b.test"))
        assert response.status == 421
        if not response.closes:
            assert connection.exchange(request_bytes(host="a.test")).status == 200


@pytest.mark.parametrize("offered, chosen", [(["http/1.1"], "http/1.1"), (["foo/1", "http/1.1"], "http/1.1"), (None, None),
                                              (["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["h2"], "h2")])
def test_alpn(gateway, offered, chosen):
    with gateway.connect(tls=tls_context(alpn=offered), server_name="a.test") as connection:
        assert connection.socket.selected_alpn_protocol() == chosen
        assert chosen == "h2" or connection.exchange(request_bytes(host="a.test")).status == 200


def test_client_certificate_required(gateway, upstream, authority):
    certificate, key = authority.issue("client one", client=True)
    upstream.forget()
    with pytest.raises((ssl.SSLError, Closed, Truncated, ConnectionError)):
        with gateway.connect(tls=True, server_name="clients.test") as connection:
            connection.exchange(request_bytes(host="clients.test"))
    assert upstream.requests == []
    with gateway.connect(tls=tls_context(certificate=certificate, key=key), server_name="clients.test") as connection:
        sent = request_bytes(host="clients.test", headers=[("x-forwarded-client-cert", "Subject=\"CN=admin\"")])
        assert connection.exchange(sent).status == 200
    seen = upstream.requests[0].header("x-forwarded-client-cert")
    assert "client one" in seen and "admin" not in seen


def test_client_certificate_of_another_authority_is_refused(gateway, tmp_path):
    certificate, key = Authority(tmp_path, "Somebody else").issue("client one", client=True)
    for server_name in ("clients.test", "maybe.test"):
        with pytest.raises((ssl.SSLError, Closed, Truncated, ConnectionError)):
            with gateway.connect(tls=tls_context(certificate=certificate, key=key), server_name=server_name) as connection:
                connection.exchange(request_bytes(host=server_name))


def test_client_certificate_optional(gateway, upstream, authority):
    upstream.forget()
    with gateway.connect(tls=True, server_name="maybe.test") as connection:
        sent = request_bytes(host="maybe.test", headers=[("X-Forwarded-Client-Cert", "Subject=\"CN=admin\"")])
        assert connection.exchange(sent).status == 200
    assert not upstream.requests[0].has("x-forwarded-client-cert"), "a client's own is removed"
    certificate, key = authority.issue("client two", client=True)
    with gateway.connect(tls=tls_context(certificate=certificate, key=key), server_name="maybe.test") as connection:
        assert connection.exchange(request_bytes(host="maybe.test")).status == 200
    assert "client two" in upstream.requests[1].header("x-forwarded-client-cert")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_no_way_around_client_certificates(gateway, upstream, version):
    """A ticket from a host that asks for nothing must not be taken by one that requires a certificate."""
    context = tls_context(minimum=version, maximum=version)
    with gateway.connect(tls=context, server_name="a.test") as connection:
        assert connection.exchange(request_bytes(host="a.test")).status == 200
        session = connection.socket.session
    upstream.forget()
    with pytest.raises((ssl.SSLError, Closed, Truncated, ConnectionError)):
        with gateway.connect(tls=context, server_name="clients.test", session=session) as connection:
            assert connection.exchange(request_bytes(host="clients.test")).status != 200
            raise Closed("refused by an answer")
    assert upstream.requests == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_each_connection_resumes_the_one_before(gateway, version):
    """A TLS 1.3 client uses a ticket once: a resumed connection must give it the next."""
    context = tls_context(minimum=version, maximum=version)
    session, tickets = None, set()
    for number in range(4):
        with gateway.connect(tls=context, server_name="a.test", session=session) as connection:
            assert connection.exchange(request_bytes(host="a.test")).status == 200
            assert connection.socket.session_reused == (number > 0), number
            session = connection.socket.session
            tickets.add(session.id)
    if version == ssl.TLSVersion.TLSv1_3:
        assert len(tickets) == 4


def test_handshake_byte_by_byte(gateway):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = tls_context().wrap_bio(incoming, outgoing, server_hostname="a.test")

    def flush(sock):
        for byte in outgoing.read():
            sock.sendall(bytes([byte]))

    def until_done(sock, action):
        while True:
            try:
                result = action()
                flush(sock)
                return result
            except ssl.SSLWantReadError:
                flush(sock)
                incoming.write(sock.recv(65536))

    with socket.create_connection(gateway.https, timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        until_done(sock, tls.do_handshake)
        tls.write(request_bytes(host="a.test"))
        flush(sock)
        assert until_done(sock, lambda: tls.read(4096)).startswith(b"HTTP/1.1 200 OK\r\n")


def test_close_is_announced(gateway):
    """close_notify before the end, so that a client can tell the end from a cut (RFC 8446 section 6.1)."""
    with gateway.connect(tls=True, server_name="a.test") as connection:
        connection.send(request_bytes(host="a.test", close=True))
        assert connection.response().status == 200
        assert connection.socket.recv(1) == b""


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"A" * 500, b"\0" * 100,
                                  b"\x80\x2e\x01\x03\x01\x00\x15", b"\x16\x03\x01\x00\x00"])
def test_what_is_not_tls_ends_the_connection(gateway, upstream, data):
    upstream.forget()
    with gateway.connect(port=gateway.https_port) as connection:
        connection.try_send(data)
        connection.finish_sending()
        connection.socket.settimeout(10)
        try:
            answer = connection.buffer.take_all()
        except (Truncated, ConnectionError):
            answer = b""
        assert not answer.startswith(b"HTTP/1.1 200")
    assert upstream.requests == []
    assert gateway.running()


def test_handshakes_are_counted(gateway):
    before = gateway.metrics()
    certificate_of(gateway, "a.test")
    with pytest.raises(ssl.SSLError):
        certificate_of(gateway, "b.test", maximum=ssl.TLSVersion.TLSv1_2)
    results = {labels["result"] for labels in poll(
        lambda: gateway.metrics().total("gatehouse_tls_handshakes_total") >= before.total("gatehouse_tls_handshakes_total") + 2
        and gateway.metrics(), "two handshakes more").labels("gatehouse_tls_handshakes_total")}
    assert len(results) >= 2, results


def test_expiry_of_certificates_is_told(gateway):
    value = gateway.metric("gatehouse_certificate_not_after_seconds", host="a.test")
    assert abs(value - (time.time() + 30 * 86400)) < 86400


def test_tls_1_2_renegotiation_is_not_done(gateway):
    """OpenSSL's own client asks for it on a line with R."""
    import subprocess
    result = subprocess.run(
        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % gateway.https_port, "-servername", "a.test", "-tls1_2"],
        input=b"R\n", capture_output=True, timeout=20, check=False)
    assert b"RENEGOTIATING" in result.stdout + result.stderr
    assert result.returncode != 0
    with gateway.connect(tls=True, server_name="a.test") as connection:
        assert connection.exchange(request_bytes(host="a.test")).status == 200


def test_a_host_that_vanishes_mid_handshake_harms_nobody(gateway):
    for _ in range(20):
        with Connection(gateway.https) as connection:
            connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
            connection.reset()
    assert certificate_of(gateway, "a.test")


def test_browsers_are_told_to_use_tls_alone(authority, certificates):
    def respond(connection, request):
        connection.respond(headers=[("Strict-Transport-Security", "max-age=7; includeSubDomains")] if request.target == "/own" else [])

    certificate, key = certificates["shared"]
    files = {"certificate_file": certificate, "key_file": key}
    hosts = [{"name": "one.shared.test", "tls": files}, {"name": "two.shared.test", "tls": {**files, "hsts": "0s"}},
             {"name": "three.shared.test", "tls": {**files, "hsts": "off"}}, {"name": "plain.test", "tls": "off"}]
    routes = [{"match": {"path": path}, "service": "web"} for path in ("/served", "/own")]
    with Upstream(respond) as upstream, Gateway({"shop": tenant(upstream=upstream, hosts=hosts, routes=routes)}, files=[authority.folder]) as gateway:
        def said(host, target, **options):
            return [value for name, value in gateway.request(target, host=host, **options).headers if name.lower() == "strict-transport-security"]

        assert said("one.shared.test", "/served", tls=True) == ["max-age=31536000"]
        assert said("one.shared.test", "/nowhere", tls=True) == ["max-age=31536000"], "an answer of the gateway's own"
        assert said("one.shared.test", "/own", tls=True) == ["max-age=7; includeSubDomains"]
        assert said("two.shared.test", "/served", tls=True) == ["max-age=0"]
        assert said("three.shared.test", "/served", tls=True) == []
        assert said("plain.test", "/served") == []
        with Client(gateway, server_name="one.shared.test") as client:
            for target in ("/served", "/nowhere"):
                assert client.exchange(target, host="one.shared.test").header("strict-transport-security") == "max-age=31536000"
        assert said("one.shared.test", "/served") == [], "browsers do not heed it without TLS (RFC 6797 section 8.1)"


def test_revoked_clients_are_refused(upstream, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("clients.test")
    good, bad = authority.issue("good", client=True), authority.issue("bad", client=True)
    host = {"name": "clients.test", "tls": {"certificate_file": certificate, "key_file": key, "client_ca_file": authority.certificate,
                                            "client_crl_file": authority.revocation_list()}}

    def is_served(pair):
        try:
            with gateway.connect(tls=tls_context(certificate=pair[0], key=pair[1]), server_name="clients.test") as connection:
                return connection.exchange(request_bytes(host="clients.test")).status == 200
        except (ssl.SSLError, Closed, Truncated, ConnectionError):
            return False

    with Gateway({"shop": tenant(upstream=upstream, hosts=[host])}, files=[authority.folder]) as gateway:
        assert is_served(good) and is_served(bad)
        authority.revocation_list([bad[0]])
        gateway.signal(signal.SIGHUP)
        poll(lambda: not is_served(bad), "the revocation to be noticed")
        assert is_served(good)
        authority.revocation_list(seconds=1)
        gateway.signal(signal.SIGHUP)
        poll(lambda: not is_served(good), "the list to be too old")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_old_revocation_list_ends_sessions_too(upstream, tmp_path, version):
    authority = Authority(tmp_path)
    certificate, key = authority.issue("clients.test")
    client_certificate, client_key = authority.issue("good", client=True)
    host = {"name": "clients.test", "tls": {"certificate_file": certificate, "key_file": key, "client_ca_file": authority.certificate,
                                            "client_crl_file": authority.revocation_list(seconds=10)}}
    context = tls_context(certificate=client_certificate, key=client_key, minimum=version, maximum=version)
    with Gateway({"shop": tenant(upstream=upstream, hosts=[host])}, files=[authority.folder]) as gateway:
        with gateway.connect(tls=context, server_name="clients.test") as connection:
            assert connection.exchange(request_bytes(host="clients.test")).status == 200
            session = connection.socket.session

        def is_resumed():
            try:
                with gateway.connect(tls=context, server_name="clients.test", session=session) as connection:
                    return connection.exchange(request_bytes(host="clients.test")).status == 200 and connection.socket.session_reused
            except (ssl.SSLError, Closed, Truncated, ConnectionError):
                return False

        assert is_resumed()
        poll(lambda: not is_resumed(), "the list to be too old", deadline=20)
