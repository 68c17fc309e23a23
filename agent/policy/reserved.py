"""What is permitted without any rule: the cloud channel, flow-wise essential services, the embedded list, time-outs.

Knows the forms of the shipped documents in policies/ and how they fit a device. Must not know: rules, verdicts.

    >>> cloud = load_cloud_channel(Device())
    >>> cloud.tls_name("unitedstates.x.endpoint.security.microsoft.com"), cloud.tls_name("endpoint.test")
    (True, False)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from agent.model.device import Device, Family
from agent.model.protocols import parse_protocol
from agent.model.rule import Network
from agent.model.settings import Settings
from agent.model.vocabulary import Direction
from agent.policy.canonical import filter_service, reserved_image
from agent.policy.data import read_data
from agent.policy.document import load_mapping
from agent.policy.effective import CloudChannel, EssentialService, Filter
from agent.policy.fields import Place, Tree, choice, listing, mapping, parsed, switch, text, texts, version, whole
from agent.policy.values import host_name, parse_network, systemd_unit, windows_service

_HOST_KEYS = ("name", "families", "enabled", "reason", "source", "assumed")
_DIRECTIONS: Mapping[str, Direction | None] = {
    "outbound": Direction.OUTBOUND,
    "inbound": Direction.INBOUND,
    "any": None,
}


def load_cloud_channel(device: Device, path: str | None = None) -> CloudChannel:
    """The cloud channel of `device`, shipped or from the document at `path`. Raises PolicyError."""
    tree = _shipped("cloud_channel.yaml") if path is None else load_mapping(path)
    return parse_cloud_channel(tree, path or "policies/cloud_channel.yaml", device)


def parse_cloud_channel(tree: Mapping[str, Tree], path: str, device: Device) -> CloudChannel:
    """The cloud channel in `tree`, as far as it is `device`'s. All of it is checked, also what is switched off."""
    place = Place(path)
    keys = ("version", "tls_ports", "crl_ports", "hosts", "crl_hosts", "networks", "agents")
    fields = mapping(dict(tree), place, keys)
    version(fields, place)
    names = _hosts(fields.get("hosts"), place.at("hosts"), device.family)
    crl_names = _hosts(fields.get("crl_hosts"), place.at("crl_hosts"), device.family)
    if wild := next((name for name in crl_names if name.startswith("*.")), None):
        raise place.at("crl_hosts").error(f"{wild!r}: one host each; wildcards are for hosts")
    networks = [
        _network(item, place.at("networks").item(index), device.family)
        for index, item in enumerate(listing(fields.get("networks"), place.at("networks")))
    ]
    return CloudChannel(
        exact_names=frozenset(name for name in names if not name.startswith("*.")),
        suffixes=tuple(sorted({name[1:] for name in names if name.startswith("*.")})),
        networks=tuple(network for network in networks if network is not None),
        crl_names=frozenset(crl_names),
        tls_ports=_ports(fields.get("tls_ports"), place.at("tls_ports")),
        crl_ports=_ports(fields.get("crl_ports"), place.at("crl_ports")),
        agents=_agents(fields.get("agents"), place.at("agents"), device),
    )


def load_essential(settings: Settings) -> tuple[EssentialService, ...]:
    """The flow-wise essential services that `settings` switch on."""
    place = Place("policies/essential.yaml")
    fields = mapping(_shipped("essential.yaml"), place, ("version", "services"))
    version(fields, place)
    rows = listing(fields.get("services"), place.at("services"))
    services = [_essential(row, place.at("services").item(index)) for index, row in enumerate(rows)]
    return tuple(service for service in services if settings.flag(f"essential.{service.name}"))


def load_embedded(device: Device) -> tuple[Filter, ...]:
    """The embedded exclusion list of `device`: Windows only, so empty elsewhere."""
    place = Place("policies/embedded_exclusions.yaml")
    fields = mapping(_shipped("embedded_exclusions.yaml"), place, ("version", *Family))
    version(fields, place)
    here = place.at(device.family)
    rows = enumerate(listing(fields.get(device.family), here))
    return tuple(_reserved_filter(row, here.item(index), device, index, named=True) for index, row in rows)


def load_timeouts(profile: str, family: Family) -> dict[str, int]:
    """Seconds a flow lasts without a packet, by state. `profile` auto: wfp on Windows, else conntrack."""
    place = Place("policies/timeouts.yaml")
    fields = mapping(_shipped("timeouts.yaml"), place, ("version", "profiles"))
    version(fields, place)
    name = ("wfp" if family is Family.WINDOWS else "conntrack") if profile == "auto" else profile
    here = place.at("profiles")
    profiles = mapping(fields.get("profiles"), here)
    rows = mapping(profiles[choice(name, here, tuple(profiles))], here.at(name))
    return {state: whole(seconds, here.at(f"{name}.{state}"), 0, 1 << 32) for state, seconds in rows.items()}


@cache
def _shipped(name: str) -> dict[str, Tree]:
    """A document of policies/, read once; nobody changes a tree."""
    return load_mapping(read_data(name), name=f"policies/{name}")


def _hosts(value: Tree, place: Place, family: Family) -> list[str]:
    """The host names in force, `*.` kept before a suffix."""
    names = []
    for index, item in enumerate(listing(value, place)):
        here = place.item(index)
        fields = mapping(item, here, _HOST_KEYS)
        name = parsed(fields.get("name"), here.at("name"), _host_pattern)
        if _in_force(fields, here, family):
            names.append(name)
    return names


def _host_pattern(word: str) -> str:
    if "*" in word.removeprefix("*."):
        raise ValueError(
            f"{word!r}: '*' may stand for whole labels at the front only: *.endpoint.security.microsoft.com"
        )
    if word.startswith("*.") and "." not in word[2:].rstrip("."):
        raise ValueError(f"{word!r} would let a whole top-level domain through")
    return f"*.{host_name(word[2:])}" if word.startswith("*.") else host_name(word)


def _network(item: Tree, place: Place, family: Family) -> Network | None:
    fields = mapping(item, place, ("network", *_HOST_KEYS[1:]))
    network = parsed(fields.get("network"), place.at("network"), parse_network)
    if network.everything:
        raise place.at("network").error(f"{network.text} is every address: that is no channel")
    return network if _in_force(fields, place, family) else None


def _in_force(fields: Mapping[str, Tree], place: Place, family: Family) -> bool:
    """True if an entry is for `family` and not switched off; also checks what explains it."""
    families = texts(fields.get("families"), place.at("families"))
    for name in families:
        choice(name, place.at("families"), tuple(Family))
    enabled = True if fields.get("enabled") is None else switch(fields["enabled"], place.at("enabled"))
    if not enabled and fields.get("reason") is None:
        raise place.error("is switched off without a reason; write reason: WHY")
    _origin(fields, place)
    return enabled and (not families or family in families)


def _origin(fields: Mapping[str, Tree], place: Place) -> None:
    """Checks the keys for people: where an entry is from, and why it is off."""
    for key in ("reason", "source"):
        if fields.get(key) is not None:
            text(fields[key], place.at(key))
    if fields.get("assumed") is not None:
        switch(fields["assumed"], place.at("assumed"))


def _ports(value: Tree, place: Place) -> frozenset[int]:
    return frozenset(whole(item, place.item(index), 1, 65535) for index, item in enumerate(listing(value, place)))


def _agents(value: Tree, place: Place, device: Device) -> tuple[Filter, ...]:
    """Who may speak on `device`. The lists of other systems are checked as well, on a device nobody described."""
    families = mapping(value, place, tuple(Family))
    agents: dict[Family, tuple[Filter, ...]] = {}
    for family in Family:
        here = place.at(family)
        host = device if family is device.family else Device(family=family)
        rows = enumerate(listing(families.get(family), here))
        agents[family] = tuple(_reserved_filter(row, here.item(index), host, index, named=False) for index, row in rows)
    return agents[device.family]


def _reserved_filter(node: Tree, place: Place, device: Device, index: int, *, named: bool) -> Filter:
    """An entry with an image or a service; one that is not `named` is called as its image or service is."""
    keys = ("name", "image", "service", "source", "assumed") if named else ("image", "service", "source", "assumed")
    fields = mapping(node, place, keys)
    _origin(fields, place)
    given = [key for key in ("image", "service") if fields.get(key) is not None]
    if len(given) != 1:
        raise place.error("has an image or a service, and not both")
    windows = device.family is Family.WINDOWS
    service: Callable[[str], str] = windows_service if windows else systemd_unit
    return Filter(
        index=index,
        name=text(fields.get("name"), place.at("name")) if named else text(fields[given[0]], place.at(given[0])),
        image=parsed(fields["image"], place.at("image"), lambda word: reserved_image(word, device))
        if given == ["image"]
        else None,
        service=filter_service(parsed(fields["service"], place.at("service"), service), device.family)
        if given == ["service"]
        else None,
        reserved=True,
    )


def _essential(node: Tree, place: Place) -> EssentialService:
    fields = mapping(
        node, place, ("name", "protocols", "direction", "ports", "icmp_types", "remotes", "source", "assumed")
    )
    _origin(fields, place)
    remotes = listing(fields.get("remotes"), place.at("remotes"))
    types = listing(fields.get("icmp_types"), place.at("icmp_types"))
    protocols = listing(fields.get("protocols"), place.at("protocols"))
    return EssentialService(
        name=text(fields.get("name"), place.at("name")),
        protocols=frozenset(parsed(item, place.at("protocols"), parse_protocol) for item in protocols),
        direction=_DIRECTIONS[choice(fields.get("direction"), place.at("direction"), tuple(_DIRECTIONS))],
        remote_ports=_ports(fields.get("ports"), place.at("ports")),
        icmp_types=frozenset(whole(item, place.at("icmp_types"), 0, 255) for item in types),
        remotes=tuple(parsed(item, place.at("remotes"), parse_network) for item in remotes) or None,
    )
