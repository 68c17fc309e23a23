"""Which end initiated a flow, and on what evidence: semantics.md section 5, "Direction", as one ordered list.

The strongest evidence comes first; from `unmatched_reply` on it is a guess. Never: policy, packets' bytes.
"""

from __future__ import annotations

from agent.model.protocols import ICMP, ICMPV6, TCP, UDP
from agent.model.vocabulary import DirectionBasis

SYN, ACK, RST = 2, 16, 4
FLAG_IN, FLAG_OUT = 1, 2
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
        if protocol == TCP:
            if tcp_flags & (SYN | ACK | RST) == SYN:
                return out, TCP_SYN
            if initiated is not None:
                return initiated, ATTRIBUTION
        if flag:
            return flag == FLAG_OUT, CAPTURE_FLAG
        if protocol in _REQUESTS:
            if icmp_type in _REQUESTS[protocol]:
                return out, ICMP_TYPE
            if icmp_type in _REPLIES[protocol]:
                return not out, ICMP_TYPE
        if asked:
            return not out, REPLY_SEEN
        if protocol == TCP:
            return self._guess_tcp(out, source_port, destination_port, tcp_flags)
        looks_like_reply = 0 < source_port < SYSTEM_PORTS and self._ephemeral(destination_port)
        if protocol == UDP and looks_like_reply and source_port == 53:
            # An unsolicited packet from port 53 is never an outbound flow; our own unmatched answer is inbound too.
            return (False, UNMATCHED_REPLY)
        if not looks_like_reply:
            return out, FIRST_PACKET
        return self._guess_ports(out, source_port, destination_port)

    def _guess_tcp(self, out: bool, source_port: int, destination_port: int, tcp_flags: int) -> tuple[bool, int]:
        if tcp_flags & (SYN | ACK | RST) == SYN | ACK:
            return not out, UNMATCHED_REPLY
        return self._guess_ports(out, source_port, destination_port)

    def _guess_ports(self, out: bool, source_port: int, destination_port: int) -> tuple[bool, int]:
        """The service has the port that is not ephemeral, else the lower one, else nobody knows."""
        source_ephemeral, destination_ephemeral = self._ephemeral(source_port), self._ephemeral(destination_port)
        if source_ephemeral != destination_ephemeral:
            return out if source_ephemeral else not out, PORTS
        if source_port != destination_port:
            return out if destination_port < source_port else not out, LOWER_PORT
        return out, FIRST_SENDER

    def _ephemeral(self, port: int) -> bool:
        return self.first <= port <= self.last
