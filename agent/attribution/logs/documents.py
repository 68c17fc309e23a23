"""The rows of a JSON document too big to be read at once: one object of a list after the other, memory bounded.

Knows JSON text. Must not know what the rows mean.

    rows = DocumentRows(file)               # [{...}, ...], or {"Results": [{...}, ...]}, or {...} {...} one by one
    for line, row in rows: ...
    rows.error                              # (line, text) where it stopped being JSON; None if it was whole

The text is read once; what follows a mistake is lost, because nobody knows where the next row begins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from agent.attribution.textfile import MAX_LINE

LISTS = frozenset({"results", "records", "value", "rows"})
"""In lower case: keys of the list of rows. The hunting APIs say Results or results, event hubs records, OData value."""

_WORD = len("false")  # what the end of a text may cut short
_BLANK = re.compile(r"[ \t\r\n]*")


class _Ended(Exception):
    """The text ends inside a value."""


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


class DocumentRows:
    """Iterate once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """`chunks`: the text in UTF-8, in pieces of any size."""
        self.error: tuple[int, str] | None = None
        self.cut = False
        """True if the text ends inside the document: its writer was interrupted."""
        self._chunks = chunks
        self._text = ""
        self._place = 0
        self._line = 1
        self._undecoded = b""
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        try:
            while self._peek():
                yield from self._document()
        except _Ended:
            self.cut = True
        except (ValueError, RecursionError) as error:
            self.error = (self._line, _reason(error))

    def _document(self) -> Iterator[tuple[int, Any]]:
        """A list's rows, the rows of the list inside an object, or the object itself."""
        opening = self._peek()
        if opening == "[":
            yield from self._list()
            return
        if opening != "{":
            raise ValueError(f"a JSON list or object is wanted, not {self._text[self._place : self._place + 20]!r}")
        line, row = self._line, {}
        self._take("{")
        if self._peek() == "}":
            self._take("}")
            return
        inside = False
        while True:
            if self._expect() != '"':
                raise ValueError("is not JSON (a key in double quotes expected)")
            key = str(self._value())
            self._take(":")
            if key.lower() in LISTS and self._peek() == "[":
                inside = True
                yield from self._list()
            else:
                row[key] = self._value()
            if self._peek() != ",":
                break
            self._take(",")
        self._take("}")
        if not inside:
            yield line, row

    def _list(self) -> Iterator[tuple[int, Any]]:
        self._take("[")
        if self._peek() != "]":
            while True:
                self._peek()
                yield self._line, self._value()
                if self._peek() != ",":
                    break
                self._take(",")
        self._take("]")

    def _value(self) -> Any:
        """The value at hand; reads on until it is whole, at most MAX_LINE characters."""
        self._expect()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._place)
            except json.JSONDecodeError as error:
                more = len(self._text) - self._place <= MAX_LINE and self._read()
                if more:
                    continue
                if len(self._text) - self._place > MAX_LINE:
                    raise ValueError(f"a value is longer than {MAX_LINE} characters, or never ends") from None
                if error.pos >= len(self._text) - _WORD or error.msg.startswith("Unterminated string"):
                    raise _Ended from None
                raise ValueError(f"is not JSON ({error.msg})") from None
            if end == len(self._text) and self._read():
                continue  # a number at the end of a piece may go on in the next
            self._line += self._text.count("\n", self._place, end)
            self._place = end
            return value

    def _expect(self) -> str:
        """The next character that is not blank; the text may not end here."""
        found = self._peek()
        if not found:
            raise _Ended
        return found

    def _take(self, expected: str) -> None:
        found = self._expect()
        if found != expected:
            raise ValueError(f"is not JSON ({expected!r} expected, not {found!r})")
        self._place += 1

    def _peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            match = _BLANK.match(self._text, self._place)
            end = match.end() if match else self._place
            self._line += self._text.count("\n", self._place, end)
            self._place = end
            if end < len(self._text):
                return self._text[end]
            if not self._read():
                return ""

    def _read(self) -> bool:
        """More text behind what is there; False at the end."""
        data = next(self._chunks, b"")
        if not data:
            return False
        data = self._undecoded + data
        try:
            text, self._undecoded = data.decode(), b""
        except UnicodeDecodeError as error:
            if error.start < len(data) - 3:
                raise ValueError(f"is not UTF-8 ({error.reason})") from None
            text, self._undecoded = data[: error.start].decode(), data[error.start :]
        self._text = self._text[self._place :] + text
        self._place = 0
        return True


def _reason(error: Exception) -> str:
    return "is nested too deep" if isinstance(error, RecursionError) else str(error)
