"""A certificate authority of the tests' own, by the openssl command."""
import os
import subprocess


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **options)


class Authority:
    """Issues certificates into a folder; each is a pair of PEM files, key and certificate with chain."""

    def __init__(self, folder, name="Gatehouse test CA"):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.key, self.certificate = self._path("ca.key"), self._path("ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                "-out", self.certificate, "-days", "30", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def revocation_list(self, revoked=(), *, seconds=86400):
        """Path of a list with these certificates' serial numbers, valid for `seconds`."""
        database, settings, path = self._path("crl-index"), self._path("crl.cnf"), self._path("crl.pem")
        with open(database, "w", encoding="ascii") as file:
            for certificate in revoked:
                serial = openssl("x509", "-in", certificate, "-noout", "-serial").stdout.decode().strip().partition("=")[2]
                file.write(f"R\t491231235959Z\t200101000000Z\t{serial}\tunknown\t/CN=revoked\n")
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca = a\n[a]\ndatabase = {database}\ndefault_md = sha256\n")
        openssl("ca", "-gencrl", "-config", settings, "-cert", self.certificate, "-keyfile", self.key, "-crlsec", str(seconds), "-out", path)
        return path

    def issue(self, name, names=None, *, client=False, days=30, rsa=False):
        """(certificate, key) for `names` (default: the name itself; an address becomes an IP entry)."""
        stem = name.replace("*", "wildcard").replace("/", "_")
        key, request, certificate = self._path(stem + ".key"), self._path(stem + ".csr"), self._path(stem + ".pem")
        algorithm = ["-newkey", "rsa:2048"] if rsa else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", *algorithm, "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        entries = [("IP:" if entry.replace(".", "").isdigit() else "DNS:") + entry for entry in (names or [name])]
        extensions = ["basicConstraints=CA:FALSE", "extendedKeyUsage=" + ("clientAuth" if client else "serverAuth")]
        if not client:
            extensions.append("subjectAltName=" + ",".join(entries))
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", str(days), "-out", certificate, "-extfile", "-", input=("\n".join(extensions) + "\n").encode())
        return certificate, key
