"""One TCP connection as the device's network card sees it: handshake, data with acknowledgements, close.

The sides take turns, so at any moment one of them sends. `now` is the time at the capture, which sits on the device:
what the device sends is seen at once, an answer to it a round trip later. Never: who owns the socket, DNS, scenarios.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from scapy.layers import inet

from agent.model.moment import SECOND
from agent.model.protocols import TCP
from agent.traffic.dice import Dice
from agent.traffic.network import Peer
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage

CLIENT, SERVER = 0, 1
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
_HEADER = struct.Struct(">HHIIBBHHH")
_TURN = 40 * MICROSECOND
"""The time in which the device answers a segment."""
_BETWEEN_SEGMENTS = 12 * MICROSECOND
_FIRST_WINDOW, _LARGEST_WINDOW = 10, 40
"""Segments in flight: grows as in slow start, below every receive window announced."""
_RETRANSMIT = 300 * MILLISECOND
SYN_RETRIES = (0, 1, 3, 7, 15)
"""Seconds after the first SYN at which a silent port is asked: five SYNs, as Windows sends."""
REFUSED_RETRIES = (0, 500, 1000)
"""Milliseconds at which Windows asks a port that refuses."""


class TcpSession:
    """A connection being played. Mutable."""

    def __init__(
        self, stage: Stage, client: Peer, server: Peer, when: int, dice: Dice, first_sequence: int = 0
    ) -> None:
        self._stage = stage
        self._dice = dice
        self._ports = (client.port, server.port)
        self._addresses = (client.address, server.address)
        self._ways = (stage.way(client.address, server.address), stage.way(server.address, client.address))
        self._sequence = [first_sequence or dice.between(1, 0xFFFFFFFF), dice.between(1, 0xFFFFFFFF)]
        self._mss = 1460 if client.address.version == 4 else 1440
        self._device = CLIENT if stage.owns(client.address) else SERVER
        remote = server.address if self._device == CLIENT else client.address
        self._round_trip = stage.round_trip(remote)
        self._last_side = SERVER
        self.now = when

    def connect(self) -> None:
        """The three-way handshake."""
        self.probe()
        self._flags(SERVER, SYN | ACK, self._answer_time(SERVER))
        self._sequence[SERVER] += 1
        self._flags(CLIENT, ACK, self._answer_time(CLIENT))

    def probe(self) -> None:
        """A SYN, and nothing more."""
        self._flags(CLIENT, SYN, self.now)
        self._sequence[CLIENT] += 1

    def adopt(self) -> None:
        """The connection exists already: its handshake was before the capture."""
        self._sequence[CLIENT] += 1
        self._sequence[SERVER] += 1

    def half_open(self) -> None:
        """SYN, SYN+ACK, and the client takes it back: a SYN scan of an open port."""
        self.probe()
        self._flags(SERVER, SYN | ACK, self._answer_time(SERVER))
        self._sequence[SERVER] += 1
        self._segment(CLIENT, RST, self._answer_time(CLIENT), b"", acknowledged=0)

    def refuse(self) -> None:
        """The server's RST to a SYN (RFC 9293 3.10.7.1)."""
        self._sequence[SERVER], initial = 0, self._sequence[SERVER]
        self._flags(SERVER, RST | ACK, self._answer_time(SERVER))
        self._sequence[SERVER] = initial

    def unanswered(self) -> None:
        """The same SYN again and again."""
        self._repeat_syn([second * SECOND for second in SYN_RETRIES])

    def refused(self) -> None:
        """The same SYN three times, refused each time."""
        begin, sequence = self.now, self._sequence[CLIENT]
        for delay in REFUSED_RETRIES:
            self.now = max(self.now, begin + delay * MILLISECOND)
            self._sequence[CLIENT] = sequence
            self.probe()
            self.refuse()

    def say(self, side: int, payload: bytes, *, repeat_last: bool = False) -> None:
        """`side` sends, the other acknowledges every second segment; `repeat_last`: the last one gets lost once."""
        chunks = [payload[at : at + self._mss] for at in range(0, len(payload), self._mss)]
        self.now += self._dice.between(30, 600) * MICROSECOND
        window, done = _FIRST_WINDOW, 0
        while done < len(chunks):
            self.now = self._answer_time(side)
            flight = chunks[done : done + window]
            done += len(flight)
            self._fly(side, flight, last=done == len(chunks), repeat=repeat_last and done == len(chunks))
            window = min(window * 2, _LARGEST_WINDOW)

    def wait(self, time: int) -> None:
        """Nothing happens for so long."""
        self.now += time

    def close(self, side: int) -> None:
        """`side` closes, then the other."""
        other = 1 - side
        for sender, receiver in ((side, other), (other, side)):
            pause = self._dice.between(20, 200) * MICROSECOND
            self._flags(sender, FIN | ACK, self._answer_time(sender) + pause)
            self._sequence[sender] += 1
            self._flags(receiver, ACK, self._answer_time(receiver))

    def reset(self, side: int) -> None:
        """`side` tears the connection down."""
        self._flags(side, RST | ACK, self._answer_time(side) + self._dice.between(20, 200) * MICROSECOND)

    def _repeat_syn(self, delays: list[int]) -> None:
        begin, sequence = self.now, self._sequence[CLIENT]
        for delay in delays:
            self._sequence[CLIENT] = sequence
            self.now = begin + delay
            self.probe()

    def _fly(self, side: int, flight: list[bytes], *, last: bool, repeat: bool) -> None:
        """One window of segments, then their acknowledgements."""
        sent: list[tuple[int, int]] = []
        for index, chunk in enumerate(flight):
            final = last and index == len(flight) - 1
            when = self.now + index * _BETWEEN_SEGMENTS
            if final and repeat:
                self._segment(side, ACK | PSH, when, chunk)
                self._sequence[side] -= len(chunk)
                when += _RETRANSMIT
            self._segment(side, ACK | (PSH if final else 0), when, chunk)
            sent.append((when, self._sequence[side]))
        back = self._round_trip if side == self._device else _TURN
        acknowledged = [entry for index, entry in enumerate(sent) if index & 1 or index == len(sent) - 1]
        for when, sequence in acknowledged:
            self._segment(1 - side, ACK, when + back, b"", acknowledged=sequence)

    def _answer_time(self, side: int) -> int:
        """When the capture sees the next packet of `side`."""
        if side == self._device:
            return self.now + (_TURN if self._last_side != side else _BETWEEN_SEGMENTS)
        return self.now + (self._round_trip if self._last_side == self._device else _BETWEEN_SEGMENTS)

    def _flags(self, side: int, flags: int, when: int) -> None:
        self._segment(side, flags, when, b"")

    def _segment(self, side: int, flags: int, when: int, payload: bytes, acknowledged: int | None = None) -> None:
        """One segment at `when`; moves `now` and the side's sequence number on."""
        options = syn_options(self._mss, 8 if side == self._device else 7) if flags & SYN else b""
        number = self._sequence[1 - side] if acknowledged is None else acknowledged
        header = _HEADER.pack(
            self._ports[side],
            self._ports[1 - side],
            self._sequence[side] & 0xFFFFFFFF,
            number & 0xFFFFFFFF if flags & ACK else 0,
            (20 + len(options)) << 2,
            flags,
            0 if flags & RST else 64240 if flags & SYN else 1026,
            0,
            0,
        )
        body = self._ways[side].sealed(TCP, header + options + payload, 16)
        self._stage.send(when, self._addresses[side], self._addresses[1 - side], TCP, body)
        self._sequence[side] += len(payload)
        self._last_side = side
        self.now = max(self.now, when)


@lru_cache
def syn_options(mss: int, scale: int) -> bytes:
    """The options of a SYN as scapy writes them."""
    options = [("MSS", mss), ("NOP", None), ("WScale", scale), ("NOP", None), ("NOP", None), ("SAckOK", b"")]
    return bytes(inet.TCP(options=options, chksum=0))[20:]
