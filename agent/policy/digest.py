"""The digest of an effective policy: equal policies have equal ones, on every machine and in every version of Python.

Knows which fields count (all but generation, warnings and the digest itself) and their canonical JSON: keys sorted, no
spaces, sets and networks in order, each network in its one spelling. Must not know: what a policy does.

    >>> canonical_json({"b": (1, 2), "a": frozenset({"y", "x"})})
    b'{"a":["x","y"],"b":[1,2]}'
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

from agent.model.address import Address
from agent.model.rule import Network
from agent.policy.effective import EffectivePolicy, Filter
from agent.policy.values import prefix_text

NOT_COUNTED = frozenset({"generation", "digest", "warnings"})
_PLAIN = frozenset({str, int, bool})


def policy_digest(policy: EffectivePolicy) -> str:
    """`sha256:` + hex over the canonical JSON of `policy`."""
    counted = {field.name: getattr(policy, field.name) for field in fields(policy) if field.name not in NOT_COUNTED}
    return "sha256:" + hashlib.sha256(canonical_json(counted)).hexdigest()


def canonical_json(value: Any) -> bytes:  # Any: whatever a policy holds, dataclasses and all
    """`value` as canonical JSON."""
    return json.dumps(_plain(value, {}), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _plain(value: Any, filters: dict[int, Any]) -> Any:
    """`filters`: those made plain already, by identity: a policy holds each twice, in the snapshot and by itself."""
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, Network):
        return prefix_text(value)
    if isinstance(value, Address):
        return str(value)
    if isinstance(value, Filter):
        if id(value) not in filters:
            filters[id(value)] = _fields(value, filters)
        return filters[id(value)]
    if is_dataclass(value):
        return _fields(value, filters)
    if isinstance(value, Mapping):
        return {str(key): _plain(item, filters) for key, item in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(item, filters) for item in value)
    if isinstance(value, tuple | list):
        plain = [_plain(item, filters) for item in value]
        return sorted(set(plain)) if value and all(isinstance(item, Network) for item in value) else plain
    return value


def _fields(value: Any, filters: dict[int, Any]) -> dict[str, Any]:
    return {name: _plain(getattr(value, name), filters) for name in _names(type(value))}  # type: ignore[arg-type]


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(field.name for field in fields(kind))
