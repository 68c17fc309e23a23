"""Processes that open real sockets when told to, and say themselves who they are and which sockets they hold.

with Peer() as peer:
    server = peer.open("tcp", bind=("127.0.0.1", 0), listen=True)
    peer.pid, peer.created, server.inode          # the truth, as the process itself sees it

Run as a program, this file is such a process: commands as JSON on its standard input, answers on its output.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

LISTENS = "00010000"
"""As /proc/net/unix flags it."""

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Opened(NamedTuple):
    """A socket of a peer, as the peer tells it."""

    index: int
    inode: int
    local: tuple[str, int]
    remote: tuple[str, int] | None


class Peer:
    """One such process, from the tests' side."""

    def __init__(
        self, *prefix: str, python: str | None = sys.executable, environment: dict[str, str] | None = None
    ) -> None:
        """`prefix`: a command to run it by, such as unshare; with `python` None that is the whole command."""
        command = [*prefix, *([python] if python else []), str(Path(__file__))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=None if environment is None else {**os.environ, **environment},
        )
        answer = json.loads(self._line())
        self.pid: int = answer["pid"]
        self.created: int = answer["created"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # it waits for what a failed test did not do
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, do: str, **arguments: Any) -> Any:
        self.send(do, **arguments)
        return self.answer()

    def send(self, do: str, **arguments: Any) -> None:
        """A command whose answer is awaited later."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        answer = json.loads(self._line())
        assert "error" not in answer, answer
        return answer["value"]

    def open(self, kind: str, **arguments: Any) -> Opened:
        """kind, family=4, bind=, connect=, listen=, options=[[level, name, value]...]"""
        return _opened(self.ask("open", kind=kind, **arguments))

    def accept(self, index: int) -> Opened:
        return _opened(self.ask("accept", index=index))

    def wait_for(self, path: str) -> None:
        """Until somebody listens at a Unix socket."""

        def listens() -> bool:
            rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
            return any(row[-1] == path and row[3] == LISTENS for row in rows)

        self.wait_until(listens)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Looks again and again while the peer lives."""
        end = time.monotonic() + 30
        while not condition():
            assert self.process.poll() is None, "the peer has gone"
            assert time.monotonic() < end, "waited in vain"
            os.sched_yield()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the peer has gone"
        return line


def _opened(value: dict[str, Any]) -> Opened:
    remote = value["remote"]
    return Opened(value["index"], value["inode"], tuple(value["local"]), remote and tuple(remote))


# --- in the peer's process ------------------------------------------------------------------------------------------


class Commands:
    """What a peer does when told to."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket | None] = []
        self.children: list[int] = []

    def open(
        self,
        kind: str,
        family: int = 4,
        bind: list[Any] | None = None,
        connect: list[Any] | None = None,
        listen: bool = False,
        options: tuple[tuple[int, int, int], ...] = (),
    ) -> dict[str, Any]:
        made = socket.socket(FAMILIES[family], socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        for level, name, value in options:
            made.setsockopt(level, name, value)
        if bind is not None:
            made.bind(tuple(bind))
        if connect is not None:
            made.connect(tuple(connect))
        if listen:
            made.listen()
        return self._keep(made)

    def accept(self, index: int) -> dict[str, Any]:
        listener = self.sockets[index]
        assert listener is not None
        return self._keep(listener.accept()[0])

    def close(self, index: int) -> None:
        made = self.sockets[index]
        assert made is not None
        made.close()
        self.sockets[index] = None

    def fork(self) -> int:
        """A child that holds what this process holds, until it is told to end."""
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        self.children.append(child)
        return child

    def end(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.children.remove(child)

    def become(self, uid: int) -> None:
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    def leave(self, procs: str) -> None:
        """Moves this process to another cgroup, so that the one it is in can be removed."""
        with open(procs, "w") as file:
            file.write(str(os.getpid()))

    def run(self, path: str) -> None:
        """Another program in this process, that holds the sockets and waits: `path` is sh, or one like it."""
        for made in self.sockets:
            if made is not None:
                os.set_inheritable(made.fileno(), True)
        print(json.dumps({"value": None}), flush=True)
        os.execv(path, [path, "-c", "read line"])

    def give(self, index: int, path: str) -> None:
        """Passes a socket to whoever listens at a Unix socket, and keeps it."""
        made = self.sockets[index]
        assert made is not None
        with socket.socket(socket.AF_UNIX) as way:
            way.connect(path)
            socket.send_fds(way, [b"x"], [made.fileno()])
            way.recv(1)

    def take(self, path: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as way:
            way.bind(path)
            way.listen()
            other = way.accept()[0]
            numbers = socket.recv_fds(other, 1, 1)[1]
            other.send(b"x")
            other.close()
            return self._keep(socket.socket(fileno=numbers[0]))

    def _keep(self, made: socket.socket) -> dict[str, Any]:
        self.sockets.append(made)
        try:
            remote = made.getpeername()[:2]
        except OSError:
            remote = None
        inode = os.fstat(made.fileno()).st_ino
        return {"index": len(self.sockets) - 1, "inode": inode, "local": made.getsockname()[:2], "remote": remote}


def created_at() -> int:
    """When this process was created: nanoseconds since 1970, rounded as psutil's seconds are."""
    return round(psutil.Process().create_time() * 1_000_000) * 1_000


def main() -> None:
    commands = Commands()
    print(json.dumps({"pid": os.getpid(), "created": created_at()}), flush=True)
    for line in sys.stdin:
        arguments = json.loads(line)
        do = arguments.pop("do")
        try:
            answer = {"value": getattr(commands, do)(**arguments)}
        except OSError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
    for child in list(commands.children):
        commands.end(child)


if __name__ == "__main__":
    main()
