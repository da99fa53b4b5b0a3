"""The stand-in makes of the house's own classes what dataclasses makes of them."""

import dataclasses
import importlib
import inspect
import pkgutil

import pytest

from posthouse.commands import quick_dataclasses as quick


def _classes() -> list[type]:
    found = []
    for room in ("address", "config", "envelope", "message", "queue", "tables", "wire"):
        package = importlib.import_module(f"posthouse.{room}")
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                module = importlib.import_module(info.name)
            except ImportError:
                continue  # a table whose library is not installed
            for cls in vars(module).values():
                if inspect.isclass(cls) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__:
                    found.append(cls)
    return found


def _quick_twin(real: type) -> type:
    """The same class statement, under the stand-in."""
    body: dict[str, object] = {"__annotations__": {}, "__qualname__": real.__qualname__}
    for one in dataclasses.fields(real):
        body["__annotations__"][one.name] = one.type
        told = {"init": one.init, "repr": one.repr, "compare": one.compare, "metadata": dict(one.metadata)}
        if one.default is not dataclasses.MISSING:
            body[one.name] = quick.field(default=one.default, **told)
        elif one.default_factory is not dataclasses.MISSING:
            body[one.name] = quick.field(default_factory=one.default_factory, **told)
        else:
            body[one.name] = quick.field(**told)
    parameters = real.__dataclass_params__
    hashed = {"unsafe_hash": parameters.unsafe_hash, "eq": parameters.eq, "frozen": parameters.frozen}
    return quick.dataclass(slots="__slots__" in vars(real), **hashed)(type(real.__name__, (), body))


CLASSES = _classes()


def test_the_house_has_many_of_them() -> None:
    assert len(CLASSES) > 50


@pytest.mark.parametrize("real", CLASSES, ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_the_stand_in_makes_the_same_class(real: type) -> None:
    if hasattr(real, "__post_init__"):
        pytest.skip("its values cannot be made up")
    twin = _quick_twin(real)
    names = [one.name for one in dataclasses.fields(real) if one.init]
    values = tuple(f"value {number}" for number in range(len(names)))
    a, b = real(*values), twin(*values)
    assert real.__match_args__ == twin.__match_args__
    assert getattr(real, "__slots__", None) == getattr(twin, "__slots__", None)
    shown = [one.name for one in dataclasses.fields(real) if one.repr and one.init]
    assert all(f"{name}={getattr(a, name)!r}" in repr(b) for name in shown)
    assert (a == real(*values)) == (b == twin(*values))
    assert (real.__hash__ is None) == (twin.__hash__ is None)
    needed = [one for one in dataclasses.fields(real) if one.init and _is_needed(one)]
    for count in range(len(names)):
        if count < len(needed):
            with pytest.raises(TypeError):
                real(*values[:count])
            with pytest.raises(TypeError):
                twin(*values[:count])
        else:
            plain = [one.name for one in dataclasses.fields(real) if one.default is not dataclasses.MISSING]
            left, right = real(*values[:count]), twin(*values[:count])
            assert [getattr(left, name) for name in plain] == [getattr(right, name) for name in plain]
    for cls in (real, twin):
        with pytest.raises(TypeError):
            cls(*values, "one too many")
        with pytest.raises(TypeError):
            cls(*values, no_such_field=1)
    if names and real.__dataclass_params__.frozen:
        for instance in (a, b):
            with pytest.raises(AttributeError):
                setattr(instance, names[0], 1)
    if names:
        changed = quick.replace(b, **{names[0]: "other"})
        assert getattr(changed, names[0]) == "other" and getattr(b, names[0]) == "value 0"


def _is_needed(one: "dataclasses.Field[object]") -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def test_the_real_module_understands_its_classes() -> None:
    @quick.dataclass(frozen=True, slots=True)
    class Pair:
        left: int
        right: list[int] = quick.field(default_factory=list)

    assert quick.asdict(Pair(1, [2])) == {"left": 1, "right": [2]}


def test_a_field_of_an_ancestor_comes_first() -> None:
    @quick.dataclass(slots=True)
    class One:
        a: int
        b: int = 2

    @quick.dataclass(slots=True)
    class Two(One):
        c: int = 3

    two = Two(1)
    assert (two.a, two.b, two.c) == (1, 2, 3)
    assert Two.__slots__ == ("c",)
    assert two != One(1) and two == Two(1)


def test_a_class_attribute_that_is_none_of_its_fields_stays() -> None:
    @quick.dataclass(frozen=True, slots=True)
    class Limited:
        LIMIT = 3
        value: int = 1

        def __hash__(self) -> int:
            return 7

    assert Limited.LIMIT == 3 and hash(Limited()) == 7


def test_post_init_is_called() -> None:
    @quick.dataclass
    class Checked:
        value: int

        def __post_init__(self) -> None:
            self.value += 1

    assert Checked(1).value == 2
