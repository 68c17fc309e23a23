"""Cached classifications are those of `classify`, explained or not."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from agent.engine.classify import Classification
from agent.engine.verdicts import Verdicts
from agent.model.address import Address, parse_address
from agent.model.subject import UNATTRIBUTED, Subject
from agent.policy.effective import EffectivePolicy
from tests.support.lab import AGENT, CLOUD_ADDRESS, CLOUD_HOST, LOW, OTHER, RESOLVER, Lab, program

RULES = [
    {"name": "other", "process_path": OTHER},
    {"name": "outbound", "direction": "Outbound", "remote_ips": ["203.0.113.0/24"]},
    {"name": "service", "service_name": "dnscache", "direction": "Inbound"},
    {"name": "both", "process_path": OTHER, "remote_ips": ["203.0.113.9", "2001:db8::/32"]},
]
SUBJECTS = [
    UNATTRIBUTED,
    program(AGENT),
    program(AGENT, confidence=LOW),
    program(OTHER),
    program("C:\\Windows\\System32\\svchost.exe", services=("dnscache",)),
    program(None, services=("sense",)),
]
NAMES: list[tuple[str, ...]] = [(), (CLOUD_HOST,), ("crl.example.test",)]
REMOTES = [CLOUD_ADDRESS, RESOLVER, "203.0.113.9", "203.0.113.10", "198.51.100.1", "2001:db8::9"]
PROTOCOLS = [(6, 443, -1), (6, 80, -1), (6, 8443, -1), (17, 53, -1), (17, 123, -1), (1, 0, 8), (132, 443, -1)]


def verdicts(policy: EffectivePolicy, *, explained: bool) -> Verdicts:
    built = Verdicts(list(SUBJECTS), list(NAMES), {parse_address(RESOLVER)}, False, explained, 7)
    built.install(policy)
    return built


def every_flow(built: Verdicts) -> list[Classification]:
    found = []
    for subject, names, remote, (protocol, port, icmp), (outbound, trusted, loopback, group) in product(
        range(len(SUBJECTS)),
        range(len(NAMES)),
        map(parse_address, REMOTES),
        PROTOCOLS,
        product((True, False), repeat=4),
    ):
        local, far = (0, 0) if icmp >= 0 else (50000, port) if outbound else (port, 50000)
        number = built.of_flow(
            outbound, trusted, protocol, remote.version, remote.value >> 64, remote.value & (1 << 64) - 1,
            local, far, icmp, subject, names, loopback, group,
        )  # fmt: skip
        found.append(built.classes[number])
    return found


@pytest.mark.parametrize("mode", ["none", "full", "selective"])
def test_without_near_misses_every_flow_gets_the_same_verdict_for_the_same_reason(mode: str) -> None:
    lab = Lab(mode, rules=RULES, settings={"essential.ntp": True, "essential.icmp_echo": True})
    policy = lab.engine.policy
    assert policy is not None
    explained = every_flow(verdicts(policy, explained=True))
    bare = [replace(one, near_misses=(), near_miss_count=0) for one in explained]
    assert every_flow(verdicts(policy, explained=False)) == bare
    assert (bare != explained) == (mode == "selective")


def test_who_invents_programs_changes_no_answer() -> None:
    """Each subject has its own number of a program, however many there are."""
    lab = Lab("selective", rules=RULES)
    assert lab.engine.policy is not None
    built = verdicts(lab.engine.policy, explained=False)
    strangers = [Subject(canonical_image=f"C:\\X{number}.EXE", source="test") for number in range(300)]
    built.subjects.extend(strangers)
    remote = Address(4, parse_address("198.51.100.1").value)
    numbers = {
        built.of_flow(True, True, 6, 4, 0, remote.value, 50000, 443, -1, len(SUBJECTS) + one, 0, False, False)
        for one in range(300)
    }
    assert len(numbers) == 1
