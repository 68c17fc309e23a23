"""Which processes hold a socket: an index of /proc/*/fd, kept up to date a little at a time.

Knows numbers only: inodes, pids, file descriptors. Must not know what a process is called, or what a socket is for.

    holders = Holders()
    holders.find(495482, uid=1000)        # -> [Holder(pid=4242, number=7)]

A whole scan of a busy host takes tenths of a second, a link 2 to 30 us, so: new processes are seen by the numbers that
/proc gives its folders (which no later process of the same pid gets) and are read once, and a socket nobody is known
to hold is looked for where it most likely is: in processes that owned the sockets before it, then in those of the
socket's user, youngest first, and in each first at descriptors that were free, because the kernel gives out the lowest.
Only then are whole processes read again. `links` bounds what one lookup may read; the next one goes on from there.

A socket has several holders after a fork, or when it is passed over a Unix socket. Children are found because they
are new, parents because they hold it under the same number. Who got it over a Unix socket is known only once its
process has been read again: refresh() does that in idle moments.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

_SOCKET = "socket:["
_FREE_TRIED = 16
_OTHERS_TRIED = 4
_BEYOND_TRIED = 4
_NEIGHBOURS = 16
_ANCESTORS = 8
_SOUGHT = 1024
_ASKED_AGAIN = 16
_READING = 8
"""What listing a folder costs, in links."""


class Holder(NamedTuple):
    """A descriptor of a process that referred to the socket when the index last looked."""

    pid: int
    number: int


class _Process:
    """What the index remembers of one process."""

    __slots__ = ("denied", "elsewhere", "inodes", "pid", "read_at", "tag", "top", "tries", "uid")

    def __init__(self, pid: int, tag: int, uid: int) -> None:
        self.pid = pid
        self.tag = tag
        """The inode of its folder: another process that gets this pid gets another."""
        self.uid = uid
        self.inodes: dict[int, int] = {}
        """Descriptor -> socket."""
        self.tries: list[int] = []
        """Where a new socket most likely is: the lowest that were free, the highest that were no sockets."""
        self.top = 0
        """One more than the highest descriptor."""
        self.read_at = 0
        """The number of the reading, counted over all processes; 0: never read."""
        self.denied = False
        self.elsewhere = False
        """In another network namespace when it was read."""


class Holders:
    """Mutable. `denied` says why an answer may be missing."""

    def __init__(self, *, proc: str = "/proc", links: int = 8192) -> None:
        """`links`: how many descriptors one lookup may read, the first excepted, which reads all."""
        self.denied = 0
        """Processes whose descriptors we may not read."""
        self.elsewhere = 0
        """Processes in other network namespaces: their sockets are not to be seen from here."""
        self._namespace = _namespace(f"{proc}/self")
        self._proc = proc
        self._links = links
        self._left = 0
        self._clock = b""
        self._processes: dict[int, _Process] = {}
        self._holders: dict[int, dict[int, int]] = {}
        self._recent: deque[int] = deque(maxlen=_NEIGHBOURS)
        self._fresh: deque[int] = deque()
        self._round: deque[int] = deque()
        self._traced: set[int] = set()
        self.readings = 0
        """How often a process was read, for tests and the curious."""
        self._sought: dict[int, int] = {}
        """Socket -> the number of the last reading before it was first looked for in vain."""

    def __len__(self) -> int:
        """How many sockets are known."""
        return len(self._holders)

    def find(self, inode: int, uid: int, still: Callable[[], bool] = lambda: True) -> list[Holder]:
        """Who holds the socket that a process of the user `uid` made; [] if nobody was found within the bound.

        `still` tells whether the socket exists still: asked while the search is long.
        """
        self._left = self._links if self._processes else 1 << 62
        self._see_new(inode)
        if not self._check(inode):
            self._search(inode, uid, still)
        found = self._holders.get(inode)
        if not found:
            return []
        self._trace(inode, found)
        for pid in found:
            if pid in self._recent:
                self._recent.remove(pid)
            self._recent.append(pid)
        return [Holder(pid, number) for pid, number in sorted(found.items())]

    def start(self) -> None:
        """The first reading, of all processes: tenths of a second where there are ten thousand sockets."""
        self._left = 1 << 62
        self._see_new(0)

    def refresh(self, links: int) -> None:
        """Reads about so many descriptors again, of each process in turn: for idle moments."""
        self._left = links
        self._see_new(0)
        if not self._round:
            self._round.extend(self._processes)
        while self._round and self._left > 0:
            process = self._processes.get(self._round.popleft())
            if process is not None:
                self._read(process)

    # New processes ----------------------------------------------------------------------------------------------

    def _see_new(self, inode: int) -> None:
        """Lists processes if any began since the last time, and reads the new ones, as far as the bound allows."""
        clock = self._last_pid()
        if clock != self._clock or not clock:
            self._clock = clock
            self._list()
        numbers = set(self._holders.get(inode, {}).values())
        while self._fresh and self._left > 0:
            process = self._processes.get(self._fresh.popleft())
            if process is not None and not process.read_at:
                self._read(process)
        for pid in self._fresh:  # beyond the bound: at least under the number by which a parent holds it
            for number in numbers:
                self._look(self._processes[pid], number)

    def _last_pid(self) -> bytes:
        """The last field of /proc/loadavg is the pid given out last; the one before it counts processes."""
        try:
            with open(f"{self._proc}/loadavg", "rb") as file:
                return file.read(128).partition(b"/")[2]
        except OSError:
            return b""

    def _list(self) -> None:
        seen: set[int] = set()
        with os.scandir(self._proc) as entries:
            for entry in entries:
                if not entry.name.isdigit():
                    continue
                pid, tag = int(entry.name), entry.inode()
                seen.add(pid)
                known = self._processes.get(pid)
                if known is not None:
                    if known.tag == tag:
                        continue
                    self._forget(known)
                try:
                    uid = os.stat(f"{self._proc}/{pid}").st_uid
                except OSError:
                    continue
                self._processes[pid] = _Process(pid, tag, uid)
                self._fresh.append(pid)
        for pid in [pid for pid in self._processes if pid not in seen]:
            self._forget(self._processes[pid])

    def _forget(self, process: _Process) -> None:
        for inode in process.inodes.values():
            self._drop(inode, process.pid)
        self.denied -= process.denied
        self.elsewhere -= process.elsewhere
        del self._processes[process.pid]

    # Reading one process ----------------------------------------------------------------------------------------

    def _read(self, process: _Process) -> None:
        """All descriptors of a process."""
        self.readings += 1
        self._left -= _READING
        process.read_at = self.readings
        elsewhere = _namespace(f"{self._proc}/{process.pid}") not in ("", self._namespace)
        self.elsewhere += elsewhere - process.elsewhere
        process.elsewhere = elsewhere
        try:
            numbers = sorted(map(int, os.listdir(f"{self._proc}/{process.pid}/fd")))
        except OSError as error:
            numbers = []
            denied = isinstance(error, PermissionError)
            self.denied += denied - process.denied
            process.denied = denied
        for number in process.inodes.keys() - set(numbers):
            self._set(process, number, 0)
        # Our own listing has a descriptor, too, that is free by now.
        found = {number: inode for number in numbers if (inode := self._look(process, number)) >= 0}
        process.top = max(found, default=-1) + 1
        free = (number for number in range(process.top) if number not in found) if len(found) < process.top else ()
        others = [number for number, inode in found.items() if not inode][-_OTHERS_TRIED:]
        process.tries = [*islice(free, _FREE_TRIED), *others]

    def _look(self, process: _Process, number: int) -> int:
        """What a descriptor refers to now: the inode of a socket, 0 for anything else, -1 if it is free."""
        self._left -= 1
        try:
            target = os.readlink(f"{self._proc}/{process.pid}/fd/{number}")
        except OSError:
            self._set(process, number, 0)
            return -1
        inode = int(target[len(_SOCKET) : -1]) if target.startswith(_SOCKET) else 0
        self._set(process, number, inode)
        return inode

    def _set(self, process: _Process, number: int, inode: int) -> None:
        """Notes what a descriptor refers to; a process that holds a socket twice is known by one of them."""
        before = process.inodes.get(number, 0)
        if before and before != inode:
            del process.inodes[number]
            if self._holders.get(before, {}).get(process.pid) == number:
                self._drop(before, process.pid)
        if inode:
            process.inodes[number] = inode
            self._holders.setdefault(inode, {}).setdefault(process.pid, number)

    def _drop(self, inode: int, pid: int) -> None:
        found = self._holders.get(inode)
        if found is None:
            return
        found.pop(pid, None)
        if not found:
            del self._holders[inode]
            self._traced.discard(inode)

    # Looking for one socket -------------------------------------------------------------------------------------

    def _check(self, inode: int) -> bool:
        """Looks again at those known to hold it; True if one still does."""
        for pid, number in list(self._holders.get(inode, {}).items()):
            self._look(self._processes[pid], number)
        return inode in self._holders

    def _search(self, inode: int, uid: int, still: Callable[[], bool]) -> None:
        """Half of the bound for probing, the rest for reading, which goes on where the lookup before stopped."""
        rest = self._left // 2
        for count, process in enumerate(self._likely(uid), start=1):
            if self._probe(process, inode) or (count % _ASKED_AGAIN == 0 and not still()):
                return
            if self._left <= rest:
                break
        since = self._sought.setdefault(inode, self.readings)
        if len(self._sought) > _SOUGHT:
            del self._sought[next(iter(self._sought))]
        for process in self._likely(uid):
            # What was read in vain before is passed over: a socket of the kernel's own has no holder.
            if process.read_at > since:
                continue
            if self._left <= 0 or not still():
                return
            self._read(process)
            if inode in self._holders:
                del self._sought[inode]
                return

    def _likely(self, uid: int) -> Iterator[_Process]:
        """Every process once: who owned the sockets before, then the user's, then the others, youngest first."""
        recent = [self._processes[pid] for pid in reversed(self._recent) if pid in self._processes]
        yield from recent
        passed = {process.pid for process in recent}
        young = [process for process in reversed(self._processes.values()) if process.pid not in passed]
        yield from (process for process in young if process.uid == uid)
        yield from (process for process in young if process.uid != uid)

    def _probe(self, process: _Process, inode: int) -> bool:
        """Looks where a new socket most likely is: at what was free, then beyond the highest."""
        if process.denied:
            return False
        process.tries = [number for number in process.tries if self._look(process, number) <= 0]
        misses = 0
        while inode not in self._holders and misses < _BEYOND_TRIED:
            kind = self._look(process, process.top + misses)
            if kind < 0:
                misses += 1
                continue
            process.tries += range(process.top, process.top + misses + (kind == 0))
            process.top += misses + 1
            misses = 0
        if len(process.tries) > 2 * _FREE_TRIED:
            process.tries = process.tries[:_FREE_TRIED] + process.tries[-_OTHERS_TRIED:]
        return inode in self._holders

    def _trace(self, inode: int, found: dict[int, int]) -> None:
        """Once for each socket: do the parents hold it, too? A fork keeps the number, inetd makes it 0."""
        if inode in self._traced:
            return
        self._traced.add(inode)
        for pid, number in list(found.items()):
            for parent in self._ancestors(pid):
                if parent.pid not in found and self._look(parent, number) != inode and number <= 2:
                    self._read(parent)

    def _ancestors(self, pid: int) -> Iterable[_Process]:
        for _ in range(_ANCESTORS):
            pid = self._parent(pid)
            process = self._processes.get(pid)
            if process is None:
                return
            yield process

    def _parent(self, pid: int) -> int:
        try:
            with open(f"{self._proc}/{pid}/stat", "rb") as file:
                return int(file.read(1024).rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return 0


def _namespace(folder: str) -> str:
    """The network namespace of a process; "" if it may not be known."""
    try:
        return os.readlink(f"{folder}/ns/net")
    except OSError:
        return ""
