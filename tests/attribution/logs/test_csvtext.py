"""CSV: quotes that hold anything, one too many, and headers as tools write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.attribution.broken import BrokenLines
from agent.attribution.logs.csvtext import MAX_LINES, header_of, read_header, records
from agent.attribution.textfile import TextFile


def read(tmp_path: Path, text: str | bytes) -> tuple[list[tuple[int, list[str]]], BrokenLines, bool]:
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with TextFile(str(path)) as file:
        header = header_of(file)
        assert header is not None
        broken = BrokenLines(file.path, lenient=True)
        return list(records(file, header, broken)), broken, file.truncated


@pytest.mark.parametrize(
    ("line", "columns", "delimiter"),
    [
        (b"a,b", ("a", "b"), ","),
        (b'"A B";"c,d"\r\n', ("a b", "c,d"), ";"),
        (b"a\tb", ("a", "b"), "\t"),
        (b'"TimeGenerated [UTC]",B', ("timegenerated", "b"), ","),
    ],
)
def test_headers(line: bytes, columns: tuple[str, ...], delimiter: str) -> None:
    header = read_header(line)
    assert header is not None
    assert (header.columns, header.delimiter) == (columns, delimiter)


@pytest.mark.parametrize("line", [b"", b"one", b"a,,b", b"\xff,a", b'"a,b', b"x" * 200_000 + b",b"])
def test_no_headers(line: bytes) -> None:
    assert read_header(line) is None


def test_cells_hold_anything_in_quotes(tmp_path: Path) -> None:
    rows, broken, _ = read(tmp_path, 'a,b\n1,"x, ""y""\nz"\n2,\n"3","\n\n,\n"\n')
    assert rows == [(2, ["1", 'x, "y"\nz']), (4, ["2", ""]), (5, ["3", "\n,\n"])]
    assert broken.count == 0


@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_quote_too_many_costs_one_record(tmp_path: Path, place: int) -> None:
    """The next quote would close it; instead the lines it swallowed are read again."""
    lines = [f'{n},"text {n}"' for n in range(9)]
    lines[place] = f'{place},"text'
    rows, broken, _ = read(tmp_path, "a,b\n" + "\n".join(lines) + "\n")
    assert [row[1][0] for row in rows] == [str(n) for n in range(9) if n != place]
    assert [number for number, _ in broken.first] == [place + 2]


def test_a_quote_that_nothing_closes_costs_one_record(tmp_path: Path) -> None:
    lines = [f"{n},text" for n in range(3 * MAX_LINES)]
    lines[5] = '5,"text'
    rows, broken, _ = read(tmp_path, "a,b\n" + "\n".join(lines) + "\n")
    assert len(rows) == len(lines) - 1
    assert broken.first == [(7, "has a quote that nothing closes")]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"1", "has 1 columns, the header 2"),
        (b"1,2,3", "has 3 columns, the header 2"),
        (b"1,\xff", "is not UTF-8 (invalid start byte)"),
        (b'1,"a"b', "is not CSV (',' expected after '\"')"),
        (b"1," + b"x" * 200_000, "is not CSV (field larger than field limit (131072))"),
    ],
)
def test_broken_records_are_noted(tmp_path: Path, line: bytes, text: str) -> None:
    rows, broken, _ = read(tmp_path, b"a,b\n1,2\n" + line + b"\n3,4\n")
    assert [row for _, row in rows] == [["1", "2"], ["3", "4"]]
    assert broken.first == [(3, text)]


def test_a_header_may_recur_and_the_last_record_may_be_cut(tmp_path: Path) -> None:
    rows, broken, truncated = read(tmp_path, "a,b\n1,2\na,b\n3,4\n5")
    assert (len(rows), broken.count, truncated) == (2, 0, True)
