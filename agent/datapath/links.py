"""The link types of captures: from the start of a frame to its IP packet, and what the header says of the frame.

Knows LINKTYPE numbers and the headers that hosts put around their own packets. Never: IP itself, whose a frame is.

    link = Link()
    link.attach(data)
    if find(link, offset, offset + captured, 127) == 0:     # LINKTYPE_IEEE802_11_RADIOTAP
        link.position, link.end, link.ether_type            # 0x0800 or 0x86DD

Ethernet with VLAN tags straight before IP is read by `Header` itself, for speed; all the rest comes here. What a header
says of the way of its packet is evidence of its direction: cooked packet types, PKTAP's and pflog's flags, the hook of
NFLOG, a serial line's byte.
"""

from __future__ import annotations

from agent.datapath.layers import Link
from agent.datapath.wireless import ppi, prism, radiotap, wifi

# Status of a frame, as in headers.py.
NOT_IP, UNDECODABLE = 1, 2
INBOUND, OUTBOUND = 1, 2

NULL, ETHERNET, PPP, RAW_12, RAW_14, PPP_HDLC, PPP_ETHER, RAW, C_HDLC, WIFI = 0, 1, 9, 12, 14, 50, 51, 101, 104, 105
LOOP, ENC, SLL, PFLOG, PRISM, RADIOTAP, USER2, AVS, PPP_PPPD, PPI = 108, 109, 113, 117, 119, 127, 149, 163, 166, 192
PPP_WITH_DIR, MPLS, IPV4_ONLY, IPV6_ONLY, NFLOG, PKTAP, SLL2 = 204, 219, 228, 229, 239, 258, 276

SUPPORTED_LINKS = frozenset((
    NULL, ETHERNET, PPP, RAW_12, RAW_14, PPP_HDLC, PPP_ETHER, RAW, C_HDLC, WIFI, LOOP, ENC, SLL, PFLOG, PRISM, RADIOTAP,
    USER2, AVS, PPP_PPPD, PPI, PPP_WITH_DIR, MPLS, IPV4_ONLY, IPV6_ONLY, NFLOG, PKTAP, SLL2,
))  # fmt: skip
"""LINKTYPE numbers that find() reads; frames of others are undecodable."""
AMBIGUOUS_LINKS = frozenset((USER2,))
"""Those of them whose number says nothing: a frame is read if it looks like what the number is used for."""

IPV4, IPV6, PPP_CONTROL = 0x0800, 0x86DD, 0x880B
ARPHRD_LOOPBACK, ARPHRD_RADIOTAP, ARPHRD_NETLINK, IFT_LOOP = 772, 803, 824, 24
SHORTEST_PKTAP, LONGEST_PKTAP = 108, 1024
MAX_ATTRIBUTES = 64
"""Of NFLOG, which has twenty."""


def find(link: Link, offset: int, end: int, link_type: int) -> int:
    """Read the frame from `offset` to `end`, both inside the buffer. Returns IP, NOT_IP or UNDECODABLE."""
    link.begin()
    if link_type == PKTAP:
        return _pktap(link, offset, end)
    if link_type == USER2:
        return _user2(link, offset, end)
    if link_type == PPI:
        return _ppi(link, offset, end)
    return _plain(link, offset, end, link_type)


def _plain(link: Link, offset: int, end: int, link_type: int) -> int:
    """A frame of any link type but a wrapper, which could hold itself."""
    if link_type == ETHERNET:
        return link.ether(offset, end)
    if link_type in (RAW, RAW_12, RAW_14):
        return link.by_nibble(offset, end)
    if link_type == IPV4_ONLY:
        return link.packet(offset, end, IPV4)
    if link_type == IPV6_ONLY:
        return link.packet(offset, end, IPV6)
    if link_type == SLL:
        return _cooked(link, offset, end)
    if link_type == SLL2:
        return _cooked2(link, offset, end)
    if link_type in (NULL, LOOP):
        return _null(link, offset, end)
    if link_type == RADIOTAP:
        return radiotap(link, offset, end)
    if link_type == WIFI:
        return wifi(link, offset, end, 1)
    if link_type in (PRISM, AVS):
        return prism(link, offset, end)
    if link_type == NFLOG:
        return _nflog(link, offset, end)
    if link_type == PFLOG:
        return _pflog(link, offset, end)
    if link_type == ENC:
        return _enc(link, offset, end)
    if link_type == MPLS:
        return link.mpls(offset, end)
    return _serial(link, offset, end, link_type)


# Serial lines -----------------------------------------------------------------------------------------------------


def _serial(link: Link, offset: int, end: int, link_type: int) -> int:
    if link_type in (PPP, PPP_HDLC):
        return _ppp(link, offset, end)
    if link_type == PPP_ETHER:
        return link.pppoe(offset, end)
    if link_type == C_HDLC:
        return _cisco(link, offset, end)
    if link_type in (PPP_WITH_DIR, PPP_PPPD):
        if offset >= end:
            return UNDECODABLE
        link.direction = INBOUND if link.byte(offset) == 0 else OUTBOUND
        offset += 1
        # pppd puts the direction in the place of the address FF; the control byte stays.
        if link_type == PPP_PPPD and offset < end and link.byte(offset) == 3:
            offset += 1
        return _ppp(link, offset, end)
    return UNDECODABLE


def _ppp(link: Link, offset: int, end: int) -> int:
    """Address and control bytes may have been left out; Cisco's framing begins with another address."""
    link.ether_type = PPP_CONTROL
    if end - offset >= 2:
        address = link.byte(offset)
        if address == 0xFF and link.byte(offset + 1) == 3:
            return link.ppp_protocol(offset + 2, end)
        if address == 0x0F or address == 0x8F:
            return _cisco(link, offset, end)
    return link.ppp_protocol(offset, end)


def _cisco(link: Link, offset: int, end: int) -> int:
    """Address, control, EtherType."""
    if end - offset < 4:
        return UNDECODABLE
    return link.by_number(offset + 4, end, link.big16(offset + 2))


# What a host puts around its own packets --------------------------------------------------------------------------


def _cooked(link: Link, offset: int, end: int) -> int:
    """Linux' header for any device."""
    if end - offset < 16:
        return UNDECODABLE
    _sent(link, link.big16(offset))
    if link.big16(offset + 4) == 6:
        link.mac_at = offset + 6
    return _by_hardware(link, offset + 16, end, link.big16(offset + 2), link.big16(offset + 14))


def _cooked2(link: Link, offset: int, end: int) -> int:
    """Its second version, with the device's index."""
    if end - offset < 20:
        return UNDECODABLE
    _sent(link, link.byte(offset + 10))
    if link.byte(offset + 11) == 6:
        link.mac_at = offset + 12
    return _by_hardware(link, offset + 20, end, link.big16(offset + 8), link.big16(offset))


def _sent(link: Link, packet_type: int) -> int:
    """0 to us, 1 broadcast, 2 multicast, 3 another host's, 4 sent by us."""
    link.direction = OUTBOUND if packet_type == 4 else (INBOUND if packet_type <= 2 else 0)
    link.group = packet_type == 1 or packet_type == 2
    return 0


def _by_hardware(link: Link, position: int, end: int, hardware: int, number: int) -> int:
    link.loopback = hardware == ARPHRD_LOOPBACK
    if hardware == ARPHRD_NETLINK:
        return link.other(0)  # messages of the kernel, numbered by their family
    if hardware == ARPHRD_RADIOTAP:
        return radiotap(link, position, end)
    return link.by_number(position, end, number)


def _null(link: Link, offset: int, end: int) -> int:
    """BSD's loopback: the family alone."""
    if end - offset < 4:
        return UNDECODABLE
    link.loopback = True
    return _by_family(link, _family(link, offset), offset + 4, end)


def _enc(link: Link, offset: int, end: int) -> int:
    """BSD's enc0, packets inside IPsec: family, security parameter index, flags."""
    if end - offset < 12:
        return UNDECODABLE
    return _by_family(link, _family(link, offset), offset + 12, end)


def _family(link: Link, offset: int) -> int:
    """Byte order is the capturing host's: the family is small, so the non-zero end tells."""
    family = link.little16(offset)
    return family if family else link.big16(offset + 2)


def _by_family(link: Link, family: int, position: int, end: int) -> int:
    """BSD's address families: IPv6 is 24, 28 or 30."""
    if family == 2:
        return link.packet(position, end, IPV4)
    if family == 24 or family == 28 or family == 30:
        return link.packet(position, end, IPV6)
    return NOT_IP


def _pflog(link: Link, offset: int, end: int) -> int:
    """BSD's packet filter log: its length, rounded up to four, and the family come first, the direction at 60."""
    if end - offset < 61:
        return UNDECODABLE
    size = (link.byte(offset) + 3) // 4 * 4
    if size < 61 or size > end - offset:
        return UNDECODABLE
    way = link.byte(offset + 60)
    if way in (INBOUND, OUTBOUND):
        link.direction = way
    return _by_family(link, link.byte(offset + 1), offset + size, end)


def _nflog(link: Link, offset: int, end: int) -> int:
    """Netfilter's log: attributes in the host's byte order, one of them the packet, which ends the search."""
    if end - offset < 4:
        return UNDECODABLE
    family = link.byte(offset)
    number = 0
    cursor = offset + 4
    attributes = 0
    while attributes < MAX_ATTRIBUTES:
        attributes += 1
        left = end - cursor
        if left < 4:
            return UNDECODABLE
        size = link.little16(cursor)
        kind = link.little16(cursor + 2)
        if kind & 0xFF == 0:  # kinds are small and never zero
            size = link.big16(cursor)
            kind = kind >> 8
        if size < 4:
            return UNDECODABLE
        if kind == 9:
            left = min(left, size)  # the snap length may have cut it
            if family == 2:
                return link.packet(cursor + 4, cursor + left, IPV4)
            if family == 10:
                return link.packet(cursor + 4, cursor + left, IPV6)
            return link.by_number(cursor + 4, cursor + left, number)
        if size > left:
            return UNDECODABLE
        if kind == 1 and size >= 8:
            number = link.big16(cursor + 4)
            _hooked(link, family, link.byte(cursor + 6))
        elif (kind == 4 or kind == 5) and size >= 8 and link.big32(cursor + 4) == 1:
            link.loopback = True  # the device that a packet came by or goes by; the first of every Linux is this one
        cursor += (size + 3) // 4 * 4
    return UNDECODABLE


def _hooked(link: Link, family: int, hook: int) -> int:
    """Of the IP families: 0 before routing, 1 to us, 2 forwarded, 3 from us, 4 after routing."""
    if family == 1 or family == 2 or family == 10:
        if hook <= 1:
            link.direction = INBOUND
        elif hook == 3 or hook == 4:
            link.direction = OUTBOUND
    return 0


# Wrappers, which name the link type of what they hold -------------------------------------------------------------


def _user2(link: Link, offset: int, end: int) -> int:
    """Anyone's number, which Apple's systems use for PKTAP: read as that only if all of the header fits."""
    if end - offset < SHORTEST_PKTAP or link.little32(offset) > LONGEST_PKTAP:
        return UNDECODABLE
    # The name of a device is text that ends with a zero, and no frame goes both ways.
    first = link.byte(offset + 12)
    if first <= 0x20 or first >= 0x7F or link.byte(offset + 35) != 0 or link.byte(offset + 36) & 3 == 3:
        return UNDECODABLE
    return _pktap(link, offset, end)


def _pktap(link: Link, offset: int, end: int) -> int:
    """Apple's header around a frame. It has two layouts; flags lie at 36 in both, and among them what tells which."""
    if end - offset < 40:
        return UNDECODABLE
    flags = link.little32(offset + 36)
    if flags & 0x80000:
        size = link.byte(offset)
        inner = link.little16(offset + 6)
        device = link.little16(offset + 12)
        if size < 40 or size > end - offset:
            return UNDECODABLE
    else:
        size = link.little32(offset)
        if size < SHORTEST_PKTAP or size > end - offset or link.little32(offset + 4) != 1:
            return UNDECODABLE
        inner = link.little32(offset + 8)
        device = link.little16(offset + 80)
    status = _inside(link, offset + size, end, inner)
    link.loopback = device == IFT_LOOP  # a family alone before the packet says little: tunnels have it, too
    way = flags & 3
    if way in (INBOUND, OUTBOUND):
        link.direction = way
    return status


def _ppi(link: Link, offset: int, end: int) -> int:
    if end - offset < 8 or link.byte(offset) != 0:
        return UNDECODABLE
    size = link.little16(offset + 2)
    if size < 8 or size > end - offset:
        return UNDECODABLE
    inner = link.little32(offset + 4)
    if inner == WIFI:
        return ppi(link, offset, offset + size, end)
    return _inside(link, offset + size, end, inner)


def _inside(link: Link, position: int, end: int, link_type: int) -> int:
    """The frame in a wrapper, whose 32 bits may be no link type at all."""
    return _plain(link, position, end, link_type) if link_type <= 0xFFFF else UNDECODABLE
