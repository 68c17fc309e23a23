"""What finding a socket's owner costs: runs inside one process and prints what it measured as JSON.

Run by the agent's Python (attribution.py does). Two parts: a timeline of recorded sockets, loaded from a file and asked
for every one of them, in order of time as flows come, and in none; and the live system with many sockets open in
several processes, where sockets are asked for that have been there for a while and such as were just made, beside
psutil's list of all. Percentiles are medians of three rounds: one says little where other things run, too.

    .venv/bin/python scripts/benchmark/owners.py '{"records": 1000000, "sockets": 10000, "folder": "/tmp"}'
"""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from agent.attribution.chain import Attribution
from agent.attribution.sockets import load_socket_records
from agent.attribution.textfile import TextFile
from agent.model.device import Family

TCP, UDP = 6, 17
LOOPBACK = 0x7F000001
START = 1_767_603_600
IMAGES = 500
ROUNDS = 3
PROCESSES = 20
NEW = 2000
"""Sockets that are asked for as soon as they are made."""

PER_PROCESS = 400
"""At least so many descriptors each process may have, whatever the system's limit."""


# --- recorded -------------------------------------------------------------------------------------------------------


def write_records(path: str, count: int) -> list[tuple[int, int, int, int, int]]:
    """`count` records of as many tuples; returns (local, local port, remote, remote port, time) of each."""
    asked = []
    with open(path, "w") as file:
        for number in range(count):
            local, port = 0x0A000005 + (number // 50_000) % 4, 10_000 + number % 50_000
            remote = 0xCB007100 + number % 251
            moment = START + number // 100
            asked.append((local, port, remote, 443, moment * 1_000_000_000))
            when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
            image = f"C:\\\\Program Files\\\\App{number % IMAGES}\\\\app.exe"
            file.write(
                f'{{"start":"{when}.{number % 100:02d}Z","end":null,"protocol":"tcp",'
                f'"local":"{dotted(local)}:{port}","remote":"{dotted(remote)}:443","initiated":true,'
                f'"pid":{4000 + number % IMAGES},"image":"{image}","services":[]}}\n'
            )
    return asked


def dotted(address: int) -> str:
    return socket.inet_ntoa(address.to_bytes(4, "big"))


def timeline(count: int, folder: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=folder) as kept:
        path = f"{kept}/sockets.jsonl"
        asked = write_records(path, count)
        size = os.stat(path).st_size
        gc.collect()
        begin = time.perf_counter()
        with TextFile(path) as file:
            source = load_socket_records(file, family=Family.WINDOWS)
        load = time.perf_counter() - begin
    attribution = Attribution()
    attribution.add(source)
    in_order = lookups(attribution, asked)
    Random(1).shuffle(asked)
    scattered = lookups(attribution, asked)
    return {
        "records": count,
        "bytes": size,
        "load_seconds": load,
        "resolve_microseconds": in_order,
        "scattered_microseconds": scattered,
    }


def lookups(attribution: Attribution, asked: list[tuple[int, int, int, int, int]]) -> float:
    """Microseconds of one lookup: of all, less what the loop itself takes."""
    find = attribution.owner_of
    found = 0
    begin = time.perf_counter()
    for local, port, remote, remote_port, moment in asked:
        found += find(TCP, 4, 0, local, port, 0, remote, remote_port, moment, 0) is not None
    took = time.perf_counter() - begin
    assert found == len(asked), f"{found} of {len(asked)} found"
    begin = time.perf_counter()
    for local, port, remote, remote_port, moment in asked:
        found += (TCP, 4, 0, local, port, 0, remote, remote_port, moment, 0) is not None
    return 1e6 * (took - (time.perf_counter() - begin)) / len(asked)


# --- live -----------------------------------------------------------------------------------------------------------


class Worker:
    """A process that holds sockets and makes more when told to."""

    def __init__(self, pairs: int, datagrams: int) -> None:
        told, self._tell = os.pipe()
        answers, answer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._tell)
            serve(pairs, datagrams, told, answer)
            os._exit(0)
        os.close(told)
        os.close(answer)
        self._answers = os.fdopen(answers)
        self.asked: list[tuple[int, int, int]] = [tuple(one) for one in json.loads(self._answers.readline())]

    def more(self) -> tuple[int, int, int]:
        """Makes one TCP connection: (protocol, local port, remote port) of its end."""
        os.write(self._tell, b"x")
        protocol, local, remote = json.loads(self._answers.readline())
        return protocol, local, remote

    def end(self) -> None:
        os.close(self._tell)
        self._answers.close()
        os.waitpid(self.pid, 0)


def serve(pairs: int, datagrams: int, told: int, answer: int) -> None:
    kept: list[socket.socket] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port: int = listener.getsockname()[1]
    asked: list[tuple[int, int, int]] = []

    def connect() -> int:
        ours = socket.create_connection(("127.0.0.1", port))
        kept.extend((ours, listener.accept()[0]))
        here: int = ours.getsockname()[1]
        return here

    for _ in range(pairs):
        here = connect()
        asked += [(TCP, here, port), (TCP, port, here)]
    for _ in range(datagrams):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        kept.append(one)
        asked.append((UDP, one.getsockname()[1], 9))
    with os.fdopen(answer, "w") as way:
        print(json.dumps(asked), file=way, flush=True)
        while os.read(told, 1):
            print(json.dumps((TCP, connect(), port)), file=way, flush=True)


@contextmanager
def workers(sockets: int) -> Iterator[list[Worker]]:
    """Processes with about `sockets` in all, nine tenths of them TCP."""
    count = min(PROCESSES, max(1, sockets // 10))
    each = sockets // count
    made: list[Worker] = []
    try:
        for _ in range(count):
            made.append(Worker(each * 9 // 20, each - 2 * (each * 9 // 20)))
        yield made
    finally:
        for worker in reversed(made):  # each has the ways to those before it open, too
            worker.end()


def live(sockets: int) -> dict[str, Any] | None:
    """None where the kernel cannot be asked."""
    try:
        from agent.attribution.live.source import LiveSource

        LiveSource(ask=True)
    except OSError:
        return None
    import psutil

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, sockets // PROCESSES * 3 + PER_PROCESS)) if hard > 0 else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    with workers(sockets) as made:
        begin = time.perf_counter()
        source = LiveSource(ask=True)
        start = time.perf_counter() - begin

        def ask(pid: int, protocol: int, port: int, remote: int) -> float:
            begin = time.perf_counter_ns()
            owner = source.find(protocol, 4, LOOPBACK, port, LOOPBACK, remote, 0, 0)
            took = time.perf_counter_ns() - begin
            assert owner is not None, f"port {port}: {dict(source.misses)}"
            assert owner.subject.pid == pid, f"port {port}: {owner.subject}"
            return took / 1000

        everything = [(worker.pid, *one) for worker in made for one in worker.asked]
        Random(2).shuffle(everything)
        rounds = [[(one[1], ask(*one)) for one in everything] for _ in range(ROUNDS)]
        news = [
            [ask(worker.pid, *worker.more()) for _ in range(max(1, NEW // len(made) // ROUNDS)) for worker in made]
            for _ in range(ROUNDS)
        ]
        polls = [seconds(psutil.net_connections) for _ in range(3)]
    return {
        "sockets": len(everything),
        "processes": len(made),
        "start_seconds": start,
        "open": percentiles([[took for _, took in one] for one in rounds]),
        "datagrams": percentiles([[took for protocol, took in one if protocol == UDP] for one in rounds]),
        "new": percentiles(news),
        "psutil_seconds": sorted(polls)[1],
    }


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def percentiles(rounds: list[list[float]]) -> dict[str, float]:
    """Of microseconds: the median of what each round has."""
    ordered = [sorted(values) for values in rounds]

    def middle(part: int) -> float:
        return statistics.median(values[(len(values) - 1) * part // 100] for values in ordered)

    return {"count": sum(map(len, ordered)), "p50": middle(50), "p99": middle(99), "most": middle(100)}


def main() -> None:
    asked = json.loads(sys.argv[1])
    found = {"timeline": timeline(asked["records"], asked["folder"]), "live": live(asked["sockets"])}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
