"""What reaches the terminal: tables, warnings, JSON and the one line of an error.

Knows terminals and pipes. Must not know commands. Text that comes from packets and files is made harmless first: it may
hold escape sequences.

    >>> printable("evil\\x1b[2Jname")
    'evil\\\\x1b[2Jname'
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.model.errors import EnvironmentFailure

if TYPE_CHECKING:
    from rich.console import Console

PROGRAM = "isolation-agent"
_NOT_A_TERMINAL = 10_000
"""Columns where nobody watches: tables take what they need and wrap nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under a title. Cells are plain text; numbers stand in columns named in `right`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[str] = field(default_factory=frozenset)
    styles: dict[str, str] = field(default_factory=dict)
    """Cell text to rich style, such as {"denied": "red"}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text."""

    text: str
    style: str = ""


def printable(text: str) -> str:
    """`text` without anything that a terminal would obey: control and formatting characters written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def show(parts: Iterable[Table | Line]) -> None:
    """Prints to standard output, with colours on a terminal only (and never with NO_COLOR)."""
    parts = list(parts)
    terminal = sys.stdout is not None and sys.stdout.isatty()
    if not terminal and all(_is_plain(part) for part in parts):
        emit("".join(f"{line.rstrip()}\n" for part in parts for line in _plain_lines(part)))
        return
    from io import StringIO

    from rich.console import Console  # here: what is plain or JSON or an error does not need it

    buffer = StringIO()
    console = Console(
        file=buffer,
        force_terminal=terminal,
        width=None if terminal else _NOT_A_TERMINAL,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for part in parts:
        _draw(console, part)
    emit("\n".join(line.rstrip() for line in buffer.getvalue().split("\n")))


def _is_plain(part: Table | Line) -> bool:
    """True if `_plain_lines` gives what rich would: each character one column wide, nothing to wrap or to fill in."""
    if isinstance(part, Line):
        return part.text.isascii()
    rows = (part.columns, *part.rows)
    return (
        bool(part.columns and part.rows)
        and all(len(row) == len(part.columns) and "".join(row).isascii() for row in rows)
        and part.title.isascii()
        and all(column.isprintable() for column in part.columns)
        and 0 < len(printable(part.title)) < _width(_widths(part)) < _NOT_A_TERMINAL
    )


def _widths(table: Table) -> list[int]:
    """Columns each column needs."""
    return [max(map(len, _printable(column))) for column in zip(table.columns, *table.rows, strict=True)]


def _printable(cells: Sequence[str]) -> Sequence[str]:
    """Each of them as `printable` has it; asked together, since thousands of rows hardly ever hold one that differs."""
    return cells if "".join(cells).isprintable() else [printable(cell) for cell in cells]


def _width(columns: list[int]) -> int:
    """Columns a table needs: a space on both sides of each cell, and one between and outside them."""
    return sum(columns) + 3 * len(columns) + 1


def _plain_lines(part: Table | Line) -> Iterator[str]:
    """What rich prints where there is no terminal, without the 50 ms it takes; the tests hold the two together."""
    if isinstance(part, Line):
        yield printable(part.text)
        return
    widths = _widths(part)
    right = [column in part.right for column in part.columns]

    def line(row: Sequence[str]) -> str:
        cells = zip(_printable(row), widths, right, strict=True)
        return "  " + "   ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in cells
        )

    yield printable(part.title)
    yield ""
    yield line(part.columns)
    yield " " + "─" * (_width(widths) - 2)
    yield from map(line, part.rows)
    yield ""


def _draw(console: Console, part: Table | Line) -> None:
    from rich.text import Text

    if isinstance(part, Line):
        console.print(Text(printable(part.text), style=part.style), soft_wrap=not console.is_terminal)
        return
    from rich import box
    from rich.table import Table as RichTable

    table = RichTable(title=printable(part.title), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in part.columns:
        table.add_column(column, justify="right" if column in part.right else "left", overflow="fold")
    for row in part.rows:
        table.add_row(*(Text(printable(cell), style=part.styles.get(cell, "")) for cell in row))
    console.print(table)


def emit(text: str | bytes) -> None:
    """Writes to standard output and makes sure that it arrived. A reader that left early (`| head`) is no error."""
    if sys.stdout is None:  # closed by whoever started us (`>&-`): nobody wants to read it
        return
    try:
        if isinstance(text, bytes):
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
        else:
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        # What follows, and the interpreter's own flush at exit, goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise EnvironmentFailure(f"standard output: cannot write: {error.strerror or error}") from None


def emit_json(value: Any) -> None:
    """Prints `value` as indented JSON, in UTF-8 whatever the terminal speaks."""
    from agent.sinks.summary import dump_json

    emit(dump_json(value))


def note(text: str) -> None:
    """One line on standard error; lost without complaint if that is closed."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        encoding = sys.stderr.encoding or "utf-8"
        sys.stderr.write(printable(text).encode(encoding, "replace").decode(encoding) + "\n")
        sys.stderr.flush()


def error_line(message: str) -> None:
    note(f"{PROGRAM}: error: {message}")


def warning_lines(warnings: Iterable[dict[str, str]]) -> list[Line]:
    """A line for each {"code", "text"}."""
    return [Line(text=f"warning: {item['text']} ({item['code']})", style="yellow") for item in warnings]


def count(number: int) -> str:
    """Thousands apart: 1,234,567."""
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes for people: 512 B, 1.2 kB, 34.5 MB."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} PB"
