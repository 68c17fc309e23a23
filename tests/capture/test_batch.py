"""The layout of record words."""

from __future__ import annotations

from array import array

from agent.capture.batch import NO_TIME, OUTBOUND, Batch

DATA = b"____frame-1____frame-two__optionsGARBAGE"
WORDS = [
    *(10, 4, 7 << 32 | 60, 1 | 3 << 16 | NO_TIME, 0),
    *((1 << 64) - 1, 15, 9 << 32 | 0xFFFFFFFF, 0xFFFF | 0xFFFF << 16 | OUTBOUND << 32, 26 << 32 | 7),
    *(5, 5, 5, 5, 5),
]


def made() -> Batch:
    return Batch(bytearray(DATA), array("Q", WORDS), 2, big_endian=True, source=4)


def test_every_field_of_a_record() -> None:
    batch = made()
    assert [batch.time(0), batch.time(1)] == [10, (1 << 64) - 1]
    assert [batch.has_time(0), batch.has_time(1)] == [False, True]
    assert [bytes(batch.frame(0)), bytes(batch.frame(1))] == [b"frame-1", b"frame-two"]
    assert [batch.original_length(0), batch.original_length(1)] == [60, 0xFFFFFFFF]
    assert [batch.link_type(0), batch.link_type(1)] == [1, 0xFFFF]
    assert [batch.interface(0), batch.interface(1)] == [3, 0xFFFF]
    assert [batch.direction_flag(0), batch.direction_flag(1)] == [0, OUTBOUND]
    assert [bytes(batch.options(0)), bytes(batch.options(1))] == [b"", b"options"]


def test_a_copy_has_its_own_memory_and_no_more_than_it_needs() -> None:
    batch = made()
    copied = batch.copy()
    batch.data[:] = bytes(len(batch.data))  # type: ignore[index]
    batch.records[0] = 99
    assert bytes(copied.data) == DATA[:33]
    assert list(copied.records) == WORDS[:10]
    assert (copied.count, copied.big_endian, copied.source) == (2, True, 4)


def test_a_copy_of_an_empty_batch() -> None:
    assert Batch(b"abc", array("Q"), 0).copy().data == b""


def test_a_copy_leaves_out_what_lies_far_before_its_first_frame() -> None:
    """Merged captures come in batches of a packet or two, each pointing into a large buffer."""
    before = 1 << 20
    words = array("Q", WORDS)
    for place in (0, 5):
        words[place + 1] += before
    words[9] += before << 32
    copied = Batch(bytes(before) + DATA, words, 2).copy()
    assert len(copied.data) == 29
    assert [bytes(copied.frame(0)), bytes(copied.frame(1))] == [b"frame-1", b"frame-two"]
    assert [bytes(copied.options(0)), bytes(copied.options(1))] == [b"", b"options"]
