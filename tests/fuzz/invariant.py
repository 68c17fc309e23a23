"""Any bytes give verdicts, or one CaptureError at the file border, in work linear in them and with bounded memory.

`check` takes the bytes of a whole file through the reader, the datapath and the engine; `check_frames` takes single
frames. Both judge twice: under Full, and under Selective with rules, where the policy changes on the way. The tables
are small, so that eviction, overflow and refusal are what happens, not what never does.

    outcome = check(b"\xd4\xc3\xb2\xa1...")
    outcome.packets, outcome.digest       # equal bytes give equal outcomes, compiled and interpreted

What must hold is in `_Rig.judged` and `_Rig.finish`, how much work is linear in LINEAR. Never: which verdict is right.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent.capture.batch import Batch
from agent.capture.reader import CaptureReader, open_capture
from agent.datapath.layout import FLOW_ID
from agent.engine import names
from agent.engine.engine import Engine
from agent.engine.events import FIELDS, FlowEvent
from agent.model.address import parse_address
from agent.model.device import Device
from agent.model.errors import CaptureError
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.policy.effective import EffectivePolicy
from agent.policy.values import parse_network
from agent.replay.options import ReplayOptions
from agent.replay.report import flow_reasons
from agent.replay.wiring import World, build_engine, compilers
from tests.support.lab import CLOUD, rule_document

RECORD_WORDS = 5
READ = 64 << 20
"""Uncompressed bytes of a file that are judged at most: a bomb is linear in what comes out of it, and that is a lot."""

FLOWS, DATAGRAMS = 16, 2
LOCAL = ("10.0.0.5", "2001:db8::5", "fe80::5")
PREFIX = "10.9.0.0/16"
RESOLVERS = ("10.0.0.1", "2001:db8::1")
RULES = (
    {"name": "net", "remote_ips": ["203.0.113.0/24", "2001:db8:1::/48"], "direction": "Outbound"},
    {"name": "in", "remote_ips": ["198.51.100.7", "8000::/1"], "direction": "Inbound"},
    {"name": "tool", "process_path": "C:\\Tools\\tool.exe"},
)
SETTINGS = {"flow_table.size": FLOWS, "flow_table.reserved": 4, "fragment_table.size": DATAGRAMS, "related.rate": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A bound on a count of loop turns: linear in packets and bytes, with nothing that grows faster."""

    constant: int
    packet: int
    byte: int

    def of(self, packets: int, octets: int) -> int:
        return self.constant + self.packet * packets + self.byte * octets


LINEAR = {
    # A tag or an extension header is looked at once for the frame and once more where an ICMP error quotes it.
    "headers": Linear(constant=0, packet=64, byte=0),
    # A packet looks a flow up three times and may end four; the table is at most half full.
    "flows": Linear(constant=2048, packet=64, byte=0),
    # MAX_PIECES of one datagram, each a range of it.
    "fragments": Linear(constant=0, packet=128, byte=0),
    # A record of 12 bytes names its owner and an alias by pointers to 127 labels behind 32 pointers.
    "names": Linear(constant=0, packet=0, byte=2 * (127 + 33) // 12 + 1),
    # Blocks and options have four bytes or more. What is moved is at most the bytes, and again for each doubling.
    "reader": Linear(constant=1024, packet=1, byte=1),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an input."""

    refused: str | None
    """The CaptureError's text behind the file's name."""
    packets: int
    digest: str
    """Of every verdict, flow record, count and complaint: what compiled and interpreted must agree about."""


class _Telling:
    """A sink that keeps a digest of all it is told."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)
        self.packets = 0

    def flow(self, event: FlowEvent) -> None:
        self.packets += event.packets_original + event.packets_reply
        facts = [str(getattr(event, name)) for name in _FACTS]
        self.hash.update("\0".join(facts).encode("utf-8", "surrogatepass"))

    def isolation(self, record: dict[str, object]) -> None:
        raise AssertionError(f"nobody isolates here: {record}")

    def fault(self, record: dict[str, object]) -> None:
        assert record["name"] != "policy_error", f"a bug reached the last guard: {record['text']}"
        self.hash.update(json.dumps(record, sort_keys=True).encode())

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


_FACTS = tuple(name for name in FIELDS if name not in ("classification", "policy", "subject", "near_misses"))


@cache
def _scene(mode: Mode) -> tuple[World, ReplayOptions, EffectivePolicy, EffectivePolicy, EffectivePolicy]:
    """World and options, and the policies: isolated, released, and isolated again."""
    world = World(
        device=Device(assumed=True),
        rules=rule_document(RULES),
        cloud=CLOUD,
        known_names={},
        attribution=None,
        local_exact=[parse_address(text) for text in LOCAL],
        local_networks=[parse_network(PREFIX)],
        resolvers=[parse_address(text) for text in RESOLVERS],
    )
    more = {"link.other": "deny"} if mode is Mode.FULL else {"essential.icmp_echo": True}
    options = ReplayOptions(captures=(), mode=mode, settings=Settings({**SETTINGS, **more}))
    isolated, released = compilers(world, options)
    return world, options, isolated(1), released(2), isolated(3)


class _Rig:
    """One engine, and what it must have done after each batch."""

    def __init__(self, mode: Mode) -> None:
        world, options, self.isolated, self.released, self.again = _scene(mode)
        self.told = _Telling()
        self.engine: Engine = build_engine(world, options, self.told)
        self.path = self.engine.datapath
        self.engine.install(self.isolated)
        self.changes = mode is Mode.SELECTIVE
        self.packets = 0
        self.names = names.steps()

    def judge(self, batch: Batch) -> None:
        """One batch. In the second rig, packets after the first third come after a release, the last isolated again."""
        self.path.attach(batch.data)
        self.path.mark(batch.count)
        position = 0
        if self.changes and batch.count >= 3:
            for until, policy in ((batch.count // 3, self.released), (2 * batch.count // 3, self.again)):
                position = self._judge(batch, position, until)
                if self.engine.policy is not self.again:
                    self.engine.install(policy)
        self._judge(batch, position, batch.count)
        self.told.hash.update(memoryview(self.path.marks)[: 2 * batch.count])
        self.judged(batch.count)

    def _judge(self, batch: Batch, position: int, until: int) -> int:
        done = self.path.process(batch.records, position, until)
        assert done == until, f"{until - done} packets without a verdict"
        return done

    def judged(self, packets: int) -> None:
        """What holds after any packet."""
        self.packets += packets
        assert sum(self.path.packets) == self.packets, "each packet has exactly one verdict"
        flows = self.engine.flows
        assert 0 <= flows.live <= FLOWS, "the flow table keeps within its size"
        assert flows.created - flows.ended == flows.live, "a flow that is gone has ended"
        assert len(self.engine.datapath.fragments._datagrams) <= DATAGRAMS, "so does the fragment table"
        assert len(self.engine.essentials.resolvers) <= 64
        assert len(self.engine.groups) <= 4096

    def finish(self, octets: int) -> str:
        """What holds at the end. `octets` were read."""
        self.engine.finish()
        assert sum(flow_reasons(self.engine).values()) == self.engine.attributed + self.engine.unattributed
        assert self.told.packets <= self.packets
        live = self.engine.flows.in_use()
        assert live == sorted(live, key=lambda slot: self.engine.flows.word(slot, FLOW_ID))
        self._linear(octets)
        self.told.hash.update(memoryview(self.path.packets))
        self.told.hash.update(memoryview(self.path.octets))
        counts = sorted(self.path.ether_types.items()), sorted(self.engine.faults.items())
        self.told.hash.update(repr(counts).encode())
        return self.told.hash.hexdigest()

    def _linear(self, octets: int) -> None:
        path = self.path
        flows, fragments = path.flows.steps, path.fragments.steps
        linear("flows", flows, self.packets, octets)
        linear("fragments", fragments, self.packets, octets)
        linear("headers", path.steps() - flows - fragments, self.packets, octets)
        linear("names", names.steps() - self.names, self.packets, octets)


def linear(part: str, steps: int, packets: int, octets: int) -> None:
    """Asserts that `part` took no more steps than LINEAR has for it."""
    most = LINEAR[part].of(packets, octets)
    assert steps <= most, f"{part}: {steps} steps for {packets} packets in {octets} bytes, {most} at most"


def check(data: bytes, *, read: int = READ) -> Outcome:
    """Judge `data` as a capture file. Raises whatever must not be raised."""
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        path = str(Path(folder) / "any")
        Path(path).write_bytes(data)
        try:
            reader = open_capture(path)
        except CaptureError as error:
            text = str(error)
            assert text.startswith(f"{path}: at byte "), text
            assert "\n" not in text
            return Outcome(text[len(path) :], 0, "")
        with reader:
            return _check_capture(reader, len(data), read)


def _check_capture(reader: CaptureReader, size: int, read: int) -> Outcome:
    rigs = [_Rig(Mode.FULL), _Rig(Mode.SELECTIVE)]
    window = reader._window
    packets = 0
    while (batch := reader.next_batch()) is not None:
        assert batch.count > 0
        _check_batch(batch)
        packets += batch.count
        for rig in rigs:
            rig.judge(batch)
        if window.offset(window.at) > read:
            break
    octets = max(size, window.offset(window.end))
    assert len(window.data) <= max(512 << 10, min(2 * octets, (16 << 20) + (512 << 10))), "the window follows the bytes"
    linear("reader", reader.steps, packets, octets)
    assert len(reader.errors) <= 16, "complaints are counted, not collected"
    digests = [rig.finish(octets) for rig in rigs]
    said = repr((digests, packets, reader.errors, reader.truncated_tail, reader.interfaces))
    return Outcome(None, packets, hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def _check_batch(batch: Batch) -> None:
    """Every record points into the buffer."""
    size = len(batch.data)
    words = batch.records
    for base in range(0, batch.count * RECORD_WORDS, RECORD_WORDS):
        lengths, options = words[base + 2], words[base + 4]
        assert words[base + 1] + (lengths >> 32) <= size
        assert lengths >> 32 <= lengths & 0xFFFFFFFF
        assert (options >> 32) + (options & 0xFFFFFFFF) <= size


START = 1_767_603_600_000_000_000

Frame = tuple[int, int, int, int, bytes]
"""Nanoseconds after START; direction flag 0 to 2; link type; bytes on the wire beyond those captured; frame."""


def check_frames(frames: Iterable[Frame]) -> Outcome:
    """Judge single frames, as a live source would hand them over."""
    data = bytearray(b"\xa5" * 3)  # a frame seldom lies at the start of a buffer
    words: list[int] = []
    alone: list[Batch] = []
    for after, flag, link, more, frame in frames:
        lengths = len(frame) << 32 | min(len(frame) + more, 0xFFFFFFFF)
        time, bits = (START + after) & 0xFFFFFFFFFFFFFFFF, (link & 0xFFFF) | (flag % 3) << 32
        words += [time, len(data), lengths, bits, 0]
        data += frame
        # Behind a frame alone in its buffer nothing can be read unnoticed.
        alone.append(Batch(b"\xa5" * 3 + frame, array("Q", [time, 3, lengths, bits, 0]), 1))
    batch = Batch(bytes(data), array("Q", words), len(alone))
    full, selective = _Rig(Mode.FULL), _Rig(Mode.SELECTIVE)
    full.judge(batch)
    for number, one in enumerate(alone):
        if number == len(alone) // 3:
            selective.engine.install(selective.released)
        if number == 2 * len(alone) // 3:
            selective.engine.install(selective.again)
        selective.judge(one)
    digests = [rig.finish(len(data)) for rig in (full, selective)]
    return Outcome(None, batch.count, ":".join(digests))


def check_frame(link_type: int, data: bytes) -> Outcome:
    """Judge one frame, whole and cut, in and out, new and known, in time and late."""
    cuts: Sequence[tuple[int, int, bytes]] = (
        (0, 0, data),
        (0, 0, data),
        (1, 0, data),
        (2, 0, data),
        (0, len(data) - len(data) // 2, data[: len(data) // 2]),
        (0, 0, data),
    )
    times = (0, 1, 2, 3, 4, 10**12)
    return check_frames(
        (after, flag, link_type, more, cut) for after, (flag, more, cut) in zip(times, cuts, strict=True)
    )


@cache
def _fast_folder() -> str | None:
    """Memory, where the machine offers it: an input is a file for a millisecond."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
