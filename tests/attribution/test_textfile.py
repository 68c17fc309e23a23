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


def test_pieces_of_utf_16_are_refused(packed: Callable[[bytes], Path]) -> None:
    with TextFile(str(packed("<Events/>".encode("utf-16")))) as file, pytest.raises(AttributionError, match="UTF-16"):
        next(file.chunks())


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_utf_16_is_refused_by_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "powershell.jsonl"
    path.write_bytes("\ufeffone\n".encode(encoding) if encoding == "utf-16-be" else "one\n".encode(encoding))
    with pytest.raises(AttributionError, match="line 1: is UTF-16 text; write it again as UTF-8"):
        lines_of(path)


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
