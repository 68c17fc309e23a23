"""The digest of an effective policy: equal policies have equal ones, on every machine and in every version of Python.

Knows which fields count (all but generation, warnings and the digest itself) and their canonical JSON: keys sorted, no
spaces, sets and networks in order, each network in its one spelling. Must not know: what a policy does.

    >>> canonical_json({"b": (1, 2), "a": frozenset({"y", "x"})})
    b'{"a":["x","y"],"b":[1,2]}'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from json.encoder import encode_basestring
from typing import Any, cast

from agent.model.address import Address
from agent.model.rule import Network
from agent.policy.effective import EffectivePolicy, Filter
from agent.policy.values import prefix_text

_PLAIN = {True: "true", False: "false"}
NOT_COUNTED = frozenset({"generation", "digest", "warnings"})


def policy_digest(policy: EffectivePolicy) -> str:
    """`sha256:` + hex over the canonical JSON of `policy`."""
    counted = {field.name: getattr(policy, field.name) for field in fields(policy) if field.name not in NOT_COUNTED}
    return "sha256:" + hashlib.sha256(canonical_json(counted)).hexdigest()


def canonical_json(value: Any) -> bytes:  # Any: whatever a policy holds, dataclasses and all
    """`value` as canonical JSON, written piece by piece: making a plain tree of it first takes twice as long."""
    return _text(value, {}).encode()


def _text(value: Any, known: dict[int, str]) -> str:
    """`known`: texts by identity of what comes again: filters, in the snapshot and by themselves, and networks."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return encode_basestring(value)
    if isinstance(value, bool):
        return _PLAIN[value]
    if type(value) is int:
        return str(value)
    if isinstance(value, Address):  # which is a tuple, too
        return encode_basestring(str(value))
    if isinstance(value, tuple | list):
        if value and all(map(_is_network, value)):
            return '["' + '","'.join(sorted({_network(item, known) for item in value})) + '"]'
        return "[" + ",".join([_text(item, known) for item in value]) + "]"
    if isinstance(value, Filter):
        if id(value) not in known:
            known[id(value)] = _members(value, known)
        return known[id(value)]
    if isinstance(value, Network):
        return encode_basestring(prefix_text(value))
    if is_dataclass(value):
        return _members(value, known)
    if isinstance(value, Mapping):
        texts = {str(key): _text(item, known) for key, item in value.items()}
        return "{" + ",".join([f"{encode_basestring(key)}:{texts[key]}" for key in sorted(texts)]) + "}"
    if isinstance(value, frozenset):
        return "[" + ",".join([_text(item, known) for item in sorted(value)]) + "]"
    return json.dumps(value)


def _is_network(value: Any) -> bool:
    return type(value) is Network


def _network(network: Network, known: dict[int, str]) -> str:
    text = known.get(id(network))
    if text is None:
        text = known[id(network)] = prefix_text(network)
    return text


def _members(value: Any, known: dict[int, str]) -> str:
    """A dataclass as a mapping of its fields."""
    members = []
    for name in _names(cast(Hashable, type(value))):
        one = getattr(value, name)
        if one is None:  # the most frequent values without a call
            text = "null"
        elif type(one) is str:
            text = encode_basestring(one)
        else:
            text = _PLAIN[one] if type(one) is bool else _text(one, known)
        members.append(f'"{name}":{text}')
    return "{" + ",".join(members) + "}"


@cache
def _names(kind: Hashable) -> tuple[str, ...]:
    """The fields of a dataclass (a type; cache() wants to hear that it is hashable), in canonical order."""
    return tuple(sorted(field.name for field in fields(kind)))  # type: ignore[arg-type]  # see above
