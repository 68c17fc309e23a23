"""Which services a process hosts, on Windows: the service manager's own list, by pid.

Knows psutil's win_service_iter. Must not know sockets.

    hosted = HostedServices(clock=time.time_ns)
    hosted.of(980, created=...)       # -> ("termservice",), () for none, None if it is not known
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import psutil

_READ_NS = 2_000_000_000
"""How old the list may be: reading it takes some tens of milliseconds."""


class Service(Protocol):
    """As far as it is used here."""

    def name(self) -> str: ...

    def pid(self) -> int | None: ...


def installed() -> Iterable[Service]:
    """Every service of this machine."""
    iterate: Any = getattr(psutil, "win_service_iter")  # noqa: B009 - psutil has it on Windows only
    services: Iterable[Service] = iterate()
    return services


class HostedServices:
    """Mutable: it keeps the list it read last."""

    def __init__(self, *, clock: Callable[[], int], services: Callable[[], Iterable[Service]] = installed) -> None:
        """`clock`: nanoseconds since 1970, as processes' creation is given."""
        self._clock = clock
        self._services = services
        self._read_at: int | None = None
        self._by_pid: dict[int, tuple[str, ...]] | None = None

    def of(self, pid: int, created: int) -> tuple[str, ...] | None:
        """Lower case, as Windows compares them. A list that is older than the process says nothing of it."""
        now = self._clock()
        if self._read_at is None or not 0 <= now - self._read_at < _READ_NS or created >= self._read_at:
            self._read_at = now
            self._by_pid = self._read()
        if self._by_pid is None or created >= self._read_at:
            return None
        return self._by_pid.get(pid, ())

    def _read(self) -> dict[int, tuple[str, ...]] | None:
        found: dict[int, tuple[str, ...]] = {}
        try:
            for service in self._services():
                try:
                    pid, name = service.pid(), service.name().lower()
                except psutil.Error:  # not ours to look at, or just removed: what it hosts is not told
                    continue
                if pid:
                    found[pid] = (*found.get(pid, ()), name)
        except (psutil.Error, OSError):
            return None
        return found
