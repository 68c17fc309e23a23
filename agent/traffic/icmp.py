"""ICMP and ICMPv6: echo, and errors that quote what they are about. Never: who may send them."""

from __future__ import annotations

from scapy.layers import inet, inet6
from scapy.packet import Packet, Raw

from agent.model.address import Address
from agent.model.protocols import UDP
from agent.traffic.dice import Dice
from agent.traffic.names import resolve
from agent.traffic.network import Peer
from agent.traffic.plans import IcmpErrorPlan, PingPlan
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage

ERRORS = {
    "net_unreachable": ((3, 0), (1, 0)),
    "host_unreachable": ((3, 1), (1, 3)),
    "port_unreachable": ((3, 3), (1, 4)),
    "fragmentation_needed": ((3, 4), (2, 0)),
    "prohibited": ((3, 13), (1, 1)),
    "ttl_exceeded": ((11, 0), (3, 0)),
    "parameter_problem": ((12, 0), (4, 0)),
    "redirect": ((5, 1), (137, 0)),
}
"""Word of a scenario to (type, code) of ICMP (RFC 792) and of ICMPv6 (RFC 4443, 4861)."""
_IPV6_QUOTE = 1232
"""Bytes of the offending packet in an ICMPv6 error: what fits the smallest MTU (RFC 4443 2.4 c)."""


def play_ping(stage: Stage, plan: PingPlan, when: int, dice: Dice) -> None:
    """Echo requests, each with its reply."""
    outbound = plan.direction == "outbound"
    when, address = resolve(stage, plan.remote, plan.family, when, dice, lookup=plan.lookup and outbound)
    own = stage.local_for(address)
    asker, asked = (own, address) if outbound else (address, own)
    number = dice.between(1, 0xFFFF)
    data = dice.text(plan.payload_bytes)
    delay = stage.round_trip(address) if outbound else 60 * MICROSECOND
    for sequence in range(1, plan.echoes + 1):
        _send(stage, when, asker, asked, _echo(own.version, number, sequence, data, request=True))
        if plan.answered:
            back = when + delay + dice.between(10, 300) * MICROSECOND
            _send(stage, back, asked, asker, _echo(own.version, number, sequence, data, request=False))
        when += dice.spread(plan.gap, 5)


def play_error(stage: Stage, plan: IcmpErrorPlan, when: int, dice: Dice) -> None:
    """A datagram of the device (or one it never sent), and an error that quotes it."""
    when, address = resolve(stage, plan.remote, "4", when, dice, lookup=True)
    own = stage.local_for(address)
    local = Peer(own, plan.client_port or stage.ephemeral(UDP))
    remote = Peer(address, plan.port)
    payload = dice.text(60)
    reporter = plan.reporter or address
    back = when + stage.round_trip(reporter) + dice.between(10, 300) * MICROSECOND
    if plan.quoting == "sent":
        stage.udp(when, local, remote, payload)
        owner = stage.owner(plan.process)
        stage.book.connection(UDP, local, remote, owner, when - MILLISECOND, back + MILLISECOND, initiated=True)
    quoted = _quoted(stage, local, remote, payload)
    _send(stage, back, reporter, own, _error(plan.error, own.version, quoted, stage, address))


def port_unreachable(stage: Stage, when: int, sender: Peer, receiver: Peer, payload: bytes) -> None:
    """What a host answers to a datagram for a port that nobody has."""
    quoted = _quoted(stage, sender, receiver, payload)
    error = _error("port_unreachable", sender.address.version, quoted, stage, receiver.address)
    _send(stage, when, receiver.address, sender.address, error)


def _quoted(stage: Stage, sender: Peer, receiver: Peer, payload: bytes) -> bytes:
    """The IP packet an error is about."""
    datagram = inet.UDP(sport=sender.port, dport=receiver.port) / Raw(payload)
    return bytes(_ip(stage, sender.address, receiver.address) / datagram)


def _echo(version: int, number: int, sequence: int, data: bytes, *, request: bool) -> Packet:
    if version == 4:
        return inet.ICMP(type=8 if request else 0, id=number, seq=sequence) / Raw(data)
    kind = inet6.ICMPv6EchoRequest if request else inet6.ICMPv6EchoReply
    return kind(id=number, seq=sequence, data=data)


def _error(word: str, version: int, quoted: bytes, stage: Stage, target: Address) -> Packet:
    kind, code = ERRORS[word][0 if version == 4 else 1]
    if version == 4:
        head = inet.ICMP(type=kind, code=code)
        if word == "redirect":
            head.gw = str(stage.network.router())
        elif word == "fragmentation_needed":
            head.nexthopmtu = 1400
        return head / Raw(quoted[:28])
    part = Raw(quoted[:_IPV6_QUOTE])
    if kind == 1:
        return inet6.ICMPv6DestUnreach(code=code) / part
    if kind == 2:
        return inet6.ICMPv6PacketTooBig(mtu=1400) / part
    if kind == 3:
        return inet6.ICMPv6TimeExceeded(code=code) / part
    if kind == 4:
        return inet6.ICMPv6ParamProblem(code=code) / part
    return inet6.ICMPv6ND_Redirect(tgt="fe80::1", dst=str(target))


def _ip(stage: Stage, source: Address, destination: Address) -> Packet:
    hops = stage.hop_limit(source, destination)
    if source.version == 4:
        number = stage.way(source, destination).next_identification()
        return inet.IP(src=str(source), dst=str(destination), ttl=hops, id=number)
    return inet6.IPv6(src=str(source), dst=str(destination), hlim=hops)


def _send(stage: Stage, when: int, source: Address, destination: Address, message: Packet) -> None:
    stage.send_formed(when, source, destination, _ip(stage, source, destination) / message)
