"""Small captures and a way to run the command, for the tests of the command line."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

from agent.model.address import parse_address

ROOT = Path(__file__).resolve().parent.parent.parent
START = 1_767_603_600
"""2026-01-05T09:00:00Z"""
LOCAL = "10.0.0.5"
SYN, SYN_ACK, ACK = 2, 18, 16

RULES = """\
version: 1
isolation_exclusions: true
windows_rules:
  - name: Remote support
    process_path: 'C:\\Program Files\\Support\\support.exe'
    direction: Outbound
    remote_ips: [203.0.113.0/24]
  - name: Web
    direction: Outbound
    remote_ips: [198.51.100.7]
"""


def tcp(source: str, destination: str, source_port: int, destination_port: int, flags: int) -> bytes:
    """An Ethernet frame with an IPv4 TCP segment without payload."""
    addresses = parse_address(source).packed + parse_address(destination).packed
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 64, 6, 0) + addresses
    segment = struct.pack(">HHIIBBHHH", source_port, destination_port, 1, 0, 0x50, flags, 65535, 0, 0)
    return bytes.fromhex("0200000000010200000000020800") + ip + segment


def pcap(frames: list[bytes], *, seconds: int = 1) -> bytes:
    """A capture of Ethernet frames, one every `seconds`."""
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, frame in enumerate(frames):
        data += struct.pack("<IIII", START + number * seconds, 0, len(frame), len(frame)) + frame
    return data


def office() -> bytes:
    """Three outbound connections of 10.0.0.5, to 203.0.113.9, 198.51.100.7 and 192.0.2.1: SYN and SYN+ACK each."""
    frames = []
    for number, remote in enumerate(("203.0.113.9", "198.51.100.7", "192.0.2.1")):
        frames.append(tcp(LOCAL, remote, 50000 + number, 443, SYN))
        frames.append(tcp(remote, LOCAL, 443, 50000 + number, SYN_ACK))
    return pcap(frames)


def command(
    *arguments: str, cwd: Path, stdin: bytes | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """`isolation-agent ARGUMENTS` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments],
        check=False,
        capture_output=True,
        cwd=cwd,
        env=environment,
        input=stdin if stdin is not None else b"",
        timeout=120,
    )
