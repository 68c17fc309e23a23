"""Records of CSV whose quotes may hold newlines, from numbered lines; a quote too many costs one record, not the rest.

Knows quoting and headers. Must not know what a column means.

    header = read_header(b'Timestamp,"LocalIP"')
    for number, cells in records(file, header, broken): cells[header.columns.index("localip")]
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from agent.attribution.broken import BrokenLines
from agent.attribution.textfile import MAX_LINE, TextFile

DELIMITERS = ",;\t"
MAX_LINES = 64
"""Lines that one record may span; beyond, its first line is taken for broken."""

_QUOTED = re.compile(r'"[^"]*"')
_ZONE = re.compile(r" \[([^\]]+)\]$")
_PREFACE = re.compile(rb"(?i)#TYPE |sep=.\s*$")
"""Lines before a header: PowerShell 5's Export-Csv, Excel's hint."""

_Line = tuple[int, bytes, bool]


class Header(NamedTuple):
    """The first line of CSV."""

    columns: tuple[str, ...]
    """In lower case, without the zone."""
    zones: frozenset[str]
    """What stood in brackets, in lower case: `utc`, `local time`."""
    delimiter: str
    line: bytes
    """As it is written."""


def read_header(line: bytes) -> Header | None:
    """The line as a header of CSV; None if it is none: a single column, or no text."""
    try:
        text = line.decode().strip("\r\n")
        delimiter = max(DELIMITERS, key=_QUOTED.sub("", text).count)
        cells = next(csv.reader((text,), delimiter=delimiter, strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None
    lower = [cell.strip().lower() for cell in cells]
    if len(cells) < 2 or not all(lower):
        return None
    zones = frozenset(match[1] for cell in lower if (match := _ZONE.search(cell)))
    return Header(tuple(_ZONE.sub("", cell) for cell in lower), zones, delimiter, line)


def header_of(file: TextFile) -> Header | None:
    """The header of a file of CSV; None if it begins with something else. Takes nothing from it."""
    lines = file.head()[: 2 * MAX_LINE].split(b"\n")
    line = next((line for line in lines if line.strip() and not _PREFACE.match(line)), b"")
    return None if line.lstrip()[:1] in (b"{", b"[", b"<", b"") else read_header(line)


def records(file: TextFile, header: Header, broken: BrokenLines) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each record with as many cells as the header; the rest is noted."""
    lines = _Lines(file.lines(broken.note))
    width, delimiter = len(header.columns), header.delimiter
    seen_header = False
    while (item := lines.take()) is not None:
        number, line, whole = item
        if line == header.line or (not seen_header and _PREFACE.match(line)):
            seen_header = True  # it may recur: files are put together
            continue
        more: list[_Line] = []
        wrong = ""
        if line.count(b'"') % 2:  # doubled inside quotes, so a whole record has an even number
            more = lines.until_even()
            if more:
                line, whole = b"\n".join([line, *(following for _, following, _ in more)]), more[-1][2]
            else:
                wrong = "has a quote that nothing closes"
        if not wrong:
            try:
                cells = next(csv.reader((line.decode(),), delimiter=delimiter, strict=True), [])
            except UnicodeDecodeError as error:
                wrong = f"is not UTF-8 ({error.reason})"
            except csv.Error as error:
                wrong = f"is not CSV ({error})"
            else:
                if len(cells) == width:
                    yield number, cells
                    continue
                wrong = f"has {len(cells)} columns, the header {width}"
        if whole:
            broken.note(number, wrong)
            lines.give_back(more)  # the quote at fault may be this line's: the others get their chance
        else:
            file.truncated = True


class _Lines:
    """Lines that can be given back."""

    def __init__(self, lines: Iterator[_Line]) -> None:
        self._lines = lines
        self._again: deque[_Line] = deque()

    def take(self) -> _Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)

    def give_back(self, lines: list[_Line]) -> None:
        self._again.extendleft(reversed(lines))

    def until_even(self) -> list[_Line]:
        """The lines up to the one that closes the open quote; none if too far away, and nothing is taken."""
        taken: list[_Line] = []
        size = 0
        while len(taken) < MAX_LINES and size <= MAX_LINE and (item := self.take()) is not None:
            taken.append(item)
            size += len(item[1])
            if item[1].count(b'"') % 2:
                return taken
        self.give_back(taken)
        return []
