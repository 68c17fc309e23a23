"""Forces one pid on process after process while their sockets are asked for; prints how the answers were.

Run as root in pid and network namespaces of its own (unshare --pid --fork --mount-proc --net). Each short process has
the pid of the one before it, but a user and a port of its own, so an answer that mixes two of them shows. The answers
are asked for by another process than the one that makes them, at any moment of their lives.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress

from agent.attribution.live.source import LiveSource

LOOPBACK = 0x7F000001
TCP, UDP = 6, 17
RESET_ON_CLOSE = struct.pack("=ii", 1, 0)
FIRST_PORT, PORTS = 10_000, 20_000
FIRST_UID = 100_000
ROUND = struct.Struct("=III")


def one_life(number: int, report: int, patience: float, listener: tuple[str, int]) -> None:
    """What the short process does: become a user, open a socket, say so, close it with its end."""
    os.setresuid(FIRST_UID + number, FIRST_UID + number, FIRST_UID + number)
    tcp = number % 2
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", FIRST_PORT + number % PORTS))
        if tcp:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            made.connect(listener)
        os.write(report, ROUND.pack(os.getpid(), number, os.fstat(made.fileno()).st_ino))
        time.sleep(patience)
    os._exit(0)


def make_lives(count: int, pid: int, report: int, listener: tuple[str, int]) -> None:
    """One after the other, all with the same pid."""
    dice = random.Random(7)
    for number in range(count):
        patience = dice.choice((0, 0, 0.0002, 0.001, 0.003))
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            one_life(number, report, patience, listener)
        os.waitpid(child, 0)
    os._exit(0)


def main(count: int, pid: int) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    told, report = os.pipe()
    server = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server.setblocking(False)
    listener: tuple[str, int] = server.getsockname()
    if os.fork() == 0:
        server.close()
        make_lives(count, pid, report, listener)
    os.close(report)
    source = LiveSource()
    seen = {"right": 0, "unattributed": 0, "wrong": [], "pids": []}
    pids = set()
    with os.fdopen(told, "rb") as lives:
        while line := lives.read(ROUND.size):
            its_pid, number, _ = ROUND.unpack(line)
            pids.add(its_pid)
            protocol, there = (TCP, listener[1]) if number % 2 else (UDP, 9)
            owner = source.find(protocol, 4, LOOPBACK, FIRST_PORT + number % PORTS, LOOPBACK, there, 0, 0)
            with suppress(BlockingIOError):
                server.accept()[0].close()
            if owner is None:
                seen["unattributed"] += 1
                continue
            subject = owner.subject
            if (subject.pid, subject.user, subject.candidates) == (its_pid, str(FIRST_UID + number), ()):
                seen["right"] += 1
            else:
                seen["wrong"].append(f"{number}: {subject!r}")
    seen["pids"] = sorted(pids)
    print(json.dumps({**seen, "misses": dict(source.misses)}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
