"""Every requirement of this stage has a test that names it and cites its page."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent

LINES = (
    "X1", "X2", "X3", "X5", "X6", "X7", "X8", "X9", "X10", "X11", "X12", "X13", "X14", "X15", "X16", "X17",
    "X21", "X22", "X23", "X24", "D1", "D2", "D3", "D4", "D7",
)  # fmt: skip
"""The lines of the requirements that a replay can show."""
PAGES = {"X": "isolation-exclusions", "D": "exclude-devices"}

NAMED = re.compile(r"test_([a-z]+\d+)_\w+")


def functions_by_line() -> dict[str, list[ast.FunctionDef]]:
    found: dict[str, list[ast.FunctionDef]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (match := NAMED.fullmatch(node.name)):
                found.setdefault(match[1].upper(), []).append(node)
    return found


def test_every_line_has_a_test_and_no_test_an_unknown_line() -> None:
    assert sorted(functions_by_line()) == sorted(LINES)


def test_every_test_cites_the_page_and_the_place_on_it() -> None:
    """A docstring begins with the page's name and the section, step or box that holds the sentence."""
    for line, functions in functions_by_line().items():
        for function in functions:
            cited = ast.get_docstring(function) or ""
            assert re.match(rf"{PAGES[line[0]]}, [^:]+[:.]", cited), function.name
