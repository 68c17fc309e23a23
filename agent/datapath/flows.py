"""The flow table: tuple -> counters, TCP state, cached verdict, time-outs, eviction. Bounded, deterministic.

Knows how flows live and die. Never: what a verdict means, frames, names. One flow is WORDS 64-bit words in one
array, so that a packet touches one cache line (IPv6: two); what packets rarely need lies in a second array.

    flows = FlowTable(1_000_000, 1024, seed, timeouts)
    slot = flows.find(local_high, local_low, remote_high, remote_low, key)     # -1: unknown

Slots and flow ids are given in order of arrival and never depend on the hash, so neither does any output; the
hash is seeded per process because packet headers choose the keys (a fixed one could be flooded with collisions).
Expired flows are found by a hand that looks at two slots for each flow inserted: constant work per packet,
whatever the clock of the capture does. Eviction takes the head of a queue per class (denied, unreplied,
replied) that is ordered lazily: a flow that was active since it was queued goes back to the end once.
"""

from __future__ import annotations

import contextlib
import mmap
from array import array
from typing import Protocol

try:
    import cython  # resolved when this module is compiled, where prefetching has a meaning
except ModuleNotFoundError:
    from agent.model import uncompiled as cython

from agent.capture.batch import Words
from agent.datapath.layout import (
    APART_BYTES,
    APART_PACKETS,
    AUTHORISED_AT,
    BYTES,
    BYTES_REPLY,
    CLOSE,
    COUNT_MASK,
    DENIED,
    ESTABLISHED,
    EVICTED,
    EXTRA,
    FACTS,
    FIN,
    FIRST_SEEN,
    FLOW_ID,
    GENERATION_MASK,
    INSPECT,
    K1,
    KEPT,
    KEY,
    LAST_ACK,
    LAST_SEEN,
    LOCAL_HIGH,
    LOCAL_LOW,
    M32,
    M64,
    META,
    MORE_PACKETS,
    NAMES,
    ONE_REPLY,
    OPENED,
    OUT,
    OUTBOUND,
    OWNER,
    PACKETS,
    QUEUE,
    QUEUE_SHIFT,
    QUEUED_AT,
    REMOTE_HIGH,
    REMOTE_LOW,
    REPLIED,
    REPLIED_QUEUE,
    RST,
    SIGHT_WORDS,
    STATE_MASK,
    STATE_NAMES,
    TIME_WAIT,
    TIMEOUT,
    UDP_REPLIED,
    UDP_UNREPLIED,
    UNREPLIED,
    USED,
    WORDS,
)
from agent.model.seeds import splitmix64

# Next TCP state, after conntrack's table (Linux net/netfilter/nf_conntrack_proto_tcp.c), by the packet's strongest
# flag; a packet that table calls invalid leaves the state. One-sided captures: an ACK alone establishes.
#            none, syn_s, syn_r, estab, fin_w, clo_w, las_a, tim_w, close
TCP_ORIGINAL = {
    "rst":    (8, 8, 8, 8, 8, 8, 8, 8, 8),
    "synack": (2, 1, 2, 3, 4, 5, 6, 7, 8),
    "syn":    (1, 1, 2, 3, 4, 5, 6, 7, 8),
    "fin":    (4, 4, 4, 4, 6, 6, 6, 7, 8),
    "ack":    (3, 3, 3, 3, 5, 5, 7, 7, 8),
    "none":   (3, 1, 2, 3, 4, 5, 6, 7, 8),
}  # fmt: skip
TCP_REPLY = {
    "rst":    (8, 8, 8, 8, 8, 8, 8, 8, 8),
    "synack": (2, 2, 2, 3, 4, 5, 6, 7, 8),
    "syn":    (1, 1, 2, 3, 4, 5, 6, 7, 8),
    "fin":    (4, 4, 4, 4, 6, 6, 6, 7, 8),
    "ack":    (3, 1, 2, 3, 5, 5, 7, 7, 8),
    "none":   (3, 1, 2, 3, 4, 5, 6, 7, 8),
}  # fmt: skip
TCP_FLAGS = ("rst", "synack", "syn", "fin", "ack", "none")
TCP_TABLE = bytes(state for way in (TCP_ORIGINAL, TCP_REPLY) for flag in TCP_FLAGS for state in way[flag])


def reserve(words: int) -> memoryview:
    """Zeroed 64-bit words that take no memory until they are written.

    Mapped, not allocated: a table for a million flows costs what its flows need, is never copied to grow, and can
    lie in huge pages, without which most look-ups miss the processor's address cache as well.
    """
    if hasattr(mmap, "MAP_PRIVATE"):
        area = mmap.mmap(-1, 8 * words, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # shared ones get no huge pages
    else:
        area = mmap.mmap(-1, 8 * words)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            area.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(area).cast("Q")


class Ended(Protocol):
    """Whoever writes flow records."""

    def ended(self, slot: int, end: int) -> None:
        """The flow in `slot` ends now; its words are still there."""


class FlowTable:
    """Every live flow. Times are nanoseconds; a slot is a flow's place until it ends."""

    def __init__(self, size: int, reserved: int, seed: int, timeouts: dict[str, int]) -> None:
        """`size` flows at most, `reserved` of them only for kept (cloud-channel) flows; `timeouts` in ns by state."""
        self.size = size
        self.limit = max(1, size - min(reserved, size // 2))
        self.seed = seed & M64
        secrets = [splitmix64(self.seed, number) for number in range(10)]
        self.secret0, self.secret1, self.secret2, self.secret3, self.secret4 = secrets[:5]
        self.secret5, self.secret6, self.secret7, self.secret8, self.secret9 = secrets[5:]
        self.listener: Ended | None = None
        self.timeouts = array("Q", [timeouts.get(name, timeouts["other"]) for name in STATE_NAMES])
        self.tcp = TCP_TABLE
        self.capacity = min(size, 4096)
        self.words = reserve(WORDS * size)
        self.extra = reserve(EXTRA * size)
        self.mask = 0
        self.index = reserve(1)
        self._new_index()
        self.used = 0  # slots ever taken: the next fresh one
        self.free = -1  # head of the chain of slots given back
        self.reused = False  # while no slot was taken twice, slots are in order of the flows' ids
        self.live = 0
        self.kept = 0
        self.hand = 0
        self.created = 0
        self.evicted = 0
        self.ended = 0
        self.found = -1  # by packet()
        self.steps = 0
        """Places looked at and moves made beyond the first of each: what a flood could make many of."""
        self.heads = array("q", [-1, -1, -1, -1])
        self.tails = array("q", [-1, -1, -1, -1])

    def _new_index(self) -> int:
        places = 1024
        while places < 2 * self.capacity:
            places *= 2
        self.mask = places - 1
        self.index = reserve(places)
        return 0

    def _grow(self) -> int:
        """Twice the room in the index; the words of all flows are reserved from the start."""
        self.capacity = min(self.size, self.capacity * 2)
        old = self.index
        self.steps += len(old)
        self._new_index()
        for place in range(len(old)):
            entry = old[place]
            if entry:
                self._place(entry)
        return 0

    def _place(self, entry: int) -> int:
        place = (entry >> 32) & self.mask
        while self.index[place]:
            self.steps += 1
            place = (place + 1) & self.mask
        self.index[place] = entry
        return 0

    def hash(self, local_high: int, local_low: int, remote_high: int, remote_low: int, key: int) -> int:
        """32 bits that say where a tuple lies in the index.

        Each half word has a secret of its own, so that whoever chooses the tuples cannot choose which of them meet:
        Lemire and Kaser, "Strongly universal string hashing is fast", MULTILINEAR-HM. Mixing word by word under one
        secret is not enough: what the top bits of a word change, the next word can take back under any secret.
        """
        value = (self.secret0 + (key & M32)) * ((self.secret1 + (key >> 32)) & M64)
        value += (self.secret2 + (remote_low & M32)) * ((self.secret3 + (remote_low >> 32)) & M64)
        value += (self.secret4 + (remote_high & M32)) * ((self.secret5 + (remote_high >> 32)) & M64)
        value += (self.secret6 + (local_low & M32)) * ((self.secret7 + (local_low >> 32)) & M64)
        value += (self.secret8 + (local_high & M32)) * ((self.secret9 + (local_high >> 32)) & M64)
        value &= M64
        # Neighbours under the sum are not to be neighbours in the index.
        value = ((value ^ (value >> 32)) * K1) & M64
        return value >> 32

    def find(self, local_high: int, local_low: int, remote_high: int, remote_low: int, key: int) -> int:
        """The slot of a flow, or -1. `key` is ports, protocol, version and ICMP key in one word (datapath.py)."""
        tag = self.hash(local_high, local_low, remote_high, remote_low, key)
        return self.find_at(tag, local_high, local_low, remote_high, remote_low, key)

    def find_at(self, tag: int, local_high: int, local_low: int, remote_high: int, remote_low: int, key: int) -> int:
        """find() where the hash is known."""
        place = tag & self.mask
        while True:
            entry = self.index[place]
            if entry == 0:
                return -1
            if entry >> 32 == tag:
                slot = (entry & M32) - 1
                base = slot * WORDS
                if (
                    self.words[base + KEY] == key
                    and self.words[base + REMOTE_LOW] == remote_low
                    and self.words[base + LOCAL_LOW] == local_low
                    # An IPv4 flow has no high words: the other cache line is left alone.
                    and (
                        (key >> 16) & 0xFF == 4
                        or (
                            self.words[base + REMOTE_HIGH] == remote_high
                            and self.words[base + LOCAL_HIGH] == local_high
                        )
                    )
                ):
                    return slot
            self.steps += 1
            place = (place + 1) & self.mask

    def seek(self, sights: Words, first: int, last: int) -> int:
        """Have the places of sights `first`..`last` in the index on their way to the cache; nothing waits for them."""
        if cython.compiled:
            for number in range(first, last):
                tag = sights[number * SIGHT_WORDS + FACTS] >> 32
                prefetch(cython.address(self.index[tag & self.mask]))  # type: ignore[name-defined]  # noqa: F821 - flows.pxd
        return 0

    def fetch(self, sights: Words, first: int, last: int) -> int:
        """Likewise the flows of sights whose places seek() asked for some time ago."""
        if cython.compiled:
            for number in range(first, last):
                tag = sights[number * SIGHT_WORDS + FACTS] >> 32
                entry = self.index[tag & self.mask] & M32
                if entry != 0:
                    base = (entry - 1) * WORDS
                    prefetch(cython.address(self.words[base]))  # type: ignore[name-defined]  # noqa: F821 - flows.pxd
                    if sights[number * SIGHT_WORDS] != 0:
                        prefetch(cython.address(self.words[base + REMOTE_HIGH]))  # type: ignore[name-defined]  # noqa: F821
        return 0

    def insert(self, local_high: int, local_low: int, remote_high: int, remote_low: int, key: int, now: int) -> int:
        """A slot for a new flow (the tuple must be unknown), or -1 when nothing may make room for it."""
        self._sweep(now)
        self._sweep(now)
        if (self.live - self.kept >= self.limit or self.live >= self.size) and not self._evict():
            return -1
        slot = self.free
        if slot >= 0:
            self.free = self.words[slot * WORDS + QUEUE] - 1
            self.reused = True
        else:
            if self.used >= self.capacity:
                self._grow()
            slot = self.used
            self.used += 1
        tag = self.hash(local_high, local_low, remote_high, remote_low, key)
        self._place((tag << 32) | (slot + 1))
        base = slot * WORDS
        self.words[base + KEY] = key
        self.words[base + LOCAL_HIGH] = local_high
        self.words[base + LOCAL_LOW] = local_low
        self.words[base + REMOTE_HIGH] = remote_high
        self.words[base + REMOTE_LOW] = remote_low
        self.words[base + META] = USED
        self.words[base + LAST_SEEN] = now
        self.created += 1
        self.words[base + FLOW_ID] = self.created
        self.words[base + PACKETS] = 0
        self.words[base + MORE_PACKETS] = 0
        self.words[base + BYTES] = 0
        self.words[base + BYTES_REPLY] = 0
        self.words[base + FIRST_SEEN] = now
        self.words[base + AUTHORISED_AT] = now
        self.words[base + OWNER] = 0
        self.words[base + QUEUE] = 0
        self.live += 1
        base = slot * EXTRA
        self.extra[base] = 0
        self.extra[base + 1] = 0
        self.extra[base + 2] = 0
        self.extra[base + 3] = 0
        self._enqueue(slot, DENIED)
        return slot

    def remove(self, slot: int) -> int:
        """Forget a flow. Its record must have been written."""
        base = slot * WORDS
        tag = self.hash(
            self.words[base + LOCAL_HIGH], self.words[base + LOCAL_LOW],
            self.words[base + REMOTE_HIGH], self.words[base + REMOTE_LOW], self.words[base + KEY],
        )  # fmt: skip
        place = tag & self.mask
        entry = (tag << 32) | (slot + 1)
        while self.index[place] != entry:
            self.steps += 1
            place = (place + 1) & self.mask
        # Close the gap: an entry moves back unless its own place lies after the gap (linear probing's deletion).
        gap = place
        while True:
            place = (place + 1) & self.mask
            entry = self.index[place]
            if entry == 0:
                break
            self.steps += 1
            if ((place - (entry >> 32)) & self.mask) >= ((place - gap) & self.mask):
                self.index[gap] = entry
                gap = place
        self.index[gap] = 0
        self._dequeue(slot)
        self.words[base + META] = 0
        self.words[base + QUEUE] = self.free + 1
        self.free = slot
        self.live -= 1
        return 0

    def end(self, slot: int, end: int) -> int:
        """Have the flow's record written, then forget it."""
        self.ended += 1
        if self.listener is not None:
            self.listener.ended(slot, end)
        self.remove(slot)
        return 0

    def close(self, slot: int, end: int) -> int:
        """Have the flow's record written at the end of a run, when nobody will look for it again."""
        if self.listener is not None:
            self.listener.ended(slot, end)
        return 0

    # Queues -------------------------------------------------------------------------------------------------

    def _enqueue(self, slot: int, queue: int) -> int:
        base = slot * WORDS
        self.words[base + META] = (self.words[base + META] & (M64 ^ (3 << QUEUE_SHIFT))) | (queue << QUEUE_SHIFT)
        tail = self.tails[queue]
        self.words[base + QUEUE] = (tail + 1) << 32
        if tail >= 0:
            self.words[tail * WORDS + QUEUE] = (self.words[tail * WORDS + QUEUE] & (M32 << 32)) | (slot + 1)
        else:
            self.heads[queue] = slot
        self.tails[queue] = slot
        self.extra[slot * EXTRA + QUEUED_AT] = self.words[base + LAST_SEEN]
        if queue == KEPT:
            self.kept += 1
        return 0

    def _dequeue(self, slot: int) -> int:
        base = slot * WORDS
        queue = (self.words[base + META] >> QUEUE_SHIFT) & 3
        links = self.words[base + QUEUE]
        before = (links >> 32) - 1
        after = (links & M32) - 1
        if before >= 0:
            self.words[before * WORDS + QUEUE] = (self.words[before * WORDS + QUEUE] & (M32 << 32)) | (after + 1)
        else:
            self.heads[queue] = after
        if after >= 0:
            self.words[after * WORDS + QUEUE] = (self.words[after * WORDS + QUEUE] & M32) | ((before + 1) << 32)
        else:
            self.tails[queue] = before
        if queue == KEPT:
            self.kept -= 1
        return 0

    def _evict(self) -> int:
        """End one flow that may be evicted: denied first, then unreplied, then the longest idle. 0 if there is none."""
        for queue in range(KEPT):
            while True:
                slot = self.heads[queue]
                if slot < 0:
                    break
                if self.words[slot * WORDS + LAST_SEEN] > self.extra[slot * EXTRA + QUEUED_AT]:
                    self._dequeue(slot)
                    self.steps += 1
                    self._enqueue(slot, queue)  # active since it was queued: at most one move per packet
                    continue
                self.evicted += 1
                self.end(slot, EVICTED)
                return 1
        return 0

    def _sweep(self, now: int) -> int:
        """Look at the next slot and end its flow if its time is over."""
        if self.used == 0:
            return 0
        slot = self.hand
        self.hand = slot + 1 if slot + 1 < self.used else 0
        if (self.words[slot * WORDS + META] & USED) != 0 and self.expired(slot, now):
            self.end(slot, self.ending(slot))
        return 0

    # Life ---------------------------------------------------------------------------------------------------

    def expired(self, slot: int, now: int) -> bool:
        base = slot * WORDS
        last = self.words[base + LAST_SEEN]
        return now > last and now - last > self.timeouts[(self.words[base + META] >> 7) & 15]

    def ending(self, slot: int) -> int:
        """How a flow whose time is over ended: FIN and RST where TCP said so, else TIMEOUT."""
        state = self.state(slot)
        if state == CLOSE:
            return RST
        if state in (TIME_WAIT, LAST_ACK):
            return FIN
        return TIMEOUT

    def packet(
        self,
        facts: int,
        local_high: int,
        local_low: int,
        remote_high: int,
        remote_low: int,
        key: int,
        length: int,
        now: int,
        generation: int,
    ) -> int:
        """One packet of a flow as nearly all are: count it and return the flow's outcome, verdict | reason << 2.

        -1, with nothing changed, if there is more to it: the flow is unknown, of another generation, is judged packet
        by packet, or has timed out, or the packet is a SYN. `facts`: of a sight. `found` is the flow's slot.
        """
        slot = self.find_at(facts >> 32, local_high, local_low, remote_high, remote_low, key)
        self.found = slot
        if slot < 0:
            return -1
        base = slot * WORDS
        meta = self.words[base + META]
        flags = (facts >> 8) & 0xFF
        if (meta >> 40) != generation or (meta & INSPECT) != 0 or (flags & 0x16) == 2:
            return -1
        last = self.words[base + LAST_SEEN]
        state = (meta >> 7) & 15
        if now > last:
            if now - last > self.timeouts[state]:
                return -1
            self.words[base + LAST_SEEN] = now
        reply = ((facts & OUT) != 0) != ((meta & OUTBOUND) != 0)
        self._count(slot, reply, length)
        # States before UDP's are TCP's.
        if state < UDP_UNREPLIED and (state != ESTABLISHED or (flags & 7) != 0):
            self.tcp_packet(slot, reply, flags)
        return meta & 0x7F

    def count(self, slot: int, reply: int, length: int, now: int) -> int:
        """One packet of `length` bytes on the wire. `reply`: it goes the responder's way."""
        if now > self.words[slot * WORDS + LAST_SEEN]:
            self.words[slot * WORDS + LAST_SEEN] = now
        return self._count(slot, reply, length)

    def _count(self, slot: int, reply: int, length: int) -> int:
        base = slot * WORDS
        packets = self.words[base + PACKETS]
        if reply:
            if packets >> 32 == 0 and self.replies(slot) == 0:
                self._first_reply(slot)
            self.words[base + BYTES_REPLY] += length
            if packets >> 32 == M32:
                self.words[base + MORE_PACKETS] += ONE_REPLY
                self.words[base + PACKETS] = packets & M32
            else:
                self.words[base + PACKETS] = packets + ONE_REPLY
        else:
            self.words[base + BYTES] += length
            if packets & M32 == M32:
                self.words[base + MORE_PACKETS] += 1
                self.words[base + PACKETS] = packets - M32
            else:
                self.words[base + PACKETS] = packets + 1
        return 0

    def packets(self, slot: int) -> int:
        """Packets the initiator's way."""
        base = slot * WORDS
        return (self.words[base + PACKETS] & M32) | ((self.words[base + MORE_PACKETS] & M32) << 32)

    def replies(self, slot: int) -> int:
        """Packets the responder's way."""
        base = slot * WORDS
        return (self.words[base + PACKETS] >> 32) | (self.words[base + MORE_PACKETS] >> 32 << 32)

    def _first_reply(self, slot: int) -> int:
        base = slot * WORDS
        attempted = min(self.packets(slot), M32)
        self.extra[slot * EXTRA] = (self.extra[slot * EXTRA] & (M32 << 32)) | attempted
        meta = self.words[base + META]
        state = (meta >> 7) & 15
        if state == UDP_UNREPLIED:
            meta = (meta & (M64 ^ STATE_MASK)) | (UDP_REPLIED << 7)
        self.words[base + META] = meta | REPLIED
        if (meta >> QUEUE_SHIFT) & 3 == UNREPLIED:
            self._dequeue(slot)
            self._enqueue(slot, REPLIED_QUEUE)
        return 0

    def tcp_packet(self, slot: int, reply: int, flags: int) -> int:
        """Move the TCP state on."""
        if flags & 4:
            kind = 0
        elif flags & 2:
            kind = 1 if flags & 16 else 2
        elif flags & 1:
            kind = 3
        elif flags & 16:
            kind = 4
        else:
            kind = 5
        base = slot * WORDS
        meta = self.words[base + META]
        state = (meta >> 7) & 15
        following = self.tcp[((6 if reply else 0) + kind) * 9 + state]
        if following != state:
            self.words[base + META] = (meta & (M64 ^ STATE_MASK)) | (following << 7)
        return 0

    def set_state(self, slot: int, state: int) -> int:
        base = slot * WORDS
        self.words[base + META] = (self.words[base + META] & (M64 ^ STATE_MASK)) | (state << 7)
        return 0

    def opened_with(self, slot: int, sequence: int) -> int:
        """Remember the initial sequence number of the SYN that opened the flow."""
        self.extra[slot * EXTRA] = (sequence << 32) | (self.extra[slot * EXTRA] & M32)
        self.words[slot * WORDS + META] |= OPENED
        return 0

    def same_opening(self, slot: int, sequence: int) -> bool:
        """True if a SYN with this number is a retransmission of the flow's own."""
        opened = (self.words[slot * WORDS + META] & OPENED) != 0
        return opened and self.extra[slot * EXTRA] >> 32 == sequence

    # Verdicts -----------------------------------------------------------------------------------------------

    def authorise(
        self, slot: int, verdict: int, reason: int, owner: int, names: int, generation: int, keep: int
    ) -> int:
        """Store a verdict: `owner` is subject << 32 | classification, `names` the name set, `keep`: never evict."""
        base = slot * WORDS
        meta = self.words[base + META]
        count = min(((meta >> 24) & 0xFFFF) + 1, 0xFFFF)
        meta &= M64 ^ (0x7F | COUNT_MASK | GENERATION_MASK)
        meta |= verdict | (reason << 2) | (count << 24) | ((generation & 0xFFFFFF) << 40)
        self.words[base + META] = meta
        self.words[base + OWNER] = owner
        extra = slot * EXTRA + NAMES
        self.extra[extra] = (names << 32) | (self.extra[extra] & M32)
        if keep:
            queue = KEPT
        elif verdict == 0:
            queue = DENIED
        else:
            queue = REPLIED_QUEUE if meta & REPLIED else UNREPLIED
        if (meta >> QUEUE_SHIFT) & 3 != queue:
            self._dequeue(slot)
            self._enqueue(slot, queue)
        return 0

    def adopt(self, slot: int, generation: int) -> int:
        """Let a flow keep its verdict under a new generation."""
        base = slot * WORDS
        meta = self.words[base + META] & (M64 ^ GENERATION_MASK)
        self.words[base + META] = meta | ((generation & 0xFFFFFF) << 40)
        return 0

    def set_direction(self, slot: int, outbound: int, basis: int) -> int:
        base = slot * WORDS
        meta = self.words[base + META] & (M64 ^ (OUTBOUND | (15 << 12)))
        self.words[base + META] = meta | (OUTBOUND if outbound else 0) | (basis << 12)
        return 0

    def set_flag(self, slot: int, flag: int) -> int:
        self.words[slot * WORDS + META] |= flag
        return 0

    def set_icmp(self, slot: int, kind: int, code: int) -> int:
        extra = slot * EXTRA + NAMES
        self.extra[extra] = (self.extra[extra] & (M32 << 32)) | (kind << 8) | code
        return 0

    def apart(self, slot: int, length: int) -> int:
        """One packet of an inspected flow had another verdict than the flow's own."""
        self.extra[slot * EXTRA + APART_PACKETS] += 1
        self.extra[slot * EXTRA + APART_BYTES] += length
        return 0

    def restart_counts(self, slot: int, now: int) -> int:
        """A new authorisation begins: its record counts from here."""
        base = slot * WORDS
        self.words[base + PACKETS] = 0
        self.words[base + MORE_PACKETS] = 0
        self.words[base + BYTES] = 0
        self.words[base + BYTES_REPLY] = 0
        self.words[base + AUTHORISED_AT] = now
        self.words[base + FIRST_SEEN] = now
        if now > self.words[base + LAST_SEEN]:
            self.words[base + LAST_SEEN] = now
        base = slot * EXTRA
        self.extra[base] &= M32 << 32
        self.extra[base + APART_PACKETS] = 0
        self.extra[base + APART_BYTES] = 0
        return 0

    # What a flow holds --------------------------------------------------------------------------------------

    def meta(self, slot: int) -> int:
        return self.words[slot * WORDS + META]

    def state(self, slot: int) -> int:
        return (self.words[slot * WORDS + META] >> 7) & 15

    def generation(self, slot: int) -> int:
        return self.words[slot * WORDS + META] >> 40

    def authorisations(self, slot: int) -> int:
        return (self.words[slot * WORDS + META] >> 24) & 0xFFFF

    def word(self, slot: int, index: int) -> int:
        """Word `index` of a flow (the names at the top of this module)."""
        return self.words[slot * WORDS + index]

    def attempted(self, slot: int) -> int:
        """Packets the initiator sent before the first reply (all of them, if none came)."""
        return self.packets(slot) if self.replies(slot) == 0 else self.extra[slot * EXTRA] & M32

    def flow_in(self, slot: int) -> int:
        """The id of the flow living in `slot`, 0 if none does."""
        base = slot * WORDS
        return self.words[base + FLOW_ID] if self.words[base + META] & USED else 0

    def extra_word(self, slot: int, index: int) -> int:
        return self.extra[slot * EXTRA + index]

    def in_use(self) -> list[int]:
        """Slots of the live flows in order of their ids."""
        live = [slot for slot in range(self.used) if self.words[slot * WORDS + META] & USED]
        if self.reused:
            live.sort(key=self.flow_in)
        return live
