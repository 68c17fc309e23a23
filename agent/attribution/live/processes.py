"""What is known of a process: image, user, services, container, when it was created. Kept while it is the same process.

Knows psutil, and what Linux shows in /proc/PID. Must not know sockets, except the one whose holder is asked for.

    processes = Processes()
    processes.holding(4242, 7, inode=495482)      # -> Process(pid=4242, image="/usr/sbin/nginx", ...) or None

A pid is believed only as long as its folder is open: what is read through an open folder of /proc is of one process,
or fails, however fast its pid is given to another. Facts are kept by pid, creation and the folder's own number, and
read again when the image, the user or the group changes (a process may exec, drop rights, be moved).

The image is what the kernel calls the file. It is compared with rules only if that path, seen from here, is that very
file: in a mount namespace of one's own, which any user can make, a file may lie at the path of any program.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from agent.attribution.live.cgroups import UNKNOWN, Membership, read_cgroups

_KEPT = 4096
_DELETED = " (deleted)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. None: could not be read."""

    pid: int
    created: int
    """Nanoseconds since 1970."""
    parent: int | None
    name: str | None
    image: str | None
    """As seen in its own mount namespace."""
    comparable: bool
    """True if `image` is that file on this host, too: false inside containers mostly."""
    command_line: tuple[str, ...] | None
    user: str | None
    uid: int | None
    membership: Membership


@dataclass(slots=True)
class _Kept:
    """Facts, and what must be the same for them to be true still."""

    seen: tuple[object, ...]
    process: Process


class Processes:
    """Mutable: a cache. Linux; see services.py for other systems."""

    def __init__(self, *, proc: str = "/proc") -> None:
        self._proc = proc
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._mounts = _link(f"{proc}/self/ns/mnt", None)
        self._netns = _link(f"{proc}/self/ns/net", None)

    def holding(self, pid: int, number: int, inode: int) -> Process | None:
        """The process, if its descriptor `number` is the socket `inode` now; None if not, or if it has gone.

        Raises PermissionError if the process may not be looked into.
        """
        with self._folder(pid) as folder:
            if folder is None or _link(f"fd/{number}", folder) != f"socket:[{inode}]":
                return None
            process = self._facts(pid, folder)
            # Still alive and still holding it: then pid and facts were of one process all the time.
            return process if _link(f"fd/{number}", folder) == f"socket:[{inode}]" else None

    @contextmanager
    def _folder(self, pid: int) -> Iterator[int | None]:
        try:
            folder = os.open(f"{self._proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield folder
        finally:
            os.close(folder)

    def _facts(self, pid: int, folder: int) -> Process | None:
        own = os.fstat(folder)
        image = _link("exe", folder)
        seen = (image, _identity("exe", folder), own.st_uid, own.st_gid, _text("cgroup", folder))
        key = (pid, own.st_ino)
        kept = self._kept.get(key)
        if kept is not None and kept.seen == seen:
            return kept.process
        process = self._read(pid, folder, image, str(seen[-1]))
        if process is not None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = _Kept(seen, process)
        return process

    def _read(self, pid: int, folder: int, image: str | None, cgroups: str) -> Process | None:
        """By psutil, while the folder is open; None if the process went meanwhile."""
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                facts = process.as_dict(["ppid", "name", "username", "uids", "cmdline", "create_time"])
        except psutil.Error:
            return None
        if not _text("stat", folder):  # the pid may be another's by now
            return None
        path, comparable = self._image(image, folder)
        uids = facts["uids"]
        return Process(
            pid=pid,
            created=nanoseconds(facts["create_time"]),
            parent=facts["ppid"],
            name=facts["name"],
            image=path,
            comparable=comparable,
            command_line=None if facts["cmdline"] is None else tuple(facts["cmdline"]),
            user=facts["username"],
            uid=None if uids is None else uids.real,
            membership=read_cgroups(cgroups) if cgroups else UNKNOWN,
        )

    def _image(self, image: str | None, folder: int) -> tuple[str | None, bool]:
        """The path, and whether it is this host's. An updated program's file is gone: the kernel knows its path."""
        if not image or not image.startswith("/"):
            return None, False
        identity = _identity("exe", folder)
        if identity is not None and identity == _identity(image, None):
            return image, True
        bare = image.removesuffix(_DELETED)
        if bare == image:
            return image, False
        return bare, _link("ns/mnt", folder) == self._mounts is not None


def nanoseconds(created: float) -> int:
    """psutil's seconds; Linux counts hundredths, and a float of today has some 200 ns of noise."""
    return round(created * 1_000_000) * 1_000


def _link(path: str, folder: int | None) -> str | None:
    try:
        return os.readlink(path, dir_fd=folder)
    except PermissionError:
        raise
    except OSError:
        return None


def _identity(path: str, folder: int | None) -> tuple[int, int] | None:
    try:
        found = os.stat(path, dir_fd=folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _text(path: str, folder: int) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return ""
    try:
        return os.read(file, 1 << 16).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)
