"""What a capture says of the processes in it: facts of a subject as a Process Information Block holds them.

Knows what may be told to others. Must not know how facts are found. Command lines stay here: they hold passwords.

    facts = ProcessFacts(source.process)
    facts.of(owner.subject)             # ProcessInformation(pid=812, path="/usr/sbin/sshd", ...)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

from agent.capture.processes import ProcessInformation
from agent.model.moment import SECOND
from agent.model.subject import Subject

_KEPT = 65536


class Details(Protocol):
    """What attribution tells of a process beyond its subject."""

    @property
    def parent(self) -> int | None: ...
    @property
    def name(self) -> str | None: ...
    @property
    def uid(self) -> int | None: ...


class ProcessFacts:
    """Facts by process. Mutable: it keeps each it told, since the process may be gone when it is asked again."""

    def __init__(self, details: Callable[[Subject], Details | None]) -> None:
        self._details = details
        self._kept: dict[Subject, ProcessInformation] = {}

    def of(self, subject: Subject) -> ProcessInformation:
        """For a subject that is one process; pid 0 if none is known."""
        kept = self._kept.get(subject)
        if kept is None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            kept = self._kept[subject] = self._read(subject)
        return kept

    def _read(self, subject: Subject) -> ProcessInformation:
        details = self._details(subject)
        named = None if details is None else details.name
        comparable = subject.canonical_image is not None
        return ProcessInformation(
            pid=subject.pid or 0,
            name=named or (os.path.basename(subject.image) if subject.image else None),
            path=subject.image if comparable else None,
            ppid=None if details is None else details.parent,
            uid=None if details is None else details.uid,
            user=subject.user,
            starttime=subject.process_created,
            services=subject.services,
            container=subject.container,
            comment=None if comparable or not subject.image else f"{subject.image} is not that file on this host",
        )


def created_offset() -> int:
    """Nanoseconds that times of creation lack: they are counted from the whole second in which the machine started."""
    try:
        with open("/proc/stat", "rb") as file:
            started = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
        return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started * SECOND
    except (OSError, StopIteration, ValueError):
        return 0


def members(subject: Subject) -> tuple[Subject, ...]:
    """The processes that may be meant: one, unless it is ambiguous."""
    return subject.candidates or (subject,)
