"""A device document's and a names document's tree, checked field by field.

Knows what may stand in each field and its canonical form. Must not know: files, YAML, rules, settings.

    >>> device = parse_device({"version": "1", "platform": "macOS", "addresses": ["10.0.0.5"]}, "mac.yaml")
    >>> device.family, str(device.addresses[0]), device.executables
    (<Family.MAC: 'mac'>, '10.0.0.5', None)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from agent.model.address import Address
from agent.model.device import Device, Family
from agent.policy.canonical import device_image, machine_environment
from agent.policy.fields import (
    Place,
    Tree,
    Value,
    choice,
    listing,
    mapping,
    parsed,
    parsed_items,
    shown,
    switch,
    texts,
    version,
)
from agent.policy.platforms import platforms
from agent.policy.values import device_address, host_name, package_family_name, systemd_unit, windows_service

KEYS = (
    "version", "id", "name", "platform", "os_version", "kind", "addresses", "resolvers", "environment", "drives",
    "executables", "services", "packages", "known_names", "onboarded", "tags",
)  # fmt: skip
"""The keys of a device document; `version` and `platform` must be there."""

UNKNOWN_ID = "0" * 40
KINDS = ("workstation", "server")

_ID = re.compile(r"[0-9A-Fa-f]{40}")
_VARIABLE = re.compile(r"[^%=\\/]{1,255}")
_VOLUME = re.compile(r"\\Device\\[^\\/:*?\"<>|]+", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def parse_device(tree: Mapping[str, Tree], path: str) -> Device:
    """The device in `tree`. PolicyError names the field and what is allowed."""
    place = Place(path)
    fields = mapping(dict(tree), place, KEYS)
    version(fields, place)
    if fields.get("platform") is None:
        raise place.error(f"platform is missing; allowed: {', '.join(platforms())}")
    platform = platforms()[choice(fields["platform"], place.at("platform"), tuple(platforms()))]
    windows = platform.family is Family.WINDOWS
    environment = _pairs(fields.get("environment"), place.at("environment"), _variable_name, _plain)
    drives = _pairs(fields.get("drives"), place.at("drives"), _volume, _drive)
    for key in ("drives", "packages"):
        if fields.get(key) and not windows:
            raise place.at(key).error(f"{platform.name} has none; leave the key out")

    def image(written: str) -> str:
        return device_image(written, platform.family, machine_environment(platform.family, environment), drives)

    services: Callable[[str], str] = _windows_service if windows else systemd_unit
    return Device(
        id=_or(fields, "id", place, _machine_id, UNKNOWN_ID),
        name=_or(fields, "name", place, str, "unnamed-device"),
        platform=platform.name,
        family=platform.family,
        os_version=_or(fields, "os_version", place, str, None),
        kind=choice(fields["kind"], place.at("kind"), KINDS) if fields.get("kind") is not None else platform.kind,
        addresses=_distinct(fields.get("addresses"), place.at("addresses"), device_address),
        resolvers=_distinct(fields.get("resolvers"), place.at("resolvers"), device_address),
        environment=MappingProxyType(environment),
        drives=MappingProxyType(drives),
        executables=_facts(fields, "executables", place, image),
        services=_facts(fields, "services", place, services),
        packages=_facts(fields, "packages", place, lambda name: package_family_name(name).lower()),
        known_names=MappingProxyType(_names(fields.get("known_names"), place.at("known_names"))),
        onboarded=True if fields.get("onboarded") is None else switch(fields["onboarded"], place.at("onboarded")),
        tags=texts(fields.get("tags"), place.at("tags")),
    )


def parse_names(tree: Mapping[str, Tree], path: str) -> dict[Address, tuple[str, ...]]:
    """The names document in `tree`: address to host names."""
    place = Place(path)
    fields = mapping(dict(tree), place, ("version", "names"))
    version(fields, place)
    if "names" not in fields:
        raise place.error("names is missing; write names: {203.0.113.9: [support.contoso.com]}")
    return _names(fields["names"], place.at("names"))


def _or(fields: Mapping[str, Tree], key: str, place: Place, parse: Callable[[str], Value], default: Value) -> Value:
    value = fields.get(key)
    return default if value is None else parsed(value, place.at(key), parse)


def _facts(fields: Mapping[str, Tree], key: str, place: Place, parse: Callable[[str], str]) -> tuple[str, ...] | None:
    """What exists on the device; None if the document does not say, () if it says nothing exists."""
    return None if fields.get(key) is None else _distinct(fields[key], place.at(key), parse)


def _distinct(value: Tree, place: Place, parse: Callable[[str], Value]) -> tuple[Value, ...]:
    """The values of a list, each once, in order."""
    return tuple(dict.fromkeys(parsed_items(listing(value, place), place, parse)))


def _pairs(
    value: Tree, place: Place, parse_key: Callable[[str], str], parse_value: Callable[[str], str]
) -> dict[str, str]:
    """A mapping whose keys are told apart without regard to case, as Windows does."""
    pairs: dict[str, str] = {}
    seen: set[str] = set()
    for key, item in mapping(value, place).items():
        here = place.at(shown(key))
        name = parsed(key, here, parse_key)
        if name.upper() in seen:
            raise here.error("stands twice: names that differ in case only are one")
        seen.add(name.upper())
        pairs[name] = parsed(item, here, parse_value)
    return pairs


def _names(value: Tree, place: Place) -> dict[Address, tuple[str, ...]]:
    known: dict[Address, tuple[str, ...]] = {}
    for key, item in mapping(value, place).items():
        here = place.at(shown(key))
        address = parsed(key, here, device_address)
        if address in known:
            raise here.error(f"{address} stands twice in different spellings; write its names in one list")
        known[address] = _distinct([item] if isinstance(item, str) else item, here, host_name)
    return known


def _plain(word: str) -> str:
    return word


def _machine_id(word: str) -> str:
    if not _ID.fullmatch(word):
        raise ValueError(f"{shown(word)} is not a machine id of 40 hexadecimal digits")
    return word.lower()


def _variable_name(word: str) -> str:
    if not _VARIABLE.fullmatch(word):
        raise ValueError(f"{shown(word)} is not the name of a variable such as WINDIR, without %")
    return word


def _volume(word: str) -> str:
    if not _VOLUME.fullmatch(word):
        raise ValueError(f"{shown(word)} is not a volume such as \\Device\\HarddiskVolume3")
    return word


def _drive(word: str) -> str:
    if not _DRIVE.fullmatch(word.rstrip("\\")):
        raise ValueError(f"{shown(word)} is not a drive such as C:")
    return word[:2].upper()


def _windows_service(word: str) -> str:
    return windows_service(word).lower()
