"""IPv6's own housekeeping: multicast listeners, neighbours, routers, extension headers, formed by scapy."""

from __future__ import annotations

from scapy.layers import inet, inet6
from scapy.packet import Raw

from agent.model.address import Address, parse_address
from agent.model.protocols import UDP
from agent.traffic.dice import Dice
from agent.traffic.network import ROUTER, Peer
from agent.traffic.plans import ProtocolsPlan
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage

_ALL_ROUTERS = parse_address("ff02::2")
_ALL_NODES = parse_address("ff02::1")
_ALL_MLD_ROUTERS = parse_address("ff02::16")


def play_mld(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """An MLDv2 report with Router Alert, hop limit 1, from the link-local address (RFC 3810)."""
    own = stage.local_for(_ALL_MLD_ROUTERS)
    record = inet6.ICMPv6MLDMultAddrRec(rtype=4, dst="ff02::fb")
    alert = inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()])
    report = inet6.ICMPv6MLReport2(records=[record])
    header = inet6.IPv6(src=str(own), dst=str(_ALL_MLD_ROUTERS), hlim=1)
    stage.send_formed(when, own, _ALL_MLD_ROUTERS, header / alert / report)


def play_neighbour(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """The device asks for the router's hardware address and is asked for its own (RFC 4861)."""
    own = stage.local_for(ROUTER)
    for index, (asker, asked) in enumerate(((own, ROUTER), (ROUTER, own))):
        group = Address(6, _solicited(asked))
        at = when + index * 40 * MILLISECOND
        ask = inet6.ICMPv6ND_NS(tgt=str(asked)) / inet6.ICMPv6NDOptSrcLLAddr(lladdr=stage.network.mac_of(asker))
        tell = inet6.ICMPv6ND_NA(tgt=str(asked), R=0, S=1, O=1) / inet6.ICMPv6NDOptDstLLAddr(
            lladdr=stage.network.mac_of(asked)
        )
        stage.send_formed(at, asker, group, inet6.IPv6(src=str(asker), dst=str(group), hlim=255) / ask)
        back = at + 400 * MICROSECOND
        stage.send_formed(back, asked, asker, inet6.IPv6(src=str(asked), dst=str(asker), hlim=255) / tell)


def play_router(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """Router solicitation and advertisement."""
    own = stage.local_for(_ALL_ROUTERS)
    source = inet6.ICMPv6NDOptSrcLLAddr(lladdr=stage.network.mac_of(own))
    solicit = inet6.IPv6(src=str(own), dst=str(_ALL_ROUTERS), hlim=255) / inet6.ICMPv6ND_RS() / source
    stage.send_formed(when, own, _ALL_ROUTERS, solicit)
    prefix = inet6.ICMPv6NDOptPrefixInfo(
        prefix="2001:db8:20::", prefixlen=64, validlifetime=7200, preferredlifetime=3600
    )
    advert = (
        inet6.IPv6(src=str(ROUTER), dst=str(_ALL_NODES), hlim=255) / inet6.ICMPv6ND_RA(routerlifetime=1800) / prefix
    )
    stage.send_formed(when + 6 * MILLISECOND, ROUTER, _ALL_NODES, advert)


def play_extension_headers(stage: Stage, plan: ProtocolsPlan, when: int, dice: Dice) -> None:
    """UDP behind hop-by-hop and destination options (RFC 8200 4)."""
    own, port = stage.local_for(plan.remote6), stage.ephemeral(UDP)
    header = inet6.IPv6(src=str(own), dst=str(plan.remote6), hlim=64)
    options = inet6.IPv6ExtHdrHopByHop(options=[inet6.PadN(optdata=b"\0" * 4)]) / inet6.IPv6ExtHdrDestOpt(
        options=[inet6.PadN(optdata=b"\0" * 4)]
    )
    datagram = inet.UDP(sport=port, dport=6000) / Raw(dice.text(50))
    stage.send_formed(when, own, plan.remote6, header / options / datagram)
    local, remote = Peer(own, port), Peer(plan.remote6, 6000)
    owner = stage.owner(plan.process)
    stage.book.connection(UDP, local, remote, owner, when - MILLISECOND, when + MILLISECOND, initiated=True)


def _solicited(address: Address) -> int:
    """The solicited-node group of an address (RFC 4291 2.7.1)."""
    return 0xFF02_0000_0000_0000_0000_0001_FF00_0000 | address.value & 0xFFFFFF
