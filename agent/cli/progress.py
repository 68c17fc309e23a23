"""A progress bar on standard error: bytes of bytes, packets per second, time to go.

Knows rich and the clock of this terminal. Must not know what is being judged.

    with ProgressBar(forced=None) as bar: run(options, bar.update)
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from agent.replay.options import Progress, ProgressCallback

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_PATIENCE = 1.0
"""Seconds that a run may take before the bar appears."""
_INTERVAL = 0.1


class ProgressBar:
    """Draws from `update` calls. Nothing is imported or drawn for a run that is over at once."""

    def __init__(self, *, forced: bool | None) -> None:
        """`forced`: True draws at once, and without a terminal; False never; None on a terminal after a second."""
        self._forced = forced is True
        self._wanted = sys.stderr is not None and (forced or (forced is None and sys.stderr.isatty()))
        self._started = self._drawn = time.monotonic()
        self._drawing: tuple[RichProgress, TaskID] | None = None

    @property
    def callback(self) -> ProgressCallback | None:
        """What the run shall call, or None if nobody watches."""
        return self.update if self._wanted else None

    def update(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._drawing is None:
            if not self._forced and now - self._started < _PATIENCE:
                return
            self._drawing = _open(forced=self._forced)
        elif now - self._drawn < _INTERVAL:
            return
        self._drawn = now
        rate = progress.packets / max(now - self._started, 1e-9)
        told = f"{progress.packets:,} packets, {rate:,.0f}/s" if progress.packets else f"reading {progress.path}"
        rich, task = self._drawing
        rich.update(
            task,
            completed=progress.bytes_read,
            total=progress.bytes_total,
            description=told,
        )

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawing is not None:
            self._drawing[0].stop()


def _open(*, forced: bool) -> tuple[RichProgress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    rich = RichProgress(
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr, force_terminal=True if forced else None),
        transient=True,
        # Redirection would swallow what a command prints while the bar is up.
        redirect_stdout=False,
        redirect_stderr=False,
    )
    rich.start()
    return rich, rich.add_task("", total=None)
