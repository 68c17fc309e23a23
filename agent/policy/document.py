"""Reads documents strictly: YAML or JSON in, a tree of text, lists and mappings out. Home of yaml and netaddr.

Every scalar is text (YAML 1.1 would turn `1:2:3:4:5:6:7:8` into a number and `no` into false); whoever asks for a
field types it. Refused: duplicate keys, anchors, aliases, tags, several documents, keys that are not text, lone
surrogates, more than 4 MiB or 32 levels. Must not know: what any key means.

    >>> load_mapping(b"version: 1\\nname: no\\nempty: ~", name="example.yaml")
    {'version': '1', 'name': 'no', 'empty': None}
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from agent.model.address import Address
from agent.model.device import Device
from agent.model.rule import Network, RuleDocument
from agent.policy.fields import Place, Tree, kind, shown

MAX_BYTES = 4 << 20
MAX_DEPTH = 32

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = (None, "")
"""Styles of a scalar without quotes."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_JSON = re.compile(r'\s*\{\s*["}]')
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def load_rules(path: str) -> RuleDocument:
    """The rules document at `path`. Raises PolicyError; nothing of a document with one bad rule is kept."""
    from agent.policy.rules import parse_rules  # here: who reads only shipped data need not load the rule parser

    return parse_rules(load_mapping(path), path)


def load_device(path: str) -> Device:
    """The device document at `path`. Raises PolicyError."""
    from agent.policy.device import parse_device  # here: it needs the platform table, which is itself a document

    return parse_device(load_mapping(path), path)


def load_names(path: str) -> dict[Address, tuple[str, ...]]:
    """The names document at `path`: host names that addresses had before the capture began. Raises PolicyError."""
    from agent.policy.device import parse_names

    return parse_names(load_mapping(path), path)


def load_mapping(source: str | bytes, *, name: str | None = None) -> dict[str, Tree]:
    """The mapping that a file (by path) or a content (as bytes) holds. Raises PolicyError, whatever it holds.

    `name`: what errors call it; for bytes it should be given.
    """
    place = Place(name if name is not None else source if isinstance(source, str) else "document")
    data = source if isinstance(source, bytes) else _read(source, place)
    if len(data) > MAX_BYTES:
        raise place.error(f"is larger than {MAX_BYTES >> 20} MiB, the most that is allowed")
    tree = _parse(_decode(data, place), place)
    if tree is None:
        raise place.error("is empty; a document begins with version: 1")
    if not isinstance(tree, dict):
        raise place.error(f"holds {kind(tree)}; a document is a mapping that begins with version: 1")
    return tree


def merged(networks: Iterable[Network]) -> list[str]:
    """The fewest prefixes that hold the same addresses, as text: how a rule could say it more briefly."""
    from netaddr import IPAddress, IPRange, cidr_merge  # here: 20 ms that only an advice to people needs

    ranges = [
        IPRange(IPAddress(network.first, network.version), IPAddress(network.last, network.version))
        for network in networks
    ]
    return [str(prefix.ip) if prefix.size == 1 else str(prefix) for prefix in cidr_merge(ranges)]


def _read(path: str, place: Place) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with NUL in it
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise place.error(f"cannot be read: {reason}") from None


def _decode(data: bytes, place: Place) -> str:
    encoding = next((encoding for mark, encoding in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise place.error(f"is not {encoding.upper()} text: bad byte at offset {error.start}") from None


def _parse(text: str, place: Place) -> Tree:
    """JSON where the first key is quoted as JSON quotes it, else YAML. Never one after the other failed.

    YAML reads `{"remote_ips": }` as an undefined condition: a broken JSON rule would let everything through.
    """
    return _json_tree(text, place) if _JSON.match(text) else _yaml_tree(text, place)


def _json_tree(text: str, place: Place) -> Tree:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = dict(items)
        if len(found) == len(items):
            return found
        found.clear()
        for key, value in items:
            if key in found:
                raise place.error(f"key {shown(key)} stands twice in one mapping; keep one")
            found[key] = value
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise place.error(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise _too_deep(place) from None
    return _as_text(value, place)


def _as_text(value: Any, place: Place, depth: int = 0) -> Tree:  # Any: JSON enters here
    if depth > MAX_DEPTH or (depth == MAX_DEPTH and value and isinstance(value, dict | list)):
        raise _too_deep(place)
    # Most of a document is plain text: it is taken as it is, without a call.
    if isinstance(value, dict):
        return {
            key if key.isascii() else _sound(key, place): (
                item if type(item) is str and item.isascii() else _as_text(item, place, depth + 1)
            )
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [item if type(item) is str and item.isascii() else _as_text(item, place, depth + 1) for item in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else _sound(value, place)


def _sound(text: str, place: Place) -> str:
    """`text`, if it is Unicode: escapes can spell half a surrogate pair, which no output could be written with."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise place.error(f"{shown(text)} holds half of a surrogate pair, which is not text") from None
    return text


def _too_deep(place: Place) -> Exception:
    return place.error(f"is nested more than {MAX_DEPTH} levels deep")


def _yaml_tree(text: str, place: Place) -> Tree:
    """The tree of the only document in `text`, built from events: an alias or a tag is still visible there."""
    root: list[Tree] = []
    stack: list[_Open] = []
    for event in _events(text, place):
        if stack and type(event) is yaml.ScalarEvent and event.anchor is None and event.tag is None:
            text = event.value  # most of a document, in few steps
            stack[-1].add(event, None if text in _NULLS and event.style in _PLAIN else _sound(text, place), place)
            continue
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise place.error(f"{_line(event)} begins another document; one file holds one")
        if not isinstance(event, yaml.NodeEvent):
            if isinstance(event, yaml.CollectionEndEvent):
                stack.pop()
            continue
        _refuse_shortcuts(event, place)
        value = _value(event)
        if stack:
            stack[-1].add(event, value, place)
        else:
            root.append(value)
        if isinstance(value, (dict, list)):
            stack.append(_Open(value))
            if len(stack) > MAX_DEPTH:
                raise _too_deep(place)
        elif isinstance(value, str):
            _sound(value, place)
    return root[0] if root else None


class _Open:
    """A mapping or list whose end has not been read."""

    __slots__ = ("key", "node")

    def __init__(self, node: dict[str, Tree] | list[Tree]) -> None:
        self.node = node
        self.key: str | None = None

    def add(self, event: yaml.NodeEvent, value: Tree, place: Place) -> None:
        """Puts `value` in: an element, a key, or the value of the key before it."""
        if isinstance(self.node, list):
            self.node.append(value)
        elif self.key is not None:
            self.node[self.key] = value
            self.key = None
        else:
            key = getattr(event, "value", None)  # of a scalar event alone; a key is text even where it spells null
            if key is None:
                raise place.error(f"{_line(event)}: a key must be text, not {kind(value)}")
            if key in self.node:
                raise place.error(f"{_line(event)}: key {shown(key)} stands twice in one mapping; keep one")
            self.key = key


def _value(event: yaml.NodeEvent) -> Tree:
    if isinstance(event, yaml.MappingStartEvent):
        return {}
    if isinstance(event, yaml.SequenceStartEvent):
        return []
    assert isinstance(event, yaml.ScalarEvent)
    text: str = event.value
    return None if event.style in _PLAIN and text in _NULLS else text


def _refuse_shortcuts(event: yaml.NodeEvent, place: Place) -> None:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise place.error(f"{_line(event)}: anchors (&) and aliases (*) are not allowed; write the value out")
    tag = getattr(event, "tag", None)
    if tag is not None:
        raise place.error(f"{_line(event)}: the tag {shown(tag)} is not allowed; every value is read as text")


def _events(text: str, place: Place) -> Iterator[yaml.Event]:
    """YAML's events, by the C parser where PyYAML has it; whatever it cannot read becomes one line."""
    loader = None
    try:
        loader = _LOADER(text)
        while loader.check_event():
            yield loader.get_event()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise place.error(f"{where}not YAML: {what}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # ReaderError; absurd escapes and version numbers
        raise place.error(f"not YAML: {error}") from None
    finally:
        if loader is not None:
            loader.dispose()


def _line(event: yaml.Event) -> str:
    return f"line {event.start_mark.line + 1}" if event.start_mark else "somewhere"
