"""What a scenario's activities can be told: one dataclass of parameters per way to play them. Never: packets, files.

>>> TcpPlan(process="none", remote=Remote("host.test", None), port=443).outcome
'complete'
"""

# ruff: noqa: RUF009 - parameter() returns dataclasses.field(): it is no shared default
from __future__ import annotations

from dataclasses import dataclass

from agent.model.address import Address
from agent.traffic import parameters as read
from agent.traffic.parameters import Remote
from agent.traffic.schema import parameter

ROUTER_ERRORS = (
    "net_unreachable", "host_unreachable", "port_unreachable", "fragmentation_needed", "prohibited",
    "ttl_exceeded", "parameter_problem", "redirect",
)  # fmt: skip
"""ICMP errors by the word a scenario uses; icmp.py has their types and codes for both versions."""
PROTOCOLS = (
    "sctp", "gre", "ip_in_ip", "esp", "udplite", "igmp", "mld", "neighbour", "router", "multicast", "broadcast",
    "extension_headers", "lldp", "eapol", "stp", "foreign", "martian",
)  # fmt: skip
"""What the kind `protocols` can show."""
NOISE = ("mdns", "llmnr", "ssdp", "netbios", "neighbours")
TCP_PAYLOADS = ("opaque", "tls", "http", "smb", "rdp", "ssh")
UDP_PAYLOADS = ("opaque", "ntp", "stun", "rtp", "wireguard")
OUTCOMES = ("complete", "open", "reset_by_device", "reset_by_remote", "refused", "unanswered", "half_open")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When an activity happens, and how often: parameters of every kind."""

    at: int = parameter(read.duration, "begins so long after the scenario's start", 0)
    count: int = parameter(read.whole(1, 1_000_000), "how many times", 1)
    period: int = parameter(read.duration, "from one time to the next", 60 * 10**9)
    jitter: int = parameter(read.percent, "each time is shifted by up to so much of the period", 0)
    vlan: int = parameter(read.whole(0, 4094), "802.1Q tag of the frames, 0 for none", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpPlan:
    """A TCP connection from handshake to close."""

    process: str = parameter(read.process, "whose socket it is on the device")
    remote: Remote = parameter(read.remote, "the other end")
    port: int = parameter(read.port, "the service's port, on whichever side listens")
    client_port: int = parameter(read.port, "the initiator's port; otherwise an ephemeral one", 0)
    direction: str = parameter(read.word("outbound", "inbound"), "outbound: the device initiates", "outbound")
    payload: str = parameter(read.word(*TCP_PAYLOADS), "what the bytes look like", "opaque")
    server_name: str = parameter(read.host_name, "name in a TLS ClientHello or Host header; else the remote's", "")
    exchanges: int = parameter(read.whole(0, 100_000), "requests, each with its response", 1)
    request_bytes: int = parameter(read.transfer, "what the initiator sends in each", 300)
    response_bytes: int = parameter(read.transfer, "what it gets in each", 1200)
    variation: int = parameter(read.percent, "sizes differ by up to so much", 0)
    gap: int = parameter(read.duration, "between exchanges", 200 * 10**6)
    outcome: str = parameter(read.word(*OUTCOMES), "how it ends", "complete")
    close_by: str = parameter(read.word("client", "server"), "who sends the first FIN", "client")
    handshake: bool = parameter(read.switch, "off: the capture began later, the connection is older", True)
    retransmissions: int = parameter(read.whole(0, 1000), "requests whose last segment is sent twice", 0)
    family: str = parameter(read.word("4", "6"), "address family, where the name has both", "4")
    lookup: bool = parameter(read.switch, "ask DNS first, unless the answer is still cached", True)
    initial_sequence: int = parameter(read.whole(0, 0xFFFFFFFF), "the initiator's; 0 for chance", 0)

    def __post_init__(self) -> None:
        if not self.handshake and self.outcome in ("refused", "unanswered", "half_open"):
            raise ValueError(f"handshake: off cannot be with outcome: {self.outcome}, which ends in the handshake")


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpPlan:
    """Datagrams to and fro between two endpoints."""

    process: str = parameter(read.process, "whose socket it is on the device")
    remote: Remote = parameter(read.remote, "the other end")
    port: int = parameter(read.port, "the service's port, on whichever side serves")
    client_port: int = parameter(read.port, "the initiator's port; otherwise an ephemeral one", 0)
    direction: str = parameter(read.word("outbound", "inbound"), "outbound: the device speaks first", "outbound")
    payload: str = parameter(read.word(*UDP_PAYLOADS), "what the bytes look like", "opaque")
    exchanges: int = parameter(read.whole(1, 1_000_000), "datagrams of the initiator", 1)
    request_bytes: int = parameter(read.datagram, "bytes of its datagrams", 120)
    response_bytes: int = parameter(read.datagram, "bytes of the answers", 240)
    variation: int = parameter(read.percent, "sizes differ by up to so much", 0)
    gap: int = parameter(read.duration, "between exchanges", 200 * 10**6)
    answered: bool = parameter(read.switch, "off: nothing comes back", True)
    socket: str = parameter(read.word("connected", "unconnected"), "does its record name the remote", "connected")
    family: str = parameter(read.word("4", "6"), "address family, where the name has both", "4")
    lookup: bool = parameter(read.switch, "ask DNS first, unless the answer is still cached", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsPlan:
    """Questions to the device's resolver, whatever its cache holds; a name `hosts` lacks gets NXDOMAIN."""

    names: tuple[str, ...] = parameter(read.host_names, "the names asked, one after another")
    process: str = parameter(read.process, "who asks", "dnscache")
    answered: bool = parameter(read.switch, "off: nothing comes back", True)
    resolver: Address | None = parameter(read.address, "asked instead of the device's first resolver", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PingPlan:
    """ICMP or ICMPv6 echo."""

    remote: Remote = parameter(read.remote, "the other end")
    direction: str = parameter(read.word("outbound", "inbound"), "outbound: the device asks", "outbound")
    echoes: int = parameter(read.whole(1, 100_000), "requests", 4)
    gap: int = parameter(read.duration, "between requests", 10**9)
    payload_bytes: int = parameter(read.datagram, "payload of each", 32)
    answered: bool = parameter(read.switch, "off: nothing comes back", True)
    family: str = parameter(read.word("4", "6"), "address family, where the name has both", "4")
    lookup: bool = parameter(read.switch, "ask DNS first, unless the answer is still cached", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class IcmpErrorPlan:
    """An ICMP error that reaches the device and quotes a UDP datagram."""

    process: str = parameter(read.process, "who sent the quoted datagram")
    remote: Remote = parameter(read.remote, "to whom it went")
    port: int = parameter(read.port, "and to which port", 33434)
    client_port: int = parameter(read.port, "and from which; otherwise an ephemeral one", 0)
    error: str = parameter(read.word(*ROUTER_ERRORS), "which error", "port_unreachable")
    reporter: Address | None = parameter(read.address, "who reports it, if not the remote", None)
    quoting: str = parameter(read.word("sent", "unsent"), "unsent: the device never sent what is quoted", "sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentsPlan:
    """One UDP datagram in IP fragments, whole or spoilt."""

    process: str = parameter(read.process, "whose socket it is on the device")
    remote: Remote = parameter(read.remote, "the other end")
    port: int = parameter(read.port, "the service's port, on whichever side serves", 5000)
    client_port: int = parameter(read.port, "the initiator's port; otherwise an ephemeral one", 0)
    direction: str = parameter(read.word("outbound", "inbound"), "outbound: the device sends", "outbound")
    payload_bytes: int = parameter(read.datagram, "payload of the datagram", 4000)
    fragment_bytes: int = parameter(read.whole(8, 1480), "payload of each, rounded down to a multiple of 8", 1400)
    order: str = parameter(
        read.word("in_order", "reversed", "first_missing", "overlapping"), "how the pieces arrive", "in_order"
    )
    family: str = parameter(read.word("4", "6"), "address family, where the name has both", "4")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPlan:
    """Ports tried one after another."""

    process: str = parameter(read.process, "outbound: the scanner; inbound: who listens on the open ports")
    remotes: tuple[Address, ...] = parameter(read.targets, "outbound: the targets; inbound: the scanners")
    ports: tuple[int, ...] = parameter(read.ports, "what is tried")
    open: tuple[int, ...] = parameter(read.ports, "ports that answer", ())
    others: str = parameter(read.word("refused", "silent"), "what the other ports do", "refused")
    direction: str = parameter(read.word("outbound", "inbound"), "outbound: the device scans", "outbound")
    protocol: str = parameter(read.word("tcp", "udp"), "of the probes", "tcp")
    style: str = parameter(read.word("syn", "connect"), "connect: an open port gets a whole handshake", "syn")
    interval: int = parameter(read.duration, "from one probe to the next", 10 * 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FanOutPlan:
    """The same service tried on many hosts: lateral movement."""

    process: str = parameter(read.process, "who tries")
    targets: tuple[Address, ...] = parameter(read.targets, "hosts, in order")
    answering: tuple[Address, ...] = parameter(read.targets, "hosts where a session comes about", ())
    refusing: tuple[Address, ...] = parameter(read.targets, "hosts that refuse; the rest is silent", ())
    port: int = parameter(read.port, "the service's port", 445)
    payload: str = parameter(read.word(*TCP_PAYLOADS), "what the sessions look like", "smb")
    exchanges: int = parameter(read.whole(0, 100_000), "requests in each session", 4)
    request_bytes: int = parameter(read.transfer, "of each", 400)
    response_bytes: int = parameter(read.transfer, "of each", 700)
    interval: int = parameter(read.duration, "from one host to the next", 500 * 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowsePlan:
    """A person reading web pages: each takes a few connections to one of the sites."""

    process: str = parameter(read.process, "the browser")
    sites: tuple[Remote, ...] = parameter(read.remotes, "names of hosts")
    pages: int = parameter(read.whole(1, 100_000), "how many are read", 10)
    reading: int = parameter(read.duration, "time for one page, give or take 60 %", 20 * 10**9)
    connections: int = parameter(read.whole(1, 16), "at most, for one page", 3)
    page_bytes: int = parameter(read.transfer, "of one connection, give or take 80 %", 12_000)
    family: str = parameter(read.word("4", "6"), "address family, where a site has both", "4")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpPlan:
    """ARP: the device asks for its neighbours, and is asked."""

    neighbours: tuple[Address, ...] = parameter(read.targets, "whose hardware address is asked")
    asked: bool = parameter(read.switch, "on: they ask for the device's too", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpPlan:
    """The device gets or keeps its lease."""

    server: Address = parameter(read.address, "IPv4 address of the server, or IPv6 for DHCPv6")
    process: str = parameter(read.process, "the client", "dhcp")
    step: str = parameter(read.word("discover", "renew"), "discover: all four messages", "renew")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePlan:
    """What an office network says to itself: mDNS, LLMNR, SSDP, NetBIOS, and neighbours doing the same."""

    what: tuple[str, ...] = parameter(read.words(*NOISE), "which of them", NOISE)
    neighbours: tuple[Address, ...] = parameter(read.targets, "whose broadcasts the device hears", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolsPlan:
    """A few packets of each named protocol, for what no office needs and every capture has."""

    names: tuple[str, ...] = parameter(read.words(*PROTOCOLS), "which of them", PROTOCOLS)
    process: str = parameter(read.process, "who owns the UDP sockets among them")
    remote: Address = parameter(read.address, "IPv4 peer")
    remote6: Address = parameter(read.address, "IPv6 peer")


Plan = (
    TcpPlan | UdpPlan | DnsPlan | PingPlan | IcmpErrorPlan | FragmentsPlan | ScanPlan | FanOutPlan | BrowsePlan
    | ArpPlan | DhcpPlan | NoisePlan | ProtocolsPlan
)  # fmt: skip
