"""What lies between a link header and the IP packet: tags, LLC and SNAP, PPPoE and PPP, MPLS, Ethernet inside them.

Knows EtherTypes and PPP protocols. Never: link types of captures (links.py), IP itself, whose a frame is, policy.

    link = Link()
    link.attach(data)
    if link.ether(offset, end) == 0:
        link.position, link.end, link.ether_type            # 0x0800 or 0x86DD

Content never raises: every length is compared with what is left, and everything that can repeat has a bound for the
whole frame, however the layers hold each other. A frame of which something may be IP that cannot be read (encrypted,
compressed, several packets in one) is UNDECODABLE, never NOT_IP: what is no IP passes, what cannot be read does not.

`ether_type` of a frame that is not IP is what it is listed by. Frames without an EtherType have the number that Linux
(if_ether.h) gives them: 0x0004 LLC, 0x0019 IEEE 802.11 other than data, 0x880B PPP.
"""

from __future__ import annotations

# Status of a frame, as in headers.py.
IP, NOT_IP, UNDECODABLE = 0, 1, 2

MAX_TAGS = 8
MAX_LAYERS = 8
"""LLC, PPPoE, MPLS stacks and whatever else can hold itself through others."""
MAX_LABELS = 16

IPV4, IPV6, LLC, PPP, PPPOE_DISCOVERY, PPPOE, MPLS = 0x0800, 0x86DD, 0x0004, 0x880B, 0x8863, 0x8864, 0x8847
LONGEST_8023 = 1500
"""An EtherType field up to this number is a length, and LLC follows."""


class Link:
    """The link headers of one frame. `position`, `end` and `mac_at` count from the start of the buffer."""

    def __init__(self) -> None:
        self.data = memoryview(b"")
        self.position = 0
        self.end = 0
        self.ether_type = 0
        self.direction = 0
        self.group = False
        self.loopback = False
        self.mac_at = -1
        self.on_ethernet = False
        self.tags = 0
        self.layers = 0
        self.labels = 0

    def attach(self, data: memoryview | bytes | bytearray) -> int:
        """The buffer the next frames lie in."""
        self.data = memoryview(data)
        return 0

    def share(self, other: Link) -> int:
        """The buffer that `other` has."""
        self.data = other.data
        return 0

    def begin(self) -> int:
        """Nothing is known of the next frame."""
        self.ether_type = 0
        self.direction = 0
        self.group = False
        self.loopback = False
        self.mac_at = -1
        self.on_ethernet = False
        self.tags = 0
        self.layers = 0
        self.labels = 0
        return 0

    # Outcomes -----------------------------------------------------------------------------------------------

    def packet(self, position: int, end: int, ether_type: int) -> int:
        """IP from `position` to `end`."""
        self.position = position
        self.end = end
        self.ether_type = ether_type
        return IP

    def by_nibble(self, position: int, end: int) -> int:
        """IP of the version that its first four bits say."""
        if position >= end:
            return UNDECODABLE
        version = self.byte(position) >> 4
        if version == 4:
            return self.packet(position, end, IPV4)
        if version == 6:
            return self.packet(position, end, IPV6)
        return UNDECODABLE

    def other(self, ether_type: int) -> int:
        """No IP."""
        self.ether_type = ether_type
        return NOT_IP

    def _deeper(self) -> bool:
        self.layers += 1
        return self.layers <= MAX_LAYERS

    # Layers -------------------------------------------------------------------------------------------------

    def ether(self, offset: int, end: int) -> int:
        """An Ethernet frame."""
        if end - offset < 14:
            return UNDECODABLE
        self.group = (self.byte(offset) & 1) != 0
        self.mac_at = offset + 6
        self.on_ethernet = True
        return self.by_type(offset + 14, end, self.big16(offset + 12))

    def by_type(self, position: int, end: int, ether_type: int) -> int:
        """What follows an EtherType, or an 802.3 length, that ends at `position`."""
        while True:
            if ether_type == 0x8100 or ether_type == 0x88A8 or ether_type == 0x9100:
                size = 4
            elif ether_type == 0x8926:  # VN-tag
                size = 6
            elif ether_type == 0x893F:  # 802.1BR
                size = 8
            else:
                break
            self.tags += 1
            if self.tags > MAX_TAGS or position + size > end:
                self.ether_type = ether_type
                return UNDECODABLE
            position += size
            ether_type = self.big16(position - 2)
        if ether_type in (IPV4, IPV6):
            return self.packet(position, end, ether_type)
        if ether_type <= LONGEST_8023:
            return self.llc(position, min(end, position + ether_type))
        if ether_type == PPPOE:
            return self.pppoe(position, end)
        if ether_type == MPLS or ether_type == 0x8848:
            return self.mpls(position, end)
        return self.other(ether_type)

    def by_number(self, position: int, end: int, number: int) -> int:
        """As by_type, where small numbers are no lengths but kinds of frames without an EtherType."""
        if number == LLC:
            return self.llc(position, end)
        if number <= LONGEST_8023:
            return self.other(number)
        return self.by_type(position, end, number)

    def llc(self, position: int, end: int) -> int:
        """802.2: SNAP's EtherType, IP's own service access point, or no IP (spanning tree, NetBEUI ...)."""
        self.ether_type = LLC
        if end - position < 3 or not self._deeper():
            return UNDECODABLE
        service = self.big16(position)
        if self.byte(position + 2) != 3:  # only unnumbered information carries packets
            return NOT_IP
        if service == 0x0606:
            return self.packet(position + 3, end, IPV4)
        if service != 0xAAAA:
            return NOT_IP
        if end - position < 8:
            return UNDECODABLE
        organisation = self.big16(position + 3)
        last = self.byte(position + 5)
        if organisation != 0 or (last != 0 and last != 0xF8):  # RFC 1042, 802.1H
            return NOT_IP
        number = self.big16(position + 6)
        if number <= LONGEST_8023:
            return NOT_IP
        return self.by_type(position + 8, end, number)

    def pppoe(self, position: int, end: int) -> int:
        """From the version on; the length counts what follows."""
        self.ether_type = PPPOE
        if end - position < 6 or not self._deeper():
            return UNDECODABLE
        if self.byte(position + 1) != 0:
            return self.other(PPPOE_DISCOVERY)
        return self.ppp_protocol(position + 6, min(end, position + 6 + self.big16(position + 4)))

    def ppp_protocol(self, position: int, end: int) -> int:
        """A protocol number, one byte if compressed, which an odd first byte tells (RFC 1661, 2), and what follows."""
        if position >= end:
            return UNDECODABLE
        protocol = self.byte(position)
        position += 1
        if protocol & 1 == 0:
            if position >= end:
                return UNDECODABLE
            protocol = (protocol << 8) | self.byte(position)
            position += 1
        if protocol == 0x0021:
            return self.packet(position, end, IPV4)
        if protocol == 0x0057:
            return self.packet(position, end, IPV6)
        if protocol == 0x0281 or protocol == 0x0283:
            return self.mpls(position, end)
        # Below are network layers: IP compressed, encrypted, in bundles. Above, what negotiates and keeps the link.
        return NOT_IP if protocol >= 0x4000 else UNDECODABLE

    def mpls(self, position: int, end: int) -> int:
        """A label stack does not say what it carries: by the first nibble (RFC 4928, 3; RFC 4385, 2)."""
        self.ether_type = MPLS
        if not self._deeper():
            return UNDECODABLE
        bottom = 0
        while bottom == 0:
            self.labels += 1
            if self.labels > MAX_LABELS or position + 4 > end:
                return UNDECODABLE
            bottom = self.byte(position + 2) & 1
            position += 4
        if position >= end:
            return UNDECODABLE
        nibble = self.byte(position) >> 4
        if nibble == 0:
            # A control word, which begins with two zero bytes (RFC 4448, 4.6), or at once the address of a station.
            if end - position >= 2 and self.big16(position) == 0:
                position += 4
            status = self.ether(position, end)
            self.on_ethernet = False  # two all-zero addresses would not be a loopback device's here
            return status
        if nibble == 1:
            return NOT_IP  # an associated channel: what keeps the path
        return self.by_nibble(position, end)

    # Numbers, whose bytes the caller knows to be there --------------------------------------------------------

    def byte(self, position: int) -> int:
        return self.data[position]

    def big16(self, position: int) -> int:
        return (self.data[position] << 8) | self.data[position + 1]

    def little16(self, position: int) -> int:
        return self.data[position] | (self.data[position + 1] << 8)

    def big32(self, position: int) -> int:
        return self._pair(self.big16(position), self.big16(position + 2))

    def little32(self, position: int) -> int:
        return self._pair(self.little16(position + 2), self.little16(position))

    def _pair(self, high: int, low: int) -> int:
        """Two halves as one number; the arguments are wide: a C int would overflow at the shift."""
        return (high << 16) | low
