"""Lines of a log that could not be used: counted, the first few shown, and too many are an error.

broken = BrokenLines(path, lenient=False)
broken.note(17, "is not JSON (...)")
broken.judge(lines=1_000_000)       # raises AttributionError if more than a tenth was broken
broken.warnings()
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.model.errors import AttributionError

SHOWN = 5
LONGEST = 250
"""Characters of a text that is kept: it quotes the line."""
TOO_MANY = 10
"""Per cent of a file's lines: beyond, it is taken for another format, or for damaged."""


class BrokenLines:
    """Of one file."""

    def __init__(self, path: str, *, lenient: bool) -> None:
        self.path = path
        self.lenient = lenient
        self.count = 0
        self.first: list[tuple[int, str]] = []
        """(line, what is wrong) of the first SHOWN."""

    def note(self, line: int, text: str) -> None:
        """`line` counts from 1."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append((line, text if len(text) <= LONGEST else f"{text[:LONGEST]}..."))

    def judge(self, lines: int) -> None:
        """Raises AttributionError if more than TOO_MANY per cent of `lines` (blank ones not counted) were broken."""
        if self.lenient or self.count * 100 <= lines * TOO_MANY:
            return
        line, text = self.first[0]
        more = f" ({self.count:,} of {lines:,} lines are broken; --lenient uses the rest)" if lines > 1 else ""
        raise AttributionError(self.path, line, text + more)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """(code, text): at most one."""
        if self.count:
            shown = "; ".join(f"line {line}: {text}" for line, text in self.first)
            rest = f"; and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
            yield "lines_broken", f"{self.path}: {self.count:,} lines could not be used: {shown}{rest}"
