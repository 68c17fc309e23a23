"""Lines of plain, gzip and zstd files, and everything that can be wrong with those."""

from __future__ import annotations

import gzip
import os
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from agent.attribution.textfile import CHUNK, MAX_LINE, TextFile
from agent.model.errors import AttributionError

PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def lines_of(path: Path) -> list[tuple[int, bytes, bool]]:
    with TextFile(str(path)) as file:
        return list(file.lines())


@pytest.fixture(params=PACKINGS)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    """Writes text as a plain, gzip or zstd file whose name does not say which."""

    def write(text: bytes) -> Path:
        path = tmp_path / "file.log"
        path.write_bytes(PACKINGS[request.param](text))
        return path

    return write


def test_lines_are_numbered_and_blank_ones_left_out(packed: Callable[[bytes], Path]) -> None:
    path = packed(b"one\n\n  \ntwo\r\nthree")
    assert lines_of(path) == [(1, b"one", True), (4, b"two\r", True), (5, b"three", False)]


def test_lines_are_whole_across_reads(packed: Callable[[bytes], Path]) -> None:
    """Many times more text than one read gives, in lines of every length."""
    expected = [str(n).encode() * (n % 400 + 1) for n in range(3000)]
    text = b"\n".join(expected) + b"\n"
    assert len(text) > 4 * CHUNK
    assert lines_of(packed(text)) == [(n + 1, line, True) for n, line in enumerate(expected)]


def test_text_without_lines_comes_in_pieces(packed: Callable[[bytes], Path]) -> None:
    """What is not written in lines may be one line of any length."""
    text = os.urandom(3 * CHUNK) + bytes(2 * MAX_LINE)
    with TextFile(str(packed(text))) as file:
        assert text.startswith(file.head())
        assert b"".join(file.chunks()) == text


def test_pieces_of_utf_16_come_as_utf_8(packed: Callable[[bytes], Path]) -> None:
    with TextFile(str(packed("<Evénts/>".encode("utf-16")))) as file:
        assert b"".join(file.chunks()).decode() == "<Evénts/>"


def test_looking_ahead_takes_nothing(packed: Callable[[bytes], Path]) -> None:
    with TextFile(str(packed(b"\n \none\ntwo\n"))) as file:
        assert file.first_line() == b"one"
        assert file.head() == b"\n \none\ntwo\n"
        assert [line for _, line, _ in file.lines()] == [b"one", b"two"]


def test_an_empty_file_has_no_lines(packed: Callable[[bytes], Path]) -> None:
    path = packed(b"")
    assert lines_of(path) == []
    with TextFile(str(path)) as file:
        assert file.first_line() == b""


def test_a_byte_order_mark_is_no_part_of_the_first_line(packed: Callable[[bytes], Path]) -> None:
    path = packed(b"\xef\xbb\xbfone\n")
    assert lines_of(path) == [(1, b"one", True)]
    with TextFile(str(path)) as file:
        assert file.first_line() == b"one"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_with_a_mark_comes_out_as_utf_8(packed: Callable[[bytes], Path], encoding: str) -> None:
    """What PowerShell's `>` and Out-File write."""
    path = packed("\ufeffäone\r\n\r\n\U0001f600two\r\nthree".encode(encoding))
    assert lines_of(path) == [(1, "äone\r".encode(), True), (3, "\U0001f600two\r".encode(), True), (4, b"three", False)]
    with TextFile(str(path)) as file:
        assert file.first_line() == "äone".encode()
        assert b"".join(file.chunks()) == "äone\r\n\r\n\U0001f600two\r\nthree".encode()
        assert not file.truncated


def test_utf_16_is_decoded_across_reads(packed: Callable[[bytes], Path]) -> None:
    """Characters of two and of four bytes fall on every border between reads."""
    expected = ["x\U0001f600é"[n % 3 :] * (n % 200 + 1) for n in range(3000)]
    text = "\n".join(expected) + "\n"
    assert len(text) * 2 > 4 * CHUNK
    assert lines_of(packed(b"\xff\xfe" + text.encode("utf-16-le"))) == [
        (n + 1, line.encode(), True) for n, line in enumerate(expected)
    ]


def test_half_a_utf_16_character_makes_one_line_no_utf_8(tmp_path: Path) -> None:
    """A surrogate without its other half: that line is broken, the file is not."""
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe" + "one\na".encode("utf-16-le") + b"\x00\xd8" + "\ntwo\n".encode("utf-16-le"))
    lines = [line for _, line, _ in lines_of(path)]
    assert (lines[0], lines[2]) == (b"one", b"two")
    with pytest.raises(UnicodeDecodeError):
        lines[1].decode()


def test_utf_16_that_ends_inside_a_character_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"\xff\xfe" + "one\ntwo".encode("utf-16-le")[:-1])
    with TextFile(str(path)) as file:
        assert [line for _, line, _ in file.lines()] == [b"one", b"tw"]
        assert file.truncated


@pytest.mark.parametrize("text", [b"\xff", b"\xff\xfe", b"\xff\xfea", b"\xef\xbb", b"\xef\xbb\xbf", b"\xfe\xff\x00"])
def test_beginnings_of_marks_alone_are_no_lines_of_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(text)
    expected = [(1, text, False)] if text in (b"\xff", b"\xef\xbb") else []
    assert lines_of(path) == expected


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_several_compressed_parts_are_one_text(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "parts"
    path.write_bytes(PACKINGS[pack](b"one\ntw") + PACKINGS[pack](b"") + PACKINGS[pack](b"o\n"))
    assert lines_of(path) == [(1, b"one", True), (2, b"two", True)]


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_compressed_data_that_ends_early_gives_what_it_holds(tmp_path: Path, pack: str) -> None:
    expected = [os.urandom(40).hex().encode() for _ in range(20_000)]
    whole = PACKINGS[pack](b"\n".join(expected) + b"\n")
    path = tmp_path / "cut"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with TextFile(str(path)) as file:
        found = [line for _, line, complete in file.lines() if complete]
        assert file.truncated
    assert len(found) > 5_000
    assert found == expected[: len(found)]


def test_a_whole_file_is_not_truncated(packed: Callable[[bytes], Path]) -> None:
    with TextFile(str(packed(b"one\n"))) as file:
        assert len(list(file.lines())) == 1
        assert not file.truncated


@pytest.mark.parametrize("pack", ["gzip", "zstd"])
def test_damaged_compressed_data_is_an_error(tmp_path: Path, pack: str) -> None:
    """One bit of the checksum is wrong: nothing of such a file is believed."""
    checked = zstandard.ZstdCompressor(write_checksum=True).compress
    data = bytearray((gzip.compress if pack == "gzip" else checked)(b"one\ntwo\n" * 1000))
    data[-5 if pack == "gzip" else -1] ^= 1
    path = tmp_path / "damaged"
    path.write_bytes(data)
    with pytest.raises(AttributionError, match=r"damaged: damaged compressed data after \d+ bytes"):
        lines_of(path)


@pytest.mark.parametrize("pack", PACKINGS)
def test_a_line_without_end_costs_no_memory(tmp_path: Path, pack: str) -> None:
    path = tmp_path / "zeros"
    size = 64 * MAX_LINE
    path.write_bytes(PACKINGS[pack](b"fine\n" + bytes(size)))
    tracemalloc.start()
    try:
        with TextFile(str(path)) as file, pytest.raises(AttributionError, match=f"line 2: is longer than {MAX_LINE}"):
            list(file.lines())
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize("fill", [b"\0", b"a", b'{"a":'], ids=["nul", "letter", "json"])
def test_long_lines_are_left_out_and_told(tmp_path: Path, pack: str, fill: bytes) -> None:
    """Every other line is there under its own number, and memory stays bounded."""
    path = tmp_path / "long"
    long = fill * (30 * MAX_LINE // len(fill))
    path.write_bytes(
        PACKINGS[pack](
            b"one\n" + long + b"\nthree\n\n" + long + b"\n" + long[:MAX_LINE] + b"\nseven\n" + long[: 2 * MAX_LINE]
        )
    )
    told: list[tuple[int, str]] = []
    tracemalloc.start()
    try:
        with TextFile(str(path)) as file:
            found = [(number, line[:9]) for number, line, _ in file.lines(lambda *line: told.append(line))]
        assert tracemalloc.get_traced_memory()[1] < 48 * MAX_LINE
    finally:
        tracemalloc.stop()
    assert found == [(1, b"one"), (3, b"three"), (6, long[:9]), (7, b"seven")]
    assert told == [(number, f"is longer than {MAX_LINE} bytes") for number in (2, 5, 8)]


@pytest.mark.parametrize("pack", PACKINGS)
@pytest.mark.parametrize(("extra", "kept"), [(0, True), (1, False)])
def test_the_longest_line_is_the_same_however_it_is_read(tmp_path: Path, pack: str, extra: int, kept: bool) -> None:
    path = tmp_path / "edge"
    path.write_bytes(PACKINGS[pack](b"one\n" + b"x" * (MAX_LINE + extra) + b"\nthree"))
    told: list[int] = []
    with TextFile(str(path)) as file:
        numbers = [number for number, _, _ in file.lines(lambda number, _: told.append(number))]
    assert (numbers, told) == (([1, 2, 3], []) if kept else ([1, 3], [2]))


@pytest.mark.slow
def test_a_bomb_of_short_lines_is_refused(tmp_path: Path) -> None:
    """Records cost memory each: a small file must not become millions of them."""
    path = tmp_path / "bomb"
    path.write_bytes(PACKINGS["zstd"]((b" " * 1000 + b"\n") * 120_000))
    with pytest.raises(AttributionError, match="expands to more than 250 times its size"):
        lines_of(path)


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    """`--attribution <(zcat sockets.jsonl.gz)`: nothing seeks or opens twice."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(gzip.compress(b"one\ntwo\n"),))
    writer.start()
    with TextFile(str(path)) as file:
        assert file.first_line() == b"one"
        assert [line for _, line, _ in file.lines()] == [b"one", b"two"]
    writer.join()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("absent", "cannot be read: No such file or directory"), (".", "cannot be read: Is a directory")],
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, name: str, expected: str) -> None:
    path = str(tmp_path / name)
    with pytest.raises(AttributionError) as caught:
        TextFile(path)
    assert str(caught.value) == f"{path}: {expected}"
    assert caught.value.exit_code == 2
