"""Scenario files: who is there, and what happens when. Reads and checks them; never builds a packet.

A scenario is `version`, `description`, `seed`, `start`, the `device` (its document of contract.md), and optionally
`network`, `hosts`, `processes`, then the list of `activities`. `activities.KINDS` has their kinds and keys.

    >>> load_scenario("beacon").seed
    1
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.device import Device, Family
from agent.model.errors import PolicyError
from agent.model.moment import parse_time
from agent.policy.data import data_names, read_data
from agent.policy.device import parse_device
from agent.policy.document import load_mapping
from agent.policy.fields import Place, Tree, kind, listing, mapping, nearest, shown, text
from agent.traffic import parameters as read
from agent.traffic.activities import KINDS, Activity
from agent.traffic.network import Host, Network, read_hosts, read_network
from agent.traffic.parameters import NO_SCOPE, Scope
from agent.traffic.plans import Timing
from agent.traffic.processes import Process, read_processes
from agent.traffic.schema import parameter, read_fields

_FOLDER = "scenarios"
_SECTIONS = ("device", "network", "hosts", "processes", "activities")


def _time(node: Tree, scope: Scope) -> int:
    return parse_time(read.text(node)) // 1000 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """The scalars at the top of a scenario file."""

    version: str = parameter(read.word("1"), "of this format: 1")
    description: str = parameter(read.text, "one line for lists")
    seed: int = parameter(read.whole(0, (1 << 63) - 1), "of all chance: the same seed gives the same bytes", 1)
    start: int = parameter(_time, "RFC 3339 time of the beginning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario file, validated."""

    path: str
    """Where it came from, for messages."""
    description: str
    seed: int
    start: int
    """Nanoseconds since 1970, whole microseconds."""
    device: Device
    document: Mapping[str, Tree]
    """The device document to write, with executables, services and packages that follow from the processes."""
    network: Network
    hosts: Mapping[str, Host]
    processes: Mapping[str, Process]
    activities: tuple[Activity, ...]


def builtin_names() -> list[tuple[str, str]]:
    """(name, one-line description) of every built-in scenario, in alphabetical order."""
    return [(name, load_scenario(name).description) for name in _builtin_stems()]


def load_scenario(path_or_builtin: str) -> Scenario:
    """The scenario of a file or a built-in name (write ./NAME for a file of the same name). Raises PolicyError."""
    if path_or_builtin in _builtin_stems():
        name = f"{path_or_builtin}.yaml"
        return parse_scenario(load_mapping(read_data(f"{_FOLDER}/{name}"), name=name), name)
    _require_file(path_or_builtin)
    return parse_scenario(load_mapping(path_or_builtin), path_or_builtin)


def parse_scenario(tree: dict[str, Tree], path: str) -> Scenario:
    """The scenario that a loaded document holds; `path` names it in errors. Raises PolicyError."""
    place = Place(path)
    head = read_fields(_Head, tree, place, NO_SCOPE, _SECTIONS)
    written = mapping(tree.get("device"), place.at("device"))
    device = _device({"version": "1", **written}, place)
    network = read_network(tree.get("network"), device.addresses, place.at("network"))
    hosts = read_hosts(tree.get("hosts"), place.at("hosts"))
    processes = read_processes(
        device.family, mapping(tree.get("processes"), place.at("processes")), place.at("processes")
    )
    scope = Scope(hosts=tuple(hosts), processes=tuple(processes))
    entries = listing(tree.get("activities"), place.at("activities"))
    return Scenario(
        path=path,
        description=head.description,
        seed=head.seed,
        start=head.start,
        device=device,
        document=_document(written, processes, device.family),
        network=network,
        hosts=hosts,
        processes=processes,
        activities=tuple(_activity(index, entry, path, scope) for index, entry in enumerate(entries)),
    )


def _builtin_stems() -> list[str]:
    return [name.removesuffix(".yaml") for name in data_names(_FOLDER) if name.endswith(".yaml")]


def _require_file(path: str) -> None:
    """Says what else is known where a name is neither a file nor a built-in scenario."""
    if not os.path.exists(path):
        hint = "" if os.sep in path else f", and no built-in scenario; {nearest(path, _builtin_stems())}"
        raise PolicyError(path, f"no such file{hint}")


def _device(document: Mapping[str, Tree], place: Place) -> Device:
    device = parse_device(document, f"{place.path}: device")
    if not device.addresses:
        raise place.at("device").at("addresses").error("missing: at least one address of the device")
    return device


def _document(written: Mapping[str, Tree], processes: Mapping[str, Process], family: Family) -> dict[str, Tree]:
    """The device document with what ran on it, for it existed. A file that lists executables itself keeps its list."""
    document: dict[str, Tree] = {"version": "1", **written}
    running = processes.values()
    facts: dict[str, list[str]] = {
        "executables": [process.image for process in running],
        "services": [service for process in running for service in process.services],
        "packages": [process.package_family_name for process in running if process.package_family_name],
    }
    if family is not Family.WINDOWS:
        del facts["packages"]
    for key, values in facts.items():
        if key not in document:
            document[key] = list(dict.fromkeys(values))
    return document


def _activity(index: int, entry: Tree, path: str, scope: Scope) -> Activity:
    place = Place(path, rule=f"activities[{index}]")
    if not isinstance(entry, dict):
        raise place.error(f"is {kind(entry)}, not a mapping with a kind, such as {{kind: ping, remote: 192.0.2.1}}")
    if "kind" not in entry:
        raise place.at("kind").error(f"missing; allowed: {', '.join(KINDS)}")
    name = text(entry["kind"], place.at("kind"))
    if name not in KINDS:
        raise place.at("kind").error(f"{shown(name)} is no kind of activity; {nearest(name, KINDS)}")
    place = Place(path, rule=f"activities[{index}] {name!r}")
    chosen = {**KINDS[name].presets, **{key: value for key, value in entry.items() if key not in ("kind", "note")}}
    timing_keys = Timing.__slots__
    timing = {key: value for key, value in chosen.items() if key in timing_keys}
    plan = {key: value for key, value in chosen.items() if key not in timing_keys}
    known = (*timing_keys, "kind", "note")
    return Activity(
        index=index,
        kind=name,
        timing=read_fields(Timing, timing, place, scope),
        plan=read_fields(KINDS[name].plan, plan, place, scope, known),
    )
