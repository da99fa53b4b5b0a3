"""A listener's TLS context from its configuration.

Reads keys: open it while still root. Without a usable certificate a listener serves without TLS
after a warning, as Postfix does.

Standards: RFC 3207; RFC 6066 section 3 (SNI).
"""

import binascii
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from posthouse.config.configuration import Configuration
from posthouse.config.settings import read_settings
from posthouse.net.tls import (
    CIPHER_LISTS,
    KeyPair,
    SniChoice,
    TlsUnusable,
    chain_pairs,
    cipher_list,
    option_bits,
    server_context,
)
from posthouse.tables.maps import open_maps
from posthouse.tables.table import TableRetry, drive

SNI_CONTEXTS = 1000
"""Contexts kept for names in tls_server_sni_maps: as many domains as one host serves, at some 50 KB each."""


@dataclass(frozen=True, slots=True)
class SmtpdTlsSettings:
    """What makes a listener's TLS context."""

    smtpd_tls_cert_file: str
    smtpd_tls_key_file: str
    smtpd_tls_eccert_file: str
    smtpd_tls_eckey_file: str
    smtpd_tls_chain_files: tuple[str, ...]
    smtpd_tls_CAfile: str
    smtpd_tls_CApath: str
    tls_append_default_CA: bool
    smtpd_tls_req_ccert: bool
    smtpd_tls_security_level: str
    smtpd_enforce_tls: bool
    smtpd_tls_protocols: str
    smtpd_tls_mandatory_protocols: str
    smtpd_tls_ciphers: str
    smtpd_tls_mandatory_ciphers: str
    smtpd_tls_exclude_ciphers: tuple[str, ...]
    smtpd_tls_mandatory_exclude_ciphers: tuple[str, ...]
    tls_high_cipherlist: str
    tls_medium_cipherlist: str
    tls_low_cipherlist: str
    tls_export_cipherlist: str
    tls_null_cipherlist: str
    tls_preempt_cipherlist: bool
    tls_server_sni_maps: str
    tls_ssl_options: str
    smtpd_tls_dh1024_param_file: str


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def open_tls_context(
    configuration: Configuration, warn: Callable[[str], None], prefix: str = "smtpd_"
) -> ssl.SSLContext | None:
    """The listener's context, or None when there is no usable certificate (after a warning). Reads keys: call it while
    still root. `prefix`: of the parameters' names."""
    settings = read_settings(SmtpdTlsSettings, configuration, rename=lambda name: name.replace("smtpd_", prefix, 1))
    level = settings.smtpd_tls_security_level.lower()
    mandatory = level == "encrypt" or (not level and settings.smtpd_enforce_tls)
    pairs = []
    try:
        if settings.smtpd_tls_chain_files:
            pairs = chain_pairs(b"".join(map(_read, settings.smtpd_tls_chain_files)))
        else:
            for certificate, key in (
                (settings.smtpd_tls_cert_file, settings.smtpd_tls_key_file),
                (settings.smtpd_tls_eccert_file, settings.smtpd_tls_eckey_file),
            ):
                if certificate and certificate != "none":
                    pairs.append(KeyPair(_read(certificate), _read(key or certificate)))
    except OSError as error:
        why = os.strerror(error.errno or 0)
        warn(f'cannot get certificate from file "{error.filename}": {why}: disabling TLS support')
        return None
    except TlsUnusable as error:
        warn(f"{error}: disabling TLS support")
        return None
    if not pairs:
        return None
    exclude = [*settings.smtpd_tls_exclude_ciphers]
    if mandatory:
        exclude += settings.smtpd_tls_mandatory_exclude_ciphers
    lists = {**CIPHER_LISTS, **{grade: getattr(settings, f"tls_{grade}_cipherlist") for grade in CIPHER_LISTS}}
    grade = settings.smtpd_tls_mandatory_ciphers if mandatory else settings.smtpd_tls_ciphers
    bits, unknown = option_bits(settings.tls_ssl_options)
    for word in unknown:
        warn(f'unknown tls_ssl_options value "{word}" in "{settings.tls_ssl_options}"')

    def build(pairs: list[KeyPair], sni: SniChoice | None) -> ssl.SSLContext:
        made = server_context(
            pairs,
            protocols=settings.smtpd_tls_mandatory_protocols if mandatory else settings.smtpd_tls_protocols,
            ciphers=cipher_list(grade, exclude, lists),
            preempt_cipherlist=settings.tls_preempt_cipherlist,
            require_client_certificate=settings.smtpd_tls_req_ccert and mandatory,
            ca_file=settings.smtpd_tls_CAfile,
            ca_path=settings.smtpd_tls_CApath,
            append_default_ca=settings.tls_append_default_CA,
            sni=sni,
            options=bits,
        )
        _load_dh(made, settings.smtpd_tls_dh1024_param_file, warn)
        return made

    try:
        return build(pairs, _sni(settings.tls_server_sni_maps, configuration, build, warn))
    except TlsUnusable as error:
        warn(f"{error}: disabling TLS support")
        return None


def _load_dh(context: ssl.SSLContext, path: str, warn: Callable[[str], None]) -> None:
    """Parameters for the key exchanges of old (DHE); those over elliptic curves need none."""
    if not path or path.lower() == "auto":
        return
    try:
        context.load_dh_params(path)
    except (OSError, ssl.SSLError) as error:
        warn(f'cannot load DH parameters from file "{path}": {error.strerror or error} -- using compiled-in defaults')


def _sni(
    value: str,
    configuration: Configuration,
    build: Callable[[list[KeyPair], SniChoice | None], ssl.SSLContext],
    warn: Callable[[str], None],
) -> SniChoice | None:
    """tls_server_sni_maps: key and chain by host name, as `postmap -F` keeps them (base64 of the PEM files)."""
    if not value.strip():
        return None
    maps = open_maps(value, configuration, "tls_server_sni_maps")
    known: dict[bytes, ssl.SSLContext] = {}

    def choose(name: str) -> ssl.SSLContext | None:
        name = name.lower()
        keys = [name] + [name[place:] for place, letter in enumerate(name) if letter == "." and place]
        try:
            row = next((row for key in keys if (row := drive(maps.lookup(key))) is not None), None)
        except TableRetry:
            row = None
        if row is None:
            return None
        try:
            pem = binascii.a2b_base64(row.value, strict_mode=True)
            if pem not in known:
                if len(known) >= SNI_CONTEXTS:
                    known.clear()
                known[pem] = build(chain_pairs(pem), None)
            return known[pem]
        except (binascii.Error, ValueError, TlsUnusable) as error:
            warn(f"tls_server_sni_maps: {row.table}: {row.key}: {error}")
            return None

    return choose
