"""Reads one value of a scenario file: every scalar arrives as text and leaves as a typed value.

A reader takes the node and the scope (which hosts and processes the file names) and raises ValueError saying what is
allowed; the loader adds file, activity and key. Never: files, packets.

    >>> duration("1.5m", NO_SCOPE)
    90000000000
    >>> ports("22, 8000-8002", NO_SCOPE)
    (22, 8000, 8001, 8002)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from agent.model.address import Address, parse_address
from agent.policy.fields import Tree, kind, nearest, shown

T = TypeVar("T")

NANOSECONDS = {"": 10**9, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
SIZES = {"": 1, "kB": 1000, "MB": 1_000_000}
_AMOUNT = re.compile(r"(\d{1,12})(?:\.(\d{1,9}))? ?([A-Za-z]*)", re.ASCII)
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*", re.ASCII)
_LONGEST = 366 * 86_400 * 10**9
MAX_TARGETS = 4096
"""Addresses one list may name: a mistyped prefix must not become a week of packets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names a value may refer to."""

    hosts: Collection[str] = ()
    processes: Collection[str] = ()


NO_SCOPE = Scope()
Reader = Callable[[Tree, Scope], T]


class Remote(NamedTuple):
    """Who is talked to: a name of `hosts` (looked up by DNS), or an address."""

    name: str | None
    address: Address | None


def text(node: Tree, scope: Scope = NO_SCOPE) -> str:
    """A text that is not empty, blanks around it cut."""
    if not isinstance(node, str) or not node.strip():
        raise ValueError(f"{_show(node)} is not a text")
    return node.strip()


def switch(node: Tree, scope: Scope) -> bool:
    words = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
    word = text(node).lower()
    if word not in words:
        raise ValueError(f"{shown(word)} is neither on nor off")
    return words[word]


def word(*choices: str) -> Reader[str]:
    def read(node: Tree, scope: Scope) -> str:
        chosen = text(node)
        if chosen not in choices:
            raise ValueError(f"{shown(chosen)} is not allowed; {nearest(chosen, choices)}")
        return chosen

    return read


def whole(minimum: int, maximum: int) -> Reader[int]:
    def read(node: Tree, scope: Scope) -> int:
        number = text(node).replace("_", "")
        if not (number.isascii() and number.isdigit() and minimum <= int(number[:20]) <= maximum):
            raise ValueError(f"{_show(node)} is not a whole number from {minimum} to {maximum}")
        return int(number)

    return read


port = whole(1, 65535)


def _amount(node: Tree, units: dict[str, int], example: str) -> int:
    match = _AMOUNT.fullmatch(text(node))
    if match is None or match[3] not in units:
        allowed = ", ".join(filter(None, units))
        raise ValueError(f"{_show(node)} is not a number with one of {allowed}, such as {example}")
    fraction = (match[2] or "").ljust(9, "0")
    return int(match[1]) * units[match[3]] + int(fraction) * units[match[3]] // 10**9


def duration(node: Tree, scope: Scope) -> int:
    """Nanoseconds of `2.5` (seconds), `20ms`, `90s`, `5m` or `1h`."""
    value = _amount(node, NANOSECONDS, "20ms")
    if value > _LONGEST:
        raise ValueError(f"{_show(node)} is more than 366 days")
    return value


def spell_duration(nanoseconds: int) -> str:
    """The shortest text that `duration` reads as so much: whole units only, as defaults are."""
    units = sorted(((size, unit) for unit, size in NANOSECONDS.items() if unit), reverse=True)
    for size, unit in units:
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return "0s"


def signed_duration(node: Tree, scope: Scope) -> int:
    """As `duration`; a minus sign means before."""
    spelled = text(node)
    return -duration(spelled[1:], scope) if spelled.startswith("-") else duration(spelled, scope)


def size(maximum: int) -> Reader[int]:
    """Bytes of `1460`, `64kB` or `1.5MB`."""

    def read(node: Tree, scope: Scope) -> int:
        value = _amount(node, SIZES, "64kB")
        if value > maximum:
            raise ValueError(f"{_show(node)} is more than {maximum} bytes")
        return value

    return read


transfer = size(64_000_000)
"""Bytes of one TCP message."""
datagram = size(65_000)
"""Bytes of one UDP or ICMP payload; above 1472 it is sent in fragments."""


def percent(node: Tree, scope: Scope) -> int:
    number = text(node).removesuffix("%").strip()
    if not (number.isascii() and number.isdigit() and int(number[:9]) <= 100):
        raise ValueError(f"{_show(node)} is not a percentage from 0% to 100%")
    return int(number)


def address(node: Tree, scope: Scope) -> Address:
    return parse_address(text(node))


def host_name(node: Tree, scope: Scope) -> str:
    name = text(node).rstrip(".").lower()
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError(f"{_show(node)} is not a host name")
    return name


def remote(node: Tree, scope: Scope) -> Remote:
    """An address, or a name that `hosts` knows."""
    spelled = text(node)
    try:
        return Remote(None, parse_address(spelled))
    except ValueError:
        name = spelled.rstrip(".").lower()
        if name not in scope.hosts:
            raise ValueError(
                f"{shown(spelled)} is neither an address nor a name of hosts; {nearest(name, scope.hosts)}"
            ) from None
        return Remote(name, None)


def remotes(node: Tree, scope: Scope) -> tuple[Remote, ...]:
    return tuple(remote(item, scope) for item in _items(node))


def texts(node: Tree, scope: Scope) -> tuple[str, ...]:
    return tuple(text(item) for item in _items(node))


def words(*choices: str) -> Reader[tuple[str, ...]]:
    read_one = word(*choices)
    return lambda node, scope: tuple(read_one(item, scope) for item in _items(node))


def host_names(node: Tree, scope: Scope) -> tuple[str, ...]:
    return tuple(host_name(item, scope) for item in _items(node))


def process(node: Tree, scope: Scope) -> str:
    """A name of `processes` or of the platform's own; `none` says that no socket record shall exist."""
    name = text(node)
    if name != "none" and name not in scope.processes:
        raise ValueError(f"{shown(name)} is not a name of processes; {nearest(name, [*scope.processes, 'none'])}")
    return name


def targets(node: Tree, scope: Scope) -> tuple[Address, ...]:
    """Addresses, ranges `10.0.0.1-10.0.0.9` and prefixes `10.0.0.0/28` (without network and broadcast address)."""
    found: list[Address] = []
    for item in _items(node):
        low, high = _range(text(item))
        if high.version != low.version or not 0 <= high.value - low.value < MAX_TARGETS - len(found):
            raise ValueError(f"{_show(item)}: write the lower address first, and at most {MAX_TARGETS} in all")
        found.extend(Address(low.version, value) for value in range(low.value, high.value + 1))
    return tuple(found)


def prefix(node: Tree, scope: Scope = NO_SCOPE) -> tuple[int, int, int]:
    """(version, first, last) of `10.20.0.0/24`; host bits may be set."""
    host, slash, bits = text(node).partition("/")
    base = parse_address(host)
    width = 32 if base.version == 4 else 128
    if not (slash and bits.isascii() and bits.isdigit() and int(bits) <= width):
        raise ValueError(f"{_show(node)} is not ADDRESS/LENGTH with a length from 0 to {width}")
    span = 1 << (width - int(bits))
    first = base.value & ~(span - 1)
    return base.version, first, first + span - 1


def ports(node: Tree, scope: Scope) -> tuple[int, ...]:
    """`22, 80, 8000-8010`, as a list or one text."""
    found: list[int] = []
    for item in _items(node):
        low, dash, high = text(item).partition("-")
        first = port(low.strip(), scope)
        last = port(high.strip(), scope) if dash else first
        if last < first:
            raise ValueError(f"{_show(item)}: write the lower port first")
        found.extend(range(first, last + 1))
    return tuple(found)


def _range(item: str) -> tuple[Address, Address]:
    if "/" in item:
        version, first, last = prefix(item)
        inner = 1 if version == 4 and last - first > 1 else 0
        return Address(version, first + inner), Address(version, last - inner)
    low, dash, high = item.partition("-")
    return parse_address(low.strip()), parse_address(high.strip() if dash else low.strip())


def _items(node: Tree) -> list[Tree]:
    items: list[Tree] = list(node) if isinstance(node, list) else [part.strip() for part in text(node).split(",")]
    if not items:
        raise ValueError("an empty list: leave the key out or name something")
    return items


def _show(node: Tree) -> str:
    return shown(node) if isinstance(node, str) else kind(node)
