"""The reader on captures made byte by byte: every kind of container, every lie, every end."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.capture.batch import INBOUND, OUTBOUND, Interface
from agent.capture.reader import open_capture
from agent.model.address import parse_address
from agent.model.errors import CaptureError
from tests.capture.crafted import (
    CRAFTED,
    FRAME,
    SECOND,
    START,
    block,
    drain,
    interface,
    old_packet,
    option,
    packet,
    pcap_header,
    read,
    record,
    section,
    simple_packet,
)

ORDERS = pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
LARGEST_BLOCK = 16 << 20


@ORDERS
@pytest.mark.parametrize(
    ("magic", "unit", "extra"),
    [(0xA1B2C3D4, 1000, b""), (0xA1B23C4D, 1, b""), (0xA1B2CD34, 1000, bytes(8))],
    ids=["microseconds", "nanoseconds", "modified"],
)
def test_pcap_of_either_order_and_unit(tmp_path: Path, order: str, magic: int, unit: int, extra: bytes) -> None:
    content = pcap_header(order=order, magic=magic, link=101, snaplen=65_535)
    content += record(FRAME[:21], order=order, fraction=7, original=1500, extra=extra)
    content += record(b"", order=order, seconds=0xFFFFFFFF, extra=extra)
    outcome = read(tmp_path, content)
    assert outcome.frames == [FRAME[:21], b""]
    assert outcome.times == [START * SECOND + 7 * unit, 0xFFFFFFFF * SECOND]
    assert [packet.original for packet in outcome.packets] == [1500, 0]
    assert outcome.interfaces == [Interface(link_type=101, snaplen=65_535)]
    assert (outcome.truncated, outcome.errors) == (False, [])


def test_subsecond_of_a_second_or_more_carries_over(tmp_path: Path) -> None:
    content = pcap_header(magic=0xA1B23C4D) + record(fraction=SECOND) + record(fraction=0xFFFFFFFF)
    assert read(tmp_path, content).times == [(START + 1) * SECOND, START * SECOND + 0xFFFFFFFF]


@pytest.mark.parametrize(
    ("link", "captured", "kept", "original"),
    [
        (0x24000001, 60, 56, 56),
        (0x24000001, 58, 56, 56),
        (0x24000001, 40, 40, 56),
        (0x14000001, 60, 58, 58),
        (0x20000001, 60, 60, 60),
        (0xF4000001, 20, 20, 30),
    ],
    ids=["four bytes", "half of it cut", "cut before it", "two bytes", "length not declared present", "thirty bytes"],
)
def test_declared_frame_check_sequence_is_stripped(
    tmp_path: Path, link: int, captured: int, kept: int, original: int
) -> None:
    outcome = read(tmp_path, pcap_header(link=link) + record(FRAME[:captured], original=60))
    assert [(len(packet.frame), packet.original, packet.link) for packet in outcome.packets] == [(kept, original, 1)]


def test_frame_shorter_than_its_frame_check_sequence_is_empty(tmp_path: Path) -> None:
    outcome = read(tmp_path, pcap_header(link=0x24000001) + record(b"abc"))
    assert [(packet.frame, packet.original) for packet in outcome.packets] == [(b"", 0)]


def test_captured_length_above_the_original_raises_the_original(tmp_path: Path) -> None:
    assert read(tmp_path, pcap_header() + record(original=4)).packets[0].original == len(FRAME)


def test_reserved_bits_of_the_link_field_are_no_link_type(tmp_path: Path) -> None:
    outcome = read(tmp_path, pcap_header(link=0x30000095) + record())
    assert outcome.packets[0].link == 149
    assert outcome.frames == [FRAME]


@ORDERS
def test_pcapng_packet_with_direction_comment_and_nanoseconds(tmp_path: Path, order: str) -> None:
    options = option(1, b"why", order) + option(2, struct.pack(order + "I", 2), order) + bytes(4)
    content = section(order) + interface(276, order, options=option(9, b"\x09", order))
    content += packet(FRAME[:5], order, stamp=START * SECOND + 1, original=99, options=options)
    outcome = read(tmp_path, content)
    (only,) = outcome.packets
    assert (only.time, only.frame, only.original, only.link) == (START * SECOND + 1, FRAME[:5], 99, 276)
    assert only.direction == OUTBOUND
    assert only.options == options


@pytest.mark.parametrize(
    ("flags", "direction"), [(0, 0), (1, INBOUND), (2, OUTBOUND), (3, 0), (0xFFFFFE1D, INBOUND)], ids=str
)
def test_direction_is_the_low_two_bits_of_the_flags(tmp_path: Path, flags: int, direction: int) -> None:
    content = section() + interface() + packet(options=option(2, struct.pack("<I", flags)))
    assert read(tmp_path, content).packets[0].direction == direction


@pytest.mark.parametrize(
    "options",
    [
        struct.pack("<HHI", 1, 400, 2),
        struct.pack("<HHI", 0, 0, 0x00040002) + struct.pack("<I", 2),
        option(2, b"\x02\x00"),
        struct.pack("<HH", 2, 4),
        b"\x02\x00",
    ],
    ids=["overruns", "behind the end", "wrong size", "value missing", "half a header"],
)
def test_damaged_packet_options_give_no_direction_and_keep_the_packet(tmp_path: Path, options: bytes) -> None:
    content = section() + interface() + packet(options=options + bytes(-len(options) % 4)) + packet(FRAME[:1])
    outcome = read(tmp_path, content)
    assert outcome.frames == [FRAME, FRAME[:1]]
    assert outcome.packets[0].direction == 0
    assert outcome.errors == []


@ORDERS
@pytest.mark.parametrize(
    ("resolution", "stamp", "expected"),
    [
        (None, START * 1_000_000 + 1, START * SECOND + 1000),
        (0, START, START * SECOND),
        (3, START * 1000 + 5, START * SECOND + 5_000_000),
        (9, START * SECOND + 5, START * SECOND + 5),
        (12, 5_999, 5),
        (19, 10**19, SECOND),
        (40, (1 << 64) - 1, 0),
        (0x80, START, START * SECOND),
        (0x80 | 10, START * 1024 + 512, START * SECOND + SECOND // 2),
        (0x80 | 32, (START << 32) + (1 << 31), START * SECOND + SECOND // 2),
        (0x80 | 63, (1 << 63) + (1 << 62), 1_500_000_000),
        (0xFF, (1 << 64) - 1, 0),
        (0, (1 << 64) - 1, (1 << 64) - 1),
        (6, (1 << 64) - 1, (1 << 64) - 1),
    ],
    ids=lambda value: hex(value) if isinstance(value, int) else "default",
)
def test_every_time_resolution(tmp_path: Path, order: str, resolution: int | None, stamp: int, expected: int) -> None:
    """Powers of ten and of two; what does not fit 64 bits of nanoseconds is clamped."""
    options = b"" if resolution is None else option(9, bytes([resolution]), order)
    content = section(order) + interface(1, order, options=options) + packet(order=order, stamp=stamp)
    assert read(tmp_path, content).times == [expected]


@ORDERS
@pytest.mark.parametrize(
    ("offset", "expected"),
    [(10, START + 10), (-10, START - 10), (-(1 << 63), 0), ((1 << 63) - 1, None)],
    ids=["later", "earlier", "clamped at 1970", "clamped at the end"],
)
def test_time_offset_is_added(tmp_path: Path, order: str, offset: int, expected: int | None) -> None:
    options = option(14, struct.pack(order + "q", offset), order)
    content = section(order) + interface(1, order, options=options) + packet(order=order)
    assert read(tmp_path, content).times == [(1 << 64) - 1 if expected is None else expected * SECOND]


@ORDERS
def test_each_section_restarts_interfaces_and_byte_order(tmp_path: Path, order: str) -> None:
    other = {"<": ">", ">": "<"}[order]
    content = section(order) + interface(1, order) + packet(b"one", order)
    content += section(other) + interface(101, other) + packet(b"two", other) + packet(b"lost", other, number=1)
    outcome = read(tmp_path, content)
    assert [(packet.frame, packet.link, packet.interface) for packet in outcome.packets] == [
        (b"one", 1, 0),
        (b"two", 101, 1),
    ]
    assert [declared.link_type for declared in outcome.interfaces] == [1, 101]
    assert len(outcome.errors) == 1
    assert "no block declares" in outcome.errors[0]


def test_a_batch_has_options_of_one_byte_order(tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.write_bytes(CRAFTED["pcapng-both"])
    orders = []
    with open_capture(str(path)) as reader:
        while (batch := reader.next_batch()) is not None:
            orders.append(batch.big_endian)
    assert sorted(set(orders)) == [False, True]
    assert orders == sorted(orders)


def test_a_section_that_declares_the_same_again_adds_no_interface(tmp_path: Path) -> None:
    part = section() + interface(options=option(2, b"eth0")) + interface() + packet(number=1)
    outcome = read(tmp_path, part * 3)
    assert len(outcome.interfaces) == 2
    assert [packet.interface for packet in outcome.packets] == [1, 1, 1]


def test_interfaces_may_be_declared_between_packets(tmp_path: Path) -> None:
    content = section() + interface(1) + packet(b"one") + interface(113) + packet(b"two", number=1) + packet(b"three")
    assert [packet.link for packet in read(tmp_path, content).packets] == [1, 113, 1]


def test_many_interfaces_in_one_section(tmp_path: Path) -> None:
    content = section() + b"".join(interface(link) for link in range(500)) + packet(number=499) + packet(number=31)
    assert [packet.link for packet in read(tmp_path, content).packets] == [499, 31]


def test_interface_name_and_addresses(tmp_path: Path) -> None:
    six = parse_address("2001:db8::5")
    options = option(2, "Wi-Fi é".encode()) + option(4, bytes([10, 0, 0, 5, 255, 0, 0, 0]))
    options += option(4, bytes(8)) + option(5, six.packed + b"\x40") + option(5, b"short") + bytes(4)
    outcome = read(tmp_path, section() + interface(options=options, snaplen=96))
    assert outcome.interfaces == [
        Interface(link_type=1, name="Wi-Fi é", addresses=(parse_address("10.0.0.5"), six), snaplen=96)
    ]


@ORDERS
def test_simple_packets_have_no_time_and_belong_to_interface_0(tmp_path: Path, order: str) -> None:
    content = section(order) + interface(101, order, snaplen=8) + interface(1, order)
    content += simple_packet(order=order) + packet(order=order, number=1) + simple_packet(b"abc", order)
    outcome = read(tmp_path, content)
    assert [(p.time, p.frame, p.original, p.link) for p in outcome.packets] == [
        (None, FRAME[:8], 60, 101),
        (START * SECOND, FRAME, 60, 1),
        (None, b"abc", 3, 101),
    ]


def test_a_packet_without_time_takes_the_last_one_seen(tmp_path: Path) -> None:
    path = tmp_path / "made"
    path.write_bytes(section() + interface() + simple_packet() + packet() + simple_packet())
    with open_capture(str(path)) as reader:
        batch = reader.next_batch()
    assert batch is not None
    assert [batch.time(index) for index in range(3)] == [0, START * SECOND, START * SECOND]
    assert [batch.has_time(index) for index in range(3)] == [False, True, False]


def test_simple_packet_is_limited_by_its_block(tmp_path: Path) -> None:
    outcome = read(tmp_path, section() + interface() + simple_packet(FRAME, original=9000))
    assert [(p.frame, p.original) for p in outcome.packets] == [(FRAME, 9000)]


@ORDERS
def test_obsolete_packet_block(tmp_path: Path, order: str) -> None:
    """Its interface number has 16 bits; the drop count beside it is no part of it."""
    content = section(order) + interface(1, order) + interface(101, order) + old_packet(order=order, number=1)
    assert [(p.time, p.frame, p.link) for p in read(tmp_path, content).packets] == [(START * SECOND, FRAME, 101)]


def test_frame_check_sequence_of_pcapng(tmp_path: Path) -> None:
    """Of the interface in bits or, as programs write it, bytes; a packet's own flags come first."""
    content = section() + interface(options=option(13, b"\x20")) + interface(options=option(13, b"\x04")) + interface()
    flags = option(2, struct.pack("<I", 2 << 5))
    content += packet() + packet(number=1) + packet(number=2) + packet(options=flags) + packet(number=2, options=flags)
    assert [len(frame) for frame in read(tmp_path, content).frames] == [56, 56, 60, 58, 58]


@pytest.mark.parametrize("kind", [4, 5, 10, 0xBAD, 0x40000BAD, 0x80000001, 0x7FFFFFFF], ids=hex)
def test_other_blocks_are_skipped(tmp_path: Path, kind: int) -> None:
    outcome = read(tmp_path, section() + interface() + block(kind, bytes(40)) + packet())
    assert outcome.frames == [FRAME]
    assert outcome.errors == []


def test_a_section_of_an_unknown_version_is_skipped(tmp_path: Path) -> None:
    content = section() + interface() + packet(b"one")
    content += section(major=2) + interface(9) + packet(b"skipped") + block(3, b"")
    outcome = read(tmp_path, content + section() + interface() + packet(b"two"))
    assert outcome.frames == [b"one", b"two"]
    assert len(outcome.errors) == 1
    assert "version" in outcome.errors[0]


def test_a_wrong_section_length_does_not_matter(tmp_path: Path) -> None:
    assert read(tmp_path, section(length=12) + interface() + packet()).frames == [FRAME]


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (block(6, bytes(32), length=0xFFFFFFFC), "claims 4294967292 bytes"),
        (block(6, bytes(32), length=LARGEST_BLOCK + 4), "claims 16777220 bytes"),
        (block(6, bytes(32), length=8), "claims 8 bytes"),
        (block(6, bytes(32), length=46), "claims 46 bytes"),
        (block(6, bytes(32), trailer=48), "ends with the length 48"),
        (block(6, bytes(16)), "only 28 bytes"),
        (block(3, b""), "only 12 bytes"),
        (block(1, b""), "only 12 bytes"),
        (packet(captured=61), "claims 61 captured bytes"),
        (packet(captured=0xFFFFFFFF), "claims 4294967295 captured bytes"),
        (packet(bytes(262_145)), "claims 262145 captured bytes"),
        (simple_packet(bytes(262_145)), "claims 262145 captured bytes"),
        (block(0x0A0D0D0A, bytes(16)), "byte-order magic"),
        (block(0x0A0D0D0A, struct.pack("<I", 0x1A2B3C4D)), "only 16 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "block",
)
def test_a_lying_block_ends_the_file_and_keeps_what_was_read(tmp_path: Path, damage: bytes, text: str) -> None:
    good = section() + interface() + packet()
    outcome = read(tmp_path, good + damage + packet())
    assert outcome.frames == [FRAME]
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(f"at byte {len(good)}: ")
    assert text in outcome.errors[0]
    assert not outcome.truncated


def test_a_lying_record_ends_the_file_and_keeps_what_was_read(tmp_path: Path) -> None:
    outcome = read(tmp_path, pcap_header() + record() + record(captured=262_145) + record())
    assert outcome.frames == [FRAME]
    assert outcome.errors == ["at byte 100: a record claims 262145 captured bytes; at most 262144 are believed"]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_a_greater_snaplen_admits_longer_frames(tmp_path: Path, kind: str) -> None:
    """And the buffer grows with them."""
    frame = os.urandom(2_000_000)
    if kind == "pcap":
        content = pcap_header(snaplen=3_000_000) + record() + record(frame) + record()
    else:
        content = section() + interface(snaplen=3_000_000) + packet() + packet(frame) + packet()
    outcome = read(tmp_path, content)
    assert outcome.frames == [FRAME, frame, FRAME]
    assert outcome.errors == []


@pytest.mark.parametrize("name", ["us-little", "pcapng-big"])
def test_a_file_cut_anywhere_keeps_its_whole_packets(tmp_path: Path, name: str) -> None:
    """Cut inside a record it says truncated; it is never an error of its own."""
    whole = CRAFTED[name]
    expected = read(tmp_path, whole, "made").packets
    cuts = 0
    for size in reversed(range(28, len(whole))):
        os.truncate(tmp_path / "made", size)
        outcome = drain(open_capture(str(tmp_path / "made")))
        assert outcome.packets == expected[: len(outcome.packets)]
        cuts += outcome.truncated
        assert all("no block declares" in error or "version" in error for error in outcome.errors)
    assert cuts > len(whole) // 2


@pytest.mark.parametrize("name", ["us-big", "pcapng-little"])
def test_stray_bytes_behind_the_last_record_are_a_truncated_tail(tmp_path: Path, name: str) -> None:
    outcome = read(tmp_path, CRAFTED[name] + b"\n")
    assert outcome.packets == read(tmp_path, CRAFTED[name]).packets
    assert outcome.truncated


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"\xd4\xc3", "not a capture, it begins with the bytes d4 c3"),
        (b"PK\x03\x04 a zip", "not a capture, it begins with the bytes 50 4b 03 04"),
        (pcap_header()[:23], "ends inside its header"),
        (pcap_header(major=1), "version 1"),
        (section()[:27], "ends inside its first block"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "byte-order magic"),
        (struct.pack("<IIII", 0x0A0D0D0A, 4, 0x1A2B3C4D, 4), "claims 4 bytes"),
        (gzip.compress(b""), "the file is empty"),
        (gzip.compress(b"text"), "not a capture"),
        (b"\x1f\x8b\x08\xff" + b"\xff" * 50, "gzip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_capture_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "made.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        open_capture(str(path))
    assert str(caught.value).startswith(f"{path}: at byte ")
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.pcap", ".", "nul\0.pcap"])
def test_what_cannot_be_opened_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(CaptureError, match="cannot open"):
        open_capture(f"{tmp_path}/{name}")


def test_names_of_files_mean_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, CRAFTED["us-little"], "x.pcapng.gz").frames == [FRAME[:size] for size in (0, 1, 14, 60)]


def test_a_claim_of_4_gib_costs_no_memory(tmp_path: Path) -> None:
    """Nor does one of the largest block believed, before its bytes come."""
    for content in (CRAFTED["lying-block"], section() + interface() + block(9, b"", length=LARGEST_BLOCK)):
        (tmp_path / "made").write_bytes(content)
        tracemalloc.start()
        try:
            drain(open_capture(str(tmp_path / "made")))
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_a_compressed_bomb_costs_no_memory(tmp_path: Path) -> None:
    """A megabyte that grows to a gigabyte of one block, of which no more than the largest block is ever held."""
    head = section() + interface() + packet() + struct.pack("<II", 9, LARGEST_BLOCK)
    zeros = gzip.compress(bytes(1 << 26), compresslevel=1)
    (tmp_path / "made").write_bytes(gzip.compress(head) + zeros * 4)
    tracemalloc.start()
    try:
        outcome = drain(open_capture(str(tmp_path / "made")))
        assert tracemalloc.get_traced_memory()[1] < 3 * LARGEST_BLOCK
    finally:
        tracemalloc.stop()
    assert outcome.frames == [FRAME]
    assert "ends with the length 0" in outcome.errors[0]


def test_declarations_of_a_bomb_are_bounded(tmp_path: Path) -> None:
    many = b"".join(option(4, struct.pack(">II", 0x0A000000 + n, 0)) for n in range(1, 3000))
    outcome = read(tmp_path, section() + interface(options=many) + interface(options=many) + packet(number=1))
    assert [len(declared.addresses) for declared in outcome.interfaces] == [2999, 0]
    assert outcome.frames == [FRAME]
    assert "4096" in outcome.errors[0]


def test_more_interfaces_than_a_record_can_name_end_the_file(tmp_path: Path) -> None:
    content = section() + b"".join(interface(n & 0xFFFF) for n in range(65_537)) + packet()
    outcome = read(tmp_path, content)
    assert len(outcome.interfaces) == 65_536
    assert "more than 65536 interfaces" in outcome.errors[0]


def test_batches_are_bounded_and_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(pcap_header() + b"".join(record(b"", seconds=n) for n in range(40_000)))
    times, largest = [], 0
    with open_capture(str(path)) as reader:
        while (batch := reader.next_batch()) is not None:
            times += [batch.time(index) for index in range(batch.count)]
            largest = max(largest, batch.count)
    assert times == [n * SECOND for n in range(40_000)]
    assert largest <= 16_384


def test_a_copied_batch_outlives_the_next(tmp_path: Path) -> None:
    path = tmp_path / "large.pcap"
    path.write_bytes(pcap_header() + b"".join(record(bytes([n % 256]) * 1400, seconds=n) for n in range(2000)))
    kept = []
    with open_capture(str(path)) as reader:
        while (batch := reader.next_batch()) is not None:
            kept.append(batch.copy())
    assert len(kept) > 1
    frames = [bytes(batch.frame(index)) for batch in kept for index in range(batch.count)]
    assert frames == [bytes([n % 256]) * 1400 for n in range(2000)]


def test_progress_counts_bytes_of_the_file_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "made.gz"
    path.write_bytes(gzip.compress(CRAFTED["us-little"]))
    reader = open_capture(str(path))
    drain(reader)
    assert reader.bytes_read == reader.bytes_total == path.stat().st_size


def test_a_live_pipe_gives_packets_as_they_come() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, pcap_header() + record(b"one"))
        reader = open_capture(f"/dev/fd/{reading}")
        assert reader.bytes_total is None
        first = reader.next_batch()
        assert first is not None
        assert bytes(first.frame(0)) == b"one"
        os.write(writing, record(b"two")[:10])
        os.write(writing, record(b"two")[10:])
        second = reader.next_batch()
        assert second is not None
        assert bytes(second.frame(0)) == b"two"
        os.close(writing)
        writing = -1
        assert reader.next_batch() is None
        assert not reader.truncated_tail
        reader.close()
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input(root: Path, pack: Callable[[bytes], bytes]) -> None:
    code = "from tests.capture.crafted import *; print(len(drain(open_capture('-')).packets))"
    done = subprocess.run(
        [sys.executable, "-c", code], input=pack(CRAFTED["us-little"]), capture_output=True, cwd=root, check=True
    )
    assert done.stdout == b"4\n"


@pytest.mark.parametrize(
    "convert",
    [
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\n\r", b"\r"),
    ],
    ids=["to DOS", "from DOS", "from a teletype"],
)
def test_a_transfer_in_text_mode_is_named(tmp_path: Path, convert: Callable[[bytes], bytes]) -> None:
    """The first block's type was chosen so that this shows (draft-ietf-opsawg-pcapng, 4.1)."""
    with pytest.raises(CaptureError, match="a transfer in text mode has damaged: copy it again in binary mode"):
        read(tmp_path, convert(section() + interface() + packet()))
    good = section() + interface() + packet()
    outcome = read(tmp_path, good + convert(section()) + bytes(100))
    assert outcome.frames == [FRAME]
    assert len(outcome.errors) == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_closed_reader_keeps_what_it_said_and_none_of_its_memory(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    """A folder of thousands of captures is read one by one, and all are in the summary."""
    path = tmp_path / "made"
    path.write_bytes(pack((section() + interface() + packet(os.urandom(60_000)) * 40)[:-4]))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with open_capture(str(path)) as reader:
            while reader.next_batch() is not None:
                pass
            assert tracemalloc.get_traced_memory()[0] - before > 500_000
        assert tracemalloc.get_traced_memory()[0] - before < 50_000
    finally:
        tracemalloc.stop()
    assert reader.truncated_tail
    assert len(reader.interfaces) == 1
    assert reader.next_batch() is None
