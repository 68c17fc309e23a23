"""Takes fields out of a document's tree, or says in one line what is wrong, where, and what is allowed.

A tree holds only text, None, lists and mappings: `document.py` reads every scalar as text, and this module types it.
Knows how a place is named in an error. Must not know: YAML, JSON, what any field means.

    >>> place = Place("rules.yaml").at("version")
    >>> whole("7", place, 0, 5)
    Traceback (most recent call last):
    agent.model.errors.PolicyError: rules.yaml: version: '7' is not a whole number from 0 to 5
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple, TypeVar, Union

from agent.model.errors import PolicyError

Tree = Union[str, list["Tree"], dict[str, "Tree"], None]  # noqa: UP007 - a recursive alias cannot be written with |
"""What a document holds: every scalar is text, and None where it says nothing (null, ~ or empty)."""
Value = TypeVar("Value")

MAX_SHOWN = 80
MAX_MESSAGE = 500

_KINDS = {str: "text", list: "a list", dict: "a mapping", type(None): "nothing"}
_UNSAFE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]")
"""What could break a line, a terminal or an eye that reads a record: controls, line ends, text-direction marks."""

_SWITCH = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


class Place(NamedTuple):
    """Where in a document a value stands, as an error names it."""

    path: str
    rule: str | None = None
    """List and rule, such as `windows_rules[2] 'Remote support'`."""
    field: str | None = None

    def at(self, key: str) -> Place:
        """The place of `key` inside this one."""
        return Place(self.path, self.rule, f"{self.field}.{key}" if self.field else key)

    def item(self, index: int) -> Place:
        """The place of one element of the list here."""
        return Place(self.path, self.rule, f"{self.field or ''}[{index}]")

    def error(self, message: str) -> PolicyError:
        """The error to raise for what stands here; one line, bounded, whatever the document holds."""
        line = " ".join(message.split())
        if len(line) > MAX_MESSAGE:
            line = line[: MAX_MESSAGE // 2] + " ... " + line[-MAX_MESSAGE // 2 :]
        return PolicyError(self.path, line, rule=self.rule, field=self.field)


def shown(value: str) -> str:
    """`value` quoted for an error: control characters escaped, long text cut."""
    return repr(value) if len(value) <= MAX_SHOWN else repr(value[:MAX_SHOWN]) + "..."


def kind(value: Tree) -> str:
    """What a person calls the type of `value`."""
    return _KINDS[type(value)]


def nearest(word: str, known: Collection[str]) -> str:
    """`; did you mean X?` where a known word is close, else the list of what is known."""
    import difflib  # only on the way to an error: 5 ms that a good document need not pay

    close = difflib.get_close_matches(word[:MAX_SHOWN].lower(), [name.lower() for name in known], n=1)
    by_lower = {name.lower(): name for name in known}
    return f"did you mean {by_lower[close[0]]}?" if close else f"allowed: {', '.join(known)}"


def mapping(value: Tree, place: Place, known: Collection[str] | None = None) -> dict[str, Tree]:
    """The mapping at `place`; None is an empty one. `known`: the only keys it may have."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise place.error(f"is {kind(value)}, not a mapping of keys to values")
    if known is not None:
        for key in value:
            if key not in known:
                raise place.error(f"unknown key {shown(key)}; {nearest(key, known)}")
    return value


def listing(value: Tree, place: Place) -> list[Tree]:
    """The list at `place`; None is an empty one."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise place.error(f"is {kind(value)}, not a list")
    return value


def text(value: Tree, place: Place) -> str:
    """Text on one line that is not blank, without surrounding space."""
    if not isinstance(value, str):
        raise place.error(f"is {kind(value)}, not text")
    bare = value.strip()
    if not bare:
        raise place.error("is empty; leave the key out if it does not apply")
    if _UNSAFE.search(bare):
        raise place.error(f"{shown(bare)}: line breaks and control characters are not allowed")
    return bare


def texts(value: Tree, place: Place) -> tuple[str, ...]:
    """A list of texts, as `text` has them."""
    return tuple(text(item, place.item(index)) for index, item in enumerate(listing(value, place)))


def switch(value: Tree, place: Place) -> bool:
    """true or false (also on/off, yes/no: YAML 1.1 writes them all)."""
    word = text(value, place)
    if word.lower() not in _SWITCH:
        raise place.error(f"{shown(word)} is neither true nor false")
    return _SWITCH[word.lower()]


def whole(value: Tree, place: Place, low: int, high: int) -> int:
    """A decimal whole number from `low` to `high`."""
    word = text(value, place)
    if not (word.isascii() and word.isdigit() and len(word) <= 20 and low <= int(word) <= high):
        raise place.error(f"{shown(word)} is not a whole number from {low} to {high}")
    return int(word)


def choice(value: Tree, place: Place, allowed: Collection[str]) -> str:
    """One of the `allowed` words."""
    word = text(value, place)
    if word not in allowed:
        raise place.error(f"{shown(word)} is not allowed; {nearest(word, allowed)}")
    return word


def parsed(value: Tree, place: Place, parse: Callable[[str], Value]) -> Value:
    """What `parse` makes of the text at `place`; its ValueError becomes the place's error."""
    word = text(value, place)
    try:
        return parse(word)
    except ValueError as error:
        raise place.error(str(error)) from None


def parsed_items(items: Iterable[Tree], place: Place, parse: Callable[[str], Value]) -> list[Value]:
    """What `parsed` makes of each element of the list at `place`; the first that is wrong is named."""
    values = []
    for index, item in enumerate(items):
        bare = item.strip() if isinstance(item, str) else ""
        try:
            if bare and not _UNSAFE.search(bare):
                values.append(parse(bare))
                continue
        except ValueError as error:
            raise place.item(index).error(str(error)) from None
        text(item, place.item(index))  # says what is wrong
    return values


def version(tree: Mapping[str, Tree], place: Place) -> None:
    """Refuses a document whose `version` is not 1."""
    if "version" not in tree:
        raise place.error("version is missing; write version: 1")
    value = tree["version"]
    if value != "1":
        written = shown(value) if isinstance(value, str) else kind(value)
        raise place.at("version").error(f"{written} is not a version this program reads; allowed: 1")
