"""Link headers of every kind around a packet, byte by byte, as tests/support/frames.py makes the rest.

    frame = radiotap(wifi(snap(packet)))        # link type 127

Never: captures, policies, verdicts. Every length may be made a lie.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.support.frames import IPV4, IPV6, OUR_MAC, THEIR_MAC, ether_type, ethernet

PPPOE, PPPOE_DISCOVERY, MPLS, VN_TAG, E_TAG = 0x8864, 0x8863, 0x8847, 0x8926, 0x893F
OTHER_MAC = bytes.fromhex("020000000003")
PROTECTED, MORE_FRAGMENTS, ORDER = 0x40, 0x04, 0x80


def typed(kind: int, payload: bytes, **options: object) -> bytes:
    """An Ethernet frame of that EtherType or 802.3 length."""
    return ethernet(payload, kind, **options)  # type: ignore[arg-type]


# Inside Ethernet --------------------------------------------------------------------------------------------------


def llc(payload: bytes, service: int = 0xAA, control: int = 3) -> bytes:
    return bytes([service, service, control]) + payload


def snap(payload: bytes, kind: int | None = None, organisation: bytes = bytes(3)) -> bytes:
    kind = ether_type(payload) if kind is None else kind
    return llc(organisation + struct.pack(">H", kind) + payload)


def dot3(payload: bytes, *, length: int | None = None, tags: tuple[int, ...] = ()) -> bytes:
    """802.3: `payload` begins with LLC; `length` is what the frame claims."""
    return ethernet(payload, len(payload) if length is None else length, tags=tags)


def ppp_protocol(payload: bytes, protocol: int | None = None, *, short: bool = False) -> bytes:
    """`short`: the protocol in one byte."""
    if protocol is None:
        protocol = 0x57 if ether_type(payload) == IPV6 else 0x21
    return (bytes([protocol]) if short else struct.pack(">H", protocol)) + payload


def pppoe(payload: bytes, *, code: int = 0, length: int | None = None) -> bytes:
    """`payload` begins with the PPP protocol."""
    return struct.pack(">BBHH", 0x11, code, 7, len(payload) if length is None else length) + payload


def mpls(payload: bytes, labels: int = 1) -> bytes:
    stack = [(1000 + number) << 12 | (number == labels - 1) << 8 | 64 for number in range(labels)]
    return struct.pack(f">{labels}I", *stack) + payload


def pseudowire(frame: bytes, control: bytes = bytes(4)) -> bytes:
    """A control word and an Ethernet frame, behind one label."""
    return mpls(control + frame)


def vn_tag(payload: bytes, kind: int | None = None) -> bytes:
    return struct.pack(">IH", 0x00010002, ether_type(payload) if kind is None else kind) + payload


def e_tag(payload: bytes, kind: int | None = None) -> bytes:
    return struct.pack(">HIH", 0, 0x00010000, ether_type(payload) if kind is None else kind) + payload


# Serial lines -----------------------------------------------------------------------------------------------------


def ppp(payload: bytes, *, framed: bool = True, short: bool = False) -> bytes:
    return (b"\xff\x03" if framed else b"") + ppp_protocol(payload, short=short)


def cisco(payload: bytes, kind: int | None = None, address: int = 0x0F) -> bytes:
    return struct.pack(">BBH", address, 0, ether_type(payload) if kind is None else kind) + payload


# IEEE 802.11 ------------------------------------------------------------------------------------------------------


def wifi(
    payload: bytes,
    *,
    to_ds: bool = True,
    from_ds: bool = False,
    kind: int = 0x08,
    flags: int = 0,
    qos: bytes | None = None,
    control: bytes = b"",
    fragment: int = 0,
    destination: bytes = THEIR_MAC,
    source: bytes = OUR_MAC,
) -> bytes:
    """A data frame; `qos`: its two bytes, which make it a QoS frame; `control`: high-throughput control."""
    places = {
        (False, False): (destination, source, OTHER_MAC, b""),
        (True, False): (OTHER_MAC, source, destination, b""),
        (False, True): (destination, OTHER_MAC, source, b""),
        (True, True): (OTHER_MAC, OTHER_MAC, destination, source),
    }
    first, second, third, fourth = places[to_ds, from_ds]
    kind |= 0x80 if qos is not None else 0
    flags |= int(to_ds) | 2 * int(from_ds) | (ORDER if control else 0)
    head = bytes([kind, flags, 0, 0]) + first + second + third + struct.pack("<H", 1 << 4 | fragment) + fourth
    return head + (qos or b"") + control + payload


def subframe(payload: bytes, *, length: int | None = None) -> bytes:
    """One of an A-MSDU; `payload` begins with LLC."""
    return THEIR_MAC + OUR_MAC + struct.pack(">H", len(payload) if length is None else length) + payload


def radiotap(frame: bytes, *, flags: int | None = None, time: bool = False, words: int = 1, size: int | None = None):
    """`flags`: 0x10 a checksum is at the end, 0x20 the 802.11 header is padded; `words`: that say what is present."""
    present = (0 if flags is None else 2) | int(time)
    body = b"".join(
        struct.pack("<I", (0 if number else present) | (number < words - 1) << 31) for number in range(words)
    )
    if time:
        body += bytes(-(4 + len(body)) % 8) + bytes(8)
    if flags is not None:
        body += bytes([flags])
    return struct.pack("<BBH", 0, 0, 4 + len(body) if size is None else size) + body + frame


def ppi(frame: bytes, link: int = 105, *, fields: bytes = b"", aligned: bool = False, size: int | None = None) -> bytes:
    return struct.pack("<BBHI", 0, int(aligned), 8 + len(fields) if size is None else size, link) + fields + frame


def ppi_field(kind: int, data: bytes) -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def ppi_common(flags: int) -> bytes:
    """PPI's field of what is common to 802.11 frames; flag 1: a checksum is at the end."""
    return ppi_field(2, bytes(8) + struct.pack("<H", flags) + bytes(10))


def prism(frame: bytes, *, order: str = "<") -> bytes:
    return (struct.pack(order + "II", 0x44, 144) + b"wlan0").ljust(144, b"\0") + frame


def avs(frame: bytes) -> bytes:
    return struct.pack(">II", 0x80211001, 64).ljust(64, b"\0") + frame


# What hosts put around their own packets --------------------------------------------------------------------------


def attribute(kind: int, data: bytes, *, order: str = "<", size: int | None = None) -> bytes:
    """Of NFLOG."""
    head = struct.pack(order + "HH", 4 + len(data) if size is None else size, kind)
    return head + data + bytes(-len(data) % 4)


def nflog(
    packet: bytes,
    *,
    hook: int = 1,
    device: int = 2,
    family: int | None = None,
    order: str = "<",
    before: bytes = b"",
    size: int | None = None,
) -> bytes:
    """`device`: the index of the one the packet came by; `size`: what the packet's attribute claims."""
    family = (10 if ether_type(packet) == IPV6 else 2) if family is None else family
    header = attribute(1, struct.pack(">HBB", ether_type(packet), hook, 0), order=order)
    prefix = attribute(10, b"prefix\0", order=order)
    came = attribute(4, struct.pack(">I", device), order=order)
    head = struct.pack(">BBH", family, 0, 5) + before + header + prefix + came
    return head + attribute(9, packet, order=order, size=size)


def pktap(
    frame: bytes,
    link: int = 1,
    *,
    flags: int = 0,
    size: int = 156,
    claimed: int | None = None,
    following: int = 1,
    name: bytes = b"en0",
    device: int = 6,
) -> bytes:
    """`flags`: 1 in, 2 out; `device`: its type, 24 for the loopback."""
    claimed = size if claimed is None else claimed
    head = struct.pack("<III24sI", claimed, following, link, name, flags).ljust(80, b"\0") + struct.pack("<H", device)
    return head.ljust(size, b"\0") + frame


def pktap2(frame: bytes, link: int = 1, *, flags: int = 0, size: int = 64, device: int = 6) -> bytes:
    """The second layout, as short as its strings."""
    head = struct.pack(
        "<BBBBBBHHHHHIIIiiI", size, 0, 0, 40, 44, 0, link, 14, 0, device, 0, 2, 0, 0, 1, -1, 0x80000 | flags
    )
    return head.ljust(size, b"\0") + frame


def pflog(packet: bytes, *, way: int = 1, family: int | None = None, size: int = 61) -> bytes:
    """`way`: 1 in, 2 out."""
    family = (30 if ether_type(packet) == IPV6 else 2) if family is None else family
    head = bytes([size, family, 0, 0]) + b"em0".ljust(56, b"\0") + bytes([way])
    return head.ljust((size + 3) // 4 * 4, b"\0") + packet


def enc(packet: bytes, *, order: str = "<") -> bytes:
    return struct.pack(order + "III", 24 if ether_type(packet) == IPV6 else 2, 0x1234, 3) + packet


def vendors(packet: bytes, *tags: int) -> bytes:
    """Ethernet between addresses of known makers, by which tshark knows a frame that nothing announces."""
    return ethernet(packet, source=bytes.fromhex("001b21000001"), destination=bytes.fromhex("005056000002"), tags=tags)


# All --------------------------------------------------------------------------------------------------------------

Wrap = Callable[[bytes], bytes]

WAYS: dict[str, tuple[int, Wrap]] = {
    "802.3": (1, lambda packet: dot3(snap(packet))),
    "802.3-padded": (1, lambda packet: dot3(snap(packet)) + bytes(9)),
    "802.3-tagged": (1, lambda packet: dot3(snap(packet), tags=(0x8100,))),
    "802.1h": (1, lambda packet: dot3(snap(packet, organisation=b"\0\0\xf8"))),
    "vlan-in-snap": (1, lambda packet: dot3(snap(struct.pack(">HH", 7, ether_type(packet)) + packet, 0x8100))),
    "qinq-9100": (1, lambda packet: ethernet(packet, tags=(0x9100, 0x9100))),
    "pppoe": (1, lambda packet: typed(PPPOE, pppoe(ppp_protocol(packet)))),
    "pppoe-short": (1, lambda packet: typed(PPPOE, pppoe(ppp_protocol(packet, short=True)))),
    "pppoe-qinq": (1, lambda packet: typed(PPPOE, pppoe(ppp_protocol(packet)), tags=(0x88A8, 0x8100))),
    "mpls": (1, lambda packet: typed(MPLS, mpls(packet))),
    "mpls-multicast": (1, lambda packet: typed(0x8848, mpls(packet, 3))),
    "mpls-vlan": (1, lambda packet: typed(MPLS, mpls(packet, 2), tags=(0x8100,))),
    "pseudowire": (1, lambda packet: typed(MPLS, pseudowire(vendors(packet)))),
    "pseudowire-vlan": (1, lambda packet: typed(MPLS, pseudowire(vendors(packet, 0x8100)))),
    "pseudowire-without-control": (1, lambda packet: typed(MPLS, pseudowire(vendors(packet), b""))),
    "vn-tag": (1, lambda packet: typed(VN_TAG, vn_tag(packet))),
    "vn-tag-vlan": (
        1,
        lambda packet: typed(VN_TAG, vn_tag(struct.pack(">HH", 7, ether_type(packet)) + packet, 0x8100)),
    ),
    "e-tag": (1, lambda packet: typed(E_TAG, e_tag(packet))),
    "ppp": (9, ppp),
    "ppp-bare": (9, lambda packet: ppp(packet, framed=False)),
    "ppp-short": (9, lambda packet: ppp(packet, framed=False, short=True)),
    "ppp-framed-short": (9, lambda packet: ppp(packet, short=True)),
    "ppp-mpls": (9, lambda packet: b"\xff\x03" + ppp_protocol(mpls(packet), 0x0281)),
    "ppp-cisco": (9, cisco),
    "ppp-hdlc": (50, ppp),
    "ppp-hdlc-cisco": (50, lambda packet: cisco(packet, address=0x8F)),
    "ppp-ether": (51, lambda packet: pppoe(ppp_protocol(packet))),
    "cisco": (104, cisco),
    "cisco-mpls": (104, lambda packet: cisco(mpls(packet), MPLS)),
    "ppp-pppd": (166, lambda packet: b"\0\3" + ppp_protocol(packet)),
    "ppp-with-direction": (204, lambda packet: b"\1" + ppp(packet)),
    "wifi": (105, lambda packet: wifi(snap(packet))),
    "wifi-from": (105, lambda packet: wifi(snap(packet), to_ds=False, from_ds=True)),
    "wifi-direct": (105, lambda packet: wifi(snap(packet), to_ds=False)),
    "wifi-four": (105, lambda packet: wifi(snap(packet), from_ds=True)),
    "wifi-qos": (105, lambda packet: wifi(snap(packet), qos=b"\6\0")),
    "wifi-four-qos": (105, lambda packet: wifi(snap(packet), from_ds=True, qos=b"\0\0")),
    "wifi-control": (105, lambda packet: wifi(snap(packet), qos=b"\0\0", control=bytes(4))),
    "wifi-aggregate": (105, lambda packet: wifi(subframe(snap(packet)), qos=b"\x80\0")),
    "radiotap": (127, lambda packet: radiotap(wifi(snap(packet)))),
    "radiotap-flags": (127, lambda packet: radiotap(wifi(snap(packet)), flags=0)),
    "radiotap-checksum": (127, lambda packet: radiotap(wifi(snap(packet)) + b"CRC!", flags=0x10, time=True)),
    "radiotap-words": (127, lambda packet: radiotap(wifi(snap(packet)) + b"CRC!", flags=0x10, time=True, words=4)),
    "radiotap-padded": (
        127,
        lambda packet: radiotap(wifi(bytes(2) + snap(packet), qos=b"\0\0"), flags=0x20, time=True, words=3),
    ),
    "radiotap-aggregate": (
        127,
        lambda packet: radiotap(wifi(subframe(snap(packet)), qos=b"\x80\0") + b"CRC!", flags=0x10),
    ),
    "ppi": (192, lambda packet: ppi(wifi(snap(packet)))),
    "ppi-checksum": (192, lambda packet: ppi(wifi(snap(packet)) + b"CRC!", fields=ppi_common(1))),
    "ppi-ethernet": (192, lambda packet: ppi(ethernet(packet), 1)),
    "prism": (119, lambda packet: prism(wifi(snap(packet)))),
    "prism-avs": (119, lambda packet: avs(wifi(snap(packet)))),
    "avs": (163, lambda packet: avs(wifi(snap(packet)))),
    "nflog": (239, nflog),
    "nflog-bridge": (239, lambda packet: nflog(packet, family=7)),
    "pktap": (258, lambda packet: pktap(ethernet(packet))),
    "pktap-old": (258, lambda packet: pktap(ethernet(packet), size=108)),
    "pktap-raw": (258, lambda packet: pktap(packet, 12)),
    "pktap-null": (258, lambda packet: pktap(struct.pack("<I", 2 if ether_type(packet) == IPV4 else 30) + packet, 0)),
    "pktap-user2": (149, lambda packet: pktap(ethernet(packet))),
    "pflog": (117, pflog),
    "enc": (109, enc),
    "mpls-link": (219, lambda packet: mpls(packet, 2)),
}
"""Name to (link type, what puts its headers around a packet): each way of carrying IP but the everyday ones."""
