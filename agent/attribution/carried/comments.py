r"""Packet comments that name processes: ptcpdump's, which are exact, and etl2pcapng's, which are not.

Knows: how the two write them (ptcpdump: internal/writer/pcapng.go, internal/types/context.go; etl2pcapng: src/main.c).
Must not know: whether a capture is theirs. ptcpdump's grammar is open to any program with a line break in its
arguments, so only what stands before them is believed.

    >>> read_ptcpdump((b"PID: 812\nCmd: /usr/bin/curl\nArgs: curl -m 5 example.com",))
    Claim(pid=812, guid=None, created=None, image='/usr/bin/curl', command_line='curl -m 5 example.com', ...)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.attribution.carried.blocks import MAX_ARGUMENTS
from agent.attribution.evidence import Claim

_ETL_PID = re.compile(rb"PID=(\d{1,10})( TID=\d{1,10})?( |\Z)")
"""Old versions wrote the pid alone; what follows may hold any text."""
_MAX_PID = (1 << 32) - 1
_PROCESS_KEYS = frozenset({"PID", "Cmd", "Command", "Args"})
_TRUNCATED = "..."


def read_ptcpdump(comments: Iterable[bytes]) -> Claim | None:
    """What the comments of a packet in a section that ptcpdump wrote say; None if they name no process.

    Each comment tells one thing, and its first key which: a line further down cannot turn it into another.
    """
    process: dict[str, str] = {}
    user = container = None
    for comment in comments:
        lines = comment.decode(errors="replace").strip().split("\n")
        key, value = _pair(lines[0])
        if key == "PID" and not process:
            process = _process(lines)
        elif key == "UserId" and user is None and value.isdigit():
            user = value
        elif key == "ContainerName" and container is None:
            container = value or _container_id(lines)
        elif key == "ContainerId" and container is None:
            container = value
    pid = _number(process.get("PID", ""))
    if pid is None:
        return None
    image, arguments = process.get("Cmd"), process.get("Args")
    if image is not None and image.endswith(_TRUNCATED):
        image = None  # another program's path may begin so, too
    return Claim(pid=pid, image=image or None, command_line=arguments or None, user=user, container=container or None)


def _process(lines: list[str]) -> dict[str, str]:
    """PID, Cmd and Args in the order in which they are written. What follows Args may be a part of them."""
    found: dict[str, str] = {}
    for index, line in enumerate(lines):
        key, value = _pair(line)
        key = "Cmd" if key == "Command" else key
        if key == "Args":
            found[key] = "\n".join([value, *lines[index + 1 :]])[:MAX_ARGUMENTS]
            break
        if key not in _PROCESS_KEYS or key in found:
            # A line break in the path: what stands before it is the path of something else.
            found.pop("Cmd", None)
            break
        found[key] = value
    return found


def _container_id(lines: list[str]) -> str:
    return next((value for key, value in map(_pair, lines[1:2]) if key == "ContainerId"), "")


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


def read_etl2pcapng(comments: Iterable[bytes]) -> Claim | None:
    """The pid of a comment as etl2pcapng writes them: of who ran when the packet was logged, often not its owner."""
    for comment in comments:
        match = _ETL_PID.match(comment)
        if match is not None:
            pid = int(match[1])
            return Claim(pid=pid) if 0 < pid <= _MAX_PID else None
    return None


def _number(text: str) -> int | None:
    """A pid: decimal, not 0, of 32 bits."""
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    return int(text) if 0 < int(text) <= _MAX_PID else None
