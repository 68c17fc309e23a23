"""Forces one pid on process after process while their sockets are asked for; prints how the answers were.

Run as root in a pid namespace of its own (unshare --pid --fork --mount-proc). Each short process has the pid before it
again, but a user and a port of its own, so an answer that mixes two of them shows. The answers are asked for by another
process than the one that makes them, at any moment of their lives.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import sys
import time

from agent.attribution.live.source import LiveSource

LOOPBACK = 0x7F000001
UDP = 17
FIRST_PORT, PORTS = 10_000, 20_000
FIRST_UID = 100_000
ROUND = struct.Struct("=III")


def one_life(number: int, report: int, patience: float) -> None:
    """What the short process does: become a user, open a socket, say so, close it with its end."""
    os.setresuid(FIRST_UID + number, FIRST_UID + number, FIRST_UID + number)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", FIRST_PORT + number % PORTS))
        os.write(report, ROUND.pack(os.getpid(), number, os.fstat(made.fileno()).st_ino))
        time.sleep(patience)
    os._exit(0)


def make_lives(count: int, pid: int, report: int) -> None:
    """One after the other, all with the same pid."""
    dice = random.Random(7)
    for number in range(count):
        patience = dice.choice((0, 0, 0.0002, 0.001, 0.003))
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
        child = os.fork()
        if child == 0:
            one_life(number, report, patience)
        os.waitpid(child, 0)
    os._exit(0)


def main(count: int, pid: int) -> None:
    told, report = os.pipe()
    if os.fork() == 0:
        make_lives(count, pid, report)
    os.close(report)
    source = LiveSource()
    seen = {"right": 0, "unattributed": 0, "wrong": [], "pids": []}
    pids = set()
    with os.fdopen(told, "rb") as lives:
        while line := lives.read(ROUND.size):
            its_pid, number, _ = ROUND.unpack(line)
            pids.add(its_pid)
            owner = source.find(UDP, 4, LOOPBACK, FIRST_PORT + number % PORTS, LOOPBACK, 9, 0, 0)
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
