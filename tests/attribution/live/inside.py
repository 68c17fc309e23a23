"""What must run inside namespaces of its own: each function prints what it found as JSON.

unshare --net python inside.py zones
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from agent.attribution.live.source import LiveSource
from agent.model.address import parse_address

TCP, UDP = 6, 17


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def who(source: LiveSource, protocol: int, local: tuple[Any, ...], remote: tuple[Any, ...]) -> Any:
    version, here = parse_address(local[0])
    there = parse_address(remote[0]).value
    owner = source.find(protocol, version, here, local[1], there, remote[1], 0, 0)
    return None if owner is None else [owner.subject.pid, owner.subject.confidence.label]


def zones() -> Any:
    """IPv6 with a zone, and sockets bound to an interface, on two interfaces with the same link-local address."""
    ip("link", "set", "lo", "up")
    indexes = []
    for name in ("left", "right"):
        ip("link", "add", name, "type", "bridge")
        ip("link", "set", name, "addrgenmode", "none")
        ip("link", "set", name, "up")
        ip("address", "add", "fe80::5/64", "dev", name, "nodad")
        indexes.append(socket.if_nametoindex(name))
    source = LiveSource()
    found: dict[str, Any] = {"pid": os.getpid()}
    with socket.socket(socket.AF_INET6) as listener, socket.socket(socket.AF_INET6) as client:
        listener.bind(("fe80::5", 0, 0, indexes[1]))
        listener.listen()
        client.connect(listener.getsockname())
        accepted = listener.accept()[0]
        found["client"] = who(source, TCP, client.getsockname(), client.getpeername())
        found["server"] = who(source, TCP, accepted.getsockname(), accepted.getpeername())
        found["listener"] = who(source, TCP, listener.getsockname(), ("fe80::99", 7))
        accepted.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"left")
        bound.bind(("0.0.0.0", 0))
        found["datagrams"] = who(source, UDP, ("192.0.2.9", bound.getsockname()[1]), ("192.0.2.1", 9))
    with socket.socket() as listener, socket.socket() as client:
        for one in (listener, client):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        found["bound"] = who(source, TCP, client.getsockname(), client.getpeername())
    found["misses"] = dict(source.misses)
    return found


def unprivileged() -> Any:
    """Asked by a user who may not look into the process that holds the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        port = made.getsockname()[1]
        LiveSource()  # whoever the child becomes may not be able to read the modules
        told, tell = os.pipe()
        if os.fork() == 0:
            made.close()
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            source = LiveSource()
            answer = who(source, UDP, ("127.0.0.1", port), ("127.0.0.1", 9))
            os.write(tell, json.dumps({"answer": answer, "misses": dict(source.misses)}).encode())
            os._exit(0)
        os.close(tell)
        with os.fdopen(told) as file:
            return json.load(file)


if __name__ == "__main__":
    print(json.dumps({"zones": zones, "unprivileged": unprivileged}[sys.argv[1]]()))
