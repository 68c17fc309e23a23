"""A network of one's own for a test: a namespace, a cable to another host, and programs on both that say who they are.

Everything in it ends with the processes in it: nothing is named, so nothing is left behind when a test is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import functools
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds until a condition that never comes true fails the test."""
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET

US, US6 = "10.9.0.1", "fd00:9::1"
PEER, PEER6 = "10.9.0.2", "fd00:9::2"

PEER_PROGRAM = """
import socket, sys, threading
def serve_tcp(listener):
    while True:
        one, _ = listener.accept()
        threading.Thread(target=echo, args=(one,), daemon=True).start()
def echo(one):
    while data := one.recv(65536):
        one.sendall(data)
    one.close()
def serve_udp(one):
    while True:
        data, whence = one.recvfrom(65536)
        one.sendto(data, whence)
tcp = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
udp.bind(("::", 7000))
for work, one in ((serve_tcp, tcp), (serve_udp, udp)):
    threading.Thread(target=work, args=(one,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

CLIENT_PROGRAM = """
import json, os, psutil, socket, sys
kind, host, port, repeat = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
one = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
one.settimeout(60)
if kind != "unconnected":
    one.connect((host, port))
for number in range(repeat):
    message = b"%d." % number + b"x" * 900
    if kind == "unconnected":
        one.sendto(message, (host, port))
    else:
        one.send(message)
    got = 0
    while got < len(message):
        got += len(one.recv(65536))
print(json.dumps({"pid": os.getpid(), "created": round(psutil.Process().create_time() * 1000000) * 1000,
                  "port": one.getsockname()[1], "image": os.path.realpath("/proc/self/exe")}), flush=True)
sys.stdin.read()
"""


def in_namespace(test: Callable[..., None]) -> Callable[..., None]:
    """Runs a test in a thread with a network namespace of its own, which the processes it starts inherit."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        failures: list[BaseException] = []
        if missing := [tool for tool in ("ip", "unshare", "nsenter") if shutil.which(tool) is None]:
            pytest.skip(f"{', '.join(missing)} absent")

        def work() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.unshare(_NEW_NETWORK) != 0:
                    pytest.skip(f"no network namespaces here: {os.strerror(ctypes.get_errno())}")
                ip("link", "set", "lo", "up")
                test(**arguments)
            except BaseException as failure:  # noqa: BLE001 - a thread hands on what it met, skips too
                failures.append(failure)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    return run


def ip(*arguments: str) -> None:
    """The ip command, in the namespace of the calling thread."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=PATIENCE)


def up(name: str) -> None:
    """Sets an interface up."""
    ip("link", "set", name, "up")


def running(name: str) -> bool:
    """True if frames that are sent on it leave: the kernel says so a moment after both ends are up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        answer = fcntl.ioctl(one, 0x8913, struct.pack("40s", name.encode()))  # SIOCGIFFLAGS
    return bool(struct.unpack_from("=H", answer, 16)[0] & 0x40)  # IFF_RUNNING


def until(condition: Callable[[], Any]) -> Any:
    """What `condition` gives once that is true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        select.select([], [], [], 0.01)
    return value


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A child that lives as long as its standard input; its first line is what it says of itself."""
    child = subprocess.Popen(
        [*arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate(timeout=PATIENCE)


@contextmanager
def cable(name: str = "eth0") -> Iterator[subprocess.Popen[str]]:
    """A cable from this namespace to a peer that echoes TCP and UDP on port 7000."""
    with program("unshare", "--net", sys.executable, "-c", PEER_PROGRAM) as peer:
        assert line_of(peer.stdout) == "ready"
        inside = ["nsenter", "--target", str(peer.pid), "--net", "ip"]
        ip("link", "add", name, "type", "veth", "peer", "name", "far", "netns", str(peer.pid))
        for command, device, addresses in ((["ip"], name, (US, US6)), (inside, "far", (PEER, PEER6))):
            for length, address in zip((24, 64), addresses, strict=True):
                flags = ["nodad"] if ":" in address else []
                subprocess.run([*command, "addr", "add", f"{address}/{length}", "dev", device, *flags], check=True)
            subprocess.run([*command, "link", "set", device, "up"], check=True)
        until(lambda: running(name))
        yield peer


@contextmanager
def client(kind: str, host: str, *, port: int = 7000, repeat: int = 1) -> Iterator[dict[str, Any]]:
    """A process that has exchanged `repeat` messages with a peer and keeps its socket: what it says of itself."""
    with program(sys.executable, "-c", CLIENT_PROGRAM, kind, host, str(port), str(repeat)) as child:
        yield json.loads(line_of(child.stdout))


def line_of(stream: IO[str] | None) -> str:
    """The next line of a child's output."""
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], PATIENCE)
    assert ready, "the child said nothing"
    return stream.readline().strip()
