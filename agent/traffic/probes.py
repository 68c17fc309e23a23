"""Scans and lateral movement: many short attempts. Never: whether anyone notices."""

from __future__ import annotations

from agent.model.address import Address
from agent.model.protocols import TCP, UDP
from agent.traffic.dice import Dice
from agent.traffic.icmp import port_unreachable
from agent.traffic.network import Peer
from agent.traffic.parameters import Remote
from agent.traffic.plans import FanOutPlan, ScanPlan, TcpPlan
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage
from agent.traffic.tcp import CLIENT, TcpSession


def play_scan(stage: Stage, plan: ScanPlan, when: int, dice: Dice) -> None:
    """Every port of every address, one probe each."""
    for address in plan.remotes:
        for port in plan.ports:
            if plan.protocol == "tcp":
                _probe_tcp(stage, plan, address, port, when, dice)
            else:
                _probe_udp(stage, plan, address, port, when, dice)
            when += dice.spread(plan.interval, 30)


def fan_out_plans(plan: FanOutPlan, dice: Dice) -> list[tuple[int, TcpPlan]]:
    """(offset, connection) for every target."""
    found: list[tuple[int, TcpPlan]] = []
    at = 0
    for address in plan.targets:
        outcome = "refused" if address in plan.refusing else "unanswered"
        connection = TcpPlan(
            process=plan.process,
            remote=Remote(None, address),
            port=plan.port,
            payload=plan.payload,
            exchanges=plan.exchanges,
            request_bytes=plan.request_bytes,
            response_bytes=plan.response_bytes,
            variation=40,
            outcome="complete" if address in plan.answering else outcome,
        )
        found.append((at, connection))
        at += dice.spread(plan.interval, 20)
    return found


def _probe_tcp(stage: Stage, plan: ScanPlan, address: Address, port: int, when: int, dice: Dice) -> None:
    outbound = plan.direction == "outbound"
    own, client_port = stage.local_for(address), stage.ephemeral(TCP) if outbound else dice.between(32768, 60999)
    client = Peer(own if outbound else address, client_port)
    server = Peer(address if outbound else own, port)
    session = TcpSession(stage, client, server, when, dice)
    is_open = port in plan.open
    if is_open and plan.style == "connect":
        session.connect()
        session.reset(CLIENT)
    elif is_open:
        session.half_open()
    else:
        session.probe()
        if plan.others == "refused":
            session.refuse()
    if outbound:
        owner, begin, end = stage.owner(plan.process), when - MILLISECOND, session.now + MILLISECOND
        stage.book.connection(TCP, client, server, owner, begin, end, initiated=True)
    elif is_open:
        stage.book.listener(TCP, own.version, port, client, stage.owner(plan.process))
    else:
        stage.book.nobody(TCP, server, client)


def _probe_udp(stage: Stage, plan: ScanPlan, address: Address, port: int, when: int, dice: Dice) -> None:
    outbound = plan.direction == "outbound"
    own, client_port = stage.local_for(address), stage.ephemeral(UDP) if outbound else dice.between(32768, 60999)
    client = Peer(own if outbound else address, client_port)
    server = Peer(address if outbound else own, port)
    stage.udp(when, client, server, b"")
    back = when + (stage.round_trip(address) if outbound else 60 * MICROSECOND)
    if port in plan.open:
        stage.udp(back, server, client, dice.text(60))
    elif plan.others == "refused":
        port_unreachable(stage, back, client, server, b"")
    if outbound:
        owner, end = stage.owner(plan.process), back + MILLISECOND
        stage.book.connection(UDP, client, server, owner, when - MILLISECOND, end, initiated=True)
    elif port in plan.open:
        stage.book.listener(UDP, own.version, port, client, stage.owner(plan.process))
    else:
        stage.book.nobody(UDP, server, client)
