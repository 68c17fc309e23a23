r"""Rows of a table with named columns, whatever it is written as: CSV, JSON lines, or one JSON document.

Knows envelopes and the spelling of names. Must not know what any column means.

    names = names_of("LocalIP", "LocalPort")
    for line, row in rows(file, names, broken): row.get("LocalIP")

Column names are found in any case, and with the ` [UTC]` that Log Analytics appends. An empty cell of CSV is None: CSV
has no other way to say it. Other columns are left out of CSV rows, and left in JSON rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import orjson

from agent.attribution.broken import BrokenLines
from agent.attribution.logs.csvtext import header_of, records
from agent.attribution.logs.documents import LISTS, DocumentRows
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError

Row = dict[str, Any]
_JSON = (b"{", b"[")
_KEPT = 256  # sets of keys
_TRIES = 8  # lines that are looked at


def names_of(*names: str) -> dict[str, str]:
    """What `rows` wants: each name in lower case, and as the reader spells it."""
    return {name.lower(): name for name in names}


def is_json(file: TextFile) -> bool:
    """Told by the first character."""
    return file.head().lstrip()[:1] in _JSON


def first_row(file: TextFile) -> Any:
    """The first row of JSON in the file's beginning; None if there is none. Takes nothing from the file."""
    if not is_json(file):
        return None
    for _, row in DocumentRows(iter((file.head(),))):
        return row
    return next(_whole_lines(file), None)


def _whole_lines(file: TextFile) -> Iterator[Row]:
    """Which of the first lines are objects by themselves: the very first of many may be the broken one."""
    for line in file.head().lstrip().split(b"\n", _TRIES)[:_TRIES]:
        try:
            row = orjson.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def rows(file: TextFile, names: Mapping[str, str], broken: BrokenLines) -> Iterator[tuple[int, Row]]:
    """(line, row under the names that the reader wants). Broken rows are noted; `finish` judges them."""
    if not is_json(file):
        return _csv_rows(file, names, broken)
    return _line_rows(file, names, broken) if _is_lines(file) else _document_rows(file, names, broken)


def _is_lines(file: TextFile) -> bool:
    """True if JSON lines: the first line alone is an object that wraps no list of rows, or it is broken among such."""
    line = file.first_line()
    try:
        row = orjson.loads(line)
    except ValueError:
        opens = line[-1:] in (b"[", b"{", b",", b":")  # as a document's first line ends
        return line.startswith(b"{") and not opens and next(_whole_lines(file), None) is not None
    return isinstance(row, dict) and not any(isinstance(row[key], list) and key.lower() in LISTS for key in row)


def _line_rows(file: TextFile, names: Mapping[str, str], broken: BrokenLines) -> Iterator[tuple[int, Row]]:
    loads, named = orjson.loads, _Spelling(names).named
    for number, line, whole in file.lines(broken.note):
        try:
            row = loads(line)
        except ValueError as error:
            if whole or not line.lstrip().startswith(b"{"):
                broken.note(number, f"is not JSON ({error})")
            else:
                file.truncated = True  # an interrupted writer
            continue
        if type(row) is dict:
            yield number, named(row)
        else:
            broken.note(number, "is no JSON object")


def _document_rows(file: TextFile, names: Mapping[str, str], broken: BrokenLines) -> Iterator[tuple[int, Row]]:
    found, named = DocumentRows(file.chunks()), _Spelling(names).named
    for number, row in found:
        if isinstance(row, dict):
            yield number, named(row)
        else:
            broken.note(number, "is no JSON object")
    if found.error is not None:
        line, text = found.error
        if not broken.lenient:
            text += "; what follows in a damaged document cannot be read (--lenient uses what is before)"
            raise AttributionError(file.path, line, text)
        broken.note(line, text)
    file.truncated = file.truncated or found.cut


class _Spelling:
    """Gives rows the reader's names. What keys a row has is looked at once for all rows that have the same."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def named(self, row: Row) -> Row:
        keys = tuple(row)
        changes = self._known.get(keys)
        if changes is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            found = {key: self._names.get(key.lower(), key) for key in keys}
            changes = self._known[keys] = {key: name for key, name in found.items() if name != key}
        if not changes:
            return row
        return {changes.get(key, key): value for key, value in row.items()}


def _csv_rows(file: TextFile, names: Mapping[str, str], broken: BrokenLines) -> Iterator[tuple[int, Row]]:
    header = header_of(file)
    places = {} if header is None else {names[name]: n for n, name in enumerate(header.columns) if name in names}
    if header is None or len(places) < 2:
        raise AttributionError(file.path, 1, "is no JSON, and no CSV with a header that names the columns wanted")
    pick, wanted = itemgetter(*places.values()), tuple(places)
    for number, cells in records(file, header, broken):
        yield number, {name: value or None for name, value in zip(wanted, pick(cells), strict=True)}
