"""TCP connections and UDP exchanges of a scenario, played on the stage with their DNS lookups and socket records."""

from __future__ import annotations

import struct

from agent.model.address import Address
from agent.model.moment import SECOND
from agent.model.protocols import TCP, UDP
from agent.traffic.dialogue import DIALOGUES, Dialogue
from agent.traffic.dice import Dice
from agent.traffic.names import ask, resolve
from agent.traffic.network import Peer
from agent.traffic.plans import BrowsePlan, DnsPlan, TcpPlan, UdpPlan
from agent.traffic.sockets import OPEN
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage
from agent.traffic.tcp import CLIENT, SERVER, TcpSession

_OLDER = 600 * SECOND
"""How long before the capture a connection without handshake began."""
_NTP_EPOCH = 2_208_988_800


def play_tcp(stage: Stage, plan: TcpPlan, when: int, dice: Dice) -> None:
    """One connection, from lookup to close."""
    when, address = resolve(
        stage, plan.remote, plan.family, when, dice, lookup=plan.lookup and plan.direction == "outbound"
    )
    client, server, outbound = _ends(stage, plan, address, TCP, dice)
    local, remote = (client, server) if outbound else (server, client)
    session = TcpSession(stage, client, server, when, dice, plan.initial_sequence)
    accepted = _play_outcome(session, plan, dice)
    owner = stage.owner(plan.process)
    if not outbound:
        if plan.outcome in ("refused", "unanswered"):
            stage.book.nobody(TCP, local, remote)
            return
        stage.book.listener(TCP, address.version, plan.port, remote, owner)
        if plan.outcome == "half_open":
            return
    begin = when - MILLISECOND if outbound else accepted
    if not plan.handshake:
        begin -= _OLDER
    end = OPEN if plan.outcome == "open" else session.now + MILLISECOND
    stage.book.connection(TCP, local, remote, owner, begin, end, initiated=outbound)


def play_udp(stage: Stage, plan: UdpPlan, when: int, dice: Dice) -> None:
    """Datagrams to and fro."""
    outbound = plan.direction == "outbound"
    when, address = resolve(stage, plan.remote, plan.family, when, dice, lookup=plan.lookup and outbound)
    client, server, outbound = _ends(stage, plan, address, UDP, dice)
    local, remote = (client, server) if outbound else (server, client)
    delay = stage.round_trip(address) if outbound else 60 * MICROSECOND
    begin, end = when, when
    for number in range(plan.exchanges):
        stage.udp(when, client, server, _datagram(plan, number, when, dice, by_client=True))
        end = when
        if plan.answered:
            end = when + delay + dice.between(20, 900) * MICROSECOND
            stage.udp(end, server, client, _datagram(plan, number, end, dice, by_client=False))
        when = when + dice.spread(plan.gap, 10)
    owner = stage.owner(plan.process)
    if not outbound:
        stage.book.listener(UDP, address.version, plan.port, remote, owner)
    elif plan.socket == "connected":
        stage.book.connection(UDP, local, remote, owner, begin - MILLISECOND, end + MILLISECOND, initiated=True)
    else:
        stage.book.unconnected(UDP, local, remote, owner, begin - MILLISECOND, end + MILLISECOND)


def play_dns(stage: Stage, plan: DnsPlan, when: int, dice: Dice) -> None:
    """Questions, whatever is cached."""
    ask(stage, plan.names, when, dice, process=plan.process, answered=plan.answered, resolver=plan.resolver)


def page_plans(plan: BrowsePlan, dice: Dice) -> list[tuple[int, TcpPlan]]:
    """(offset, connection) of everything a reader of web pages causes."""
    found: list[tuple[int, TcpPlan]] = []
    at = 0
    for _ in range(plan.pages):
        site = dice.pick(plan.sites)
        for _ in range(dice.between(1, plan.connections)):
            connection = TcpPlan(
                process=plan.process,
                remote=site,
                port=443,
                payload="tls",
                exchanges=dice.between(1, 4),
                request_bytes=dice.between(180, 900),
                response_bytes=dice.spread(plan.page_bytes, 80),
                gap=dice.between(40, 400) * MILLISECOND,
                family=plan.family,
            )
            found.append((at + dice.between(0, 800) * MILLISECOND, connection))
        at += dice.spread(plan.reading, 60)
    return found


def _ends(
    stage: Stage, plan: TcpPlan | UdpPlan, address: Address, protocol: int, dice: Dice
) -> tuple[Peer, Peer, bool]:
    """(client, server, does the device initiate)."""
    own = stage.local_for(address)
    if plan.direction == "outbound":
        port = plan.client_port or stage.ephemeral(protocol)
        return Peer(own, port), Peer(address, plan.port), True
    return Peer(address, plan.client_port or dice.between(49152, 65535)), Peer(own, plan.port), False


def _play_outcome(session: TcpSession, plan: TcpPlan, dice: Dice) -> int:
    """Plays the connection; returns when it stood."""
    if plan.outcome in ("refused", "unanswered", "half_open"):
        {"refused": session.refused, "unanswered": session.unanswered, "half_open": session.half_open}[plan.outcome]()
        return session.now
    if plan.handshake:
        session.connect()
    else:
        session.adopt()
    stood = session.now
    _converse(session, plan, DIALOGUES[plan.payload], dice)
    if plan.outcome == "complete":
        session.close(CLIENT if plan.close_by == "client" else SERVER)
    elif plan.outcome.startswith("reset"):
        by_device = plan.outcome == "reset_by_device"
        session.reset(CLIENT if by_device == (plan.direction == "outbound") else SERVER)
    return stood


def _converse(session: TcpSession, plan: TcpPlan, dialogue: Dialogue, dice: Dice) -> None:
    name = plan.server_name or plan.remote.name or "host.test"
    if plan.handshake:
        for by_client, payload in dialogue.opening(dice, name):
            session.say(CLIENT if by_client else SERVER, payload)
    for number in range(plan.exchanges):
        request = dice.spread(plan.request_bytes, plan.variation)
        response = dice.spread(plan.response_bytes, plan.variation)
        if number:
            session.wait(dice.spread(plan.gap, 10))
        if request:
            payload = dialogue.message(dice, name, True, request)
            session.say(CLIENT, payload, repeat_last=number < plan.retransmissions)
        if response:
            session.say(SERVER, dialogue.message(dice, name, False, response))


def _datagram(plan: UdpPlan, number: int, when: int, dice: Dice, *, by_client: bool) -> bytes:
    """One payload that looks like its protocol."""
    size = dice.spread(plan.request_bytes if by_client else plan.response_bytes, plan.variation)
    if plan.payload == "ntp":
        stamp = struct.pack(">II", when // SECOND + _NTP_EPOCH, (when % SECOND << 32) // SECOND)
        head = b"\x23\x00\x06\xec" if by_client else b"\x24\x02\x06\xec"
        return head + bytes(12) + stamp * 4
    if plan.payload == "stun":
        kind = 0x0001 if by_client else 0x0101
        return struct.pack(">HHI", kind, 0, 0x2112A442) + dice.octets(12)
    if plan.payload == "rtp":
        media = struct.pack(">BBHII", 0x80, 111, number & 0xFFFF, number * 960 & 0xFFFFFFFF, 0x1AB0 + by_client)
        return media + dice.octets(max(size - len(media), 1))
    if plan.payload == "wireguard":
        return _wireguard(number, size, dice, by_client=by_client)
    return dice.text(size)


def _wireguard(number: int, size: int, dice: Dice, *, by_client: bool) -> bytes:
    """Handshake initiation and response first, then transport data (16 bytes of header, ciphertext in 16s)."""
    if number == 0:
        return b"\x01\0\0\0" + dice.octets(144) if by_client else b"\x02\0\0\0" + dice.octets(88)
    body = max(size - 16, 32) // 16 * 16
    return b"\x04\0\0\0" + struct.pack("<IQ", 0x51 + by_client, number - 1) + dice.octets(body)
