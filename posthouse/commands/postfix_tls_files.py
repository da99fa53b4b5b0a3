"""Keys, certificates and signing requests for `postfix tls`, made and read by openssl(1).

Files lie in the configuration directory: key-STAMP.pem and cert-STAMP.pem, for ECDSA with ec in front. Keys are
readable for their owner only.

Standards: RFC 5280 section 4.2 (extensions); RFC 6698 section 2.1, RFC 7671 section 5.1 (TLSA 3 1 1).
"""

import base64
import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

DAYS = "36525"
"""A self-signed certificate is never to expire: nobody checks when it does, and somebody would have to be there."""

NO_PASSPHRASE = "pass:none"
"""So that openssl never asks at the terminal: keys with a passphrase are none that a server could use."""

MARK = b"-----BEGIN PUBLIC KEY-----"


class Failed(Exception):
    """It cannot be done; the text is the last line to say, `warnings` are those before it."""

    def __init__(self, text: str, warnings: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.warnings = tuple(warnings)


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A kind of key: its name here, openssl's command for it, and the parameters that name its files."""

    name: str
    command: str
    prefix: str
    bits: str
    key_parameter: str
    certificate_parameter: str


ALGORITHMS = {
    "rsa": Algorithm("rsa", "rsa", "", "2048", "smtpd_tls_key_file", "smtpd_tls_cert_file"),
    "ecdsa": Algorithm("ecdsa", "ec", "ec", "secp256r1", "smtpd_tls_eckey_file", "smtpd_tls_eccert_file"),
}


class KeyFiles:
    """The files of one configuration directory."""

    def __init__(self, openssl: str, folder: str) -> None:
        self._openssl = openssl
        self._folder = folder

    def _run(self, *arguments: str, data: bytes = b"", umask: int = -1) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [self._openssl, *arguments], input=data, capture_output=True, check=False, umask=umask
        )  # fmt: skip

    def require_openssl(self) -> None:
        """Raises Failed when the program is not there."""
        try:
            works = self._run("version").returncode == 0
        except OSError:
            works = False
        if not works:
            raise Failed(f"No working openssl(1) command found with 'openssl_path = {self._openssl}'")

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, path: str) -> tuple[Algorithm, bytes] | None:
        """A key and its kind."""
        if not os.path.isfile(path):
            return None
        for algorithm in ALGORITHMS.values():
            pem = self._run(algorithm.command, "-passin", NO_PASSPHRASE, "-in", path).stdout
            if pem:
                return algorithm, pem
        return None

    def algorithm_of(self, path: str) -> Algorithm:
        """The kind of a key. Raises Failed."""
        found = self._read(path)
        if found is None:
            raise Failed(f"no private key found in file: {path}")
        return found[0]

    def digest_of_key(self, path: str) -> str:
        """The SHA-256 of its public half, as TLSA 3 1 1 has it. Raises Failed."""
        for algorithm in ALGORITHMS.values():
            done = self._run(algorithm.command, "-passin", NO_PASSPHRASE, "-in", path, "-pubout")
            if (digest := _digest(done.stdout)) is not None:
                return digest
        raise Failed("error computing public key digest")

    def require_pair(self, certificate: str, key: str) -> None:
        """Raises Failed unless the certificate is for that key."""
        done = self._run("x509", "-pubkey", "-noout", "-in", certificate)
        digest = _digest(done.stdout) if os.path.isfile(certificate) else None
        if digest is None:
            raise Failed("error computing certificate public key digest")
        if digest != self.digest_of_key(key):
            raise Failed(f"Certificate in {certificate} does not match key in {key}")

    # -- making ----------------------------------------------------------------------------------------------------

    def make(self, algorithm: Algorithm, bits: str, old_key: str, host_names: Sequence[str]) -> tuple[str, str]:
        """A new certificate and its key (a copy of the old one, when there is one): their files. Raises Failed."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        key = f"{self._folder}/{algorithm.prefix}key-{stamp}.pem"
        certificate = f"{self._folder}/{algorithm.prefix}cert-{stamp}.pem"
        for path, what in ((key, "private key"), (certificate, "certificate")):
            if os.path.exists(path):
                raise Failed(f"New {what} file already exists: {path}")
        try:
            if old_key:
                self._copy_key(algorithm, old_key, key)
            else:
                self._create_key(algorithm, bits, key)
            self._create_certificate(key, certificate, host_names)
        except Failed:
            for path in (key, certificate):
                if os.path.exists(path):
                    os.unlink(path)
            raise
        return certificate, key

    def _copy_key(self, algorithm: Algorithm, old: str, new: str) -> None:
        found = self._read(old)
        if found is None:
            raise Failed(f"Error copying private key from '{old}' to '{new}'")
        kind, pem = found
        if kind is not algorithm:
            raise Failed(f"Key algorithm '{kind.name}' of '{old}' is not '{algorithm.name}'")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(pem)

    def _create_key(self, algorithm: Algorithm, bits: str, path: str) -> None:
        arguments = (
            ("genrsa", "-out", path, bits)
            if algorithm.name == "rsa"
            else ("ecparam", "-param_enc", "named_curve", "-genkey", "-out", path, "-name", bits)
        )
        done = self._run(*arguments, umask=0o077)
        if done.returncode:
            said = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
            raise Failed(f"error generating new {algorithm.name} {bits} private key", said)

    def _create_certificate(self, key: str, certificate: str, host_names: Sequence[str]) -> None:
        done = self._request(
            ("-x509", "-key", key, "-subj", f"/CN={host_names[0]}", "-days", DAYS, "-out", certificate),
            "x509_extensions",
            ("basicConstraints = CA:false",),
            host_names,
        )
        if done.returncode:
            raise Failed("error generating self-signed SSL certificate", _lines(done.stderr))

    def signing_request(self, key: str, host_names: Sequence[str]) -> str:
        """A request for a certificate, in PEM. Raises Failed."""
        done = self._request(("-key", key, "-subj", "/"), "req_extensions", (), host_names)
        if done.returncode:
            raise Failed(f"no certificate signing request for {key}", _lines(done.stderr))
        return done.stdout.decode("ascii", "replace")

    def _request(
        self, arguments: Sequence[str], place: str, extensions: Sequence[str], host_names: Sequence[str]
    ) -> "subprocess.CompletedProcess[bytes]":
        names = [f"DNS.{number} = {name}" for number, name in enumerate(host_names, 1)]
        usage = ("subjectKeyIdentifier = hash", "extendedKeyUsage = serverAuth, clientAuth", "subjectAltName = @names")
        lines = (
            *("default_md = sha256", f"{place} = v3", "distinguished_name = dn", "[dn]", "[v3]"),
            *(*extensions, *usage, "[names]", *names),
        )
        config = "".join(f"{line}\n" for line in lines).encode()
        return self._run("req", "-config", "/dev/stdin", "-new", *arguments, data=config, umask=0o022)


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "replace").splitlines()


def _digest(pem: bytes) -> str | None:
    """The SHA-256 of a public key in PEM; None when there is none."""
    start = pem.find(MARK)
    if start < 0:
        return None
    text = pem[start + len(MARK) :].partition(b"-----END")[0]
    return hashlib.sha256(base64.b64decode(text)).hexdigest()
