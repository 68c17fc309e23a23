"""A table's rows, whatever it is written as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent.attribution.broken import BrokenLines
from agent.attribution.logs.tables import first_row, names_of, rows
from agent.attribution.textfile import MAX_LINE, TextFile
from agent.model.errors import AttributionError

NAMES = names_of("Name", "LocalIP", "Missing")
GOOD = '{"Name":"a","localip":"1","more":[]}\n'


def read(tmp_path: Path, text: str, *, lenient: bool = False) -> tuple[list[tuple[int, Any]], BrokenLines, bool]:
    path = tmp_path / "table"
    path.write_text(text)
    with TextFile(str(path)) as file:
        broken = BrokenLines(file.path, lenient=lenient)
        first_row(file)
        return list(rows(file, NAMES, broken)), broken, file.truncated


def test_names_are_the_readers_whatever_the_case(tmp_path: Path) -> None:
    expected = {"Name": "a", "LocalIP": "1", "more": []}
    assert read(tmp_path, GOOD + GOOD.upper().replace("MORE", "more").replace('"A"', '"a"'))[0] == [
        (1, expected),
        (2, expected),
    ]
    assert read(tmp_path, "other,NAME,localip [UTC]\nx,a,\n")[0] == [(2, {"Name": "a", "LocalIP": None})]
    assert read(tmp_path, json.dumps({"Results": [{"NAME": 5}]}))[0] == [(1, {"Name": 5})]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "is not JSON"),
        ('{"Name":"unterminated', "is not JSON"),
        ('{"Name":}', "is not JSON"),
        ("null", "is no JSON object"),
        ('{"a":' * 2000 + "1" + "}" * 2000, "is not JSON"),
        ('{"a":"' + "x" * MAX_LINE + '"}', "is longer than"),
        ("\0\0\0", "is not JSON"),
    ],
    ids=["brace", "cut", "no-value", "null", "deep", "long", "nul"],
)
def test_a_broken_line_is_noted_wherever_it_stands(tmp_path: Path, line: str, text: str) -> None:
    """Also as the second of all; as the first, if it does not look like the beginning of a document."""
    found, broken, truncated = read(tmp_path, GOOD + line + "\n" + GOOD * 2)
    assert ([number for number, _ in found], truncated) == ([1, 3, 4], False)
    assert (broken.first[0][0], text in broken.first[0][1]) == (2, True)


def test_the_first_of_many_lines_may_be_broken(tmp_path: Path) -> None:
    for line in ('{"Name":"unterminated', '{"Name":}', '{"Name":"a"}}'):
        found, broken, _ = read(tmp_path, line + "\n" + GOOD * 3)
        assert ([number for number, _ in found], broken.count) == ([2, 3, 4], 1)


def test_the_first_line_of_a_document_is_no_broken_line(tmp_path: Path) -> None:
    for text in ('{"Results":[\n' + GOOD + "]}", '{"Schema":[],\n"Results":[\n' + GOOD + "]}", "[\n" + GOOD + "]"):
        found, broken, _ = read(tmp_path, text)
        assert (len(found), broken.count) == (1, 0)


def test_what_an_interrupted_writer_left_is_no_broken_line(tmp_path: Path) -> None:
    for text in (GOOD + GOOD[:20], "[" + GOOD + "," + GOOD[:20], "a,name,localip\n1,2,3\n1,"):
        found, broken, truncated = read(tmp_path, text)
        assert (len(found), broken.count, truncated) == (1, 0, True)


def test_a_damaged_document_is_an_error_unless_lenient(tmp_path: Path) -> None:
    text = "[" + GOOD + ",\n" + '{"Name" 5},' + GOOD * 50 + "]"
    with pytest.raises(AttributionError, match=r"line 3: is not JSON .* \(--lenient uses what is before\)"):
        read(tmp_path, text)
    found, broken, _ = read(tmp_path, text, lenient=True)
    assert (len(found), broken.count) == (1, 1)


@pytest.mark.parametrize("text", ["", "hello\n", "other,columns\n1,2\n", "\x01\x02,\x03\n"])
def test_no_table_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(AttributionError, match="is no JSON, and no CSV with a header that names the columns wanted"):
        read(tmp_path, text)
