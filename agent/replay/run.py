"""Runs a replay: captures in, records and a summary out.

    result = run(ReplayOptions(captures=("day.pcapng",), mode=Mode.FULL, local=("10.0.0.5",)))
    result.summary["packets"]

Knows the order of a run and what becomes of its outputs: written beside and renamed at the end, and gone if the run
fails. Never: how a packet is judged. Only this module and pump.py block, and its only clock is the pacing of --speed.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from agent.capture.batch import Batch
from agent.capture.links import link_name, registered_name
from agent.datapath import datapath as compiled_datapath
from agent.datapath.links import AMBIGUOUS_LINKS, SUPPORTED_LINKS
from agent.model.errors import UsageError
from agent.model.vocabulary import Mode
from agent.replay.beforehand import Beforehand
from agent.replay.frames import Frames, expand
from agent.replay.options import Progress, ProgressCallback, ReplayOptions, ReplayResult
from agent.replay.track import Track
from agent.replay.wiring import World, load_world, other_rules
from agent.sinks.summary import CaptureRow

if TYPE_CHECKING:
    from agent.replay.compare import Comparison
    from agent.replay.pump import Pump

FOREVER = 0xFFFFFFFFFFFFFFFF
RECORD_WORDS = 5
LONGEST_WAIT = 86_400.0
"""Seconds a packet is waited for: a capture can claim any time, and no timer takes them all."""
WORTH_A_THREAD = 4 << 20
"""Bytes per capture from which on a second thread reads them."""
PACING_STEP = 0.001
"""Seconds a paced packet may be early."""


def run(options: ReplayOptions, progress: ProgressCallback | None = None) -> ReplayResult:
    """Judge every packet of the captures. Raises AgentError; whatever was being written is gone then."""
    return _Run(options, progress).run()


def prepare(options: ReplayOptions, progress: ProgressCallback | None = None) -> World:
    """What is known before the first packet: sources opened and told of the captures. Raises AgentError."""
    one = _Run(options, progress)
    try:
        one.look()
    finally:
        one.frames.close()
    return one.world


class _Interrupted(KeyboardInterrupt):
    """Ctrl-C came while the run was waiting for its input."""


class _Run:
    """One run and everything it holds open."""

    def __init__(self, options: ReplayOptions, progress: ProgressCallback | None) -> None:
        if options.mode is Mode.NONE and (options.isolate_at or options.release_at):
            raise UsageError("--isolate-at and --release-at need --mode full or selective")
        self.options = options
        self.progress = progress
        self.world: World = load_world(options, progress)
        captures = expand(options.captures)
        if not captures:
            raise UsageError(f"{', '.join(options.captures)}: no files in there; give captures or a folder of captures")
        self.frames = Frames(captures, merge=options.merge)
        self.rows: list[CaptureRow] = []
        self.comparison: Comparison | None = None
        self.stop = threading.Event()
        self.pump: Pump | None = None
        self.last = 0
        """Number of the capture judged last."""
        self.looking = True
        self.reading = False
        self.interrupted = False
        self.started = time.monotonic()

    def run(self) -> ReplayResult:
        options = self.options
        previous = self._catch_interrupts()
        tracks: list[Track] = []
        gc.freeze()  # a run makes millions of values and no cycles: looking for them costs a fifth of its time
        gc.disable()
        try:
            first = self.look()
            _check_moments(options, first)
            tracks = self._tracks(first)
            self._read_ahead(tracks)
            self._judge(tracks)
            self._stop_reading()
            for track in tracks:
                track.finish()
            return self._result(tracks)
        except BaseException:
            for track in tracks:
                track.abandon()
            raise
        finally:
            gc.enable()
            gc.unfreeze()
            self._stop_reading()
            self.frames.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _catch_interrupts(self) -> dict[int, Callable[[int, FrameType | None], object] | int | None]:
        """Ctrl-C and a request to end stop the run after the batch in work, or the wait for the next.

        So every output is whole. Returns the handlers there were before.
        """
        if threading.current_thread() is not threading.main_thread():
            return {}

        def interrupted(_number: int, _frame: FrameType | None) -> None:
            self.interrupted = True
            if not self.looking:
                self.stop.set()  # what was only looked at is judged yet
            if self.reading:
                raise _Interrupted  # a pipe may stall for ever

        return {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}

    # Before the first packet ------------------------------------------------------------------------------------

    def look(self) -> int:
        """Settle what the first packets tell; returns the time of the first."""
        world = self.world
        ahead = self._look_ahead(1)
        refused = [capture.refused for capture in self.frames.captures if capture.refused is not None]
        if len(refused) == len(self.frames.captures):
            raise UsageError(f"{', '.join(self.options.captures)}: no capture in there; the first file: {refused[0]}")
        world.captures = tuple(capture.path for capture in self.frames.captures if capture.refused is None)
        beforehand = Beforehand(world, self.options, self._look_ahead)
        beforehand.find_local(one for interface in self.frames.interfaces for one in interface.addresses)
        beforehand.find_resolvers()
        beforehand.find_owners(self.progress, lambda: self.interrupted)
        self.looking = False
        if self.interrupted:
            self.frames.cut()
            if self.options.speed is not None:
                self.stop.set()  # what was looked at has not happened yet
        timed = (batch.time(number) for _, batch in ahead for number in range(batch.count) if batch.has_time(number))
        return next(timed, 0)

    def _look_ahead(self, packets: int) -> list[tuple[int, Batch]]:
        """Up to so many packets, those that came before an interrupt."""
        try:
            self.reading = True
            return self.frames.look_ahead(0 if self.interrupted else packets)
        except _Interrupted:
            self.reading = False
            return self.frames.look_ahead(0)
        finally:
            self.reading = False

    def _next(self) -> tuple[int, Batch] | None:
        try:
            self.reading = True
            return self.pump.next() if self.pump is not None else self.frames.next()
        except _Interrupted:
            return None
        finally:
            self.reading = False

    def _tracks(self, first: int) -> list[Track]:
        tracks: list[Track] = []
        try:
            if self.options.compare is None:
                return [Track(self.world, self.options, first)]
            from agent.replay.compare import Comparison  # only --compare needs it

            self.comparison = Comparison()
            tracks.append(Track(self.world, self.options, first, self.comparison.before))
            other, options = other_rules(self.world, self.options)
            tracks.append(Track(other, options, first, self.comparison.after))
            return tracks
        except BaseException:
            for track in tracks:
                track.abandon()
            raise

    def _read_ahead(self, tracks: list[Track]) -> None:
        """Leave reading to a second thread where that is worth one: compiled, two cores, files of some size."""
        size = self.frames.progress()[1]
        # Who stops somewhere in the middle is not told of what lies behind.
        middle = self.options.speed is not None or self.options.limit is not None
        small = size is None or size < WORTH_A_THREAD * len(self.frames.captures)
        if middle or small or _cores() < 2 or engine_kind() != "compiled":
            return
        from agent.replay.pump import Pump  # only large captures need it

        pump = Pump(self.frames, tracks[0].path.scout.twin())
        try:
            pump.start()
        except RuntimeError:
            return  # no thread is to be had: one core then
        self.pump = pump

    def _stop_reading(self) -> None:
        """From here on nobody but this thread knows the captures."""
        if self.pump is not None:
            self.pump.stop()

    # Packets --------------------------------------------------------------------------------------------------------

    def _judge(self, tracks: list[Track]) -> None:
        options = self.options
        self.rows = [CaptureRow(path=capture.path) for capture in self.frames.captures]
        left = FOREVER if options.limit is None else options.limit
        pace = _Pace(options.speed, self.stop)
        while left > 0 and not self.stop.is_set() and (item := self._next()) is not None:
            number, batch = item
            self.last = number
            before = tracks[0].totals()
            for track in tracks:
                track.attach(batch)
            position = 0
            while position < batch.count and left > 0 and not self.stop.is_set():
                until = min(batch.count, position + left)
                if pace.active:
                    until = pace.wait(batch, position, until)
                judged = tracks[0].packets()
                for track in tracks:
                    track.process(batch, position, until)
                left -= tracks[0].packets() - judged
                position = until
            self._note_capture(self.rows[number], tracks[0], before)
            if self.progress is not None:
                read, total = self.frames.progress()
                if self.pump is not None and total is not None:
                    read = min(read + self.pump.read_since(), total)
                packets, path = tracks[0].packets(), self.rows[number].path
                self.progress(Progress(bytes_read=read, bytes_total=total, packets=packets, path=path))

    def _note_capture(self, row: CaptureRow, track: Track, before: tuple[int, int]) -> None:
        packets, octets = track.totals()
        row.packets += packets - before[0]
        row.bytes += octets - before[1]
        earliest, latest = track.times()
        if earliest <= latest:
            row.first = earliest if row.first is None else min(row.first, earliest)
            row.last = latest if row.last is None else max(row.last, latest)

    # Afterwards -------------------------------------------------------------------------------------------------

    def _result(self, tracks: list[Track]) -> ReplayResult:
        world = self.world
        warnings = list(world.warnings)
        links: dict[int, list[CaptureRow]] = {}
        for number, capture in enumerate(self.frames.captures):
            row = self.rows[number] if number < len(self.rows) else CaptureRow(path=capture.path)
            if self.interrupted and self.pump is not None and number > self.last:
                continue  # it may have been read ahead, but nothing of it was judged
            if capture.refused is None:
                capture.note()
                types = dict.fromkeys(interface.link_type for interface in capture.interfaces)
                row.link_types = tuple(dict.fromkeys(link_name(number) for number in types))
                row.truncated_tail = capture.truncated_tail
                row.errors = capture.errors
                warnings += _capture_warnings(row)
                for link_type in types:
                    links.setdefault(link_type, []).append(row)
            else:
                row.errors = (capture.refused,)
                warnings.append(("capture_refused", capture.refused))
        warnings += _link_warnings(links)
        summary = tracks[0].summary(self.rows, warnings, interrupted=self.interrupted)
        comparison = None
        if self.comparison is not None:
            comparison = self.comparison.result(
                (self.options.rules, tracks[0].policy_row()), (self.options.compare, tracks[1].policy_row())
            )
        return ReplayResult(
            summary=summary,
            comparison=comparison,
            attribution=world.attribution,
            interrupted=self.interrupted,
            elapsed=time.monotonic() - self.started,
            engine=engine_kind(),
            faults=tracks[0].faults(),
        )


def _check_moments(options: ReplayOptions, first: int) -> None:
    """Raises UsageError for a span that holds no moment."""
    start, end = options.time_from, options.time_to
    if start is not None and end is not None and start.resolve(first) > end.resolve(first):
        raise UsageError("--to is before --from: exchange the two, or leave one out")


def _capture_warnings(row: CaptureRow) -> list[tuple[str, str]]:
    warnings = []
    if row.truncated_tail:
        warnings.append(("truncated_tail", f"{row.path}: ends early; the {row.packets:,} packets before were judged"))
    warnings += [("capture_error", f"{row.path}: {text}") for text in row.errors]
    return warnings


def _link_warnings(links: dict[int, list[CaptureRow]]) -> list[tuple[str, str]]:
    """One for each link type that is not read, however many captures have it. `links`: the captures of each."""
    warnings = []
    for number, rows in sorted(links.items()):
        where = rows[0].path if len(rows) == 1 else f"{rows[0].path} and {len(rows) - 1:,} more"
        name = registered_name(number)
        if number in AMBIGUOUS_LINKS:
            text = f"{where}: {name} may be anything: frames with a PKTAP header are read, others count as undecodable"
            warnings.append(("link_type_guessed", text))
        elif number not in SUPPORTED_LINKS:
            # Of a capture with several link types the frames of each are not counted apart.
            alone = all(len(row.link_types) == 1 for row in rows)
            count = f" ({sum(row.packets for row in rows):,})" if alone else ""
            warnings.append(("unsupported_link", f"{where}: {name} cannot be read: its frames{count} are undecodable"))
    return warnings


def _cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def engine_kind() -> str:
    """`compiled` or `interpreted`: what the per-packet path runs as."""
    return "interpreted" if str(compiled_datapath.__file__).endswith(".py") else "compiled"


class _Pace:
    """Holds packets back until their time, counted from the first one, has come at the chosen speed."""

    def __init__(self, speed: float | None, stop: threading.Event) -> None:
        self.active = speed is not None
        self._speed = speed or 1.0
        self._stop = stop
        self._first: int | None = None
        self._began = 0.0

    def wait(self, batch: Batch, position: int, until: int) -> int:
        """Wait until the packet at `position` is due; returns the end of the run of packets due with it."""
        due = self._due(batch, position)
        delay = due - time.monotonic()
        if delay > 0:
            self._stop.wait(min(delay, LONGEST_WAIT))
        now = time.monotonic() + PACING_STEP
        end = position + 1
        while end < until and self._due(batch, end) <= now:
            end += 1
        return end

    def _due(self, batch: Batch, position: int) -> float:
        stamp = batch.records[position * RECORD_WORDS]
        if self._first is None:
            self._first, self._began = stamp, time.monotonic()
        return self._began + max(stamp - self._first, 0) / 1e9 / self._speed
