"""What psutil tells of a process on any system; kept while the pid is that process's.

Knows psutil, and never takes its guesses. Must not know sockets. Linux has more to say: see processes.py.

    described = Described(services=HostedServices(clock=time.time_ns).of)
    described.of(980, created=...)       # -> Process(pid=980, ...) or None
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psutil

from agent.attribution.live.cgroups import UNKNOWN, Membership
from agent.attribution.live.found import Process, nanoseconds

_KEPT = 4096


class Described:
    """Mutable: a cache."""

    def __init__(self, *, services: Callable[[int, int], tuple[str, ...] | None] | None = None) -> None:
        """`services`: of (pid, created); None where nothing knows them."""
        self._services = services
        self._kept: dict[tuple[int, int], Process] = {}

    def of(self, pid: int, created: int) -> Process | None:
        """The process of that pid and creation, None if it has gone. Services may start any time: asked each time."""
        process = self._kept.get((pid, created))
        if process is None:
            process = describe(pid)
            if process is None or process.created != created:
                return None
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[pid, created] = process
        hosted = None if self._services is None else self._services(pid, created)
        return process if hosted is None else replace(process, membership=Membership(hosted, None))


def created_at(pid: int) -> int | None:
    """When the process of this pid was created; None if there is none, or it may not be known."""
    try:
        return nanoseconds(psutil.Process(pid).create_time())
    except (psutil.Error, OSError):
        return None


class _Unguessed(psutil.Process):  # type: ignore[misc] # psutil has no types
    """Without a command line: psutil guesses the program from it where the system does not tell."""

    def cmdline(self) -> list[str]:
        return []


def describe(pid: int) -> Process | None:
    """What psutil tells of a process on any system; None if it has gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            facts = process.as_dict(["ppid", "name", "username", "cmdline", "create_time"])
            image = _Unguessed(pid).as_dict(["exe"])["exe"] or None
    except (psutil.Error, OSError):
        return None
    command_line = facts["cmdline"]
    return Process(
        pid=pid,
        created=nanoseconds(facts["create_time"]),
        parent=facts["ppid"],
        name=facts["name"],
        image=image,
        comparable=True,
        command_line=None if command_line is None else tuple(command_line),
        user=facts["username"],
        uid=None,
        membership=UNKNOWN,
    )
