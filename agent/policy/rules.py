"""A rules document's tree, checked field by field, as `RuleDocument`.

Knows which field each platform's rules have and what may stand in it (X7-X9, X12, X13, X16). Must not know: files,
YAML, devices, settings; whether a rule is wise or works anywhere is for `lint.py` and `snapshot.py`.

    >>> tree = {"version": "1", "windows_rules": [{"name": "Help desk", "direction": "Outbound"}]}
    >>> parse_rules(tree, "rules.yaml").windows_rules[0].unbounded
    True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.model.device import Family
from agent.model.errors import PolicyError
from agent.model.rule import MAX_REMOTES, ExclusionRule, Network, RuleDocument
from agent.model.vocabulary import Direction
from agent.policy.fields import (
    Place,
    Tree,
    kind,
    listing,
    mapping,
    nearest,
    parsed,
    parsed_items,
    shown,
    switch,
    text,
    version,
)
from agent.policy.values import (
    package_family_name,
    parse_network,
    posix_path,
    systemd_unit,
    windows_path,
    windows_service,
)

LISTS: Mapping[str, Family] = {
    "windows_rules": Family.WINDOWS,
    "mac_rules": Family.MAC,
    "linux_rules": Family.LINUX,
}
"""The lists of a document and the devices that use each."""
_LIST_NAMES = {family: name for name, family in LISTS.items()}

FIELDS: Mapping[Family, tuple[str, ...]] = {
    Family.WINDOWS: (
        "name", "description", "process_path", "service_name", "package_family_name", "direction", "remote_ips",
    ),
    Family.MAC: ("name", "description", "direction", "remote_ips"),
    Family.LINUX: ("name", "description", "process_path", "service_name", "direction", "remote_ips"),
}  # fmt: skip
"""The fields a rule of each platform has."""

_PATHS: Mapping[Family, Callable[[str], str]] = {Family.WINDOWS: windows_path, Family.LINUX: posix_path}
_SERVICES: Mapping[Family, Callable[[str], str]] = {Family.WINDOWS: windows_service, Family.LINUX: systemd_unit}
_DIRECTIONS = {
    "Inbound": Direction.INBOUND,
    "Outbound": Direction.OUTBOUND,
    "inbound": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
}
_MAX_NAME = 256


def parse_rules(tree: Mapping[str, Tree], path: str) -> RuleDocument:
    """The document in `tree`. One bad rule rejects it whole: PolicyError naming list, rule, field, and the fix."""
    place = Place(path)
    mapping(dict(tree), place, ("version", "isolation_exclusions", *LISTS))
    version(tree, place)
    feature = tree.get("isolation_exclusions")
    rules = {name: _rules(tree.get(name), Place(path), name) for name in LISTS}
    return RuleDocument(
        path=path,
        isolation_exclusions=None if feature is None else switch(feature, place.at("isolation_exclusions")),
        windows_rules=rules["windows_rules"],
        mac_rules=rules["mac_rules"],
        linux_rules=rules["linux_rules"],
    )


def rules_of(document: RuleDocument, family: Family) -> tuple[ExclusionRule, ...]:
    """The list that a device of `family` uses."""
    by_family = {
        Family.WINDOWS: document.windows_rules,
        Family.MAC: document.mac_rules,
        Family.LINUX: document.linux_rules,
    }
    return by_family[family]


def list_name(family: Family) -> str:
    """The document's key for the rules of `family`."""
    return _LIST_NAMES[family]


def rule_place(family: Family, index: int, name: str | None) -> str:
    """How an error or finding names a rule: `windows_rules[2] 'Remote support'`."""
    where = f"{list_name(family)}[{index}]"
    return where if name is None else f"{where} {shown(name)}"


def _rules(value: Tree, place: Place, name: str) -> tuple[ExclusionRule, ...]:
    family = LISTS[name]
    rules = []
    taken: dict[str, int] = {}
    for index, item in enumerate(listing(value, place.at(name))):
        rule = _rule(item, place, family, index)
        if rule.name in taken:
            there = rule_place(family, taken[rule.name], None)
            here = Place(place.path, rule_place(family, index, rule.name), "name")
            raise here.error(f"the name is taken by {there}; names are unique in a list")
        taken[rule.name] = index
        rules.append(rule)
    return tuple(rules)


def _rule(item: Tree, place: Place, family: Family, index: int) -> ExclusionRule:
    try:
        return _checked(item, place, family)
    except PolicyError:
        # Once more, with a name for its place: thousands of good rules need none.
        given = item.get("name") if isinstance(item, dict) else None
        here = Place(place.path, rule_place(family, index, given if isinstance(given, str) else None))
        return _checked(item, here, family)


def _checked(item: Tree, here: Place, family: Family) -> ExclusionRule:
    fields = mapping(item, here)
    for key in fields:
        if key not in FIELDS[family]:
            raise here.error(_not_a_field(key, family))
    if "name" not in fields:
        raise here.error("name is missing; every rule has a name")
    return ExclusionRule(
        name=_name(fields["name"], here.at("name")),
        description=_description(fields.get("description"), here),
        process_path=_condition(fields, "process_path", here, _PATHS.get(family)),
        service_name=_condition(fields, "service_name", here, _SERVICES.get(family)),
        package_family_name=_condition(fields, "package_family_name", here, package_family_name),
        direction=_direction(fields.get("direction"), here),
        remotes=_remotes(fields.get("remote_ips"), here),
    )


def _not_a_field(key: str, family: Family) -> str:
    if key in FIELDS[Family.WINDOWS]:
        return f"{list_name(family)} have no {key}; allowed: {', '.join(FIELDS[family])}"
    return f"unknown key {shown(key)}; {nearest(key, FIELDS[family])}"


def _name(value: Tree, place: Place) -> str:
    name = text(value, place)
    if len(name) > _MAX_NAME:
        raise place.error(f"{shown(name)} is longer than {_MAX_NAME} characters")
    return name


def _description(value: Tree, here: Place) -> str:
    """Free text of any number of lines; it is shown, never matched."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise here.at("description").error(f"is {kind(value)}, not text")
    return value


def _condition(fields: Mapping[str, Tree], key: str, here: Place, parse: Callable[[str], str] | None) -> str | None:
    """A condition given as text; None where it is undefined (the field table has let no other key through)."""
    value = fields.get(key)
    return None if value is None or parse is None else parsed(value, here.at(key), parse)


def _direction(value: Tree, here: Place) -> Direction | None:
    if value is None:
        return None
    place = here.at("direction")
    word = text(value, place)
    if word not in _DIRECTIONS:
        raise place.error(f"{shown(word)} is not allowed; allowed: Inbound, Outbound (leave the key out for both)")
    return _DIRECTIONS[word]


def _remotes(value: Tree, here: Place) -> tuple[Network, ...] | None:
    """1..20 addresses or blocks, as a list or as one comma-separated text (X16)."""
    if value is None:
        return None
    place = here.at("remote_ips")
    written: list[Tree] = list(text(value, place).split(",")) if isinstance(value, str) else listing(value, place)
    if not written:
        raise place.error(f"is an empty list; write 1..{MAX_REMOTES} addresses, or leave the key out for any")
    if len(written) > MAX_REMOTES:
        raise place.error(f"has {len(written)} addresses; at most {MAX_REMOTES} are allowed in one rule")
    return tuple(parsed_items(written, place, parse_network))
