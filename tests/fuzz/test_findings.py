"""What fuzzing and its work counters found, each as the case that failed."""

from __future__ import annotations

import os
import random
import tracemalloc

import pytest

from agent.capture.reader import open_capture
from agent.capture.window import Window
from agent.datapath.flows import FlowTable
from agent.engine.events import FlowEvent
from agent.engine.names import NameTable
from agent.engine.pairs import Pairs
from agent.model.address import Address, canonical_address
from agent.replay.frames import Capture, Frames
from tests.fuzz import hostile
from tests.fuzz.invariant import check, check_frames
from tests.support import frames as f
from tests.support.lab import START, Lab, Told


class OneByOne:
    """A stream that gives one byte at a time."""

    truncated = False
    fault: str | None = None

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def readinto(self, target: memoryview) -> int:
        if self.at == len(self.content):
            return 0
        target[0] = self.content[self.at]
        self.at += 1
        return 1


def test_a_stream_in_small_pieces_is_not_copied_for_each() -> None:
    """The whole window moved for every piece: a block of 16 MiB in single bytes would have taken days."""
    window = Window(OneByOne(bytes(20_000)), size=64, limit=1 << 20)
    assert window.ensure(20_000)
    assert window.moved < 2 * 20_000


def test_a_long_block_in_a_stream_of_small_pieces_takes_linear_work() -> None:
    content = hostile.section() + hostile.interface() + hostile.block(99, os.urandom(1 << 19)) + hostile.interface()
    check(hostile.zstd_blocks(content, 16))


def test_tuples_chosen_to_meet_do_not() -> None:
    """Top bits of one word undid those of the next under any seed: probes grew with the root of the flows."""
    for seed in (0, 1, 0x9E3779B97F4A7C15, (1 << 64) - 1):
        flows = FlowTable(1 << 15, 0, seed, {"other": 10**12})
        for low in range(128):
            for high in range(128):
                turned = high << 57
                flows.insert(0, 0x0A000005, turned ^ turned >> 29, low << 57, 6 << 24 | 6 << 16, 1)
        assert flows.live == 128 * 128
        assert flows.steps < 6 * flows.live


@pytest.mark.parametrize("word", range(5))
@pytest.mark.parametrize("shift", [0, 8, 16, 24, 32, 48])
def test_tuples_in_a_row_are_spread(word: int, shift: int) -> None:
    """Scans of ports, addresses and prefixes: counters in any half of any word."""
    flows = FlowTable(1 << 13, 0, 1, {"other": 10**12})
    for number in range(4096):
        tuple_ = [1, 2, 3, 4, 5]
        tuple_[word] += number << shift
        flows.insert(*(part & (1 << 64) - 1 for part in tuple_), 1)
    assert flows.steps < 6 * flows.live


def test_a_look_ahead_over_tiny_sections_keeps_only_their_packets(tmp_path) -> None:
    """Each section is a batch, and each batch was kept with all that lay before it in the buffer: gigabytes."""
    path = tmp_path / "sections.pcapng"
    path.write_bytes(hostile.tiny_sections(3000))
    frames = Frames([Capture(str(path), optional=False)], merge=False)
    tracemalloc.start()
    try:
        ahead = frames.look_ahead(10_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        frames.close()
    assert sum(batch.count for _, batch in ahead) == 3000
    assert peak < 16 << 20


def test_a_copy_of_packets_deep_in_the_buffer_reads_the_same(tmp_path) -> None:
    path = tmp_path / "deep.pcapng"
    frame = hostile.TCP_FRAME
    why = hostile.option(1, b"why") + hostile.option(0, b"")
    section = hostile.section() + hostile.interface()
    packets = hostile.packet(frame) + hostile.packet(frame[:50], options=why) + hostile.simple(frame)
    path.write_bytes(section + hostile.block(99, bytes(5000)) + packets)
    with open_capture(str(path)) as reader:
        batch = reader.next_batch()
        assert batch is not None
        copied = batch.copy()
        assert len(copied.data) < 500
        for index in range(batch.count):
            assert bytes(copied.frame(index)) == bytes(batch.frame(index))
            assert bytes(copied.options(index)) == bytes(batch.options(index))
            assert copied.time(index) == batch.time(index)
        assert b"why" in bytes(copied.options(1))


def test_thousands_of_own_addresses_are_told_from_all_others() -> None:
    """They were compared one by one with both ends of each packet."""
    dice = random.Random(3)
    own = {Address(4, dice.getrandbits(32)) for _ in range(300)}
    own |= {canonical_address(6, dice.getrandbits(64) << 64 | dice.randrange(4)) for _ in range(300)}
    own |= {Address(6, address.value) for address in list(own)[:50] if address.version == 4}
    lab = Lab("full", local=[str(address) for address in own])
    strangers = [Address(6, one.value ^ 1 << 64) for one in own if one.version == 6]
    strangers += [Address(4, one.value ^ 1) for one in own if one.version == 4]
    for address in [*own, *strangers]:
        peer = "203.0.113.9" if address.version == 4 else "2001:db8:ffff::1"
        _, reason = lab.send(f.ethernet(f.ip(str(address), peer, f.tcp(1, 2, flags=f.SYN))))
        first = address.value >> 24 if address.version == 4 else 0
        if first != 127 and address.value > 1:
            assert (reason == "foreign") == (address not in own), address


def test_an_answer_at_the_end_of_time_is_in_time() -> None:
    """The last moment for it lay behind 64 bits: compiled said no, interpreted yes."""
    lab = Lab("selective", rules=[{"name": "group", "remote_ips": ["224.0.0.0/4"], "direction": "Outbound"}])
    end = ((1 << 64) - 1 - START) / 1_000_000_000
    lab.now = (1 << 64) - 2_000
    assert end > 0
    assert lab.send(f.udp_frame("10.0.0.5:40000", "224.0.0.251:5353")) == ("allow", "exclusion")
    lab.now += 1_000
    assert lab.send(f.udp_frame("10.0.0.77:5353", "10.0.0.5:40000")) == ("allow", "exclusion")


def test_floods_take_linear_work() -> None:
    """Tables of sixteen flows and two datagrams: nearly every packet evicts, and the bounds are asserted."""
    for flood in (hostile.syn_flood(4000), hostile.fragment_flood(4000)):
        outcome = check_frames((n * 1000, 0, 1, 0, frame) for n, frame in enumerate(flood))
        assert outcome.packets >= 4000


def test_costly_names_take_linear_work() -> None:
    question = hostile.udp_to_resolver(hostile.costly_answer(0)[:2] + b"\x01\x00" + hostile.costly_answer(0)[4:])
    answer = f.udp_frame(f"{hostile.RESOLVER}:53", f"{hostile.US}:50053", hostile.costly_answer())
    check_frames((n, 0, 1, 0, frame) for n, frame in enumerate([question, answer] * 50))


MERSENNE = (1 << 61) - 1
"""Python's hash of a number is its rest by this one: whoever chooses numbers chooses their hashes."""


def colliding(count: int) -> list[Address]:
    return [Address(6, (0x20010DB8 << 96) + number * MERSENNE) for number in range(count)]


def test_remotes_chosen_to_meet_in_a_dict_do_not() -> None:
    """Eight thousand denied IPv6 remotes took a second, eighty thousand a hundred."""
    lab = Lab("full", local=("2001:db8::5",))
    for address in colliding(200):
        lab.send(f.ethernet(f.ip("2001:db8::5", str(address), f.tcp(1, 2, flags=f.SYN))))
    lab.finish()
    remotes = lab.engine.denied_remotes.known6
    assert remotes.count == 200
    assert remotes.steps < 5 * remotes.count


def test_words_whose_top_bits_cancel_do_not_meet() -> None:
    """The same for the small numbers of pairs, mixed as flow hashes once were: see F2 of the flow table."""
    pairs = Pairs(seed=7, limit=10_000)
    for number in range(4096):
        pairs.number((number & 63) << 58, (number >> 6) << 58)
    assert pairs.count == 4096
    assert pairs.steps < 5 * pairs.count


def test_addresses_chosen_to_meet_in_a_dict_do_not() -> None:
    """Looking ahead over ten thousand packets took six seconds, before the first was judged."""
    addresses = colliding(200)
    assert len({hash(address) for address in addresses}) == 200
    assert hash(Address(6, addresses[7].value)) == hash(addresses[7])


def test_learned_addresses_chosen_to_meet_in_a_dict_do_not() -> None:
    names = NameTable({})
    names.learn("a.example.test", [(address, 60) for address in colliding(200)], 0)
    assert len(names._names) == len({hash(address) for address in names._names}) == 200
    assert names.lookup(colliding(200)[-1], 0) == ("a.example.test",)


def test_datagrams_chosen_to_meet_in_a_dict_do_not() -> None:
    lab = Lab("full", local=("2001:db8::5",), settings={"fragment_table.size": 100})
    first = f.fragment6(f.UDP, more=True) + f.udp(50000, 443, bytes(8))
    for high in range(8):
        for low in range(8):
            peer = Address(6, (2 + high * MERSENNE) << 64 | 5 + low * MERSENNE)
            lab.send(f.ethernet(f.ipv6("2001:db8::5", str(peer), first, f.FRAGMENT)))
    known = lab.path.fragments._datagrams
    assert len(known) == len({hash(key) for key in known}) == 64


def test_a_flow_that_a_bug_took_away_counts_nowhere() -> None:
    """A sink broke in the middle of a decision: the packet was denied, its flow forgotten, its attribution counted."""

    class Broken(Told):
        def flow(self, event: FlowEvent) -> None:
            raise TypeError("a bug")

    lab = Lab("full", all_events=True, sink=Broken())
    assert lab.send(hostile.TCP_FRAME) == ("deny", "policy_error")
    assert lab.engine.faults == {"policy_error": 1}
    assert lab.finish() == []
    assert lab.engine.attributed + lab.engine.unattributed == 0
