"""Broken lines: counted, shown, and too many refused."""

from __future__ import annotations

import pytest

from agent.attribution.broken import BrokenLines
from agent.model.errors import AttributionError


def broken(count: int, *, lenient: bool = False) -> BrokenLines:
    lines = BrokenLines("log.jsonl", lenient=lenient)
    for number in range(1, count + 1):
        lines.note(number, f"is wrong {number}")
    return lines


def test_a_tenth_may_be_broken_and_the_first_five_are_shown() -> None:
    lines = broken(7)
    lines.judge(70)
    ((code, text),) = lines.warnings()
    assert code == "lines_broken"
    assert text.startswith("log.jsonl: 7 lines could not be used: line 1: is wrong 1; ")
    assert text.endswith("line 5: is wrong 5; and 2 more")


def test_more_than_a_tenth_is_an_error_that_names_the_first_and_the_way_out() -> None:
    with pytest.raises(AttributionError, match=r"^log.jsonl: line 1: is wrong 1 \(8 of 79 lines .*--lenient"):
        broken(8).judge(79)
    broken(8, lenient=True).judge(8)


def test_a_file_without_broken_lines_warns_of_nothing() -> None:
    broken(0).judge(0)
    assert list(broken(0).warnings()) == []


def test_the_only_line_of_a_file_is_just_wrong() -> None:
    with pytest.raises(AttributionError, match=r"line 1: is wrong 1$"):
        broken(1).judge(1)
