"""The descriptors of every process, as they were when last looked at: /proc/*/fd, one link or one process at a time.

Knows numbers only: pids, descriptors, inodes of sockets. Must not know whom to look at, or why.

    table = Table()
    table.list()                                # new processes are in table.fresh
    table.read(table.processes[4242])           # all its descriptors
    table.holders[495482]                       # {4242: 7}: pid -> descriptor

Each look costs 2 to 30 us and is counted off `left`, which is the caller's bound.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import islice

_SOCKET = "socket:["
_FREE = 16
_OTHERS = 4
_BEYOND = 4
_READING = 8
"""What listing a folder costs, in looks."""


class Descriptors:
    """What is remembered of one process."""

    __slots__ = (
        "denied", "elsewhere", "free", "inodes", "others", "parent", "pid", "read_at", "tag", "top", "uid"
    )  # fmt: skip

    def __init__(self, pid: int, tag: int, uid: int, parent: int) -> None:
        self.pid = pid
        self.tag = tag
        """The inode of its folder: another process that gets this pid gets another."""
        self.uid = uid
        self.parent = parent
        """Its pid; 0: none, or unknown."""
        self.inodes: dict[int, int] = {}
        """Descriptor -> socket."""
        self.free: list[int] = []
        """The lowest that were free, ascending."""
        self.others: list[int] = []
        """The highest that were no sockets: most likely to have become one."""
        self.top = 0
        """One more than the highest."""
        self.read_at = 0
        """The number of the reading, counted over all processes; 0: never read."""
        self.denied = False
        self.elsewhere = False
        """In another network namespace when it was read."""


class Table:
    """Mutable."""

    def __init__(self, *, proc: str = "/proc") -> None:
        self.proc = proc
        self.processes: dict[int, Descriptors] = {}
        """By pid, in the order they were first seen."""
        self.fresh: deque[Descriptors] = deque()
        """Listed, never read."""
        self.holders: dict[int, dict[int, int]] = {}
        """Socket -> pid -> descriptor."""
        self.left = 0
        self.readings = 0
        """How often a process was read."""
        self.denied = 0
        """Processes whose descriptors we may not read."""
        self.elsewhere = 0
        """Processes in other network namespaces: their sockets are not to be seen from here."""
        self._namespace = _namespace(f"{proc}/self")

    def list(self) -> None:
        """Finds processes that began or ended. Raises OSError without /proc."""
        seen: set[int] = set()
        with os.scandir(self.proc) as entries:
            for entry in entries:
                if not entry.name.isdigit():
                    continue
                pid, tag = int(entry.name), entry.inode()
                seen.add(pid)
                known = self.processes.get(pid)
                if known is None or known.tag != tag:
                    self._begin(pid, tag, known)
        for pid in self.processes.keys() - seen:
            self._forget(self.processes[pid])

    def _begin(self, pid: int, tag: int, known: Descriptors | None) -> None:
        if known is not None:
            self._forget(known)
        try:
            uid = os.stat(f"{self.proc}/{pid}").st_uid
        except OSError:
            return
        process = self.processes[pid] = Descriptors(pid, tag, uid, self._parent(pid))
        self.fresh.append(process)

    def _forget(self, process: Descriptors) -> None:
        for inode in process.inodes.values():
            self._drop(inode, process.pid)
        process.inodes = {}
        self.denied -= process.denied
        self.elsewhere -= process.elsewhere
        del self.processes[process.pid]

    def alive(self, process: Descriptors) -> bool:
        """True if it was when processes were listed last."""
        return self.processes.get(process.pid) is process

    def parent(self, process: Descriptors) -> Descriptors | None:
        """Another one adopts it when its parent ends."""
        if process.parent and process.parent not in self.processes:
            process.parent = self._parent(process.pid)
        return self.processes.get(process.parent)

    def _parent(self, pid: int) -> int:
        try:
            with open(f"{self.proc}/{pid}/stat", "rb") as file:
                return int(file.read(1024).rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            return 0

    def read(self, process: Descriptors) -> None:
        """All descriptors of a process."""
        self.readings += 1
        self.left -= _READING
        process.read_at = self.readings
        folder = f"{self.proc}/{process.pid}"
        elsewhere = _namespace(folder) not in ("", self._namespace)
        self.elsewhere += elsewhere - process.elsewhere
        process.elsewhere = elsewhere
        try:
            numbers = sorted(map(int, os.listdir(f"{folder}/fd")))
        except OSError as error:
            numbers = []
            denied = isinstance(error, PermissionError)
            self.denied += denied - process.denied
            process.denied = denied
        for number in process.inodes.keys() - set(numbers):
            self._set(process, number, 0)
        # Our own listing has a descriptor, too, that is free by now.
        found = {number: inode for number in numbers if (inode := self.look(process, number)) >= 0}
        process.top = max(found, default=-1) + 1
        free = (number for number in range(process.top) if number not in found) if len(found) < process.top else ()
        process.free = list(islice(free, _FREE))
        process.others = [number for number, inode in found.items() if not inode][-_OTHERS:]

    def look(self, process: Descriptors, number: int) -> int:
        """What a descriptor refers to now: the inode of a socket, 0 for anything else, -1 if it is free."""
        self.left -= 1
        try:
            target = os.readlink(f"{self.proc}/{process.pid}/fd/{number}")
        except OSError:
            self._set(process, number, 0)
            return -1
        inode = int(target[len(_SOCKET) : -1]) if target.startswith(_SOCKET) else 0
        self._set(process, number, inode)
        return inode

    def opened(self, process: Descriptors) -> bool:
        """True if the lowest free descriptor is taken now: the kernel gives that one out first."""
        return not process.denied and self.look(process, process.free[0] if process.free else process.top) >= 0

    def probe(self, process: Descriptors, inode: int) -> bool:
        """Looks where a new socket most likely is: at what was free or no socket, then beyond the highest."""
        if process.denied:
            return False
        kinds = {number: self.look(process, number) for number in process.free}
        process.free = [number for number, kind in kinds.items() if kind < 0]
        process.others += [number for number, kind in kinds.items() if kind == 0]
        process.others = [number for number in process.others if self.look(process, number) <= 0][-_OTHERS:]
        misses = 0
        while inode not in self.holders and misses < _BEYOND:
            kind = self.look(process, process.top + misses)
            if kind < 0:
                misses += 1
                continue
            process.free += range(process.top, process.top + misses)
            if kind == 0:
                process.others.append(process.top + misses)
            process.top += misses + 1
            misses = 0
        return inode in self.holders

    def _set(self, process: Descriptors, number: int, inode: int) -> None:
        """Notes what a descriptor refers to; a process that holds a socket twice is known by one of them."""
        before = process.inodes.get(number, 0)
        if before and before != inode:
            del process.inodes[number]
            if self.holders.get(before, {}).get(process.pid) == number:
                self._drop(before, process.pid)
        if inode:
            process.inodes[number] = inode
            self.holders.setdefault(inode, {}).setdefault(process.pid, number)

    def _drop(self, inode: int, pid: int) -> None:
        found = self.holders.get(inode)
        if found is None:
            return
        found.pop(pid, None)
        if not found:
            del self.holders[inode]


def _namespace(folder: str) -> str:
    """The network namespace of a process; "" if it may not be known."""
    try:
        return os.readlink(f"{folder}/ns/net")
    except OSError:
        return ""
