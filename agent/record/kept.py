"""A file that grows for a long time under a name of its own and gets its name in the end, whatever happens to it.

Knows paths and OS errors. Must not know what is written. Unlike sinks/partial.py, where half a result is no result: of
a recording every part that was written is worth keeping. When the disk is full, what came before is whole and gets the
name; when the process is killed, it stays beside it as NAME.partial.

    file = KeptFile("out.jsonl"); file.write(b"..."); file.close()
"""

from __future__ import annotations

import contextlib
import os

from agent.capture.fresh import fresh
from agent.model.errors import EnvironmentFailure
from agent.sinks.partial import SUFFIX


class KeptFile:
    """A binary file under construction; each write() is a whole number of what readers take for units."""

    def __init__(self, path: str) -> None:
        """Raises EnvironmentFailure naming `path`."""
        self.path = path
        self._whole = 0
        try:
            target = os.path.realpath(path)
            self._regular = not os.path.exists(target) or os.path.isfile(target)
            self._target, self._beside = target, target + SUFFIX if self._regular else target
            opener = fresh if self._regular else None
            self._file = open(self._beside, "wb", buffering=0, opener=opener)  # noqa: SIM115 - closed by close(), keep()
        except (OSError, ValueError) as error:
            raise _failure(path, error, "give a place that can be written") from None

    def write(self, data: bytes) -> None:
        """Writes all of `data`, or nothing of it: then the file is kept and EnvironmentFailure raised."""
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) or 0 :]
            self._whole += len(data)
        except OSError as error:
            if self._regular:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._whole)
            self.keep()
            raise _failure(self.path, error) from None

    def close(self) -> None:
        """Gives the file its name. Raises EnvironmentFailure; closing twice does nothing."""
        if self._file.closed:
            return
        try:
            self._file.close()
            if self._regular:
                os.replace(self._beside, self._target)
        except OSError as error:
            raise _failure(self.path, error) from None

    def keep(self) -> None:
        """close() where something else failed already: it never raises."""
        with contextlib.suppress(EnvironmentFailure):
            self.close()


def _failure(path: str, error: Exception, fix: str = "what was written before is kept") -> EnvironmentFailure:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return EnvironmentFailure(f"{path}: cannot write: {reason}; {fix}")
