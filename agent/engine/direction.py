"""Which end initiated a flow, and on what evidence: semantics.md section 5, "Direction", as one ordered list.

The strongest evidence comes first; from `unmatched_reply` on it is a guess. Never: policy, packets' bytes.
"""

from __future__ import annotations

from agent.model.protocols import ICMP, ICMPV6, TCP, UDP
from agent.model.vocabulary import DirectionBasis

SYN, ACK, RST = 2, 16, 4
FLAG_IN, FLAG_OUT = 1, 2
DNS_PORT = 53
SYSTEM_PORTS = 1024
"""Ports below are the system's (RFC 6335 section 6): only those make a first UDP packet look like an answer."""

# The numbers of DirectionBasis, as plain integers for the compiled form.
TCP_SYN, ATTRIBUTION, CAPTURE_FLAG, ICMP_TYPE = (int(one) for one in tuple(DirectionBasis)[:4])
REPLY_SEEN, FIRST_PACKET, UNMATCHED_REPLY, PORTS, LOWER_PORT, FIRST_SENDER = (
    int(one) for one in tuple(DirectionBasis)[4:]
)

_REQUESTS = {ICMP: frozenset({8, 13, 15, 17}), ICMPV6: frozenset({128, 130, 133, 135})}
_REPLIES = {ICMP: frozenset({0, 14, 16, 18}), ICMPV6: frozenset({129, 131, 132, 134, 136})}


class Directions:
    """Decides directions for a device whose ephemeral ports are `ephemeral` (first, last)."""

    def __init__(self, ephemeral: tuple[int, int]) -> None:
        self.first, self.last = ephemeral

    def decide(
        self,
        protocol: int,
        out: bool,
        source_port: int,
        destination_port: int,
        tcp_flags: int,
        icmp_type: int,
        flag: int,
        initiated: bool | None,
        asked: bool,
    ) -> tuple[bool, int]:
        """(outbound, basis) of a new flow, from its first packet.

        `out`: that packet leaves the host; `flag`: what the capture says of its way (0 nothing, 1 in, 2 out);
        `initiated`: what attribution knows (TCP only); `asked`: the other half of this SYN+ACK or DNS answer was seen.
        """
        known = 0 if initiated is None else 2 if initiated else 1
        found = self.weigh(protocol, out, source_port, destination_port, tcp_flags, icmp_type, flag, known, asked)
        return bool(found & 1), found >> 1

    def weigh(
        self,
        protocol: int,
        out: bool,
        source_port: int,
        destination_port: int,
        tcp_flags: int,
        icmp_type: int,
        flag: int,
        initiated: int,
        asked: bool,
    ) -> int:
        """decide() as one number, outbound | basis << 1; `initiated` 0 unknown, 1 no, 2 yes."""
        if protocol == TCP:
            if tcp_flags & (SYN | ACK | RST) == SYN:
                return (1 if out else 0) | TCP_SYN << 1
            if initiated != 0:
                return (1 if initiated == 2 else 0) | ATTRIBUTION << 1
        if flag != 0:
            return (1 if flag == FLAG_OUT else 0) | CAPTURE_FLAG << 1
        if protocol in (ICMP, ICMPV6):
            if icmp_type in _REQUESTS[protocol]:
                return (1 if out else 0) | ICMP_TYPE << 1
            if icmp_type in _REPLIES[protocol]:
                return (0 if out else 1) | ICMP_TYPE << 1
        if asked:
            return (0 if out else 1) | REPLY_SEEN << 1
        if protocol == TCP:
            if tcp_flags & (SYN | ACK | RST) == SYN | ACK:
                return (0 if out else 1) | UNMATCHED_REPLY << 1
            return self._by_ports(out, source_port, destination_port)
        if source_port == 0 or source_port >= SYSTEM_PORTS or not self._ephemeral(destination_port):
            return (1 if out else 0) | FIRST_PACKET << 1
        if protocol == UDP and source_port == DNS_PORT:
            # An unsolicited packet from port 53 is never an outbound flow; our own unmatched answer is inbound too.
            return UNMATCHED_REPLY << 1
        return self._by_ports(out, source_port, destination_port)

    def _by_ports(self, out: bool, source_port: int, destination_port: int) -> int:
        """The service has the port that is not ephemeral, else the lower one, else nobody knows."""
        source_ephemeral, destination_ephemeral = self._ephemeral(source_port), self._ephemeral(destination_port)
        forward, backward = (1, 0) if out else (0, 1)
        if source_ephemeral != destination_ephemeral:
            return (forward if source_ephemeral else backward) | PORTS << 1
        if source_port != destination_port:
            return (forward if destination_port < source_port else backward) | LOWER_PORT << 1
        return forward | FIRST_SENDER << 1

    def _ephemeral(self, port: int) -> bool:
        return self.first <= port <= self.last
