"""Dataclasses whose fields know how to read themselves from a mapping: the schema of a scenario file is its types.

>>> from agent.traffic import parameters as read
>>> @dataclass(frozen=True, kw_only=True)
... class Point:
...     x: int = parameter(read.whole(0, 9), "to the right", 0)
>>> read_fields(Point, {"x": "3"}, Place("scenario.yaml"), read.NO_SCOPE)
Point(x=3)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, cast

from agent.policy.fields import Place, Tree, mapping, nearest, shown
from agent.traffic import parameters as read
from agent.traffic.parameters import Reader, Scope

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One key for people: its name, default (None: it must be given) and meaning."""

    name: str
    default: str | None
    meaning: str


def parameter(reader: Reader[T], meaning: str, default: object = MISSING) -> T:
    """A dataclass field that knows how to read itself; without a default it must be given."""
    metadata = {"read": reader, "meaning": meaning}
    if default is MISSING:
        return cast(T, field(metadata=metadata))
    return cast(T, field(default=default, metadata=metadata))


def read_fields(kind: type[T], node: Tree, place: Place, scope: Scope, also: tuple[str, ...] = ()) -> T:
    """An instance of dataclass `kind` from a mapping; keys in `also` are somebody else's. Raises PolicyError."""
    own = {key.name: key for key in _own(kind)}
    values: dict[str, object] = {}
    for name, value in mapping(node, place).items():
        if name in also:
            continue
        if name not in own:
            raise place.error(f"unknown key {shown(name)}; {nearest(name, [*own, *also])}")
        try:
            values[name] = own[name].metadata["read"](value, scope)
        except ValueError as error:
            raise place.at(name).error(str(error)) from None
    for name, key in own.items():
        if name not in values and key.default is MISSING:
            raise place.at(name).error(f"missing: {key.metadata['meaning']}")
    try:
        return kind(**values)
    except ValueError as error:
        raise place.error(str(error)) from None


def describe(kind: type[object], presets: Mapping[str, str]) -> Iterator[Described]:
    """Every key of a dataclass for people, with the defaults that `presets` change."""
    for key in _own(kind):
        default = presets.get(key.name)
        if default is None and key.default is not MISSING:
            default = _spell(key.default, key.metadata["read"])
        yield Described(name=key.name, default=default, meaning=key.metadata["meaning"])


def _own(kind: type[object]) -> tuple[Field[Any], ...]:
    """The fields made by `parameter`."""
    everything = fields(kind)  # type: ignore[arg-type]  # every caller passes a dataclass; no bound can say so
    return tuple(key for key in everything if "read" in key.metadata)


def _spell(value: object, reader: object) -> str:
    """A default as a file would say it; `none` for one that stands for nothing."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int) and reader is read.duration:
        return read.spell_duration(value)
    if isinstance(value, int) and reader is read.percent:
        return f"{value}%"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value) or "none"
    return "none" if value is None or value == "" else str(value)
