"""A scenario's packets and socket records as a whole: the same every time, in time order, everybody accounted for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from agent.attribution.sockets import SocketRecords, load_socket_records
from agent.model.address import parse_address
from agent.model.device import Family
from agent.model.moment import SECOND, parse_time
from agent.policy.device import parse_device
from agent.traffic.generate import Generated, generate
from agent.traffic.network import is_multicast
from agent.traffic.output import socket_lines
from agent.traffic.scenario import load_scenario
from tests.traffic.builders import EVERY_BUILTIN, SMALL_BUILTINS, play, played
from tests.traffic.parsing import Segment, segments, text

FINGERPRINT = """
import hashlib, sys
from agent.traffic.generate import generate
from agent.traffic.output import socket_lines
from agent.traffic.scenario import load_scenario
generated = generate(load_scenario(sys.argv[1]))
digest = hashlib.sha256(socket_lines(generated).encode())
for packet in generated.packets:
    digest.update(b"%d %d " % (packet.time_ns, packet.direction) + packet.data)
print(digest.hexdigest())
"""


def fingerprint(generated: Generated) -> str:
    digest = hashlib.sha256(socket_lines(generated).encode())
    for packet in generated.packets:
        digest.update(b"%d %d " % (packet.time_ns, packet.direction) + packet.data)
    return digest.hexdigest()


@pytest.mark.parametrize("name", SMALL_BUILTINS)
def test_same_seed_gives_the_same_bytes(name: str) -> None:
    assert fingerprint(generate(load_scenario(name))) == fingerprint(played(name))


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_process(root: Path) -> None:
    """Another process with another hash seed: sets and dicts of names fall in another order."""
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", FINGERPRINT, "office-laptop-under-attack"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == fingerprint(played("office-laptop-under-attack")), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL_BUILTINS)
def test_other_seed_gives_other_bytes(name: str) -> None:
    scenario = load_scenario(name)
    assert fingerprint(generate(replace(scenario, seed=scenario.seed + 1))) != fingerprint(played(name))


def test_activity_does_not_change_what_another_does() -> None:
    """Chance belongs to an activity: one more at the end leaves the payloads of the first as they were."""
    first = {"kind": "tls", "process": "tool", "remote": "203.0.113.9", "exchanges": "3"}
    other = {"kind": "ping", "remote": "203.0.113.7", "at": "1"}
    alone = [packet.payload for packet in segments(play(first).packets)]
    together = [packet.payload for packet in segments(play(first, other).packets)]
    assert together == alone


def test_equal_activities_do_not_say_the_same() -> None:
    """Two browsers of one kind send other bytes, from other sequence numbers."""
    same = {"kind": "tls", "process": "tool", "remote": "203.0.113.9"}
    packets = [packet for packet in segments(play(same, same).packets) if not packet.inbound]
    assert len({packet.sequence for packet in packets if packet.flags == 2}) == 2
    hellos = [packet.payload for packet in packets if packet.payload[:1] == b"\x16"]
    assert len(set(hellos)) == len(hellos) == 2


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_packets_come_in_time_order(name: str) -> None:
    times = [packet.time_ns for packet in played(name).packets]
    assert times == sorted(times)
    assert times[0] >= load_scenario(name).start
    assert not any(time % 1000 for time in times)


def test_activities_overlap_in_time() -> None:
    """Packets are interleaved: one activity is not played after another."""
    longs = [
        {"kind": "tls", "process": "tool", "remote": f"203.0.113.{n}", "exchanges": "20", "gap": "1"} for n in (1, 2)
    ]
    remotes = [packet.remote for packet in segments(play(*longs).packets)]
    changes = sum(earlier != later for earlier, later in pairwise(remotes))
    assert changes > 20


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_every_socket_record_is_one_that_the_agent_reads(name: str, tmp_path: Path) -> None:
    records = sources(name, tmp_path)
    assert len(records) == len(played(name).sockets) > 0


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_sockets_belong_to_processes_that_exist(name: str) -> None:
    for record in played(name).sockets:
        start, created = str(record["start"]), str(record["process_created"])
        assert parse_time(start) >= parse_time(created), record
        assert record["end"] is None or parse_time(str(record["end"])) >= parse_time(start), record


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_every_flow_of_the_device_has_its_process(name: str, tmp_path: Path) -> None:
    """Live attribution has no slack: the records must hold at the very moment of each flow's first packet."""
    records = sources(name, tmp_path)
    lacking = [
        f"{packet.protocol} {text(packet.local)} {text(packet.remote)}"
        for packet in first_packets(name)
        if not find(records, packet) and not declared(name, packet)
    ]
    assert lacking == []


@pytest.mark.parametrize("name", SMALL_BUILTINS)
def test_flows_declared_unattributed_are_not_attributed(name: str, tmp_path: Path) -> None:
    records = sources(name, tmp_path)
    assert not [packet for packet in first_packets(name) if declared(name, packet) and find(records, packet)]


def test_direction_flags_say_who_sent() -> None:
    own = {parse_address("10.0.0.5"), parse_address("2001:db8::5")}
    for packet in segments(played("three-rules").packets):
        assert (packet.source in own) == (packet.direction == 2)


def test_capture_can_keep_directions_and_addresses_to_itself() -> None:
    silent = {"direction_flags": "off", "interface_addresses": "off"}
    generated = play({"kind": "ping", "remote": "203.0.113.9"}, network=silent)
    assert {packet.direction for packet in generated.packets} == {0}
    assert generated.interface_addresses == ()


def test_period_count_and_jitter_place_the_conversations() -> None:
    beacon = {"kind": "beacon", "process": "tool", "remote": "203.0.113.9", "at": "100", "count": "30"}
    packets = play({**beacon, "period": "30", "jitter": "20%"}).packets
    starts = [packet.time_ns for packet in segments(packets) if packet.flags == 2]
    offsets = [time - load_scenario("beacon").start - 100 * SECOND - n * 30 * SECOND for n, time in enumerate(starts)]
    assert len(starts) == 30
    assert all(abs(offset) <= 6 * SECOND for offset in offsets)
    assert len(set(offsets)) > 25


def test_nothing_happens_before_the_start() -> None:
    packets = play({"kind": "ping", "remote": "203.0.113.9", "count": "5", "period": "1", "jitter": "100%"}).packets
    assert packets[0].time_ns >= load_scenario("beacon").start


def test_scenario_without_activities_is_an_empty_capture() -> None:
    assert (play().packets, play().sockets) == ([], [])


def sources(name: str, folder: Path) -> SocketRecords:
    path = folder / f"{name}.jsonl"
    path.write_text(socket_lines(played(name)), encoding="utf-8")
    family = parse_device(dict(played(name).device), name).family
    return load_socket_records(str(path), family=Family(family), slack_ns=0)


def first_packets(name: str) -> list[Segment]:
    """The first packet of every flow whose one end is the device, or a group or everybody on its link."""
    device = parse_device(dict(played(name).device), name)
    seen: dict[frozenset[object], Segment] = {}
    for packet in segments(played(name).packets):
        local = packet.local[0]
        shared = is_multicast(local) or local.value & 0xFF == 0xFF
        if (local in device.addresses or shared) and packet.remote[0].value:
            seen.setdefault(frozenset((packet.protocol, packet.local, packet.remote)), packet)
    return list(seen.values())


def find(records: SocketRecords, packet: Segment) -> bool:
    (local, local_port), (remote, remote_port) = packet.local, packet.remote
    owner = records.find(
        packet.protocol,
        local.version,
        local.value,
        local_port,
        remote.value,
        remote_port,
        packet.time_ns,
        packet.direction,
    )
    return owner is not None


def declared(name: str, packet: Segment) -> bool:
    protocol = {6: "tcp", 17: "udp"}[packet.protocol]
    return (protocol, text(packet.local), text(packet.remote)) in _unattributed(name)


def _unattributed(name: str) -> set[tuple[str, str, str]]:
    return {
        (protocol, local.replace("[", "").replace("]", ""), remote.replace("[", "").replace("]", ""))
        for protocol, local, remote in played(name).unattributed
    }
