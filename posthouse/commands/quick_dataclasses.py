"""A stand-in for the dataclasses module in commands that end at once.

The standard one writes each class's methods as text and compiles them: with what it imports that is 9 ms, and half a
millisecond for each class, of a command whose whole start may take twenty. Here the methods are closures over the
field names: an instance takes longer to make, and a command makes few. What the house uses behaves the same (a test
compares the two over the house's own classes); whatever else is asked of the module comes from the real one.
`entry` puts it into sys.modules before a command is imported.
"""

from __future__ import annotations

from types import MappingProxyType

TYPE_CHECKING = False
if TYPE_CHECKING:  # so spelled because the typing module takes milliseconds to import
    from collections.abc import Callable, Mapping
    from typing import Any


class MISSING:
    """No default."""


class FrozenInstanceError(AttributeError):
    """A field of a frozen value was to be changed."""


class Field:
    """What a class says about one field."""

    __slots__ = ("compare", "default", "default_factory", "hash", "init", "kw_only", "metadata", "name", "repr", "type")
    _field_type: object = None
    """How the real module knows a field; see __getattr__."""

    def __init__(
        self,
        *,
        default: object = MISSING,
        default_factory: Any = MISSING,
        init: bool = True,
        repr: bool = True,
        compare: bool = True,
        metadata: Mapping[Any, Any] | None = None,
        kw_only: bool = False,
    ) -> None:
        self.name = ""
        self.type: object = None
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.compare = compare
        self.hash = None
        self.metadata = MappingProxyType(metadata or {})
        self.kw_only = kw_only


field = Field


def fields(instance: object) -> tuple[Field, ...]:
    """The fields of a class or an instance."""
    found: dict[str, Field] = instance.__dataclass_fields__  # type: ignore[attr-defined]  # what dataclass() made
    return tuple(found.values())


def replace(instance: Any, /, **changes: object) -> Any:
    """Another instance, with some fields changed."""
    for one in fields(instance):
        if one.init:
            changes.setdefault(one.name, getattr(instance, one.name))
        elif one.name in changes:
            raise ValueError(f"field {one.name} is declared with init=False, it cannot be specified with replace()")
    return type(instance)(**changes)


def dataclass(
    cls: Any = None,
    /,
    *,
    eq: bool = True,
    unsafe_hash: bool = False,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
) -> Any:
    """The decorator."""

    def decorate(cls: Any) -> Any:
        return _decorate(cls, eq, unsafe_hash, frozen, slots, kw_only)

    return decorate if cls is None else decorate(cls)


def _decorate(cls: Any, eq: bool, unsafe_hash: bool, frozen: bool, slots: bool, kw_only: bool) -> Any:
    table: dict[str, Field] = {}
    for ancestor in reversed(cls.__mro__[1:]):
        table.update(getattr(ancestor, "__dataclass_fields__", {}))
    own: dict[str, Field] = {}
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if "ClassVar" in str(kind):
            continue
        default = cls.__dict__.get(name, MISSING)
        one = default if isinstance(default, Field) else Field(default=default, kw_only=kw_only)
        one.name, one.type = name, kind
        own[name] = one
        if one.default is not MISSING:
            setattr(cls, name, one.default)
        elif name in cls.__dict__:
            delattr(cls, name)
    table.update(own)
    cls.__dataclass_fields__ = table
    all_fields = tuple(table.values())
    methods: dict[str, object] = {"__init__": _init(cls, all_fields, frozen), "__repr__": _repr(all_fields)}
    methods["__match_args__"] = tuple(one.name for one in all_fields if one.init and not one.kw_only)
    if eq:
        methods["__eq__"] = _eq(all_fields)
    if frozen:
        methods["__setattr__"], methods["__delattr__"] = _refuse_change, _refuse_deletion
    for name, method in methods.items():
        if name not in cls.__dict__:
            setattr(cls, name, method)
    if unsafe_hash or (eq and frozen):
        if cls.__dict__.get("__hash__") is None:
            cls.__hash__ = _hash(all_fields)
    elif eq and "__hash__" not in cls.__dict__:
        cls.__hash__ = None
    return _slotted(cls, tuple(own)) if slots else cls


def _slotted(cls: Any, names: tuple[str, ...]) -> Any:
    """The class anew, with slots: they cannot be added to one that exists."""
    inherited = {name for ancestor in cls.__mro__[1:-1] for name in ancestor.__dict__.get("__slots__", ())}
    body = {name: value for name, value in cls.__dict__.items() if name not in (*names, "__dict__", "__weakref__")}
    body["__slots__"] = tuple(name for name in names if name not in inherited)
    new = type(cls)(cls.__name__, cls.__bases__, body)
    new.__qualname__ = cls.__qualname__
    return new


def _init(cls: Any, all_fields: tuple[Field, ...], frozen: bool) -> Callable[..., None]:
    positional = [one.name for one in all_fields if one.init and not one.kw_only]
    set_field = object.__setattr__ if frozen else setattr
    post_init = hasattr(cls, "__post_init__")

    def __init__(self: Any, *values: object, **named: object) -> None:
        if len(values) > len(positional):
            raise TypeError(f"{cls.__qualname__} takes {len(positional)} values, {len(values)} were given")
        for name, value in zip(positional, values, strict=False):
            if name in named:
                raise TypeError(f"{cls.__qualname__}: {name} is given twice")
            named[name] = value
        for one in all_fields:
            if one.init and one.name in named:
                set_field(self, one.name, named.pop(one.name))
            elif one.default_factory is not MISSING:
                set_field(self, one.name, one.default_factory())
            elif one.default is not MISSING:
                set_field(self, one.name, one.default)
            elif one.init:
                raise TypeError(f"{cls.__qualname__}: {one.name} is missing")
        if named:
            raise TypeError(f"{cls.__qualname__} has no field {next(iter(named))}")
        if post_init:
            self.__post_init__()

    return __init__


def _repr(all_fields: tuple[Field, ...]) -> Callable[..., str]:
    names = [one.name for one in all_fields if one.repr]

    def __repr__(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return __repr__


def _compared(all_fields: tuple[Field, ...]) -> Callable[[object], tuple[object, ...]]:
    names = [one.name for one in all_fields if one.compare]
    return lambda instance: tuple([getattr(instance, name) for name in names])


def _eq(all_fields: tuple[Field, ...]) -> Callable[..., bool]:
    compared = _compared(all_fields)

    def __eq__(self: object, other: object) -> bool:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(all_fields: tuple[Field, ...]) -> Callable[..., int]:
    compared = _compared(all_fields)

    def __hash__(self: object) -> int:
        return hash(compared(self))

    return __hash__


def _refuse_change(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def __getattr__(name: str) -> object:
    """All else is the real module's, which understands our classes."""
    import sys

    if name.startswith("__"):
        raise AttributeError(name)
    here = sys.modules.pop("dataclasses", None)
    try:
        real = __import__("dataclasses")
    finally:
        if here is not None:
            sys.modules["dataclasses"] = here
    Field._field_type = real._FIELD
    return getattr(real, name)
