"""Values for the tests of the sinks: an event, a policy, changed where a test says so."""

from __future__ import annotations

from typing import Any

from agent.engine.classify import Classification
from agent.engine.events import FlowEvent
from agent.model.address import parse_address
from agent.model.device import Family
from agent.model.subject import Subject
from agent.model.vocabulary import Direction, DirectionBasis, FlowEnd, Mode, Reason, Verdict
from agent.policy.effective import CloudChannel, EffectivePolicy

START = 1767603601000123000
"""2026-01-05T09:00:01.000123Z"""

SUPPORT = Subject(
    image="C:\\Program Files\\Support\\support.exe",
    canonical_image="C:\\PROGRAM FILES\\SUPPORT\\SUPPORT.EXE",
    services=(),
    package_known=True,
    pid=4242,
    source="sockets",
)

_CLOUD = CloudChannel(
    exact_names=frozenset(),
    suffixes=(),
    networks=(),
    crl_names=frozenset(),
    tls_ports=frozenset({443}),
    crl_ports=frozenset({80}),
    agents=(),
)


def make_policy(**changes: Any) -> EffectivePolicy:
    values: dict[str, Any] = {
        "generation": 2,
        "mode": Mode.SELECTIVE,
        "family": Family.WINDOWS,
        "embedded": False,
        "snapshot": (),
        "filters": (),
        "cloud": _CLOUD,
        "essential": (),
        "dns": "cloud_names",
        "settings": {},
        "digest": "sha256:" + "ab" * 32,
    }
    return EffectivePolicy(**{**values, **changes})


POLICY = make_policy()


def make_event(**changes: Any) -> FlowEvent:
    """The contract's example: an outbound TCP flow that a rule allows."""
    values: dict[str, Any] = {
        "event_type": "flow",
        "timestamp": START,
        "flow_id": 17,
        "authorisation": 1,
        "protocol": 6,
        "direction": Direction.OUTBOUND,
        "direction_basis": DirectionBasis.TCP_SYN,
        "local": parse_address("10.0.0.5"),
        "local_port": 50123,
        "remote": parse_address("203.0.113.9"),
        "remote_port": 443,
        "names": ("support.example.test",),
        "subject": SUPPORT,
        "subject_id": 1,
        "verdict": Verdict.ALLOW,
        "reason": Reason.EXCLUSION,
        "rules": ("Remote support",),
        "near_misses": (),
        "near_miss_count": 0,
        "service": None,
        "evidence": None,
        "policy": POLICY,
        "enforcement": "simulated",
        "packets_original": 3,
        "packets_reply": 2,
        "bytes_original": 180,
        "bytes_reply": 120,
        "attempted": None,
        "mixed_allowed": 0,
        "mixed_denied": 0,
        "first_seen": START,
        "last_seen": START + 2_500_000_000,
        "end": FlowEnd.FIN,
        "icmp_type": None,
        "icmp_code": None,
    }
    values |= changes
    why = {name: values.pop(name) for name in ("rules", "near_misses", "near_miss_count", "service", "evidence")}
    event = FlowEvent()
    event.classification = Classification(verdict=values["verdict"], reason=values["reason"], **why)
    event.outbound = values.pop("direction") is Direction.OUTBOUND
    event.version = values["remote"].version
    assert values["local"].version == event.version, "a flow's addresses are of one version: give both"
    for side in ("local", "remote"):
        value = values.pop(side).value
        setattr(event, f"{side}_high", value >> 64)
        setattr(event, f"{side}_low", value & (1 << 64) - 1)
    for name, number in _NUMBERS.items():
        value = values.pop(name)
        setattr(event, number, -1 if value is None else int(value))
    for name, value in values.items():
        setattr(event, name, value)
    return event


_NUMBERS = {
    "attempted": "attempted_count",
    "direction_basis": "basis_number",
    "end": "end_number",
    "icmp_code": "icmp_code_number",
    "icmp_type": "icmp_type_number",
    "local_port": "local_port_number",
    "reason": "reason_number",
    "remote_port": "remote_port_number",
    "verdict": "verdict_number",
}
"""What an event holds as a number."""
