"""The kinds of activity a scenario may list: a table that the loader, tests and people read.

Several kinds share a plan and differ in presets: a beacon is a TCP session with a period. Never: packets, files.

    >>> KINDS["beacon"].presets["period"]
    '30'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    Plan,
    ProtocolsPlan,
    ScanPlan,
    TcpPlan,
    Timing,
    UdpPlan,
)
from agent.traffic.schema import Described, describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A plan with presets: texts as a scenario file would have them."""

    plan: type[Plan]
    meaning: str
    presets: Mapping[str, str] = field(default_factory=dict)


def _tcp(meaning: str, **presets: str) -> Kind:
    return Kind(plan=TcpPlan, meaning=meaning, presets=presets)


def _udp(meaning: str, **presets: str) -> Kind:
    return Kind(plan=UdpPlan, meaning=meaning, presets=presets)


KINDS: Mapping[str, Kind] = {
    "tcp": _tcp("a TCP connection"),
    "tls": _tcp("a TLS-like session", port="443", payload="tls"),
    "http": _tcp("plain HTTP", port="80", payload="http"),
    "ssh": _tcp("an SSH session", port="22", payload="ssh", exchanges="10", gap="2", request_bytes="64",
                response_bytes="600"),
    "rdp": _tcp("a remote desktop", port="3389", payload="rdp", exchanges="20", gap="1", response_bytes="2400"),
    "file_share": _tcp("work on an SMB share", port="445", payload="smb", exchanges="10", gap="1", process="system",
                       response_bytes="4000"),
    "heartbeat": _tcp("the Defender agent calls its cloud", port="443", payload="tls", exchanges="2",
                      request_bytes="900", response_bytes="600", period="60", count="10", jitter="10%"),
    "beacon": _tcp("command and control: short sessions with a jittered period", port="443", payload="tls",
                   request_bytes="320", response_bytes="180", period="30", count="20", jitter="20%"),
    "bulk": _tcp("a large transfer in full segments", port="443", payload="tls", request_bytes="1MB",
                 response_bytes="200"),
    "udp": _udp("datagrams"),
    "ntp": _udp("time", port="123", client_port="123", payload="ntp", process="time", request_bytes="48",
                response_bytes="48", socket="unconnected"),
    "media": _udp("a call: real-time datagrams both ways", port="3478", payload="rtp", exchanges="100", gap="20ms",
                  request_bytes="180", response_bytes="180", variation="20%", socket="unconnected"),
    "vpn": _udp("an encrypted tunnel, seen from outside", port="51820", payload="wireguard", exchanges="100",
                gap="1", request_bytes="400", response_bytes="800", variation="80%"),
    "dns": Kind(plan=DnsPlan, meaning="questions to the resolver"),
    "ping": Kind(plan=PingPlan, meaning="echo requests and replies"),
    "icmp_error": Kind(plan=IcmpErrorPlan, meaning="an ICMP error that quotes a datagram"),
    "fragments": Kind(plan=FragmentsPlan, meaning="a datagram in fragments"),
    "scan": Kind(plan=ScanPlan, meaning="a port scan, out or in"),
    "fan_out": Kind(plan=FanOutPlan, meaning="one service tried on many hosts"),
    "browse": Kind(plan=BrowsePlan, meaning="reading web pages"),
    "arp": Kind(plan=ArpPlan, meaning="ARP with neighbours"),
    "dhcp": Kind(plan=DhcpPlan, meaning="getting or keeping a lease"),
    "noise": Kind(plan=NoisePlan, meaning="mDNS, LLMNR, SSDP, NetBIOS"),
    "protocols": Kind(plan=ProtocolsPlan, meaning="a few packets of rarer protocols"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One entry of a scenario's list."""

    index: int
    """Position in the list, from 0: with the seed it decides the activity's chance, so that order matters only here."""
    kind: str
    timing: Timing
    plan: Plan


def describe_kinds() -> list[tuple[str, str, list[Described]]]:
    """(kind, meaning, keys) of every kind for people; the keys of every kind (`at`, `count`, ...) come last."""
    return [
        (name, kind.meaning, [*describe(kind.plan, kind.presets), *describe(Timing, kind.presets)])
        for name, kind in KINDS.items()
    ]
