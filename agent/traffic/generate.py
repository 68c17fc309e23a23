"""Plays a scenario: activities become conversations, conversations packets, all in the order of time.

>>> from agent.traffic.scenario import load_scenario
>>> generated = generate(load_scenario("beacon"))
>>> generated.packets[0].direction
2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.model.address import Address
from agent.policy.fields import Tree
from agent.traffic.activities import Activity
from agent.traffic.dice import Dice
from agent.traffic.fragments import play_fragments
from agent.traffic.icmp import play_error, play_ping
from agent.traffic.lan import play_arp, play_dhcp, play_noise
from agent.traffic.plans import (
    ArpPlan,
    BrowsePlan,
    DhcpPlan,
    DnsPlan,
    FanOutPlan,
    FragmentsPlan,
    IcmpErrorPlan,
    NoisePlan,
    PingPlan,
    ProtocolsPlan,
    ScanPlan,
    TcpPlan,
    UdpPlan,
)
from agent.traffic.probes import fan_out_plans, play_scan
from agent.traffic.scenario import Scenario
from agent.traffic.sessions import page_plans, play_dns, play_tcp, play_udp
from agent.traffic.sockets import Record
from agent.traffic.stage import Frame, Stage
from agent.traffic.zoo import play_protocols

# Each plan is played by the function for its type; mypy cannot see that key and argument agree.
_PLAYERS: dict[type, Callable[[Stage, Any, int, Dice], None]] = {
    TcpPlan: play_tcp,
    UdpPlan: play_udp,
    DnsPlan: play_dns,
    PingPlan: play_ping,
    IcmpErrorPlan: play_error,
    FragmentsPlan: play_fragments,
    ScanPlan: play_scan,
    ArpPlan: play_arp,
    DhcpPlan: play_dhcp,
    NoisePlan: play_noise,
    ProtocolsPlan: play_protocols,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """What a scenario gives."""

    packets: list[Frame]
    """(time_ns, data, direction) in time order; Ethernet frames."""
    sockets: list[Record]
    """Socket records as contract.md has them, in order of their start."""
    device: dict[str, Tree]
    """The device document."""
    interface_addresses: tuple[Address, ...]
    """What the capture's interface says it is called: the device's addresses, or none."""
    unattributed: list[tuple[str, str, str]]
    """(protocol, local, remote) of the TCP and UDP flows that have no socket record on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conversation:
    start: int
    activity: Activity
    plan: Any
    dice: Dice


def generate(scenario: Scenario) -> Generated:
    """Plays the whole scenario. The same scenario and seed give the same bytes. Raises PolicyError."""
    stage = Stage(scenario)
    conversations = [item for activity in scenario.activities for item in _conversations(scenario, activity)]
    # In order of their start: the resolver's cache and the ephemeral ports move on as time does.
    conversations.sort(key=lambda conversation: conversation.start)
    for conversation in conversations:
        activity = conversation.activity
        stage.vlan = activity.timing.vlan
        stage.activity = f"activities[{activity.index}] {activity.kind!r}"
        _PLAYERS[type(conversation.plan)](stage, conversation.plan, conversation.start, conversation.dice)
    return Generated(
        packets=stage.finish(),
        sockets=stage.book.records(),
        device=dict(scenario.document),
        interface_addresses=scenario.device.addresses if scenario.network.interface_addresses else (),
        unattributed=stage.book.unattributed,
    )


def _conversations(scenario: Scenario, activity: Activity) -> Iterator[_Conversation]:
    """Every time the activity happens; kinds that are many connections are taken apart."""
    dice = Dice(f"{scenario.seed}/{activity.index}/{activity.kind}")
    timing = activity.timing
    for number in range(timing.count):
        shift = timing.period * timing.jitter // 100
        start = scenario.start + timing.at + number * timing.period + (dice.between(-shift, shift) if shift else 0)
        start = max(start, scenario.start)
        if isinstance(activity.plan, BrowsePlan):
            parts: list[tuple[int, Any]] = list(page_plans(activity.plan, dice))
        elif isinstance(activity.plan, FanOutPlan):
            parts = list(fan_out_plans(activity.plan, dice))
        else:
            parts = [(0, activity.plan)]
        for offset, plan in parts:
            yield _Conversation(start=start + offset, activity=activity, plan=plan, dice=dice)
