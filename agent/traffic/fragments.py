"""IP fragments, split by scapy: as a stack sends them, and as an attacker does. Never: why.

IPv4 fragments share addresses, identification and protocol; IPv6 ones a fragment header (RFC 8200 4.5).
"""

from __future__ import annotations

from scapy.layers.inet import IP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.packet import Packet, Raw

from agent.model.address import Address
from agent.model.protocols import UDP
from agent.traffic.dice import Dice
from agent.traffic.names import resolve
from agent.traffic.network import Peer
from agent.traffic.plans import FragmentsPlan
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage
from agent.traffic.wire import MTU

_FRAGMENT_HEADER = 44


def pieces(stage: Stage, source: Address, destination: Address, protocol: int, body: bytes, limit: int) -> list[bytes]:
    """The frames of `body` in fragments, none of whose IP packets exceeds `limit` bytes."""
    hops = stage.hop_limit(source, destination)
    number = stage.way(source, destination).next_identification()
    if source.version == 4:
        whole: Packet = IP(src=str(source), dst=str(destination), ttl=hops, id=number, proto=protocol) / Raw(body)
        parts = fragment(whole, fragsize=(limit - 20) // 8 * 8)  # type: ignore[no-untyped-call]  # scapy's
    else:
        header = IPv6ExtHdrFragment(nh=protocol, id=number)
        whole = IPv6(src=str(source), dst=str(destination), hlim=hops, nh=_FRAGMENT_HEADER) / header / Raw(body)
        parts = fragment6(whole, limit)  # type: ignore[no-untyped-call]  # scapy's
    link = stage.link(source, destination)
    return [bytes(link / part) for part in parts]


def play_fragments(stage: Stage, plan: FragmentsPlan, when: int, dice: Dice) -> None:
    """One datagram in pieces, in the order the plan wants."""
    when, address = resolve(stage, plan.remote, plan.family, when, dice, lookup=True)
    own = stage.local_for(address)
    outbound = plan.direction == "outbound"
    client_port = plan.client_port or (stage.ephemeral(UDP) if outbound else dice.between(49152, 65535))
    local = Peer(own, client_port if outbound else plan.port)
    remote = Peer(address, plan.port if outbound else client_port)
    source, destination = (own, address) if outbound else (address, own)
    sender, receiver = (local, remote) if outbound else (remote, local)
    body = stage.way(source, destination).udp(sender.port, receiver.port, dice.text(plan.payload_bytes))
    limit = min(plan.fragment_bytes // 8 * 8 + (20 if own.version == 4 else 48), MTU)
    frames = _disturbed(pieces(stage, source, destination, UDP, body, limit), plan.order)
    for index, frame in enumerate(frames):
        stage.emit(when + index * 100 * MICROSECOND, frame, sent=outbound)
    end = when + len(frames) * 100 * MICROSECOND + MILLISECOND
    if outbound:
        stage.book.connection(UDP, local, remote, stage.owner(plan.process), when - MILLISECOND, end, initiated=True)
    else:
        stage.book.listener(UDP, own.version, plan.port, remote, stage.owner(plan.process))


def _disturbed(frames: list[bytes], order: str) -> list[bytes]:
    if order == "reversed":
        return frames[::-1]
    if order == "first_missing":
        return frames[1:]
    if order == "overlapping" and len(frames) > 1:
        return [frames[0], frames[1], *frames[1:]]  # the second piece twice: it overlaps itself
    return frames
