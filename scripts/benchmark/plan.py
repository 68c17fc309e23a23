"""The flows of a capture: addresses, ports, sizes and times, drawn by one die from the shape.

Knows what kinds of flows there are. Never: how a frame is laid out. Memory: some 60 bytes a flow while flows are
planned and written, so that millions fit.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from struct import pack

from benchmark.shapes import CONSTANT, Shape

UDP, TCP = 17, 6
UDP_SHARE, IPV6_SHARE, INBOUND_SHARE = 0.30, 0.20, 0.20
"""Of the packets for the first two, of the flows for the last."""
SHORTEST = {TCP: 8, UDP: 2}
"""Handshake, request, response and close; question and answer."""
PACKETS_PER_SECOND = 60_000
"""Of the capture's own clock: short enough that no UDP flow falls silent for its time-out."""

TCP_PORTS = ((443, 55), (80, 10), (445, 5), (22, 3), (3389, 3), (8443, 4), (993, 3), (0, 17))
UDP_PORTS = ((53, 30), (443, 10), (123, 3), (3478, 8), (4500, 4), (0, 45))
LONGEST_DNS = 8
"""Packets of a DNS flow at most: a longer one gets another port, since nobody asks thousands of questions in one."""
INBOUND_PORTS = ((445, 30), (3389, 20), (22, 10), (135, 10), (5985, 10), (0, 20))
"""Service ports and their weights; 0 stands for any other."""

FIRST_OCTETS = [octet for octet in range(11, 224) if octet not in (127, 169, 172, 192)]
"""Of remote IPv4 addresses: nothing private, local or multicast."""

Kind = tuple[int, int, int]
"""Protocol, IP version, packets."""


class Plan:
    """Every flow in columns: one number of each column a flow, 16 bytes in `remotes`."""

    def __init__(self) -> None:
        self.protocols = bytearray()
        self.versions = bytearray()
        self.inbound = bytearray()
        self.local_ports = array("H")
        self.remote_ports = array("H")
        self.remotes = bytearray()
        self.sizes = array("I")
        """Packets."""
        self.starts = array("Q")
        """Microseconds from the capture's start."""
        self.lasts = array("Q")
        """Microseconds in which its packets fall."""
        self.sequences = array("I")
        """First sequence numbers, the initiator's and the responder's."""

    def __len__(self) -> int:
        return len(self.sizes)

    def remote(self, flow: int) -> bytes:
        """The remote address of a flow, 4 or 16 bytes."""
        return bytes(self.remotes[16 * flow : 16 * flow + (4 if self.versions[flow] == 4 else 16)])

    def composition(self) -> str:
        """The shares of the packets, as planned."""
        packets = sum(self.sizes)
        udp = sum(size for size, protocol in zip(self.sizes, self.protocols, strict=True) if protocol == UDP)
        ipv6 = sum(size for size, version in zip(self.sizes, self.versions, strict=True) if version == 6)
        largest = max(self.sizes) / packets
        return f"{udp / packets:.0%} UDP, {ipv6 / packets:.0%} IPv6, largest flow {largest:.1%} of the packets"


# --- kinds ------------------------------------------------------------------------------------------------------


def flow_kinds(shape: Shape) -> list[Kind]:
    """Each flow's kind, largest first. Raises ValueError for a shape that cannot be."""
    if shape.flow_size == CONSTANT:
        size, rest = divmod(shape.packets, shape.flows)
        if rest or size < SHORTEST[TCP]:
            raise ValueError("flows of one size: give a multiple of the flows as packets, at least 8 packets a flow")
        return balanced(shape.flows, lambda _rank, _protocol: size)[0]
    harmonic = sum(1 / rank for rank in range(1, shape.flows + 1))
    scale = shape.packets / harmonic
    kinds, total = zipf_kinds(scale, shape.flows)
    for _ in range(5):
        scale = max(0.0, scale + (shape.packets - total) / harmonic)
        kinds, total = zipf_kinds(scale, shape.flows)
    protocol, version, size = kinds[0]
    # What rounding left over is the largest flow's.
    kinds[0] = protocol, version, size + shape.packets - total
    if kinds[0][2] < SHORTEST[protocol]:
        raise ValueError("too few packets for so many flows: give at least 8 packets a flow")
    return kinds


def zipf_kinds(scale: float, flows: int) -> tuple[list[Kind], int]:
    """The flows, and their packets in all, if the largest has about `scale` packets."""
    return balanced(flows, lambda rank, protocol: SHORTEST[protocol] + int(scale / rank))


def balanced(flows: int, size_of: Callable[[int, int], int]) -> tuple[list[Kind], int]:
    """Kinds whose shares of the packets are kept by running balance; `size_of` takes rank and protocol."""
    kinds: list[Kind] = []
    total = udp = ipv6 = 0
    for rank in range(1, flows + 1):
        protocol = UDP if udp < UDP_SHARE * total else TCP
        version = 6 if ipv6 < IPV6_SHARE * total else 4
        size = size_of(rank, protocol)
        kinds.append((protocol, version, size))
        total += size
        udp += size if protocol == UDP else 0
        ipv6 += size if version == 6 else 0
    return kinds, total


# --- addresses, ports, times ------------------------------------------------------------------------------------


class Ports:
    """Service ports drawn by weight; 0 becomes any unprivileged port."""

    def __init__(self, weighted: Sequence[tuple[int, int]]) -> None:
        self.ports = [port for port, _ in weighted]
        self.cumulative = list(accumulate(weight for _, weight in weighted))

    def draw(self, dice: Random) -> int:
        return dice.choices(self.ports, cum_weights=self.cumulative)[0] or dice.randrange(1024, 49152)


def plan_flows(shape: Shape, dice: Random) -> Plan:
    """Every flow of the shape; all their tuples are distinct. Raises ValueError for a shape that cannot be."""
    plan = Plan()
    span = max(5.0, shape.packets / PACKETS_PER_SECOND) * 1e6
    services = {TCP: Ports(TCP_PORTS), UDP: Ports(UDP_PORTS)}
    inbound_services = Ports(INBOUND_PORTS)
    seen: set[bytes] = set()
    for protocol, version, size in flow_kinds(shape):
        remote = random_remote(version, dice)
        while remote in seen:
            remote = random_remote(version, dice)
        seen.add(remote)
        inbound = dice.random() < INBOUND_SHARE
        ephemeral = dice.randrange(49152, 65536)
        service = (inbound_services if inbound and protocol == TCP else services[protocol]).draw(dice)
        while service == 53 and size > LONGEST_DNS:
            service = services[protocol].draw(dice)
        # Large flows last, small ones come and go: so the table sees both.
        lasts = span if size > 1000 else min(span, dice.uniform(0.5e6, 20e6))
        plan.protocols.append(protocol)
        plan.versions.append(version)
        plan.inbound.append(inbound)
        plan.local_ports.append(service if inbound else ephemeral)
        plan.remotes += remote.ljust(16, b"\0")
        plan.remote_ports.append(ephemeral if inbound else service)
        plan.sizes.append(size)
        plan.starts.append(int(dice.uniform(0, span - lasts)))
        plan.lasts.append(int(lasts))
        plan.sequences.extend((dice.getrandbits(30), dice.getrandbits(30)))
    return plan


def random_remote(version: int, dice: Random) -> bytes:
    """A global unicast address, the IPv6 ones in a few hundred sites."""
    if version == 6:
        return bytes.fromhex("20010db8") + pack("!HHQ", 1 + dice.randrange(500), 0, dice.getrandbits(64))
    first = dice.choice(FIRST_OCTETS)
    return bytes([first]) + dice.randbytes(3)
