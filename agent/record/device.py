"""This machine as a device document, so that a recording can be judged where the machine is not.

Knows where Linux says what it is. Must not know packets. Nothing is guessed: what a file does not say is left out.

    write_device("device.yaml", addresses)
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable

from agent.model.address import Address, parse_address
from agent.record.kept import KeptFile

_RESOLVERS = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")
"""The first names the servers behind systemd's stub, which is at 127.0.0.53 and asks them."""


def device_document(addresses: Iterable[Address], *, root: str = "/") -> str:
    """The document as YAML. `root`: where the machine's files are."""
    fields: dict[str, object] = {"version": 1, "name": socket.gethostname() or "linux", "platform": "Linux"}
    if version := _os_version(os.path.join(root, "etc/os-release")):
        fields["os_version"] = version
    fields["addresses"] = [str(address) for address in addresses if not _loopback(address)]
    fields["resolvers"] = [str(address) for address in _resolvers(root)]
    # JSON's lists and texts are YAML's.
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())


def write_device(path: str, addresses: Iterable[Address]) -> None:
    """Raises EnvironmentFailure naming `path`."""
    file = KeptFile(path)
    file.write(device_document(addresses).encode(errors="replace"))
    file.close()


def _os_version(path: str) -> str | None:
    for line in _lines(path):
        key, _, value = line.partition("=")
        if key == "VERSION_ID":
            return value.strip("\"'") or None
    return None


def _resolvers(root: str) -> list[Address]:
    found: dict[Address, None] = {}
    for path in _RESOLVERS:
        for line in _lines(os.path.join(root, path.lstrip("/"))):
            words = line.split()
            if len(words) >= 2 and words[0] == "nameserver":
                try:
                    found[parse_address(words[1])] = None
                except ValueError:
                    continue
    return list(found)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16).splitlines()
    except OSError:
        return []


def _loopback(address: Address) -> bool:
    return address.value >> 24 == 127 if address.version == 4 else address.value == 1
