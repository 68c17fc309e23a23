"""Compressed captures: every kind, several members, cut and damaged ends, and no more memory than a piece."""

from __future__ import annotations

import gzip
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from agent.capture.decoders import DamagedError, format_of
from agent.capture.reader import open_capture
from agent.capture.streams import CountedFile, InflatedStream, PlainStream, open_stream
from agent.model.errors import CaptureError
from tests.capture.crafted import CRAFTED, pcap_header, read, record

Pack = Callable[[bytes], bytes]

PACK: dict[str, Pack] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lambda data: lzma.compress(data, preset=0),
    "zstd": zstandard.compress,
    "zstd with checksum": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "zstd of unknown size": lambda data: zstandard.ZstdCompressor(write_content_size=False).compress(data),
    "zstd at level 19": lambda data: zstandard.ZstdCompressor(level=19).compress(data),
}
EACH = pytest.mark.parametrize("pack", PACK.values(), ids=PACK)
_DICE = random.Random(7)
CAPTURE = pcap_header() + b"".join(record(_DICE.randbytes(n % 1400), seconds=n) for n in range(1500))
"""A megabyte that hardly compresses: several pieces of any decoder, and a place inside is the same place outside."""


Stream = PlainStream | InflatedStream
Open = Callable[[bytes], Stream]


@pytest.fixture
def stream_of(tmp_path: Path) -> Iterator[Open]:
    """`stream_of(content)`: the stream inside a file of these bytes."""
    files: list[CountedFile] = []

    def opened(content: bytes) -> Stream:
        path = tmp_path / f"packed{len(files)}"
        path.write_bytes(content)
        files.append(CountedFile(str(path)))
        stream = open_stream(files[-1])
        assert isinstance(stream, PlainStream | InflatedStream)
        return stream

    yield opened
    for file in files:
        file.close()


def content_of(stream: Stream, size: int = 65_536) -> bytes:
    target, content = bytearray(size), b""
    while got := stream.readinto(memoryview(target)):
        content += target[:got]
    return content


@EACH
def test_a_compressed_capture_reads_like_the_plain_one(tmp_path: Path, pack: Pack) -> None:
    outcome = read(tmp_path, pack(CAPTURE))
    assert outcome.packets == read(tmp_path, CAPTURE).packets
    assert len(outcome.packets) == 1500
    assert (outcome.truncated, outcome.errors) == (False, [])


@EACH
@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_targets_of_any_size(stream_of: Open, pack: Pack, size: int) -> None:
    content = CAPTURE if size > 7 else CAPTURE[:20_000]
    assert content_of(stream_of(pack(content)), size) == content


@EACH
@pytest.mark.parametrize("padding", [b"", bytes(512)], ids=["side by side", "padded"])
def test_members_in_a_row_are_one_stream(stream_of: Open, pack: Pack, padding: bytes) -> None:
    members = [pack(CAPTURE[:1000]), pack(b""), pack(CAPTURE[1000:1001]), pack(CAPTURE[1001:])]
    stream = stream_of(padding.join(members) + padding)
    assert content_of(stream) == CAPTURE
    assert (stream.truncated, stream.fault) == (False, None)


def test_skippable_frames_of_zstd_are_skipped(stream_of: Open) -> None:
    skipped = b"\x5a\x2a\x4d\x18" + (70_000).to_bytes(4, "little") + bytes(70_000)
    empty = b"\x50\x2a\x4d\x18" + bytes(4)
    stream = stream_of(skipped + zstandard.compress(CAPTURE) + empty + skipped)
    assert content_of(stream) == CAPTURE
    assert (stream.truncated, stream.fault) == (False, None)


@EACH
@pytest.mark.parametrize("lost", [1, 100_000], ids=["a byte", "a tenth"])
def test_a_cut_file_gives_what_it_holds_and_says_truncated(stream_of: Open, pack: Pack, lost: int) -> None:
    stream = stream_of(pack(CAPTURE)[:-lost])
    content = content_of(stream)
    assert CAPTURE.startswith(content)
    assert len(content) > len(CAPTURE) * 3 // 4
    assert (stream.truncated, stream.fault) == (True, None)


@EACH
def test_a_member_cut_at_the_end_of_its_data_is_still_truncated(tmp_path: Path, pack: Pack) -> None:
    """The capture inside is whole and ends with a record; the file that holds it does not end rightly."""
    outcome = read(tmp_path, pack(CAPTURE)[:-1])
    assert outcome.truncated
    assert outcome.errors == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_cut_header_of_a_second_member(stream_of: Open, cut: int) -> None:
    stream = stream_of(gzip.compress(CAPTURE) + gzip.compress(b"more")[:cut])
    assert content_of(stream) == CAPTURE
    assert stream.truncated == (cut >= 2)


@EACH
def test_damage_keeps_what_came_before_it(tmp_path: Path, pack: Pack) -> None:
    """What the damaged bytes themselves become only a checksum can tell; a plain zstd frame has none."""
    packed = bytearray(pack(CAPTURE))
    place = len(packed) * 3 // 4
    packed[place : place + 64] = b"\xff" * 64
    outcome = read(tmp_path, bytes(packed))
    before = 1200
    assert outcome.packets[:before] == read(tmp_path, CAPTURE).packets[:before]
    assert len(outcome.packets) >= before
    if pack in (PACK["gzip"], PACK["xz"], PACK["zstd with checksum"]):
        assert len(outcome.errors) == 1


def test_a_wrong_checksum_of_gzip_loses_no_packet(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(CRAFTED["us-little"]))
    packed[-5] ^= 1
    outcome = read(tmp_path, bytes(packed))
    assert outcome.packets == read(tmp_path, CRAFTED["us-little"]).packets
    assert len(outcome.errors) == 1
    assert "damaged gzip data" in outcome.errors[0]


def test_a_decoder_gives_all_before_the_damage_and_then_says_so() -> None:
    compressor = zlib.compressobj(wbits=31)
    packed = compressor.compress(bytes(50_000)) + compressor.flush(zlib.Z_FULL_FLUSH) + b"\xff\xff"
    kind = format_of(packed)
    assert kind is not None
    decoder = kind.decoder()
    assert len(decoder.decompress(packed, 1 << 20)) == 50_000
    assert not decoder.needs_input
    with pytest.raises(DamagedError):
        decoder.decompress(b"", 1 << 20)


@EACH
def test_bytes_behind_the_compressed_data_are_said_to_be_ignored(tmp_path: Path, pack: Pack) -> None:
    outcome = read(tmp_path, pack(CAPTURE) + b"not compressed")
    assert len(outcome.packets) == 1500
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(f"at byte {len(CAPTURE)}: bytes behind the ")


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd"])
def test_a_bomb_is_read_in_bounded_memory(stream_of: Open, name: str) -> None:
    packed = PACK[name](bytes(64 << 20))
    assert len(packed) < 100_000
    stream = stream_of(packed)
    target, total = bytearray(65_536), 0
    tracemalloc.start()
    try:
        while got := stream.readinto(memoryview(target)):
            total += got
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert total == 64 << 20


def test_a_zstd_window_beyond_the_bound_is_refused(tmp_path: Path) -> None:
    """A frame of a few bytes may ask for gigabytes of history."""
    header = b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([21 << 3])
    (tmp_path / "packed").write_bytes(header + b"\x01\x00\x00")
    with pytest.raises(CaptureError, match="damaged zstd data"):
        open_capture(str(tmp_path / "packed"))


def test_a_plain_file_is_handed_through(stream_of: Open) -> None:
    stream = stream_of(CAPTURE[:1000])
    assert isinstance(stream, PlainStream)
    assert content_of(stream, 3) == CAPTURE[:1000]


def test_errors_of_a_compressed_capture_are_placed_in_the_uncompressed_one(tmp_path: Path) -> None:
    content = pcap_header() + record() + record(captured=1 << 30)
    assert read(tmp_path, gzip.compress(content)).errors[0].startswith("at byte 100: ")
