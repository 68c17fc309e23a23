"""What a reader keeps of the blocks that name processes: uninterpreted, in order, bounded, and only if asked."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from agent.capture import notes as module
from agent.capture.notes import LOST, SECTION, Note
from agent.capture.reader import open_capture
from tests.capture.crafted import FRAME, block, interface, option, packet, section

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
SYSTEMD, NAMES, STATISTICS = 9, 4, 5


def custom(order: str = "<", *, kind: int = 0xBAD, number: int = 32622, entry: int = 3) -> bytes:
    return block(kind, struct.pack(order + "I", number) + struct.pack("<III", entry, 4, 77), order)


def noted(path: Path, content: bytes) -> tuple[list[Note], int, list[str]]:
    """The notes of a file of these bytes, its packets, its faults."""
    path.write_bytes(content)
    notes: list[Note] = []
    packets = 0
    with open_capture(str(path), notes=True) as reader:
        while (batch := reader.next_batch()) is not None:
            notes += reader.take_notes()
            packets += batch.count
        notes += reader.take_notes()
        return notes, packets, reader.errors


@ORDERS
def test_blocks_that_name_processes_are_kept_as_they_are(tmp_path: Path, order: str) -> None:
    head = section(order, options=option(4, b"ptcpdump 1", order) + option(257, bytes(16), order))
    apple = block(0x80000001, struct.pack(order + "I", 5) + option(2, b"curl", order), order)
    hone = block(0x101, bytes(12), order) + block(0x102, bytes(16), order)
    kept = custom(order) + custom(order, kind=0x40000BAD)
    content = head + interface(1, order) + apple + packet(order=order) + kept + packet(order=order) * 2 + hone
    found, packets, errors = noted(tmp_path / "made", content)
    assert packets == 3
    assert errors == []
    big = order == ">"
    assert found == [
        Note(0, 0, SECTION, head[8:-4], big),
        Note(0, 0, 0x80000001, apple[8:-4], big),
        Note(1, 0, 0xBAD, custom(order)[8:-4], big),
        Note(1, 0, 0x40000BAD, custom(order)[8:-4], big),
        Note(3, 0, 0x101, bytes(12), big),
        Note(3, 0, 0x102, bytes(16), big),
    ]


@ORDERS
def test_other_blocks_are_skipped_as_before(tmp_path: Path, order: str) -> None:
    others = custom(order, number=1) + custom(order, entry=99) + block(0xBAD, struct.pack(order + "I", 32622), order)
    others += block(0xBAD, custom("<" if order == ">" else ">")[8:-4], order)  # its number in the wrong order
    others += b"".join(block(kind, bytes(16), order) for kind in (SYSTEMD, NAMES, STATISTICS, 0x80000002, 7))
    found, packets, errors = noted(
        tmp_path / "made", section(order) + interface(1, order) + others + packet(order=order)
    )
    assert ([note.kind for note in found], packets, errors) == ([SECTION], 1, [])


def test_sections_are_numbered_and_have_their_own_order(tmp_path: Path) -> None:
    parts = [section(order) + interface(1, order) + packet(order=order) + custom(order) for order in ("<", ">", ">")]
    found, packets, _ = noted(tmp_path / "made", b"".join(parts))
    assert packets == 3
    assert [(note.packets, note.section, note.big_endian) for note in found if note.kind == 0xBAD] == [
        (1, 0, False),
        (2, 1, True),
        (3, 2, True),
    ]


def test_places_hold_over_many_batches(tmp_path: Path) -> None:
    content = section() + interface() + (packet() * 7 + custom()) * 5000
    found, packets, _ = noted(tmp_path / "made", content)
    assert packets == 35_000
    assert [note.packets for note in found[1:]] == list(range(7, 35_001, 7))


def test_compressed_captures_have_notes_too(tmp_path: Path) -> None:
    found, _, _ = noted(tmp_path / "made", gzip.compress(section() + interface() + packet() + custom()))
    assert [note.kind for note in found] == [SECTION, 0xBAD]


@pytest.mark.parametrize("limit", ["MAX_NOTES", "MAX_BYTES"])
def test_blocks_beyond_the_bound_are_counted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    size = len(section()) + 2 * len(custom())
    monkeypatch.setattr(module, limit, 3 if limit == "MAX_NOTES" else size)
    found, packets, errors = noted(tmp_path / "made", section() + interface() + custom() * 7 + packet() + section())
    assert [note.kind for note in found] == [SECTION, 0xBAD, 0xBAD, LOST]
    assert packets == 1
    assert len(errors) == 1
    assert "(5 times)" in errors[0]


def test_nothing_is_kept_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.write_bytes(section() + interface() + custom() * 3 + packet())
    with open_capture(str(path)) as reader:
        batch = reader.next_batch()
        assert batch is not None
        assert bytes(batch.frame(0)) == FRAME
        assert reader.take_notes() == []
        assert reader.errors == []
