"""OpenLDAP's client library, through ctypes: connect, bind, search. It blocks, each call within its time limit.

It is the library that Postfix itself uses, so lists of servers, ldaps: and ldapi: URLs, referrals and TLS behave as
there, down to the words of its errors. No header is needed, and no compiler: Debian's package is libldap-2.5-0
(libldap2 in later releases).

Standards: RFC 4511 (the protocol), RFC 4516 (URLs); ldap_search_ext(3), ldap_set_option(3).
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LIBRARIES = ("libldap.so.2", "libldap-2.5.so.0", "libldap_r-2.4.so.2", "libldap-2.4.so.2")

# ldap.h
OPT_DEREF, OPT_SIZELIMIT, OPT_REFERRALS, OPT_PROTOCOL_VERSION = 0x02, 0x03, 0x08, 0x11
OPT_RESULT_CODE, OPT_NETWORK_TIMEOUT, OPT_RESTART, OPT_DEBUG_LEVEL = 0x31, 0x5005, 0x09, 0x5001
OPT_X_TLS_CACERTFILE, OPT_X_TLS_CACERTDIR, OPT_X_TLS_CERTFILE, OPT_X_TLS_KEYFILE = 0x6002, 0x6003, 0x6004, 0x6005
OPT_X_TLS_REQUIRE_CERT, OPT_X_TLS_CIPHER_SUITE, OPT_X_TLS_RANDOM_FILE, OPT_X_TLS_NEWCTX = 0x6006, 0x6008, 0x6009, 0x600F
TLS_NEVER, TLS_DEMAND = 0, 2
SUCCESS, NO_SUCH_OBJECT, SERVER_DOWN, TIMEOUT = 0, 32, -1, -5
SCOPES = {"base": 0, "one": 1, "sub": 2}
ALL = 1
"""ldap_result() waits for the last message of an answer."""


class _Time(ctypes.Structure):
    _fields_ = [("seconds", ctypes.c_long), ("microseconds", ctypes.c_long)]


class _Value(ctypes.Structure):
    """struct berval."""

    _fields_ = [("length", ctypes.c_ulong), ("data", ctypes.c_void_p)]


class _Url(ctypes.Structure):
    """LDAPURLDesc, as far as it is read."""

    _fields_ = [
        ("next", ctypes.c_void_p),
        ("scheme", ctypes.c_char_p),
        ("host", ctypes.c_char_p),
        ("port", ctypes.c_int),
        ("dn", ctypes.c_char_p),
        ("attributes", ctypes.POINTER(ctypes.c_char_p)),
        ("scope", ctypes.c_int),
        ("filter", ctypes.c_char_p),
    ]


def _load() -> Any:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        handle, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        pointer = ctypes.POINTER(handle)
        texts = ctypes.POINTER(text)
        time = ctypes.POINTER(_Time)
        values = ctypes.POINTER(ctypes.POINTER(_Value))
        number = ctypes.POINTER(integer)
        for function, result, arguments in (
            ("ldap_initialize", integer, [pointer, text]),
            ("ldap_set_option", integer, [handle, integer, handle]),
            ("ldap_get_option", integer, [handle, integer, handle]),
            ("ldap_start_tls", integer, [handle, handle, handle, number]),
            ("ldap_install_tls", integer, [handle]),
            ("ldap_sasl_bind", integer, [handle, text, text, ctypes.POINTER(_Value), handle, handle, number]),
            ("ldap_search_ext", integer, [handle, text, integer, text, texts, integer, handle, handle, time, integer,
                                          number]),
            ("ldap_result", integer, [handle, integer, integer, time, pointer]),
            ("ldap_parse_result", integer, [handle, handle, number, handle, handle, handle, handle, integer]),
            ("ldap_abandon_ext", integer, [handle, integer, handle, handle]),
            ("ldap_first_entry", handle, [handle, handle]),
            ("ldap_next_entry", handle, [handle, handle]),
            ("ldap_first_attribute", handle, [handle, handle, pointer]),
            ("ldap_next_attribute", handle, [handle, handle, handle]),
            ("ldap_get_values_len", values, [handle, handle, text]),
            ("ldap_count_values_len", integer, [values]),
            ("ldap_value_free_len", None, [values]),
            ("ldap_memfree", None, [handle]),
            ("ber_free", None, [handle, integer]),
            ("ldap_msgfree", integer, [handle]),
            ("ldap_unbind_ext", integer, [handle, handle, handle]),
            ("ldap_err2string", text, [integer]),
            ("ldap_is_ldap_url", integer, [text]),
            ("ldap_url_parse", integer, [text, ctypes.POINTER(ctypes.POINTER(_Url))]),
            ("ldap_free_urldesc", None, [ctypes.POINTER(_Url)]),
        ):  # fmt: skip
            try:
                entry = getattr(library, function)
            except AttributeError:
                entry = None
                if function != "ber_free":  # liblber's, which libldap brings along
                    return None
            if entry is not None:
                entry.restype = result
                entry.argtypes = arguments
        return library
    return None


_library: Any = None


def available() -> bool:
    """Whether the library is here. It is loaded when first asked for."""
    global _library
    if _library is None:
        _library = _load()
    return _library is not None


class LdapFailure(Exception):
    """An operation did not end in success."""

    def __init__(self, code: int) -> None:
        self.words = words(code)
        super().__init__(self.words)
        self.code = code


def words(code: int) -> str:
    """The library's words for a result code."""
    return str(_library.ldap_err2string(code).decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class LdapUrl:
    """A URL that says what to search, RFC 4516 section 2."""

    scheme: str
    dn: str
    attributes: tuple[str, ...]
    scope: int
    filter: str


def is_url(text: str) -> bool:
    """Whether it begins as an LDAP URL does."""
    return bool(_library.ldap_is_ldap_url(_text(text)))


def parse_url(text: str) -> LdapUrl:
    """Raises LdapFailure with a code of its own kind."""
    url = ctypes.POINTER(_Url)()
    code = _library.ldap_url_parse(_text(text), ctypes.byref(url))
    if code:
        raise LdapFailure(code)
    try:
        found = url.contents
        attributes: list[str] = []
        while found.attributes and found.attributes[len(attributes)]:
            attributes.append(_decoded(found.attributes[len(attributes)]))
        return LdapUrl(
            _decoded(found.scheme), _decoded(found.dn), tuple(attributes), found.scope, _decoded(found.filter)
        )
    finally:
        _library.ldap_free_urldesc(url)


Entry = list[tuple[str, list[bytes]]]
"""Attributes in the server's order, with their values."""


@dataclass(frozen=True, slots=True)
class LdapOptions:
    """What is set before connecting."""

    version: int
    timeout: int
    dereference: int
    referrals: bool
    debug_level: int
    tls: tuple[tuple[int, str, str], ...] | None
    """None without TLS: option, value, and the parameter's name."""
    require_certificate: bool


class LdapConnection:
    """One handle. Not for two threads at a time."""

    def __init__(self, urls: str, options: LdapOptions) -> None:
        """Prepares; the library connects with the first operation. Raises LdapFailure."""
        self._timeout = options.timeout
        self._handle = ctypes.c_void_p()
        code = _library.ldap_initialize(ctypes.byref(self._handle), _text(urls))
        if code or not self._handle:
            raise LdapFailure(code)
        wait = _Time(options.timeout, 0)
        if options.debug_level:
            _library.ldap_set_option(None, OPT_DEBUG_LEVEL, ctypes.byref(ctypes.c_int(options.debug_level)))
        try:
            self._set(OPT_NETWORK_TIMEOUT, wait)
            self._set(OPT_PROTOCOL_VERSION, ctypes.c_int(options.version))
            self._set(OPT_DEREF, ctypes.c_int(options.dereference))
            # LDAP_OPT_ON is any pointer but a null one.
            on = ctypes.byref(ctypes.c_int(1)) if options.referrals else None
            self._check(_library.ldap_set_option(self._handle, OPT_REFERRALS, on))
            if options.tls is not None:
                for option, value, _ in options.tls:
                    self._check(_library.ldap_set_option(self._handle, option, _text(value)))
                demand = TLS_DEMAND if options.require_certificate else TLS_NEVER
                self._set(OPT_X_TLS_REQUIRE_CERT, ctypes.c_int(demand))
                self._set(OPT_X_TLS_NEWCTX, ctypes.c_int(0))
        except LdapFailure:
            self.close()
            raise

    def _set(self, option: int, value: Any) -> None:
        self._check(_library.ldap_set_option(self._handle, option, ctypes.byref(value)))

    @staticmethod
    def _check(code: int) -> None:
        if code:
            raise LdapFailure(code)

    def start_tls(self) -> None:
        """RFC 4511 section 4.14. Raises LdapFailure."""
        number = ctypes.c_int()
        self._check(_library.ldap_start_tls(self._handle, None, None, ctypes.byref(number)))
        _library.ldap_msgfree(self._wait(number.value))
        self._check(_library.ldap_install_tls(self._handle))

    def bind(self, dn: str, password: str) -> None:
        """A simple bind, RFC 4511 section 4.2; without a name it is anonymous. Raises LdapFailure."""
        secret = password.encode("utf-8", "surrogateescape")
        memory = ctypes.create_string_buffer(secret)
        credentials = _Value(len(secret), ctypes.cast(memory, ctypes.c_void_p))
        number = ctypes.c_int()
        self._check(
            _library.ldap_sasl_bind(
                self._handle, _text(dn), None, ctypes.byref(credentials), None, None, ctypes.byref(number)
            )
        )
        _library.ldap_msgfree(self._wait(number.value))

    def search(self, base: str, scope: int, query: str, attributes: Sequence[str], size_limit: int) -> list[Entry]:
        """What a search finds, RFC 4511 section 4.5. Raises LdapFailure."""
        self._set(OPT_SIZELIMIT, ctypes.c_int(size_limit))
        names = (ctypes.c_char_p * (len(attributes) + 1))(*map(_text, attributes), None)
        number = ctypes.c_int()
        self._check(
            _library.ldap_search_ext(
                self._handle,
                _text(base),
                scope,
                _text(query),
                names,
                0,
                None,
                None,
                ctypes.byref(_Time(self._timeout, 0)),
                -1,
                ctypes.byref(number),
            )
        )
        message = self._wait(number.value)
        try:
            return list(self._entries(message))
        finally:
            _library.ldap_msgfree(message)

    def _wait(self, number: int) -> Any:
        """The whole answer, when it is success; the caller frees it. Raises LdapFailure."""
        message = ctypes.c_void_p()
        wait = _Time(self._timeout, 0)
        kind = _library.ldap_result(self._handle, number, ALL, ctypes.byref(wait), ctypes.byref(message))
        if kind == -1:
            code = ctypes.c_int(SERVER_DOWN)
            _library.ldap_get_option(self._handle, OPT_RESULT_CODE, ctypes.byref(code))
            raise LdapFailure(code.value or SERVER_DOWN)
        if kind == 0:
            _library.ldap_abandon_ext(self._handle, number, None, None)
            raise LdapFailure(TIMEOUT)
        result = ctypes.c_int()
        code = _library.ldap_parse_result(self._handle, message, ctypes.byref(result), None, None, None, None, 0)
        if code or result.value:
            _library.ldap_msgfree(message)
            raise LdapFailure(result.value or code)
        return message

    def _entries(self, message: Any) -> Any:
        entry = _library.ldap_first_entry(self._handle, message)
        while entry:
            found: Entry = []
            position = ctypes.c_void_p()
            name = _library.ldap_first_attribute(self._handle, entry, ctypes.byref(position))
            while name:
                spelled = ctypes.string_at(name)
                values = _library.ldap_get_values_len(self._handle, entry, spelled)
                if values:
                    count = _library.ldap_count_values_len(values)
                    pieces = [values[n].contents for n in range(count)]
                    found.append((spelled.decode(), [ctypes.string_at(one.data, one.length) for one in pieces]))
                    _library.ldap_value_free_len(values)
                _library.ldap_memfree(name)
                name = _library.ldap_next_attribute(self._handle, entry, position)
            if position:
                _ber_free(position)
            yield found
            entry = _library.ldap_next_entry(self._handle, entry)

    def close(self) -> None:
        """Say good-bye and give the socket back."""
        if self._handle:
            handle, self._handle = self._handle, ctypes.c_void_p()
            _library.ldap_unbind_ext(handle, None, None)


def _ber_free(position: Any) -> None:
    free = getattr(_library, "ber_free", None)
    if free is not None:
        free(position, 0)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decoded(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "surrogateescape")
