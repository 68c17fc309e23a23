"""JSON documents row by row: in pieces of any size, cut, damaged, endless."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.logs.documents import DocumentRows
from agent.attribution.textfile import MAX_LINE


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[place : place + size] for place in range(0, len(data), size))


def read(text: str | bytes, size: int = 1 << 18) -> tuple[list[Any], DocumentRows]:
    found = DocumentRows(pieces(text if isinstance(text, bytes) else text.encode(), size))
    return [row for _, row in found], found


ROWS = [{"a": 1, "ä": "ö\n"}, {"b": [{"c": "}"}]}, {"d": 12.5e3, "e": [None, True, ""]}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "document",
    [
        ROWS,
        {"Results": ROWS},
        {"Schema": [{"Name": "x"}], "results": ROWS, "after": 1},
        {"records": ROWS},
        {"value": ROWS},
    ],
)
def test_rows_of_a_list_wherever_it_lies(document: Any, indent: int | None, size: int) -> None:
    rows, found = read(json.dumps(document, indent=indent, ensure_ascii=False), size)
    assert rows == ROWS
    assert (found.error, found.cut) == (None, False)


def test_objects_one_after_the_other() -> None:
    rows, found = read("".join(json.dumps(row, indent=1) + "\n" for row in ROWS))
    assert (rows, found.error) == (ROWS, None)


def test_rows_know_their_lines() -> None:
    found = DocumentRows(iter([b'\n[\n {"a":\n 1},\n', b' {"b": 2}\n]\n{"c": 3}']))
    assert list(found) == [(3, {"a": 1}), (5, {"b": 2}), (7, {"c": 3})]


@given(st.integers(0, 400))
def test_any_beginning_of_a_document_gives_its_whole_rows(size: int) -> None:
    text = json.dumps({"Stats": {"x": [1]}, "Results": ROWS * 2}, indent=1).encode()
    rows, found = read(text[:size], 5)
    assert rows == (ROWS * 2)[: len(rows)]
    assert found.error is None
    assert found.cut == (0 < size < len(text))


@pytest.mark.parametrize(
    ("text", "rows", "line", "expected"),
    [
        ("[1, 2 3]", 2, 1, "']' expected"),
        ('[{"a":1},\n{"b":}]' + " " * 50, 1, 2, "is not JSON (Expecting value)"),
        ("[{}, NaN]", 1, 1, "NaN is no JSON"),
        ("{1: 2}", 0, 1, "a key in double quotes expected"),
        ('{"a" 1}', 0, 1, "':' expected"),
        ("hello", 0, 1, "a JSON list or object is wanted"),
        ("[" + "[" * 100_000, 0, 1, "is nested too deep"),
        ('[{"a":' * 2000, 0, 1, "is nested too deep"),
        (b'["' + b"\xff" * 9 + b'"]', 0, 1, "is not UTF-8"),
        ("[" + "9" * 10_000 + "]", 0, 1, "4300"),
        ('[1, "' + "x" * (2 * MAX_LINE) + '"]', 1, 1, "is longer than"),
    ],
)
def test_damage_is_named_and_what_is_before_it_used(text: str | bytes, rows: int, line: int, expected: str) -> None:
    found_rows, found = read(text)
    assert len(found_rows) == rows
    assert found.error is not None
    assert found.error[0] == line
    assert expected in found.error[1]


def test_a_value_that_never_ends_costs_no_memory() -> None:
    count = 64
    found = DocumentRows(b"x" * MAX_LINE if n else b'[{"a":1},"' for n in range(count))
    tracemalloc.start()
    try:
        rows = list(found)
        assert tracemalloc.get_traced_memory()[1] < count * MAX_LINE // 4
    finally:
        tracemalloc.stop()
    assert rows == [(1, {"a": 1})]
    assert found.error is not None
    assert "never ends" in found.error[1]
