"""A file that appears under its name only when it is whole: written beside, renamed at the end.

Knows paths and OS errors. Must not know what is written. Not every path can be renamed over: a pipe or a device such as
/dev/stdout is written directly.

    with nothing half-written:  file = PartialFile("out.jsonl"); file.write(b"..."); file.close()
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import IO

from agent.capture.fresh import fresh
from agent.model.errors import EnvironmentFailure

SUFFIX = ".partial"


def failure(path: str, error: OSError) -> EnvironmentFailure:
    """`error` while writing `path`, as the one line a person reads."""
    return EnvironmentFailure(f"{path}: cannot write: {error.strerror or error}")


class PartialFile:
    """A binary file under construction. After an error it is closed and its partial file is gone."""

    def __init__(self, path: str) -> None:
        """Raises EnvironmentFailure naming `path` if it cannot be created."""
        self.path = path
        try:
            # A link is followed, so that the rename replaces what it points to and not the link.
            self._target = os.path.realpath(path)
            self._beside = self._target + SUFFIX if _replaceable(self._target) else self._target
            opener = fresh if self._beside != self._target else None
            self._file: IO[bytes] | None = open(  # noqa: SIM115 - closed by close()
                self._beside, "wb", buffering=0, opener=opener
            )
        except OSError as error:
            raise failure(path, error) from None

    @property
    def closed(self) -> bool:
        return self._file is None

    def write(self, data: bytes | memoryview) -> int:
        """Writes all of `data`. Raises EnvironmentFailure, the file abandoned."""
        if self._file is None:
            raise ValueError(f"{self.path}: already closed")
        view = memoryview(data)
        written = 0
        try:
            while written < len(view):
                written += self._file.write(view[written:]) or 0
        except OSError as error:
            self.abandon()
            raise failure(self.path, error) from None
        return len(view)

    def close(self) -> None:
        """Gives the file its name. Raises EnvironmentFailure, the file abandoned. Closing twice does nothing."""
        if self._file is None:
            return
        try:
            self._file.close()
            self._file = None
            if self._beside != self._target:
                os.replace(self._beside, self._target)
        except OSError as error:
            self._file = None
            self._remove()
            raise failure(self.path, error) from None

    def abandon(self) -> None:
        """Leaves no trace of what was written. Never raises; after close() it does nothing."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = None
        self._remove()

    def _remove(self) -> None:
        if self._beside != self._target:
            with contextlib.suppress(OSError):
                os.unlink(self._beside)


def _replaceable(target: str) -> bool:
    """True for a regular file or a name that is free. A directory fails at the open, with the right message."""
    try:
        return stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return True
