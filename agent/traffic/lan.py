"""What a local network says to itself: ARP, DHCP, discovery protocols. Never: what passes the router."""

from __future__ import annotations

from scapy.layers import dhcp, dhcp6, dns, netbios
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from agent.model.address import Address, parse_address
from agent.model.protocols import UDP
from agent.traffic.dice import Dice
from agent.traffic.names import message
from agent.traffic.network import Peer
from agent.traffic.plans import ArpPlan, DhcpPlan, NoisePlan
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage

_BROADCAST_MAC = "ff:ff:ff:ff:ff:ff"
_ANY = Address(4, 0)
_EVERYONE = Address(4, 0xFFFFFFFF)
_MDNS = (parse_address("224.0.0.251"), parse_address("ff02::fb"))
_LLMNR = (parse_address("224.0.0.252"), parse_address("ff02::1:3"))
_SSDP = parse_address("239.255.255.250")
_DHCP6_SERVERS = parse_address("ff02::1:2")
_SEARCH = b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 3\r\nST: ssdp:all\r\n\r\n'
_NOTIFY = (
    b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\n"
    b"USN: uuid:00000000-0000-0000-0000-000000000001\r\nCACHE-CONTROL: max-age=1800\r\n\r\n"
)
_LEASE = 86_400


def play_arp(stage: Stage, plan: ArpPlan, when: int, dice: Dice) -> None:
    """The device asks for each neighbour's hardware address, and is asked."""
    for neighbour in plan.neighbours:
        own = stage.local_for(neighbour)
        _arp_pair(stage, own, neighbour, when)
        if plan.asked:
            _arp_pair(stage, neighbour, own, when + dice.between(2, 40) * MILLISECOND)
        when += dice.between(50, 200) * MILLISECOND


def play_dhcp(stage: Stage, plan: DhcpPlan, when: int, dice: Dice) -> None:
    """A lease of IPv4 or IPv6."""
    owner = stage.owner(plan.process)
    if plan.server.version == 6:
        _dhcp6(stage, plan.server, when, dice)
        stage.book.listener(UDP, 6, 546, Peer(plan.server, 547), owner)
        return
    own, number = stage.local_for(plan.server), dice.below(1 << 32)
    client, server = Peer(own, 68), Peer(plan.server, 67)
    stage.book.listener(UDP, 4, 68, server, owner)
    pause = stage.round_trip(plan.server) + 2 * MILLISECOND
    if plan.step == "discover":
        nobody, everyone = Peer(_ANY, 68), Peer(_EVERYONE, 67)
        stage.udp(when, nobody, everyone, _dhcp(stage, own, plan.server, number, "discover"))
        stage.udp(when + pause, server, Peer(_EVERYONE, 68), _dhcp(stage, own, plan.server, number, "offer"))
        stage.udp(when + 2 * pause, nobody, everyone, _dhcp(stage, own, plan.server, number, "request"))
        stage.udp(when + 3 * pause, server, Peer(_EVERYONE, 68), _dhcp(stage, own, plan.server, number, "ack"))
        return
    stage.udp(when, client, server, _dhcp(stage, own, plan.server, number, "request"))
    stage.udp(when + pause, server, client, _dhcp(stage, own, plan.server, number, "ack"))


def play_noise(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    """One round of everything wanted, first the device's, then its neighbours'."""
    for word in plan.what:
        when += dice.between(3, 60) * MILLISECOND
        _NOISES[word](stage, plan, when, dice)


def _arp_pair(stage: Stage, asker: Address, asked: Address, when: int) -> None:
    """A question by broadcast and its answer."""
    asker_mac, asked_mac = stage.network.mac_of(asker), stage.network.mac_of(asked)
    question = ARP(op=1, hwsrc=asker_mac, psrc=str(asker), hwdst="00:00:00:00:00:00", pdst=str(asked))
    reply = ARP(op=2, hwsrc=asked_mac, psrc=str(asked), hwdst=asker_mac, pdst=str(asker))
    sent = stage.owns(asker)
    stage.emit(when, bytes(Ether(src=asker_mac, dst=_BROADCAST_MAC, type=0x0806) / question), sent=sent)
    back = when + (stage.round_trip(asked) if sent else 30 * MICROSECOND)
    stage.emit(back, bytes(Ether(src=asked_mac, dst=asker_mac, type=0x0806) / reply), sent=not sent)


def _dhcp(stage: Stage, own: Address, server: Address, number: int, step: str) -> bytes:
    """One BOOTP message (RFC 2131)."""
    hardware = bytes.fromhex(stage.network.mac_of(own).replace(":", ""))
    from_server = step in ("offer", "ack")
    options: list[object] = [("message-type", step)]
    if from_server:
        options += [
            ("server_id", str(server)),
            ("lease_time", _LEASE),
            ("subnet_mask", "255.255.255.0"),
            ("router", str(stage.network.router())),
            ("name_server", *(str(address) for address in stage.resolvers if address.version == 4)),
        ]
    elif step == "request":
        options += [("requested_addr", str(own)), ("hostname", b"lab-device")]
    offered = str(own) if from_server else "0.0.0.0"
    head = dhcp.BOOTP(op=2 if from_server else 1, xid=number, chaddr=hardware, yiaddr=offered, flags=0)
    return bytes(head / dhcp.DHCP(options=[*options, "end"]))


def _dhcp6(stage: Stage, server: Address, when: int, dice: Dice) -> None:
    """SOLICIT, ADVERTISE, REQUEST, REPLY (RFC 8415)."""
    own = stage.local_for(_DHCP6_SERVERS)
    hardware = stage.network.mac_of(own)
    number = dice.below(1 << 24)
    client_id = dhcp6.DHCP6OptClientId(duid=dhcp6.DUID_LL(lladdr=hardware))
    server_id = dhcp6.DHCP6OptServerId(duid=dhcp6.DUID_LL(lladdr=stage.network.mac_of(server)))
    wanted = dhcp6.DHCP6OptIA_NA(iaid=1, T1=0, T2=0)
    steps: list[tuple[bool, Packet]] = [
        (True, dhcp6.DHCP6_Solicit(trid=number) / client_id / wanted),
        (False, dhcp6.DHCP6_Advertise(trid=number) / server_id / client_id / wanted),
        (True, dhcp6.DHCP6_Request(trid=number) / client_id / server_id / wanted),
        (False, dhcp6.DHCP6_Reply(trid=number) / server_id / client_id / wanted),
    ]
    for index, (from_device, step) in enumerate(steps):
        ends = (Peer(own, 546), Peer(_DHCP6_SERVERS, 547)) if from_device else (Peer(server, 547), Peer(own, 546))
        stage.udp(when + index * 3 * MILLISECOND, *ends, bytes(step))


def _mdns(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    query = message(dns.DNS(id=0, rd=0), [dns.DNSQR(qname="_ipp._tcp.local", qtype="PTR")])
    for group in _MDNS:
        if stage.network.local_for(group) is None:
            continue
        stage.udp(when, Peer(stage.local_for(group), 5353), Peer(group, 5353), query)
        stage.book.listener(UDP, group.version, 5353, Peer(group, 5353), stage.owner("dnscache"))
    for neighbour in plan.neighbours:
        group = _MDNS[0 if neighbour.version == 4 else 1]
        record = dns.DNSRR(rrname="_ipp._tcp.local", type="PTR", ttl=4500, rdata="Printer._ipp._tcp.local")
        response = message(dns.DNS(id=0, qr=1, aa=1, rd=0), [], [record])
        stage.udp(when + dice.between(20, 120) * MILLISECOND, Peer(neighbour, 5353), Peer(group, 5353), response)


def _llmnr(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    for group in _LLMNR:
        if stage.network.local_for(group) is None:
            continue
        local = Peer(stage.local_for(group), stage.ephemeral(UDP))
        query = message(dns.DNS(id=dice.below(1 << 16), rd=0), [dns.DNSQR(qname="wpad", qtype="A")])
        stage.udp(when, local, Peer(group, 5355), query)
        owner = stage.owner("dnscache")
        stage.book.unconnected(UDP, local, Peer(group, 5355), owner, when - MILLISECOND, when + 500 * MILLISECOND)


def _ssdp(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    local, group = Peer(stage.local_for(_SSDP), stage.ephemeral(UDP)), Peer(_SSDP, 1900)
    stage.udp(when, local, group, _SEARCH)
    owner = stage.owner("ssdp")
    stage.book.unconnected(UDP, local, group, owner, when - MILLISECOND, when + 3000 * MILLISECOND)
    stage.book.listener(UDP, 4, 1900, group, owner)
    for neighbour in plan.neighbours:
        if neighbour.version == 4:
            stage.udp(when + dice.between(5, 900) * MILLISECOND, Peer(neighbour, 50_000), group, _NOTIFY)


def _netbios(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    """Name queries by broadcast (RFC 1002)."""
    router = stage.network.router()
    everyone = Peer(Address(4, router.value | 0xFF), 137)
    stage.book.listener(UDP, 4, 137, everyone, stage.owner("system"))
    askers = [stage.local_for(router), *(neighbour for neighbour in plan.neighbours if neighbour.version == 4)]
    for asker in askers:
        query = netbios.NBNSHeader(NAME_TRN_ID=dice.below(1 << 16), NM_FLAGS=0x11, QDCOUNT=1)
        name = netbios.NBNSQueryRequest(QUESTION_NAME=b"FILESERVER", SUFFIX=0x4341)
        stage.udp(when, Peer(asker, 137), everyone, bytes(query / name))
        when += dice.between(30, 400) * MILLISECOND


def _neighbours(stage: Stage, plan: NoisePlan, when: int, dice: Dice) -> None:
    """Neighbours look for the router: foreign frames that a broadcast brings here."""
    router = stage.network.router()
    for neighbour in plan.neighbours:
        if neighbour.version == 4:
            mac = stage.network.mac_of(neighbour)
            question = ARP(op=1, hwsrc=mac, psrc=str(neighbour), hwdst="00:00:00:00:00:00", pdst=str(router))
            stage.emit(when, bytes(Ether(src=mac, dst=_BROADCAST_MAC, type=0x0806) / question), sent=False)
            when += dice.between(30, 400) * MILLISECOND


_NOISES = {"mdns": _mdns, "llmnr": _llmnr, "ssdp": _ssdp, "netbios": _netbios, "neighbours": _neighbours}
