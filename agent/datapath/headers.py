"""Link, network and transport headers of one frame, decoded into one reused `Header`.

Knows wire formats. Never: flows, addresses' meaning, policy. Content never raises: what cannot be read is a status.

    header = Header()
    status = header.decode(offset, captured, 1)      # LINKTYPE_ETHERNET
    if status == 0: header.source_low, header.source_port

Where a header lies is attacker-chosen: every length is compared with what is left before a byte is read, the
compiled form keeps its bounds checks, and each chain (VLAN tags, IPv6 extension headers) has a fixed bound. Of links it
reads Ethernet with VLAN tags, which is nearly every frame; links.py finds the packet behind all others.
"""

from __future__ import annotations

from agent.datapath.layers import Link
from agent.datapath.links import find

# Status of a decoded frame; the same numbers stand in datapath.py.
IP = 0
NOT_IP = 1
UNDECODABLE = 2
CUT = 3  # the addresses are known, something the decision needs behind them is not

MAX_TAGS = 8
MAX_EXTENSIONS = 16

ETHERNET = 1  # LINKTYPE_ETHERNET


class Header:
    """The headers of the last frame decoded. Fields past the status's reach hold what an earlier frame left."""

    def __init__(self) -> None:
        self.data = memoryview(b"")
        self.buffer: memoryview | bytes | bytearray = b""
        self.link = Link()
        self.ether_type = 0
        self.link_direction = 0
        self.link_group = False
        self.link_loopback = False
        self.mac_at = -1
        self.on_ethernet = False
        self.version = 0
        self.source_high = 0
        self.source_low = 0
        self.destination_high = 0
        self.destination_low = 0
        self.protocol = 0
        self.hop_limit = 0
        self.source_port = 0
        self.destination_port = 0
        self.tcp_flags = 0
        self.tcp_sequence = 0
        self.icmp_type = 0
        self.icmp_code = 0
        self.icmp_key = 0
        self.fragment = 0
        self.fragment_offset = 0
        self.fragment_end = 0
        self.fragment_start = 0
        self.fragment_id = 0
        self.payload = 0
        self.end = 0
        self.transport = 0
        self.message_cut = False
        # Where the datapath notes what it found out about the frame before judging it.
        self.status = 0
        self.source_at = 0
        self.destination_at = 0
        self.tail = 0
        self.tag = 0
        self.steps = 0
        """Turns of the loops a frame may choose the length of; the datapath sums them up."""

    def attach(self, data: memoryview | bytes | bytearray) -> int:
        """The buffer the next frames lie in. Held, not passed: a memoryview argument costs 200 bytes a call."""
        self.data = memoryview(data)
        self.buffer = data
        self.link.attach(data)
        return 0

    def share(self, other: Header) -> int:
        """The buffer that `other` has."""
        self.data = other.data
        self.buffer = other.buffer
        self.link.share(other.link)
        return 0

    def decode(self, offset: int, captured: int, link_type: int) -> int:
        """Decode the frame of `captured` bytes at `offset`. Returns IP, NOT_IP, UNDECODABLE or CUT."""
        self.link_direction = 0
        self.link_group = False
        self.link_loopback = False
        self.mac_at = -1
        self.on_ethernet = False
        self.ether_type = 0
        end = offset + captured
        if offset < 0 or captured < 0 or end > len(self.data):
            return UNDECODABLE
        if link_type == ETHERNET:
            if captured < 14:
                return UNDECODABLE
            self.link_group = (self.data[offset] & 1) != 0
            self.mac_at = offset + 6
            self.on_ethernet = True
            return self._ethernet_type(offset + 12, end)
        return self._other_link(offset, end, link_type)

    def _ethernet_type(self, position: int, end: int) -> int:
        """The EtherType at `position`, after any VLAN tags, and what follows it."""
        ether_type = (self.data[position] << 8) | self.data[position + 1]
        position += 2
        tags = 0
        while ether_type == 0x8100 or ether_type == 0x88A8 or ether_type == 0x9100:
            tags += 1
            self.steps += 1
            if tags > MAX_TAGS or position + 4 > end:
                self.ether_type = ether_type
                return UNDECODABLE
            ether_type = (self.data[position + 2] << 8) | self.data[position + 3]
            position += 4
        self.ether_type = ether_type
        if ether_type == 0x0800:
            return self._ipv4(position, end, 0)
        if ether_type == 0x86DD:
            return self._ipv6(position, end, 0)
        return self._other_link(position - 14 - 4 * tags, end, ETHERNET)

    def _other_link(self, offset: int, end: int, link_type: int) -> int:
        """Whatever links.py makes of the frame, from its first byte on."""
        status = find(self.link, offset, end, link_type)
        self.ether_type = self.link.ether_type
        self.link_direction = self.link.direction
        self.link_group = self.link.group
        self.link_loopback = self.link.loopback
        self.mac_at = self.link.mac_at
        self.on_ethernet = self.link.on_ethernet
        if status != IP:
            return status
        if self.ether_type == 0x0800:
            return self._ipv4(self.link.position, self.link.end, 0)
        return self._ipv6(self.link.position, self.link.end, 0)

    def source_mac(self) -> int:
        """The link-layer source as 48 bits, 0 where the link has none. Read on demand: few packets need it."""
        return self._mac(self.mac_at) if self.mac_at >= 0 else 0

    def on_loopback(self) -> bool:
        """True for frames of a loopback device: Linux' lo writes two all-zero addresses, nothing on a wire does."""
        if self.link_loopback:
            return True
        return self.mac_at >= 6 and self.on_ethernet and self._mac(self.mac_at) == 0 and self._mac(self.mac_at - 6) == 0

    def message(self) -> bytes:
        """The bytes behind the transport header of the frame; none if not all of them were captured."""
        if self.payload >= self.end or self.message_cut:
            return b""  # what was not captured could say anything
        return bytes(self.buffer[self.payload : self.end])

    def network(self, position: int, end: int, quoted: int) -> int:
        """An IP packet by its version nibble. `quoted`: inside an ICMP error, where 8 transport bytes suffice."""
        if position < 0 or position >= end or end > len(self.data):
            return UNDECODABLE
        version = self.data[position] >> 4
        if version == 4:
            self.ether_type = 0x0800
            return self._ipv4(position, end, quoted)
        if version == 6:
            self.ether_type = 0x86DD
            return self._ipv6(position, end, quoted)
        return UNDECODABLE

    def _ipv4(self, position: int, end: int, quoted: int) -> int:
        if end - position < 20 or self.data[position] >> 4 != 4:
            return UNDECODABLE
        self.version = 4
        self.hop_limit = self.data[position + 8]
        self.protocol = self.data[position + 9]
        self.source_high = 0
        self.destination_high = 0
        self.source_low = self._join(
            self.data[position + 12], self.data[position + 13], self.data[position + 14], self.data[position + 15]
        )
        self.destination_low = self._join(
            self.data[position + 16], self.data[position + 17], self.data[position + 18], self.data[position + 19]
        )
        header = (self.data[position] & 15) * 4
        total = (self.data[position + 2] << 8) | self.data[position + 3]
        self.fragment = 0
        if total == 0:
            total = end - position  # left to the network card (large send offload)
        if header < 20 or total < header or end - position < header:
            return CUT
        limit = position + total
        stop = min(limit, end)
        word = (self.data[position + 6] << 8) | self.data[position + 7]
        if quoted and word & 0x1FFF:
            return CUT  # a later fragment: payload stands where its ports would be
        if word & 0x3FFF and quoted == 0:
            self.fragment_id = (self.data[position + 4] << 8) | self.data[position + 5]
            self.fragment_offset = (word & 0x1FFF) * 8
            self.fragment_end = self.fragment_offset + total - header
            self.fragment_start = position + header
            self.fragment = 2 if self.fragment_offset else 1
        return self._transport(position + header, stop, limit, quoted)

    def _ipv6(self, position: int, end: int, quoted: int) -> int:
        if end - position < 40 or self.data[position] >> 4 != 6:
            return UNDECODABLE
        self.version = 6
        self.hop_limit = self.data[position + 7]
        self.source_high = self.wide(position + 8)
        self.source_low = self.wide(position + 16)
        self.destination_high = self.wide(position + 24)
        self.destination_low = self.wide(position + 32)
        length = (self.data[position + 4] << 8) | self.data[position + 5]
        following = self.data[position + 6]
        cursor = position + 40
        limit = cursor + length if length else end  # 0: jumbogram or large send offload
        stop = min(limit, end)
        self.fragment = 0
        self.protocol = following
        extensions = 0
        while True:
            if following == 0 or following == 43 or following == 60 or following == 135 or following >= 139:
                if following > 140:
                    break
                if cursor + 8 > stop:
                    return CUT
                size = (self.data[cursor + 1] + 1) * 8
            elif following == 51:
                if cursor + 8 > stop:
                    return CUT
                size = (self.data[cursor + 1] + 2) * 4
            elif following == 44:
                if cursor + 8 > stop or self.fragment:
                    return CUT
                size = 8
                word = (self.data[cursor + 2] << 8) | self.data[cursor + 3]
                if quoted and word & 0xFFF8:
                    return CUT  # as in _ipv4
                if word & 0xFFF9 and quoted == 0:  # an atomic fragment is a whole packet (RFC 6946)
                    self.fragment_id = self.word(cursor + 4)
                    self.fragment_offset = word & 0xFFF8
                    self.fragment_end = self.fragment_offset + (limit - cursor - 8)
                    self.fragment_start = cursor + 8
                    self.fragment = 2 if self.fragment_offset else 1
            else:
                break
            extensions += 1
            self.steps += 1
            following = self.data[cursor]
            self.protocol = following
            cursor += size
            if extensions > MAX_EXTENSIONS or cursor > stop:
                return CUT
            if self.fragment == 2:
                break  # what follows is payload of the first fragment's chain
        return self._transport(cursor, stop, limit, quoted)

    def wide(self, position: int) -> int:
        return (self.word(position) << 32) | self.word(position + 4)

    def word(self, position: int) -> int:
        return self._join(
            self.data[position], self.data[position + 1], self.data[position + 2], self.data[position + 3]
        )

    def _join(self, first: int, second: int, third: int, fourth: int) -> int:
        """Four bytes as one number; the arguments are wide (headers.pxd): a C int would overflow at the shift by 24."""
        return (first << 24) | (second << 16) | (third << 8) | fourth

    def _mac(self, position: int) -> int:
        high = (self.data[position] << 8) | self.data[position + 1]
        return (high << 32) | self.word(position + 2)

    def _transport(self, position: int, stop: int, limit: int, quoted: int) -> int:
        """Ports, flags and types. `stop`: last byte captured; `limit`: last byte the network header claims."""
        self.payload = position
        self.transport = position
        self.end = stop
        self.message_cut = stop < limit
        self.source_port = 0
        self.destination_port = 0
        self.tcp_flags = 0
        self.icmp_type = 0
        self.icmp_code = 0
        self.icmp_key = 0
        protocol = self.protocol
        if self.fragment == 2:
            return IP
        left = stop - position
        if protocol == 6:
            if left < (8 if quoted else 20):
                return CUT
            self._ports(position)
            if quoted:
                return IP
            size = (self.data[position + 12] >> 4) * 4
            if size < 20 or (self.fragment == 0 and position + size > limit):
                return CUT
            self.tcp_flags = self.data[position + 13]
            self.tcp_sequence = self._join(
                self.data[position + 4], self.data[position + 5], self.data[position + 6], self.data[position + 7]
            )
            self.payload = position + size
        elif protocol == 17 or protocol == 136:
            if left < 8:
                return CUT
            self._ports(position)
            size = (self.data[position + 4] << 8) | self.data[position + 5]
            checked = protocol == 17 and quoted == 0 and self.fragment == 0 and size != 0
            if checked:
                if size < 8 or position + size > limit:
                    return CUT
                if position + size < stop:
                    self.end = position + size  # what lies behind is nobody's message
            self.payload = position + 8
        elif protocol == 132:
            if left < (8 if quoted else 12):
                return CUT
            self._ports(position)
            self.payload = position + 12
        elif (protocol == 1 and self.version == 4) or (protocol == 58 and self.version == 6):
            if left < (8 if protocol == 1 else 4):
                return CUT
            self.icmp_type = self.data[position]
            self.icmp_code = self.data[position + 1]
            return self._icmp_query(position, left)
        return IP

    def _icmp_query(self, position: int, left: int) -> int:
        """A query and its answer share a flow, found by the identifier; every other type and code is its own flow."""
        kind = self.icmp_type
        if self.version == 4:
            query = kind == 8 or kind == 0 or (kind >= 13 and kind <= 18)
            if kind == 0:
                kind = 8
            elif kind == 14 or kind == 16 or kind == 18:
                kind -= 1
        else:
            query = kind == 128 or kind == 129
            if kind == 129:
                kind = 128
        self.payload = position + 8
        if not query:
            self.icmp_key = (kind << 8) | self.icmp_code
            return IP
        if left < 8:
            return CUT
        self.icmp_key = kind << 8
        # Both ends carry the same number, so either way finds the same flow.
        self.source_port = (self.data[position + 4] << 8) | self.data[position + 5]
        self.destination_port = self.source_port
        return IP

    def _ports(self, position: int) -> None:
        self.source_port = (self.data[position] << 8) | self.data[position + 1]
        self.destination_port = (self.data[position + 2] << 8) | self.data[position + 3]
