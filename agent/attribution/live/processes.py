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
from typing import NamedTuple

import psutil

from agent.attribution.live.cgroups import UNKNOWN, read_cgroups
from agent.attribution.live.found import Process, nanoseconds

_KEPT = 4096
_TRIES = 3
_DELETED = " (deleted)"


class _Seen(NamedTuple):
    """What may change in the life of a process, and is cheap to look at."""

    image: str | None
    file: tuple[int, int] | None
    """Device and inode of the image."""
    uid: int
    gid: int
    cgroups: str


class _Kept(NamedTuple):
    """Facts, and what must be the same for them to be true still."""

    seen: _Seen
    process: Process


class Processes:
    """Mutable: a cache. Linux; described.py is for other systems."""

    def __init__(self, *, proc: str = "/proc") -> None:
        self._proc = proc
        self._kept: dict[tuple[int, int], _Kept] = {}
        self._mounts = _link(f"{proc}/self/ns/mnt", None)

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

    def of(self, pid: int, created: int) -> Process | None:
        """The process of that pid and creation; None if it has gone, or may not be looked into."""
        with self._folder(pid) as folder:
            try:
                process = None if folder is None else self._facts(pid, folder)
            except OSError:
                return None
            return process if process is not None and process.created == created else None

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
        seen = _seen(folder)
        key = (pid, os.fstat(folder).st_ino)
        kept = self._kept.get(key)
        if kept is not None and kept.seen == seen:
            return kept.process
        for _ in range(_TRIES):
            process = self._read(pid, folder, seen)
            before, seen = seen, _seen(folder)
            if process is None or seen == before:
                break
        else:  # it changes faster than it can be read
            return None
        if process is not None:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = _Kept(seen, process)
        return process

    def _read(self, pid: int, folder: int, seen: _Seen) -> Process | None:
        """By psutil, while the folder is open; None if the process went meanwhile."""
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                facts = process.as_dict(["ppid", "name", "username", "uids", "cmdline", "create_time"])
        except (psutil.Error, OSError):
            return None
        if not _text("stat", folder):  # the pid may be another's by now
            return None
        path, comparable = self._image(seen, folder)
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
            membership=read_cgroups(seen.cgroups) if seen.cgroups else UNKNOWN,
        )

    def _image(self, seen: _Seen, folder: int) -> tuple[str | None, bool]:
        """The path, and whether it is this host's. An updated program's file is gone: the kernel knows its path."""
        image = seen.image
        if not image or not image.startswith("/"):
            return None, False
        if seen.file is not None and seen.file == _identity(image, None):
            return image, True
        bare = image.removesuffix(_DELETED)
        if bare == image:
            return image, False
        return bare, self._mounts is not None and _link("ns/mnt", folder) == self._mounts


def _seen(folder: int) -> _Seen:
    own = os.fstat(folder)
    return _Seen(_link("exe", folder), _identity("exe", folder), own.st_uid, own.st_gid, _text("cgroup", folder))


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
