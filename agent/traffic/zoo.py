"""Protocols that no office needs and every capture has: a few packets of each, formed by scapy. Never: sessions."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from scapy.layers import inet, inet6, sctp
from scapy.layers.l2 import GRE, LLC, STP, Dot3, Ether
from scapy.packet import Raw

from agent.model.address import Address, parse_address
from agent.model.protocols import ICMP, SCTP, UDP, UDPLITE
from agent.traffic.dice import Dice
from agent.traffic.network import Peer
from agent.traffic.plans import ProtocolsPlan
from agent.traffic.stage import MILLISECOND, Stage
from agent.traffic.zoo6 import play_extension_headers, play_mld, play_neighbour, play_router

_ESP, _IP_IN_IP, _IPV6_IN_IP = 50, 4, 41
_GROUP = parse_address("239.1.2.3")
_MDNS_GROUP = parse_address("224.0.0.251")


def play_protocols(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """One after another, a fifth of a second apart."""
    for name in plan.names:
        PLAYERS[name](stage, plan, when, dice)
        when += 200 * MILLISECOND


def _sctp(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """An association: four-way handshake, data, shutdown (RFC 9260)."""
    own, port = stage.local_for(plan.remote), stage.ephemeral(UDP)
    tags = (dice.between(1, 0xFFFFFFFF), dice.between(1, 0xFFFFFFFF))
    first = (dice.below(1 << 31), dice.below(1 << 31))
    cookie = dice.octets(64)
    init = sctp.SCTPChunkInit(init_tag=tags[0], a_rwnd=65536, n_out_streams=1, n_in_streams=1, init_tsn=first[0])
    init_ack = sctp.SCTPChunkInitAck(
        init_tag=tags[1], a_rwnd=65536, n_out_streams=1, n_in_streams=1, init_tsn=first[1],
        params=[sctp.SCTPChunkParamStateCookie(cookie=cookie)],
    )  # fmt: skip
    chunks = [
        (True, init), (False, init_ack),
        (True, sctp.SCTPChunkCookieEcho(cookie=cookie)), (False, sctp.SCTPChunkCookieAck()),
        (True, sctp.SCTPChunkData(tsn=first[0], stream_id=0, stream_seq=0, beginning=1, ending=1, data=dice.text(100))),
        (False, sctp.SCTPChunkSACK(cumul_tsn_ack=first[0], a_rwnd=65536, n_gap_ack=0, n_dup_tsn=0)),
        (True, sctp.SCTPChunkShutdown(cumul_tsn_ack=first[1] - 1)),
        (False, sctp.SCTPChunkShutdownAck()), (True, sctp.SCTPChunkShutdownComplete()),
    ]  # fmt: skip
    for index, (from_device, chunk) in enumerate(chunks):
        tag = 0 if index == 0 else tags[1 if from_device else 0]
        ports = (port, 3868) if from_device else (3868, port)
        ends = (own, plan.remote) if from_device else (plan.remote, own)
        body = bytes(sctp.SCTP(tag=tag, sport=ports[0], dport=ports[1]) / chunk)
        stage.send(when + index * 9 * MILLISECOND, *ends, SCTP, body)


def _gre(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """A ping between two networks, in a tunnel between the device and the peer."""
    own = stage.local_for(plan.remote)
    inner = inet.IP(src="192.168.50.1", dst="192.168.60.1", ttl=64, id=7)
    for index, (ends, kind) in enumerate((((own, plan.remote), 8), ((plan.remote, own), 0))):
        ping = inner / inet.ICMP(type=kind, id=9, seq=1) / Raw(dice.text(32))
        stage.send(when + index * 15 * MILLISECOND, *ends, 47, bytes(GRE(proto=0x0800) / ping))


def _ip_in_ip(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """IPv4 and IPv6 inside IPv4 (RFC 2003, RFC 4213)."""
    own = stage.local_for(plan.remote)
    payload = inet.UDP(sport=4000, dport=4001) / Raw(dice.text(40))
    stage.send(
        when, own, plan.remote, _IP_IN_IP, bytes(inet.IP(src="192.168.50.1", dst="192.168.60.1", id=1) / payload)
    )
    inner = inet6.IPv6(src="2001:db8:50::1", dst="2001:db8:60::1", hlim=64)
    stage.send(when + 5 * MILLISECOND, own, plan.remote, _IPV6_IN_IP, bytes(inner / payload))


def _esp(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """IPsec: numbered ciphertext both ways (RFC 4303)."""
    own = stage.local_for(plan.remote)
    for index in range(4):
        ends = (own, plan.remote) if index % 2 == 0 else (plan.remote, own)
        body = struct.pack(">II", 0x1000 + index % 2, index // 2 + 1) + dice.octets(96)
        stage.send(when + index * 11 * MILLISECOND, *ends, _ESP, body)


def _udplite(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """A datagram whose checksum covers all of it (RFC 3828: coverage 0)."""
    own = stage.local_for(plan.remote)
    header = struct.pack(">HHHH", stage.ephemeral(UDP), 5004, 0, 0)
    stage.send(when, own, plan.remote, UDPLITE, stage.way(own, plan.remote).sealed(UDPLITE, header + dice.text(64), 6))


def _igmp(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """An IGMPv2 membership report with Router Alert (RFC 2236)."""
    own = stage.local_for(_MDNS_GROUP)
    message = b"\x16\0\0\0" + _MDNS_GROUP.packed
    report = stage.way(own, _MDNS_GROUP).sealed(ICMP, message, 2)  # summed as ICMP is: without addresses
    header = inet.IP(src=str(own), dst=str(_MDNS_GROUP), ttl=1, id=3, proto=2, options=[inet.IPOption_Router_Alert()])
    stage.send_formed(when, own, _MDNS_GROUP, header / Raw(report))


def _multicast(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """The device speaks to a group, and a neighbour does."""
    own, group = stage.local_for(_GROUP), Peer(_GROUP, 5000)
    owner = stage.owner(plan.process)
    stage.book.listener(UDP, 4, 5000, group, owner)
    stage.udp(when, Peer(own, 5000), group, dice.text(80))
    stage.udp(when + 7 * MILLISECOND, Peer(_neighbour_of(stage), 5000), group, dice.text(80))


def _broadcast(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """To everyone on the link, by both spellings."""
    router = stage.network.router()
    own = stage.local_for(router)
    stage.book.listener(UDP, 4, 5001, Peer(router, 5001), stage.owner(plan.process))
    stage.udp(when, Peer(own, 5001), Peer(Address(4, 0xFFFFFFFF), 5001), dice.text(60))
    subnet = Address(4, router.value | 0xFF)
    stage.udp(when + 4 * MILLISECOND, Peer(own, 5001), Peer(subnet, 5001), dice.text(60))
    stage.udp(when + 9 * MILLISECOND, Peer(_neighbour_of(stage), 5001), Peer(subnet, 5001), dice.text(60))


def _lldp(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """The switch says who it is (IEEE 802.1AB)."""
    switch = "02:00:00:00:00:fe"
    chassis = bytes((2, 7, 4)) + bytes.fromhex(switch.replace(":", ""))
    content = chassis + bytes((4, 3, 7)) + b"p1" + bytes((6, 2, 0, 120)) + bytes(2)
    frame = Ether(src=switch, dst="01:80:c2:00:00:0e", type=0x88CC) / Raw(content)
    stage.emit(when, bytes(frame), sent=False)


def _eapol(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """The device asks to be let into the port (IEEE 802.1X: EAPOL-Start)."""
    mac = stage.network.mac_of(stage.network.addresses[0])
    frame = Ether(src=mac, dst="01:80:c2:00:00:03", type=0x888E) / Raw(b"\x01\x01\x00\x00")
    stage.emit(when, bytes(frame), sent=True)


def _stp(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """A bridge's configuration message: an IEEE 802.3 frame without EtherType."""
    bridge = "02:00:00:00:00:fe"
    frame = (
        Dot3(src=bridge, dst="01:80:c2:00:00:00")
        / LLC(dsap=0x42, ssap=0x42, ctrl=3)
        / STP(rootmac=bridge, bridgemac=bridge)
    )
    stage.emit(when, bytes(frame), sent=False)


def _foreign(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """Two neighbours talk and a switch floods it: frames that are nobody's business here."""
    first = _neighbour_of(stage)
    second = Address(4, first.value + 1)
    stage.udp(when, Peer(first, 4500), Peer(second, 4501), dice.text(70))
    stage.udp(when + 2 * MILLISECOND, Peer(second, 4501), Peer(first, 4500), dice.text(70))


def _martian(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """Pings from the wire that claim to come from loopback, and from the device itself."""
    neighbour, own = _neighbour_of(stage), stage.local_for(_neighbour_of(stage))
    link = stage.link(neighbour, own)
    for index, source in enumerate(("127.0.0.1", str(own))):
        ping = inet.IP(src=source, dst=str(own), ttl=64, id=13) / inet.ICMP(type=8, id=13, seq=1) / Raw(dice.text(32))
        stage.emit(when + index * MILLISECOND, bytes(link / ping), sent=False)


def _neighbour_of(stage: Stage) -> Address:
    return Address(4, stage.network.router().value & ~0xFF | 77)


PLAYERS: Mapping[str, Callable[[Stage, ProtocolsPlan, int, Dice], None]] = {
    "sctp": _sctp, "gre": _gre, "ip_in_ip": _ip_in_ip, "esp": _esp, "udplite": _udplite, "igmp": _igmp, "mld": play_mld,
    "neighbour": play_neighbour, "router": play_router, "multicast": _multicast, "broadcast": _broadcast,
    "extension_headers": play_extension_headers, "lldp": _lldp, "eapol": _eapol, "stp": _stp,
    "foreign": _foreign, "martian": _martian,
}  # fmt: skip
