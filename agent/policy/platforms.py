"""Which operating system supports Full, Selective, rules and package rules: a look-up in policies/platforms.yaml.

Knows how versions are ordered, and that the lab may lift the product's limits. Must not know: rules, actions.

    >>> support(Device(platform="Linux", family=Family.LINUX, os_version=None), "selective", Settings({})).because
    'Selective isolation is not supported on Linux'
    >>> ephemeral_ports("Windows11")
    (49152, 65535)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from agent.model.device import Device, Family
from agent.model.errors import UsageError
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.policy.data import read_data
from agent.policy.document import load_mapping
from agent.policy.fields import Place, Tree, choice, listing, mapping, switch, text, texts, version, whole

Feature = Literal["full", "selective", "rules", "packages"]
FEATURES: Mapping[Feature, str] = {
    "full": "Full isolation",
    "selective": "Selective isolation",
    "rules": "isolation exclusion rules",
    "packages": "package rules",
}
"""What can be supported, and its name in a sentence."""

REFUSED = "OsPlatformNotSupported"
"""The word the product's API refuses an unsupported platform with."""

_FILE = "platforms.yaml"
_KEYS = ("family", "kind", "versions", *FEATURES, "updates", "sources", "assumed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One operating system, as the machine resource's osPlatform spells it."""

    name: str
    family: Family
    kind: str
    versions: tuple[str, ...]
    """Oldest first; () where versions make no difference."""
    since: Mapping[Feature, str]
    """Feature to the first version with it, or `any`; a feature that is not there is not supported."""
    updates: Mapping[str, str] = field(default_factory=dict)
    """Version to the update that package rules need on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The answer for one device and feature."""

    supported: bool
    because: str | None = None
    """If not: why, as the end of a sentence."""
    assumption: str | None = None
    """If so: what had to be assumed."""


@cache
def platforms() -> Mapping[str, Platform]:
    """The table, by name."""
    return {platform.name: platform for platform in _table()[1]}


def ephemeral_ports(platform: str) -> tuple[int, int]:
    """First and last port a client of this platform takes for its own end."""
    return _table()[0][platforms()[platform].family]


def support(device: Device, feature: Feature, settings: Settings) -> Support:
    """Whether `device` supports `feature`. `platform.limits` = lab lifts all limits but those of package rules.

    An unknown version never gains a rule, and never costs the isolation: there it is taken to be a recent one.
    """
    if settings.word("platform.limits") == "lab" and feature != "packages":
        return Support(supported=True)
    platform = platforms()[device.platform]
    since = platform.since.get(feature)
    if since is None:
        return Support(supported=False, because=f"{_are(feature)} not supported on {device.platform}")
    if since == "any":
        return Support(supported=True)
    told = f"the device's os_version is {device.os_version or 'not given'}"
    if device.os_version not in platform.versions:
        if feature == "packages":
            return Support(supported=False, because=f"{_need(feature, platform)}; {told}")
        return Support(supported=True, assumption=f"{told}: taken to be {since} or later of {device.platform}")
    if platform.versions.index(device.os_version) < platform.versions.index(since):
        return Support(supported=False, because=f"{_need(feature, platform)}; {told}")
    update = platform.updates.get(device.os_version) if feature == "packages" else None
    assumption = f"package rules on {device.platform} {device.os_version} need {update}: taken to be installed"
    return Support(supported=True, assumption=assumption if update else None)


def require_mode(device: Device, mode: Mode, settings: Settings) -> Support:
    """The support for isolating `device` in `mode`. Raises UsageError with OsPlatformNotSupported if there is none."""
    features: Mapping[Mode, Feature] = {Mode.FULL: "full", Mode.SELECTIVE: "selective"}
    if mode not in features:
        return Support(supported=True)
    answer = support(device, features[mode], settings)
    if not answer.supported:
        raise UsageError(
            f"{REFUSED}: {answer.because}; allowed here: {_allowed(device, settings)} "
            "(platform.limits=lab lifts the product's limits)"
        )
    return answer


def _allowed(device: Device, settings: Settings) -> str:
    modes: tuple[tuple[Mode, Feature], ...] = ((Mode.FULL, "full"), (Mode.SELECTIVE, "selective"))
    names = [mode.value for mode, feature in modes if support(device, feature, settings).supported]
    return ", ".join(names) or "no isolation"


def _are(feature: Feature) -> str:
    return f"{FEATURES[feature]} {'are' if feature in ('rules', 'packages') else 'is'}"


def _need(feature: Feature, platform: Platform) -> str:
    verb = "need" if feature in ("rules", "packages") else "needs"
    return f"{FEATURES[feature]} {verb} {platform.name} {platform.since[feature]} or later"


@cache
def _table() -> tuple[Mapping[Family, tuple[int, int]], tuple[Platform, ...]]:
    """Ephemeral ports by family, and the platforms."""
    place = Place(f"policies/{_FILE}")
    tree = load_mapping(read_data(_FILE), name=place.path)
    mapping(dict(tree), place, ("version", "families", "platforms", "superseded"))
    version(tree, place)
    families = mapping(tree.get("families"), place.at("families"), tuple(Family))
    ports = {Family(name): _ports(node, place.at(f"families.{name}")) for name, node in families.items()}
    rows = mapping(tree.get("platforms"), place.at("platforms"))
    return ports, tuple(_platform(name, node, place.at(f"platforms.{name}")) for name, node in rows.items())


def _ports(node: Tree, place: Place) -> tuple[int, int]:
    fields = mapping(node, place, ("ephemeral_ports",))
    low, high = (whole(item, place, 1, 65535) for item in listing(fields.get("ephemeral_ports"), place))
    return low, high


def _platform(name: str, node: Tree, place: Place) -> Platform:
    fields = mapping(node, place, _KEYS)
    versions = texts(fields.get("versions"), place.at("versions"))
    since: dict[Feature, str] = {}
    for feature in FEATURES:
        if fields.get(feature) is not None:
            since[feature] = choice(fields[feature], place.at(feature), ("any", *versions))
    if not texts(fields.get("sources"), place.at("sources")):
        raise place.at("sources").error("is empty; every row says where it is from")
    if fields.get("assumed") is not None:
        switch(fields["assumed"], place.at("assumed"))
    updates = mapping(fields.get("updates"), place.at("updates"), versions)
    return Platform(
        name=name,
        family=Family(choice(fields.get("family"), place.at("family"), tuple(Family))),
        kind=choice(fields.get("kind"), place.at("kind"), ("workstation", "server")),
        versions=versions,
        since=since,
        updates={key: text(value, place.at(f"updates.{key}")) for key, value in updates.items()},
    )
