"""decode() and scapy read the same out of the same bytes: random valid packets, built and dissected by scapy."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.datapath.headers import Header

logging.getLogger("scapy").setLevel(logging.CRITICAL)  # it warns of routes on machines without a network
inet = pytest.importorskip("scapy.layers.inet")
inet6 = pytest.importorskip("scapy.layers.inet6")
l2 = pytest.importorskip("scapy.layers.l2")
ipsec = pytest.importorskip("scapy.layers.ipsec")
scapy_sctp = pytest.importorskip("scapy.layers.sctp")
ppp = pytest.importorskip("scapy.layers.ppp")
dot11 = pytest.importorskip("scapy.layers.dot11")
mpls = pytest.importorskip("scapy.contrib.mpls")
from scapy.packet import Raw  # noqa: E402 - after the loggers were told to be quiet

from tests.support.frames import null  # noqa: E402

IP = 0
PORTS = st.integers(0, 65535)
BYTES = st.binary(max_size=40)
WORDS = st.integers(0, 0xFFFFFFFF)

addresses4 = st.integers(1, 0xFFFFFFFF).map(
    lambda value: ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))
)
addresses6 = st.binary(min_size=16, max_size=16).map(
    lambda raw: ":".join(raw[i : i + 2].hex() for i in range(0, 16, 2))
)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))


@st.composite
def transports(draw: st.DrawFn, version: int) -> Any:
    """A transport header with its payload."""
    kind = draw(st.sampled_from(["tcp", "udp", "sctp", "query", "error", "other"]))
    data = Raw(draw(BYTES))
    ports = {"sport": draw(PORTS), "dport": draw(PORTS)}
    if kind == "tcp":
        options = draw(st.sampled_from([[], [("MSS", 1460)], [("NOP", None), ("WScale", 7), ("Timestamp", (1, 2))]]))
        return (
            inet.TCP(**ports, seq=draw(WORDS), ack=draw(WORDS), flags=draw(st.integers(0, 511)), options=options) / data
        )
    if kind == "udp":
        return inet.UDP(**ports) / data
    if kind == "sctp":
        return scapy_sctp.SCTP(**ports, tag=draw(WORDS)) / data
    if kind == "query" and version == 4:
        return inet.ICMP(type=draw(st.sampled_from([0, 8])), id=draw(PORTS), seq=draw(PORTS)) / data
    if kind == "query":
        layer = draw(st.sampled_from([inet6.ICMPv6EchoRequest, inet6.ICMPv6EchoReply]))
        return layer(id=draw(PORTS), seq=draw(PORTS), data=draw(BYTES))
    if kind == "error" and version == 4:
        return inet.ICMP(type=draw(st.sampled_from([3, 5, 11, 12])), code=draw(st.integers(0, 15))) / data
    if kind == "error":
        layer = draw(st.sampled_from([inet6.ICMPv6DestUnreach, inet6.ICMPv6TimeExceeded, inet6.ICMPv6PacketTooBig]))
        return layer(code=draw(st.integers(0, 7))) / data
    return data


@st.composite
def packets4(draw: st.DrawFn) -> Any:
    options = draw(st.sampled_from([[], [inet.IPOption(b"\x94\x04\0\0")], [inet.IPOption(b"\x07\x0b\x08" + bytes(8))]]))
    head = inet.IP(src=draw(addresses4), dst=draw(addresses4), ttl=draw(st.integers(0, 255)), options=options)
    payload = draw(transports(4))
    if isinstance(payload, Raw):
        # Protocols that neither side opens; 4, 41 and the like would make scapy look inside.
        head.proto = draw(st.sampled_from([2, 46, 88, 89, 103, 112, 253]))
        payload = Raw(b"\x11" * 20)
    if draw(st.integers(0, 3)) == 0:
        head.id = draw(PORTS)
        head.flags = draw(st.sampled_from(["MF", 0]))
        head.frag = draw(st.sampled_from([0, 0, 1, 185, 8000]))
    elif draw(st.booleans()):
        head.flags = "DF"
    return head / payload


@st.composite
def packets6(draw: st.DrawFn) -> Any:
    packet = inet6.IPv6(src=draw(addresses6), dst=draw(addresses6), hlim=draw(st.integers(0, 255)))
    for name in draw(st.lists(st.sampled_from(["hop", "destination", "routing", "atomic"]), max_size=4)):
        if name == "hop":
            packet /= inet6.IPv6ExtHdrHopByHop(options=[inet6.RouterAlert()])
        elif name == "destination":
            packet /= inet6.IPv6ExtHdrDestOpt(options=[inet6.PadN(optdata=draw(BYTES))])
        elif name == "routing":
            packet /= inet6.IPv6ExtHdrRouting(addresses=draw(st.lists(addresses6, max_size=2)))
        else:
            packet /= inet6.IPv6ExtHdrFragment(id=draw(WORDS), offset=0, m=0)
    if draw(st.integers(0, 3)) == 0:
        offset = draw(st.sampled_from([0, 0, 1, 185, 8000]))
        packet /= inet6.IPv6ExtHdrFragment(id=draw(WORDS), offset=offset, m=draw(st.integers(0, 1)))
    payload = draw(transports(6))
    if isinstance(payload, Raw):
        packet.lastlayer().nh = draw(st.sampled_from([59, 89, 103, 112, 253]))
        payload = Raw(b"\x11" * 20)
    return packet / payload


def _snap(kind: int) -> Any:
    return l2.LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / l2.SNAP(OUI=0, code=kind)


def _wireless(draw: st.DrawFn, kind: int) -> Any:
    """A data frame of 802.11, with or without quality of service, behind radiotap or alone."""
    ways = draw(st.integers(0, 3))  # to and from the distribution system
    head = dot11.Dot11(type=2, subtype=0, FCfield=ways, addr1=draw(macs), addr2=draw(macs), addr3=draw(macs))
    if ways == 3:
        head.addr4 = draw(macs)
    if draw(st.booleans()):
        head.subtype = 8
        head /= dot11.Dot11QoS()
    return head / _snap(kind)


def _carried(draw: st.DrawFn, packet: Any) -> tuple[int, Any]:
    """(link type, headers as scapy builds them) of one of the rarer ways to carry IP."""
    four = isinstance(packet, inet.IP)
    kind = 0x0800 if four else 0x86DD
    ether = l2.Ether(src=draw(macs), dst=draw(macs))
    protocol = ppp.PPP(proto=0x21 if four else 0x57)
    labels = mpls.MPLS(label=draw(st.integers(16, 0xFFFFF)), s=1)
    way = draw(st.sampled_from(["802.3", "pppoe", "mpls", "ppp", "hdlc", "wireless", "radiotap"]))
    if way == "802.3":
        return 1, l2.Dot3(src=draw(macs), dst=draw(macs)) / _snap(kind)
    if way == "pppoe":
        return 1, ether / l2.Dot1AD(vlan=5) / l2.Dot1Q(vlan=6) / ppp.PPPoE(sessionid=draw(PORTS)) / protocol
    if way == "mpls":
        outer = mpls.MPLS(label=draw(st.integers(16, 0xFFFFF)), s=0)
        return 1, ether / outer / labels if draw(st.booleans()) else ether / labels
    if way == "ppp":
        return 9, protocol
    if way == "hdlc":
        return 50, ppp.HDLC() / protocol
    if way == "wireless":
        return 105, _wireless(draw, kind)
    flags = draw(st.sampled_from(["", "Flags", "TSFT+Flags", "Flags+Rate+Channel+dBm_AntSignal"]))
    return 127, dot11.RadioTap(present=flags, Flags="") / _wireless(draw, kind)


@st.composite
def carried(draw: st.DrawFn) -> tuple[bytes, int, Any]:
    packet = draw(st.one_of(packets4(), packets6()))
    link, outer = _carried(draw, packet)
    return bytes(outer) + bytes(packet) if link != 1 else bytes(outer / packet), link, packet


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, int, Any]:
    """(frame, link type, the packet in it)."""
    packet = draw(st.one_of(packets4(), packets6()))
    link = draw(st.sampled_from([1, 1, 0, 101, 113, 276]))
    outer: Any = None
    if link == 0:
        return null(bytes(packet), order=draw(st.sampled_from("<>"))), link, packet
    if link == 1:
        outer = l2.Ether(src=draw(macs), dst=draw(macs))
        for is_outer in draw(st.lists(st.booleans(), max_size=3)):
            outer /= (l2.Dot1AD if is_outer else l2.Dot1Q)(vlan=draw(st.integers(0, 4095)))
    elif link != 101:
        cooked = l2.CookedLinux if link == 113 else l2.CookedLinuxV2
        outer = cooked(pkttype=draw(st.integers(0, 4)), lladdrtype=1, lladdrlen=6, src=b"\2" * 6)
    return bytes(packet if outer is None else outer / packet), link, packet


def number(raw: bytes) -> int:
    return int.from_bytes(raw, "big")


def expected(packet: Any) -> dict[str, Any]:
    """What scapy says of the network layer and what follows it, from a dissection of the bytes."""
    facts: dict[str, Any] = {"fragment": 0}
    upper: Any
    if isinstance(packet, inet.IP):
        facts |= {"version": 4, "hop_limit": packet.ttl, "protocol": packet.proto}
        raw = bytes(packet)
        facts["ends"] = (number(raw[12:16]), number(raw[16:20]))
        upper = packet.payload
        if packet.frag or packet.flags.MF:
            size = packet.len - packet.ihl * 4
            facts |= {"fragment": 2 if packet.frag else 1, "fragment_id": packet.id}
            facts |= {"fragment_offset": packet.frag * 8, "fragment_end": packet.frag * 8 + size}
    else:
        raw = bytes(packet)
        facts |= {"version": 6, "hop_limit": packet.hlim, "ends": (number(raw[8:24]), number(raw[24:40]))}
        layer, following = packet.payload, packet.nh
        while following in (0, 43, 44, 60):
            if following == 44 and (layer.offset or layer.m):
                size = len(bytes(layer)) - 8
                facts |= {"fragment": 2 if layer.offset else 1, "fragment_id": layer.id}
                facts |= {"fragment_offset": layer.offset * 8, "fragment_end": layer.offset * 8 + size}
            following, layer = layer.nh, layer.payload
        facts["protocol"] = following
        upper = layer
    return facts | (transport(upper, facts["version"]) if facts["fragment"] != 2 else {"ports": (0, 0)})


def transport(upper: Any, version: int) -> dict[str, Any]:
    for layer in (inet.TCP, inet.UDP, scapy_sctp.SCTP):
        if isinstance(upper, layer):
            facts: dict[str, Any] = {"ports": (upper.sport, upper.dport)}
            if layer is inet.TCP:
                facts |= {"tcp_flags": int(upper.flags) & 255, "tcp_sequence": upper.seq}
            if layer is not scapy_sctp.SCTP:
                facts["message"] = bytes(upper.payload)
            return facts
    kind = getattr(upper, "type", None)
    if kind is None:
        return {"ports": (0, 0)}
    query = kind in ((0, 8) if version == 4 else (128, 129))
    ports = (upper.id, upper.id) if query else (0, 0)
    return {"icmp_type": kind, "icmp_code": upper.code, "ports": ports}


@given(st.one_of(frames(), carried()))
def test_decode_and_scapy_agree(built: tuple[bytes, int, Any]) -> None:
    frame, link, packet = built
    wanted = expected(packet.__class__(bytes(packet)))
    header = Header()
    header.attach(b"\xee" * 7 + frame)
    assert header.decode(7, len(frame), link) == IP
    got = {
        "version": header.version,
        "ends": (header.source_high << 64 | header.source_low, header.destination_high << 64 | header.destination_low),
        "ports": (header.source_port, header.destination_port),
        "message": header.message(),
    }
    for name in wanted:
        if name not in got:
            got[name] = getattr(header, name)
    assert {name: got[name] for name in wanted} == wanted


@given(st.one_of(packets4(), packets6()), st.integers(0, 120))
def test_padding_behind_the_packet_changes_nothing(packet: Any, padding: int) -> None:
    """As Ethernet pads a short frame, or a trailer follows it."""
    plain, padded = Header(), Header()
    frame = bytes(l2.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet)
    plain.attach(frame)
    padded.attach(frame + b"\x99" * padding)
    assert plain.decode(0, len(frame), 1) == padded.decode(0, len(frame) + padding, 1) == IP
    names = ("protocol", "source_low", "source_port", "destination_port", "tcp_flags", "icmp_key", "fragment_end")
    assert [getattr(plain, name) for name in names if plain.fragment or name != "fragment_end"] == [
        getattr(padded, name) for name in names if plain.fragment or name != "fragment_end"
    ]
    if plain.icmp_key == 0:
        assert plain.message() == padded.message()
