"""postfix tls: keys, certificates and settings for TLS. Manual: postfix-tls(1) of Postfix 3.7.

    postfix tls enable-client [-r randsource]
    postfix tls enable-server [-r randsource] [-a algorithm] [-b bits] [hostname…]
    postfix tls new-server-key | new-server-cert [-a algorithm] [-b bits] [hostname…]
    postfix tls deploy-server-cert certfile keyfile
    postfix tls output-server-csr [-k keyfile] [hostname…]
    postfix tls output-server-tlsa [-h hostname] [keyfile…]
    postfix tls all-default-client | all-default-server

What is done is told in the mail log, and on standard error when that is a terminal. enable-client and enable-server
change nothing where something about TLS is set already: they say what is usual. Keys and certificates are the work
of openssl(1) (commands/postfix_tls_files.py).
"""

import getopt
import os
import sys
from dataclasses import dataclass

from posthouse.commands import postconf
from posthouse.commands.complaint import complain
from posthouse.commands.postfix_tls_files import ALGORITHMS, Algorithm, Failed, KeyFiles
from posthouse.config.configuration import Configuration
from posthouse.config.error import ConfigError
from posthouse.config.settings import read_settings

CLIENT = ("use_tls", "enforce_tls", "tls_enforce_peername")
SERVER = ("use_tls", "enforce_tls")
BOTH = ("tls_security_level", "tls_cert_file", "tls_dcert_file", "tls_eccert_file")
"""What is looked at to know whether TLS has been set up, behind smtp_ or smtpd_."""

USAGES = {
    "enable-client": "[-r devrandom]",
    "enable-server": "[-a algorithm] [-b bits ] [-r devrandom] [hostname ...]",
    "new-server-key": "[-a algorithm] [-b bits ] [hostname ...]",
    "new-server-cert": "[-a algorithm] [-b bits ] [hostname ...]",
    "deploy-server-cert": "certfile keyfile",
    "output-server-csr": "[-k keyfile] [hostname ...]",
    "output-server-tlsa": "[-h hostname] [keyfile ...]",
    "all-default-client": "",
    "all-default-server": "",
}
LETTERS = {
    "enable-client": "r:",
    "enable-server": "a:b:r:",
    "new-server-key": "a:b:",
    "new-server-cert": "a:b:",
    "output-server-csr": "k:",
    "output-server-tlsa": "h:",
}


@dataclass(frozen=True, slots=True)
class PostfixTlsSettings:
    """What it reads."""

    data_directory: str
    myhostname: str
    openssl_path: str
    syslog_name: str
    smtpd_tls_key_file: str
    smtpd_tls_eckey_file: str
    tls_random_source: str


def run(configuration: Configuration, words: list[str]) -> int:
    """postfix tls WORDS; the exit status."""
    script = TlsScript(configuration)
    try:
        return script.run(words)
    except Failed as error:
        for line in error.warnings:
            script.say(line, "warning")
        script.say(str(error), "fatal")
        return 1


class TlsScript:
    """The subcommands, for one instance."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._settings = read_settings(PostfixTlsSettings, configuration)
        self._name = f"{self._settings.syslog_name}/postfix-tls-script"
        self._files = KeyFiles(self._settings.openssl_path, configuration.directory)

    def say(self, text: str, level: str = "info") -> None:
        """A line to the mail log, and to a terminal."""
        from posthouse.host.log import ProcessLog
        from posthouse.service import maillog

        if sys.stderr.isatty():
            complain(self._name, ("" if level == "info" else f"{level}: ") + text)
        try:
            descriptor = maillog.open_descriptor(self._configuration)
            log = ProcessLog(maillog.open_sink(self._configuration, descriptor), self._name)
        except (OSError, ConfigError):
            return  # then a terminal has it, or nobody
        {"info": log.info, "warning": log.warning, "error": log.error, "fatal": log.fatal}[level](text)
        if descriptor is not None:
            os.close(descriptor)

    def tell(self, text: str) -> None:
        """Some lines."""
        for line in text.splitlines():
            self.say(line)

    def run(self, words: list[str]) -> int:
        """One subcommand. Raises Failed."""
        self._files.require_openssl()
        command = words[0] if words else ""
        if command not in USAGES:
            self.say(f"unknown tls command: '{command}'", "error")
            first, *others = USAGES
            raise Failed(f"usage: postfix tls {first} (or {', '.join(others)})")
        options, rest = self._options(command, words[1:])
        match command:
            case "all-default-client":
                return 0 if self._all_default("smtp_", CLIENT) else 1
            case "all-default-server":
                return 0 if self._all_default("smtpd_", SERVER) else 1
            case "enable-client":
                return self._enable_client(options.get("-r", ""))
            case "enable-server":
                return self._enable_server(options, rest)
            case "new-server-key":
                algorithm = _algorithm(options, "public")
                return self._new_certificate(algorithm, options.get("-b", ""), "", rest, deploy=None)
            case "new-server-cert":
                return self._new_server_cert(options, rest)
            case "deploy-server-cert":
                self._deploy(self._path(rest[0]), self._path(rest[1]), [])
                self.tell(DEPLOYED)
                return 0
            case "output-server-csr":
                return self._output_csr(options.get("-k", ""), rest)
        return self._output_tlsa(options.get("-h", ""), rest)

    def _options(self, command: str, words: list[str]) -> tuple[dict[str, str], list[str]]:
        usage = f"usage: postfix tls {command} {USAGES[command]}".rstrip()
        try:
            options, rest = getopt.getopt(words, LETTERS.get(command, ""))
        except getopt.GetoptError as error:
            raise Failed(usage) from error
        wanted = {"enable-client": 0, "all-default-client": 0, "all-default-server": 0, "deploy-server-cert": 2}
        if len(rest) != wanted.get(command, len(rest)) or (options and command not in LETTERS):
            raise Failed(usage)
        return dict(options), rest

    # -- settings --------------------------------------------------------------------------------------------------

    def _all_default(self, prefix: str, names: tuple[str, ...]) -> bool:
        wanted = [prefix + name for name in (*names, *BOTH)]
        return not any(
            self._configuration.is_set(name) and self._configuration.raw(name).strip(" \t\r\n") for name in wanted
        )

    def _edit(self, assignments: list[str]) -> None:
        if postconf.main(["-c", self._configuration.directory, "-e", *assignments]):
            raise Failed(f"{self._configuration.directory}/main.cf could not be changed")

    def _random(self, given: str) -> list[str]:
        # Nothing reads it here; it is written because Postfix, given the machine back, does.
        source = given or self._settings.tls_random_source or "dev:/dev/urandom"
        return [f"tls_random_source = {source}"]

    def _enable_client(self, random: str) -> int:
        cache = f"lmdb:{self._settings.data_directory}/smtp_scache"
        if not self._all_default("smtp_", CLIENT):
            self.tell(CLIENT_ADVICE)
            return 0
        settings = ["smtp_tls_security_level = may", "smtp_tls_loglevel = 1"]
        self._edit([*settings, f"smtp_tls_session_cache_database = {cache}", *self._random(random)])
        self.tell(CLIENT_ENABLED)
        return 0

    def _enable_server(self, options: dict[str, str], names: list[str]) -> int:
        algorithm = _algorithm(options, "private")
        if not self._all_default("smtpd_", SERVER):
            self.tell(SERVER_ADVICE)
            return 0
        levels = ("security_level = may", "received_header = yes", "loglevel = 1")
        deploy = [*(f"smtpd_tls_{level}" for level in levels), *self._random(options.get("-r", ""))]
        return self._new_certificate(algorithm, options.get("-b", ""), "", names, deploy=deploy)

    # -- keys and certificates -------------------------------------------------------------------------------------

    def _path(self, name: str) -> str:
        """What is relative is so to the configuration directory."""
        return os.path.join(self._configuration.directory, name)

    def _host_name(self) -> str:
        name = self._settings.myhostname
        if name.startswith("/"):
            with open(name, encoding="utf-8") as file:
                name = file.read().strip()
        return name

    def _key_file(self, name: str) -> str:
        """The file of an algorithm's name, of a path, or "" when there is none."""
        configured = {
            "rsa": ("smtpd_tls_key_file", self._settings.smtpd_tls_key_file),
            "ecdsa": ("smtpd_tls_eckey_file", self._settings.smtpd_tls_eckey_file),
        }
        if name in configured:
            parameter, value = configured[name]
            name = value if self._configuration.is_set(parameter) else ""
        elif name not in ("", "none"):
            name = self._path(name)
        return "" if name == "none" else name

    def _new_server_cert(self, options: dict[str, str], names: list[str]) -> int:
        algorithm = _algorithm(options, "private")
        old = self._key_file(algorithm.name)
        if old and not os.path.isfile(old):
            self.say(f"Key file: {old} not found, creating new keys", "warning")
            old = ""
        return self._new_certificate(algorithm, options.get("-b", ""), old, names, deploy=None)

    def _new_certificate(
        self, algorithm: Algorithm, bits: str, old_key: str, names: list[str], *, deploy: list[str] | None
    ) -> int:
        """A key (the old one's copy, when there is one) and a self-signed certificate; `deploy`: put to use at once."""
        host_names = names if names and names[0] else [self._host_name(), *names[1:]]
        certificate, key = self._files.make(algorithm, bits or algorithm.bits, old_key, host_names)
        if deploy is None:
            self.tell(CREATED.format(certificate=certificate, key=key))
        else:
            self._deploy(certificate, key, deploy)
            self.say("Enabled opportunistic TLS in the Postfix SMTP server")
            self.tell(DEPLOYED)
        self.tell(CSR_ADVICE.format(certificate=certificate, key=key, then=", and deploy it" if deploy is None else ""))
        # Deployed: all keys in use are told. Not yet: the new one's record, which has to be in the DNS before.
        self.tell(TLSA_ADVICE.format(keys=key if deploy is None else ""))
        if not old_key:
            self.tell(DNS_FIRST if deploy is None else DNS_NOW)
        return 0

    def _deploy(self, certificate: str, key: str, settings: list[str]) -> None:
        algorithm = self._files.algorithm_of(key)
        self._files.require_pair(certificate, key)
        self._edit(
            [f"{algorithm.key_parameter} = {key}", f"{algorithm.certificate_parameter} = {certificate}", *settings]
        )

    def _output_csr(self, key: str, names: list[str]) -> int:
        candidates = [self._key_file(key)] if key else [self._key_file(name) for name in ALGORITHMS]
        path = next(filter(None, candidates), "")
        if not path or not os.access(path, os.R_OK):
            raise Failed("No usable keyfile specified or configured")
        sys.stdout.write(self._files.signing_request(path, names if names and names[0] else [self._host_name()]))
        return 0

    def _output_tlsa(self, host_name: str, names: list[str]) -> int:
        host_name = host_name or self._host_name()
        found = False
        for path in filter(None, map(self._key_file, names or ALGORITHMS)):
            print(f"; {path}", flush=True)
            self._files.algorithm_of(path)
            print(f"_25._tcp.{host_name}. IN TLSA 3 1 1 {self._files.digest_of_key(path)}", flush=True)
            found = True
        if not found:
            raise Failed("No usable keyfiles specified or configured")
        return 0


def _algorithm(options: dict[str, str], kind: str) -> Algorithm:
    name = options.get("-a", "rsa")
    found = ALGORITHMS.get(name)
    if found is None:
        raise Failed(f"Unsupported {kind} key algorithm: {name}" if name else "Invalid empty key algorithm")
    return found


CLIENT_ENABLED = """\
Enabled opportunistic TLS in the Postfix SMTP client.
It counts after the next reload:
  # postfix reload
"""

CLIENT_ADVICE = """\
*** Non-default SMTP client TLS settings detected, no changes made.
Usual for opportunistic TLS:
  smtp_tls_security_level = may
  smtp_tls_loglevel = 1
  smtp_tls_session_cache_database = lmdb:${data_directory}/smtp_scache
"""

SERVER_ADVICE = """\
*** Non-default SMTP server TLS settings detected, no changes made.
Usual for opportunistic TLS:
  smtpd_tls_security_level = may
  smtpd_tls_loglevel = 1
A new certificate comes from "postfix tls new-server-cert", one with a new key from "postfix tls new-server-key".
With TLSA records in the DNS, see RFC 7671 sections 5 and 8 first.
"""

CREATED = """\
New private key and self-signed certificate created. To deploy run:
  # postfix tls deploy-server-cert {certificate} {key}
"""

DEPLOYED = """\
New TLS private key and certificate deployed.
They count after the next reload:
  # postfix reload
"""

CSR_ADVICE = """\
To generate a CSR run:
  # postfix tls output-server-csr -k {key} [<hostname> ...]
and write the signed chain, the certificate first, into {certificate}{then}.
"""

TLSA_ADVICE = """\
To generate TLSA records run:
  # postfix tls output-server-tlsa [-h <hostname>] {keys}
"""

DNS_FIRST = "(Deploy when they are in the DNS, and old ones have expired in its caches.)"
DNS_NOW = "(If the DNS has TLSA records of yours, change them now: they must match the new key.)"
