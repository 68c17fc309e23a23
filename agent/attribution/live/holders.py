"""Which processes hold a socket: whom to look at, in which order, and when it is enough.

Knows how sockets come to processes: made, inherited, passed on. Must not know what a process is called, or what a
socket is for.

    holders = Holders()
    holders.find(495482, uid=1000)        # -> [Holder(pid=4242, number=7)]

A whole scan of a busy host takes tenths of a second, so: new processes are seen by the numbers that /proc gives its
folders (which no later process of the same pid gets) and are read once, and a socket nobody is known to hold is looked
for where it most likely is: in processes that owned the sockets before it, then in those of the socket's user,
youngest first; first at the descriptor that is given out next, then at some more. Only then are whole processes read
again. `looks` bounds what one lookup may do; the next one goes on from there.

A socket has several holders after a fork, or when it is passed over a Unix socket. Children are found because they
are new, parents because they hold it under the same number. Who got it over a Unix socket is known only once its
process has been read again: refresh() does that in idle moments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agent.attribution.live.descriptors import Descriptors, Table

_NEIGHBOURS = 16
_ANCESTORS = 8
_SOUGHT = 1024
_TRACED = 65536
_ASKED_AGAIN = 16
_STANDARD = 2
"""Up to this number a descriptor may have been given its number by inetd: its parent's is another."""


class Holder(NamedTuple):
    """A descriptor of a process that referred to the socket when the index last looked."""

    pid: int
    number: int


class Holders:
    """Mutable: an index of the host."""

    def __init__(self, *, proc: str = "/proc", looks: int = 8192) -> None:
        """`looks`: about how many descriptors one lookup may look at."""
        self.table = Table(proc=proc)
        self._looks = looks
        self._clock = b""
        self._recent: deque[int] = deque(maxlen=_NEIGHBOURS)
        self._round: deque[Descriptors] = deque()
        self._traced: set[int] = set()
        self._sought: dict[int, int] = {}
        """Socket -> the number of the last reading before it was first looked for in vain."""

    def start(self) -> None:
        """The first reading, of all processes: tenths of a second where there are ten thousand sockets."""
        self.table.left = 1 << 62
        self._see_new(0)

    def find(self, inode: int, uid: int, still: Callable[[], bool] = lambda: True) -> list[Holder]:
        """Who holds the socket that a process of the user `uid` made; [] if nobody was found within the bound.

        `still` tells whether the socket exists still: asked while the search is long. Raises OSError without /proc.
        """
        self.table.left = self._looks
        self._see_new(inode)
        if not self._check(inode):
            self._search(inode, uid, still)
        found = self.table.holders.get(inode)
        if not found:
            return []
        self._trace(inode, found)
        for pid in found:
            if pid in self._recent:
                self._recent.remove(pid)
            self._recent.append(pid)
        return [Holder(pid, number) for pid, number in sorted(found.items())]

    def refresh(self, looks: int) -> None:
        """Looks at about so many descriptors again, of each process in turn: for idle moments."""
        self.table.left = looks
        self._see_new(0)
        if not self._round:
            self._round.extend(self.table.processes.values())
        while self._round and self.table.left > 0:
            process = self._round.popleft()
            if self.table.alive(process):
                self.table.read(process)

    def _see_new(self, inode: int) -> None:
        """Lists processes if any began since the last time, and reads the new ones, as far as the bound allows."""
        table = self.table
        clock = self._last_pid()
        if clock != self._clock or not clock:
            self._clock = clock
            table.list()
        while table.fresh and table.left > 0:
            process = table.fresh.popleft()
            if table.alive(process) and not process.read_at:
                table.read(process)
        # Beyond the bound: at least under the number by which a parent holds it.
        numbers = set(table.holders.get(inode, {}).values())
        for process in table.fresh:
            for number in numbers if table.alive(process) else ():
                table.look(process, number)

    def _last_pid(self) -> bytes:
        """/proc/loadavg ends with how many processes there are, and the pid given out last."""
        try:
            with open(f"{self.table.proc}/loadavg", "rb") as file:
                return file.read(128).partition(b"/")[2]
        except OSError:
            return b""

    def _check(self, inode: int) -> bool:
        """Looks again at those known to hold it; True if one still does."""
        for pid, number in list(self.table.holders.get(inode, {}).items()):
            self.table.look(self.table.processes[pid], number)
        return inode in self.table.holders

    def _search(self, inode: int, uid: int, still: Callable[[], bool]) -> None:
        """Half of the bound for what is likely; the rest for reading, which goes on where the last lookup stopped."""
        table = self.table
        likely = list(self._likely(uid))
        for process in likely:
            if table.opened(process) and table.probe(process, inode):
                return
            if table.left <= 0:
                break
        rest = table.left // 2
        for count, process in enumerate(likely):
            if (count % _ASKED_AGAIN == 0 and not still()) or table.probe(process, inode):
                return
            if table.left <= rest:
                break
        since = self._sought.setdefault(inode, table.readings)
        if len(self._sought) > _SOUGHT:
            del self._sought[next(iter(self._sought))]
        for process in likely:
            # What was read in vain before is passed over: a socket of the kernel's own has no holder.
            if process.read_at > since:
                continue
            if not still():
                return
            table.read(process)
            if inode in table.holders:
                del self._sought[inode]
                return
            if table.left <= 0:
                return

    def _likely(self, uid: int) -> Iterator[Descriptors]:
        """Every process once: who owned the sockets before, then the user's, then the others, youngest first."""
        processes = self.table.processes
        recent = [processes[pid] for pid in reversed(self._recent) if pid in processes]
        yield from recent
        passed = {process.pid for process in recent}
        young = [process for process in reversed(processes.values()) if process.pid not in passed]
        yield from (process for process in young if process.uid == uid)
        yield from (process for process in young if process.uid != uid)

    def _trace(self, inode: int, found: dict[int, int]) -> None:
        """Once for each socket: do the parents hold it, too? A fork keeps the number, inetd makes it 0."""
        if inode in self._traced:
            return
        if len(self._traced) >= _TRACED:
            self._traced.clear()
        self._traced.add(inode)
        for pid, number in list(found.items()):
            parent: Descriptors | None = self.table.processes[pid]
            for _ in range(_ANCESTORS):
                parent = None if parent is None else self.table.parent(parent)
                if parent is None:
                    break
                if parent.pid not in found and self.table.look(parent, number) != inode and number <= _STANDARD:
                    self.table.read(parent)
